"""Candidates of training runs on their way to shadow and paper: each gets there, or its refusal is in the journal.

What is to be looked at is read from the journal, so that no lost, forged or doubled word of an orchestrator matters. A
candidate is done with once it was moved or refused, so a training run that is repeated starts nothing anew.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, TradeSageError
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.ladder import AUTOMATON, AliasStore, PolicyJournal, Refusal, promote
from pipelines.promotion.paper_rule import judge_candidate, judged_otherwise, market_is_busy
from pipelines.promotion.registration import CONTENT, Registration, registered_by_event, registrations
from pipelines.promotion.signatures import Signature, signatures
from pipelines.promotion.stages import Stage
from pipelines.promotion.workspace import RunWorkspace


@dataclass(frozen=True, slots=True)
class Looked:
    """What became of one candidate."""

    version: str
    stage: str | None  #: it was moved to now; None if it stays where it is
    line: str
    waits: bool = False  #: it is looked at again
    failed: bool = False  #: it was kept out of shadow, or nothing could be done


def open_candidates(
    events: Sequence[Mapping[str, Any]], refusals: Iterable[Mapping[str, Any]]
) -> tuple[tuple[Registration, Stage], ...]:
    """Registrations of training runs that are to be looked at, oldest first, each with the stage it waits for.

    Parameters
    ----------
    events, refusals : moves and refused moves of one model, oldest first
    """
    refused, paper = list(refusals), signatures(events).get(Stage.PAPER)
    waiting = [
        (registration, step)
        for registration in sorted(registrations(events).values(), key=lambda each: (each.at, each.version))
        if (step := _next_step(registration, events, refused)) is not None
        and not (step is Stage.PAPER and _is(paper, registration))
    ]
    return tuple(waiting)


def work_through(
    registry: AliasStore,
    journal: PolicyJournal,
    repo: Path,
    min_sharpe_gain: float,
    run: str,
    now: Callable[[], datetime] = lambda: datetime.now(IST),
) -> tuple[Looked, ...]:
    """Look at every open candidate: into shadow, and into paper by the rule if the market's day is over.

    What goes wrong with one keeps no other waiting; it stays open.

    Parameters
    ----------
    repo : the checkout, whose `params.yaml` says how policies are judged now
    run : who looks, for the journal
    now : the wall clock
    """
    looked = []
    with journal.exclusive(f"candidates of {registry.model}"):
        events, refusals = journal.policy_events(registry.model), journal.policy_refusals(registry.model)
        for candidate, step in open_candidates(events, refusals):
            look = _Look(registry, journal, RunWorkspace(repo), min_sharpe_gain, run, now())
            try:
                looked.append(look.at(candidate, step))
            except TradeSageError as error:
                line = f"version {candidate.version} could not be looked at: {type(error).__name__}: {error}"
                looked.append(Looked(candidate.version, None, line, waits=True, failed=True))
    return tuple(looked)


@dataclass(frozen=True)
class _Look:
    registry: AliasStore
    journal: PolicyJournal
    runs: RunWorkspace
    min_sharpe_gain: float
    run: str
    now: datetime

    def at(self, candidate: Registration, step: Stage) -> Looked:
        if step is Stage.SHADOW:
            refusal = self._into_shadow(candidate)
            if refusal is not None:
                return Looked(candidate.version, None, refusal, failed=True)
        looked = self._into_paper(candidate)
        entered = Stage.SHADOW.value if step is Stage.SHADOW and looked.stage is None else looked.stage
        return Looked(candidate.version, entered, looked.line, looked.waits)

    def _into_shadow(self, candidate: Registration) -> str | None:
        """Why it was refused, None if it is there."""
        there = self._standing(Stage.SHADOW)
        if there is not None and there.at > candidate.at:
            return self._refuse(candidate, Stage.SHADOW, f"version {there.version} stands there and is newer", ())
        why = f"candidate of the training run {candidate.run}; {self.run}"
        moved = promote(self.registry, self.journal, candidate.version, Stage.SHADOW, AUTOMATON, why, at=self.now)
        if isinstance(moved, Refusal):
            return self._refuse(candidate, Stage.SHADOW, "; ".join(moved.reasons), moved.failing)
        return None

    def _into_paper(self, candidate: Registration) -> Looked:
        version = candidate.version
        if _is(signatures(self.journal.policy_events(self.registry.model)).get(Stage.PAPER), candidate):
            return Looked(version, None, f"version {version} stands at paper already")
        verdicts = self._rule(candidate)
        failing = tuple(verdict for verdict in verdicts if not verdict.passed)
        if failing:
            return Looked(version, None, self._refuse(candidate, Stage.PAPER, _in_words(failing), verdicts))
        busy = market_is_busy(self.now)
        if busy is not None:
            return Looked(version, None, f"version {version} waits at shadow for paper: {busy}", waits=True)
        why = f"newer and better than what stood there, by the rule; {self.run}"
        moved = promote(self.registry, self.journal, version, Stage.PAPER, AUTOMATON, why, at=self.now)
        if isinstance(moved, Refusal):
            return Looked(version, None, self._refuse(candidate, Stage.PAPER, "; ".join(moved.reasons), moved.failing))
        return Looked(version, Stage.PAPER.value, f"version {version} stands at paper")

    def _rule(self, candidate: Registration) -> tuple[Verdict, ...]:
        events = self.journal.policy_events(self.registry.model)
        known = registrations(events)
        stood = {event["version"] for event in events if event["to_stage"] == Stage.PAPER}
        before = [known[version] for version in stood if version in known and version != candidate.version]
        standing = self._standing(Stage.PAPER)
        standing_differs = self._differing(standing) if standing is not None else ()
        differing = self._differing(candidate)
        return judge_candidate(candidate, standing, before, differing, self.min_sharpe_gain, standing_differs)

    def _differing(self, policy: Registration) -> tuple[str, ...]:
        if policy.commit is None:
            return ()
        here = yaml.safe_load((self.runs.repo / "params.yaml").read_text(encoding="utf-8"))
        try:
            there = yaml.safe_load(self.runs.file_at(policy.commit, "params.yaml"))
        except BadInput:
            return (f"commit {policy.commit[:12]} is not in this checkout",)
        return judged_otherwise(here, there)

    def _standing(self, stage: Stage) -> Registration | None:
        signature = signatures(self.journal.policy_events(self.registry.model)).get(stage.value)
        return signature.registration if signature is not None else None

    def _refuse(self, candidate: Registration, asked: Stage, reason: str, verdicts: Sequence[Verdict]) -> str:
        evidence = {"run": self.run, "verdicts": [verdict.as_dict() for verdict in verdicts]}
        self.journal.record_policy_refusal(
            model=self.registry.model,
            version=candidate.version,
            asked=asked.value,
            actor=AUTOMATON,
            reason=reason,
            evidence=evidence,
            at=self.now,
        )
        return f"{asked} is refused to version {candidate.version}: {reason}"


def _next_step(
    candidate: Registration, events: Sequence[Mapping[str, Any]], refusals: Sequence[Mapping[str, Any]]
) -> Stage | None:
    """What a candidate waits for: shadow, if nothing became of it since a training run registered it; paper, if the
    automaton put it at shadow and nothing became of it since; None if it is done with."""
    offered = [
        number
        for number, event in enumerate(events)
        if (recorded := registered_by_event(event)) is not None
        and (recorded.version, recorded.content) == (candidate.version, candidate.content)
        and recorded.run is not None
    ]
    if not offered:
        return None
    since = events[offered[0]]["at"]
    refused = [row for row in refusals if row["version"] == candidate.version and row["at"] >= since and _counts(row)]
    moves = [
        event
        for event in events[offered[0] + 1 :]
        if (event["version"], event["evidence"].get(CONTENT)) == (candidate.version, candidate.content)
        and event["to_stage"] != Stage.CANDIDATE
    ]
    if refused:
        return None
    if not moves:
        return Stage.SHADOW
    only_shadow = all(move["to_stage"] == Stage.SHADOW and move["actor"] == AUTOMATON for move in moves)
    return Stage.PAPER if only_shadow else None


def _is(signature: Signature | None, candidate: Registration) -> bool:
    """Whether what stands at a stage is just this policy."""
    return signature is not None and (signature.version, signature.content) == (candidate.version, candidate.content)


def _counts(refusal: Mapping[str, Any]) -> bool:
    """Whether a refusal ends a candidate's way to paper: the rule's does, and a person's; not a request that was made
    by hand and that the evidence or the time-out refused, or anybody could end it by asking."""
    by_hand = bool(refusal["evidence"].get("by_hand"))
    return refusal["asked"] in (Stage.SHADOW, Stage.PAPER) and not (by_hand and refusal["actor"] == AUTOMATON)


def _in_words(failing: Sequence[Verdict]) -> str:
    def figure(value: float | None) -> str:
        return "nothing" if value is None else f"{value:.4g}"

    return "; ".join(f"{v.gate}: {figure(v.measured)}, limit {figure(v.limit)} ({v.evidence})" for v in failing)
