"""The ladder a policy climbs, and the only way to climb it: every move is judged, recorded and then shown.

Shadow and paper ask for the sanity gates; canary and champion for all gates, a commit that makes the policy, and a
person's approval. A refusal is a value with its figures. `previous` keeps the champion before, so that a rollback is
one move.

Whoever reaches MLflow's pages can write its tags, aliases and files, so nothing is judged by them: verdicts, commit,
stages reached and what stands where are read from the journal. Its recorded moves are the signature. MLflow's aliases
are drawn after them, and a move counts though MLflow does not answer.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound, TradeSageError
from pipelines.domain.verdicts import Verdict
from pipelines.journal.ladder_records import StageTrade
from pipelines.promotion.registration import (
    CONTENT,
    ROLLBACK,
    UNREGISTERED,
    Registration,
    registration_of,
    stages_reached,
    verdict_from,
)
from pipelines.promotion.signatures import Signature, signatures
from pipelines.promotion.stages import COMES_FROM, GATED, NEEDS_APPROVAL, Stage

#: Names under which our own processes act; none of them can approve
AUTOMATA = frozenset({"airflow", "demo", "scheduler", "system", "tradesage"})
#: Who moves a policy when no person does
AUTOMATON = "airflow"
NO_TRACK = Verdict("record at the stage before", False, 0.0, 1.0, "nobody looked at it", ("canary", "champion"))


@dataclass(frozen=True, slots=True)
class Promotion:
    """A move that was made, or that the ladder had made already."""

    model: str
    version: str
    from_stage: Stage | None  #: the last stage it had entered before
    to_stage: Stage
    displaced: str | None  #: the version that stood there before
    actor: str
    approved_by: str | None
    moved: bool = True  #: False: it stood there already, so nothing was changed or recorded


@dataclass(frozen=True, slots=True)
class Refusal:
    """A move that was not made, and why."""

    model: str
    version: str
    to_stage: Stage
    reasons: tuple[str, ...]
    failing: tuple[Verdict, ...] = ()

    def __str__(self) -> str:
        return f"{self.model} version {self.version} may not enter {self.to_stage}: {'; '.join(self.reasons)}"


class AliasStore(Protocol):
    """What the ladder asks of a registry: to show where the versions stand."""

    model: str

    def aliases(self) -> dict[str, str]: ...
    def move(self, alias: str, version: str) -> None: ...
    def remove(self, alias: str) -> None: ...


class PolicyEvents(Protocol):
    """What the ladder asks of a journal."""

    def record_policy_event(
        self,
        *,
        model: str,
        version: str,
        from_stage: str | None,
        to_stage: str,
        actor: str,
        reason: str,
        evidence: dict[str, Any],
        at: datetime,
    ) -> Any: ...

    def policy_events(self, model: str) -> list[dict[str, Any]]: ...

    def exclusive(self, name: str) -> AbstractContextManager[None]: ...


class StageRecords(Protocol):
    """What is asked of the journal."""

    def stage_closes(self, policy_version: str, stage: str, since: datetime) -> list[datetime]: ...
    def stage_trades(self, policy_version: str, stage: str, since: datetime) -> list[StageTrade]: ...


class PolicyJournal(PolicyEvents, StageRecords, Protocol):
    """What those who ask for moves want of a journal: refused moves, and how a policy fared at a stage."""

    def record_policy_refusal(
        self,
        *,
        model: str,
        version: str,
        asked: str,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any],
        at: datetime,
    ) -> None: ...

    def policy_refusals(self, model: str) -> list[dict[str, Any]]: ...


def verdicts_from(contents: Iterable[Mapping[str, Any]]) -> tuple[Verdict, ...]:
    """Verdicts from their JSON form, as `data/08_gates/verdicts.json` holds them."""
    return tuple(verdict_from(each) for each in contents)


def may_enter(stage: Stage, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts that keep a policy out of `stage`, empty if none does; to have no verdicts at all is one, too."""
    if stage not in GATED:
        return ()
    if not verdicts:
        return (Verdict("verdicts", False, 0.0, 1.0, "the gates have not judged this version", (stage.value,)),)
    return tuple(verdict for verdict in verdicts if not verdict.passed and stage.value in verdict.protects)


def promote(
    registry: AliasStore,
    journal: PolicyEvents,
    version: str,
    stage: Stage,
    actor: str,
    reason: str,
    *,
    approved_by: str | None = None,
    track: Sequence[Verdict] = (),
    champion_too: bool = False,
    at: datetime | None = None,
) -> Promotion | Refusal:
    """Move a version to a stage of the ladder if it may go there by what the journal recorded of it.

    Parameters
    ----------
    actor : who makes the move: a person or one of our processes
    approved_by : the person who approved; needed for canary and champion
    track : verdicts on the record at the stage before, see `judge_track`; needed for canary and champion
    champion_too : whether retiring takes the champion, after whom nobody stands there
    at : time of the move, now by default

    Returns
    -------
    Promotion, after the journal has it, or Refusal, after nothing was changed. A version that the ladder has put there
    already is a Promotion, too; it is not recorded twice and says by `moved` that nothing was changed.
    """
    stage = Stage(stage)
    events = journal.policy_events(registry.model)
    registration, reached = registration_of(events, version), stages_reached(events, version)
    standing = signatures(events)
    held = standing.get(stage.value)
    last = reached[-1] if reached else None
    done = Promotion(registry.model, version, last, stage, held.version if held else None, actor, approved_by)
    if registration is None:
        return Refusal(registry.model, version, stage, (UNREGISTERED,))
    if _is(held, registration) or (stage is Stage.RETIRED and last is Stage.RETIRED):
        show(registry, journal)
        return replace(done, moved=False)
    failing = may_enter(stage, registration.verdicts)
    if stage in NEEDS_APPROVAL:
        failing = (*failing, *(may_enter(stage, track) if track else (NO_TRACK,)))
    if not (stage is Stage.RETIRED and champion_too):
        reasons = _reasons(registration, stage, failing, reached, standing, approved_by)
    else:
        reasons = ()
    if reasons:
        return Refusal(registry.model, version, stage, reasons, failing)
    evidence = {
        "approved_by": approved_by,
        "displaced": done.displaced,
        "verdicts": [each.as_dict() for each in (*registration.verdicts, *track)],
        CONTENT: registration.content,
    }
    _record(journal, done, reason, evidence, at)
    show(registry, journal)
    return done


def rollback(
    registry: AliasStore, journal: PolicyEvents, actor: str, reason: str, *, at: datetime | None = None
) -> Promotion | Refusal:
    """Make the previous champion champion again and retire the present one; the gates were passed when it was champion.

    There is no `previous` afterwards: a second rollback must not bring back what the first one removed.
    """
    standing = signatures(journal.policy_events(registry.model))
    against = way_back(registry.model, standing)
    if against is not None:
        return against
    previous, failed = standing[Stage.PREVIOUS], standing.get(Stage.CHAMPION)
    failed_version = failed.version if failed else None
    done = Promotion(
        registry.model, previous.version, Stage.PREVIOUS, Stage.CHAMPION, failed_version, actor, approved_by=None
    )
    _record(journal, done, reason, {ROLLBACK: failed_version, CONTENT: previous.content}, at)
    show(registry, journal)
    return done


def way_back(model: str, standing: Mapping[str, Signature]) -> Refusal | None:
    """Why there is no champion to go back to, None if there is one."""
    previous, failed = standing.get(Stage.PREVIOUS), standing.get(Stage.CHAMPION)
    if previous is None:
        reason = "there is no previous champion to go back to"
        return Refusal(model, failed.version if failed else "?", Stage.CHAMPION, (reason,))
    if previous.registration is None:
        return Refusal(model, previous.version, Stage.CHAMPION, (UNREGISTERED,))
    return None


def show(registry: AliasStore, journal: PolicyEvents) -> str | None:
    """Draw MLflow's aliases after the journal; nothing rests on them, so that MLflow fails is told and stops nothing.

    Returns
    -------
    None, or in one line why MLflow does not show what the journal says.
    """
    wanted = {
        stage: signature.version for stage, signature in signatures(journal.policy_events(registry.model)).items()
    }
    try:
        shown = registry.aliases()
        for alias in (shown.keys() - wanted.keys()) & set(Stage):
            registry.remove(alias)
        for alias, version in wanted.items():
            if shown.get(alias) != version:
                with suppress(NotFound):  # deleted in MLflow
                    registry.move(alias, version)
    except TradeSageError as error:
        return f"MLflow's aliases are not up to date: {error}"
    return None


def _reasons(
    registration: Registration,
    stage: Stage,
    failing: Sequence[Verdict],
    reached: Sequence[Stage],
    standing: Mapping[str, Signature],
    approved_by: str | None,
) -> tuple[str, ...]:
    if stage is Stage.PREVIOUS:
        return ("previous is set when the champion changes, not by hand",)
    if stage is Stage.CANDIDATE:
        return ("a version becomes the candidate when it is registered",)
    if stage is Stage.RETIRED:
        champion = _is(standing.get(Stage.CHAMPION), registration)
        return ("it is champion; promote another or roll back first",) if champion else ()
    reasons = [_in_words(verdict) for verdict in failing]
    earlier = COMES_FROM[stage]
    if earlier and not earlier & set(_since_retired(reached)):
        reasons.append(f"it has not been at {' or '.join(sorted(earlier))} before")
    if stage in NEEDS_APPROVAL:
        reasons += [] if registration.commit else ["no commit makes it"]
        reasons += _approval_missing(approved_by)
    return tuple(reasons)


def _since_retired(reached: Sequence[Stage]) -> Sequence[Stage]:
    """The stages of a policy, in the order it last entered them, after it was retired: it begins anew then."""
    return reached[reached.index(Stage.RETIRED) + 1 :] if Stage.RETIRED in reached else reached


def _is(signature: Signature | None, registration: Registration) -> bool:
    """Whether a signature is of just this policy; a number alone may have been another one before."""
    return signature is not None and (signature.version, signature.content) == (
        registration.version,
        registration.content,
    )


def _approval_missing(approved_by: str | None) -> list[str]:
    name = (approved_by or "").strip()
    if not name:
        return ["no person has approved it"]
    if name.lower() in AUTOMATA:
        return [f"{name!r} is a process, a person must approve"]
    return []


def _in_words(verdict: Verdict) -> str:
    def figure(value: float | None) -> str:
        return "nothing" if value is None else f"{value:.4g}"

    return f"{verdict.gate} is {figure(verdict.measured)}, the limit is {figure(verdict.limit)}"


def _record(journal: PolicyEvents, move: Promotion, reason: str, evidence: dict[str, Any], at: datetime | None) -> None:
    journal.record_policy_event(
        model=move.model,
        version=move.version,
        from_stage=move.from_stage.value if move.from_stage else None,
        to_stage=move.to_stage.value,
        actor=move.actor,
        reason=reason,
        evidence=evidence,
        at=at or datetime.now(IST),
    )
