"""What is known of a policy when somebody asks for a stage: the gates' verdicts, and whether they can be trusted.

Demo, report and promotion ask here what keeps a policy from a stage, so that they say the same. All of it is what the
journal recorded; nothing is read from MLflow.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.domain.errors import BadInput, NotFound
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.ladder import may_enter
from pipelines.promotion.paper_rule import judged_otherwise
from pipelines.promotion.registration import UNREGISTERED, Registration, registration_of
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import NEEDS_APPROVAL, Stage
from pipelines.promotion.workspace import RunWorkspace

#: Stages that trade with money
WITH_MONEY = tuple(sorted(stage.value for stage in NEEDS_APPROVAL))


@dataclass(frozen=True)
class Evidence:
    """Everything known of a version when somebody asks for a stage."""

    version: str
    stage: str  #: asked for
    registration: Registration  #: what the journal recorded of it
    standing: tuple[str, ...]  #: stages that it holds now
    replaces: str | None  #: version that holds the stage now
    trust: tuple[Verdict, ...]  #: whether the gates' verdicts can be trusted near money
    track: tuple[Verdict, ...] = ()  #: on its record at the stage before, see `track_record.with_track`

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of the gates, as they were recorded at the registration."""
        return self.registration.verdicts

    @property
    def against(self) -> tuple[Verdict, ...]:
        """Failed verdicts that protect the stage."""
        judged = (self.verdicts, self.trust, *((self.track,) if self.track else ()))
        return tuple(dict.fromkeys(verdict for each in judged for verdict in may_enter(Stage(self.stage), each)))

    @property
    def digest(self) -> str:
        """Tells whether what is promoted rests on what was shown."""
        record = [(verdict.gate, verdict.passed, verdict.limit) for verdict in self.track]  # its figures go on
        told = [self.stage, self.registration.as_record(), [verdict.as_dict() for verdict in self.trust], record]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def as_markdown(self) -> str:
        """A table of the gates: measured figure, limit, evidence."""
        rows = ["| | gate | measured | limit | evidence |", "|---|---|---:|---:|---|"]
        for verdict in sorted((*self.track, *self.verdicts, *self.trust), key=lambda verdict: verdict.passed):
            mark = "passed" if verdict.passed else ("**FAILED**" if self.stage in verdict.protects else "failed")
            figures = f"{_figure(verdict.measured)} | {_figure(verdict.limit)}"
            rows.append(f"| {mark} | {verdict.gate} | {figures} | {_cell(verdict.evidence)} |")
        now = f"now holds {', '.join(self.standing)}" if self.standing else "holds no stage yet"
        before = f"takes the place of version {self.replaces}" if self.replaces else "is free"
        commit, market = self.registration.commit, self.registration.bars
        made = f"commit `{commit}`" if commit else "no commit"
        money = "" if self.registration.is_real else " It may never trade with money."
        return (
            f"Version {self.version} {now}; {self.stage} {before}. Made from {made}. Judged on: {market}.{money}\n\n"
            + "\n".join(rows)
        )

    def in_one_line(self) -> str:
        """Why the stage is refused."""
        reasons = "; ".join(
            f"{verdict.gate}: {_figure(verdict.measured)}, limit {_figure(verdict.limit)}" for verdict in self.against
        )
        return f"{self.stage} is refused to version {self.version}: {reasons}"


def gather_evidence(events: Iterable[Mapping[str, Any]], version: str, stage: str, repo: Path) -> Evidence:
    """Collect what is known of a registered version, and judge whether it can be trusted near money.

    Besides the gates' own verdicts there are two. A policy must come from a commit, so that it can be made again. And
    it must have been judged as the checkout judges now: a run may override any number, so also slippage or a limit.

    Parameters
    ----------
    events : the journal's policy events of the model, oldest first
    repo : the checkout, for the commit's numbers and those of now

    Raises
    ------
    NotFound : the journal has no registration of that version.
    """
    events = list(events)
    registration = registration_of(events, version)
    if registration is None:
        raise NotFound(f"version {version}: {UNREGISTERED}")
    standing = signatures(events)
    held = {name: each.version for name, each in standing.items() if each.content == registration.content}
    holder = standing.get(stage)
    return Evidence(
        version=version,
        stage=stage,
        registration=registration,
        standing=tuple(sorted(name for name, holds in held.items() if holds == version)),
        replaces=holder.version if holder is not None and stage not in held else None,
        trust=_trust(registration.commit, RunWorkspace(repo)),
    )


def _trust(commit: str | None, runs: RunWorkspace) -> tuple[Verdict, Verdict]:
    made = Verdict(
        gate="made from a commit",
        passed=commit is not None,
        measured=None,
        limit=None,
        evidence="anybody can compute it again from the commit" if commit else "registered from uncommitted inputs",
        protects=WITH_MONEY,
    )
    differing = judging_differences(commit, runs)
    judged = Verdict(
        gate="numbers it was judged by that are not the checkout's",
        passed=not differing,
        measured=float(len(differing)),
        limit=0.0,
        evidence="; ".join(differing) or "costs, slippage and limits are those of params.yaml as it is now",
        protects=WITH_MONEY,
    )
    return made, judged


def judging_differences(commit: str | None, runs: RunWorkspace) -> tuple[str, ...]:
    """Judging numbers of a commit that are not the checkout's, in words."""
    if commit is None:
        return ("unknown without a commit",)
    try:
        then = yaml.safe_load(runs.file_at(commit, "params.yaml"))
    except BadInput:
        return (f"commit {commit[:12]} is not in this checkout",)
    return judged_otherwise(yaml.safe_load((runs.repo / "params.yaml").read_text(encoding="utf-8")), then)


def _figure(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
