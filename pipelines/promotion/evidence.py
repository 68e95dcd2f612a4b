"""What is known of a policy when somebody asks for a stage: the gates' verdicts, and whether they can be trusted."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipelines.domain.verdicts import Verdict
from pipelines.promotion.ladder import NEEDS_APPROVAL, Stage, VersionStore, may_enter
from pipelines.promotion.workspace import RunWorkspace

#: Stages that trade with money
WITH_MONEY = tuple(sorted(stage.value for stage in NEEDS_APPROVAL))
#: Sections of `params.yaml` that say how strictly a policy is judged
JUDGING = ("evaluation", "gates")


@dataclass(frozen=True)
class Evidence:
    """Everything known of a version when somebody asks for a stage."""

    version: str
    stage: str  #: asked for
    standing: tuple[str, ...]  #: aliases that name the version now
    replaces: str | None  #: version that holds the stage now
    commit: str | None
    market: str  #: on which it was judged, in words
    verdicts: tuple[Verdict, ...]  #: of the gates, as the registry keeps them
    trust: tuple[Verdict, ...]  #: whether those can be trusted near money

    @property
    def against(self) -> tuple[Verdict, ...]:
        """Failed verdicts that protect the stage."""
        every = (*may_enter(Stage(self.stage), self.verdicts), *may_enter(Stage(self.stage), self.trust))
        return tuple(dict.fromkeys(every))

    @property
    def digest(self) -> str:
        """Tells whether what is promoted rests on what was shown."""
        told = [
            self.version,
            self.stage,
            self.commit,
            self.market,
            [verdict.as_dict() for verdict in (*self.verdicts, *self.trust)],
        ]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def as_markdown(self) -> str:
        """A table of the gates: measured figure, limit, evidence."""
        rows = ["| | gate | measured | limit | evidence |", "|---|---|---:|---:|---|"]
        for verdict in sorted((*self.verdicts, *self.trust), key=lambda verdict: verdict.passed):
            mark = "passed" if verdict.passed else ("**FAILED**" if self.stage in verdict.protects else "failed")
            figures = f"{_figure(verdict.measured)} | {_figure(verdict.limit)}"
            rows.append(f"| {mark} | {verdict.gate} | {figures} | {_cell(verdict.evidence)} |")
        now = f"now holds {', '.join(self.standing)}" if self.standing else "holds no stage yet"
        before = f"takes the place of version {self.replaces}" if self.replaces else "is free"
        made = f"commit `{self.commit}`" if self.commit else "no commit"
        return (
            f"Version {self.version} {now}; {self.stage} {before}. Made from {made}. Judged on {self.market}.\n\n"
            + "\n".join(rows)
        )

    def in_one_line(self) -> str:
        """Why the stage is refused."""
        reasons = "; ".join(
            f"{verdict.gate}: {_figure(verdict.measured)}, limit {_figure(verdict.limit)}" for verdict in self.against
        )
        return f"{self.stage} is refused to version {self.version}: {reasons}"


def gather_evidence(registry: VersionStore, version: str, stage: str, repo: Path) -> Evidence:
    """Collect what is known of a registered version, and judge whether it can be trusted near money.

    Besides the gates' own verdicts there are two. A policy must come from a commit, so that it can be made again. And
    it must have been judged as the checkout judges now: a run may override any number, so also slippage or a limit.

    Raises
    ------
    NotFound : there is no such version.
    """
    tags = registry.tags(version)
    known = tags.get("commit") not in (None, "none") and tags.get("uncommitted_inputs") != "yes"
    commit = tags["commit"] if known else None
    aliases = registry.aliases()
    return Evidence(
        version=version,
        stage=stage,
        standing=tuple(sorted(alias for alias, held in aliases.items() if held == version)),
        replaces=None if aliases.get(stage) == version else aliases.get(stage),
        commit=commit,
        market=_market(tags),
        verdicts=registry.verdicts(version),
        trust=_trust(commit, RunWorkspace(repo)),
    )


def _market(tags: Mapping[str, str]) -> str:
    """Whose bars the figures come from; a planted edge is called so where a person signs."""
    if tags.get("source") == "simulated":
        edge = tags.get("planted_edge", "unknown")
        return (
            "a simulated market without an edge" if edge == "none" else f"a simulated market with a planted {edge} edge"
        )
    return "real bars from files" if tags.get("source") == "files" else "bars of unknown origin"


def _trust(commit: str | None, runs: RunWorkspace) -> tuple[Verdict, Verdict]:
    made = Verdict(
        gate="made from a commit",
        passed=commit is not None,
        measured=None,
        limit=None,
        evidence="anybody can compute it again from the commit" if commit else "registered from uncommitted inputs",
        protects=WITH_MONEY,
    )
    differing = _judged_otherwise(commit, runs) if commit else ("unknown without a commit",)
    judged = Verdict(
        gate="numbers it was judged by that are not the checkout's",
        passed=not differing,
        measured=float(len(differing)),
        limit=0.0,
        evidence="; ".join(differing) or "costs, slippage and limits are those of params.yaml as it is now",
        protects=WITH_MONEY,
    )
    return made, judged


def _judged_otherwise(commit: str, runs: RunWorkspace) -> tuple[str, ...]:
    now = yaml.safe_load((runs.repo / "params.yaml").read_text(encoding="utf-8"))
    then = yaml.safe_load(runs.file_at(commit, "params.yaml"))
    return tuple(
        f"{section}.{key}: {now[section].get(key)} here, {then.get(section, {}).get(key)} in the run"
        for section in JUDGING
        for key in sorted(now[section].keys() | then.get(section, {}).keys())
        if now[section].get(key) != then.get(section, {}).get(key)
    )


def _figure(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
