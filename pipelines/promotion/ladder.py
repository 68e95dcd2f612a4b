"""The ladder a policy climbs, and the only way to climb it: every move is judged, recorded and then made.

Shadow and paper ask for the sanity gates; canary and champion for all gates and a person's approval. A refusal is a
value with its figures. `previous` keeps the champion before, so that a rollback is one move of an alias.

MLflow's pages have no login, so an alias alone proves nothing. The recorded moves are the signature: `signed` says
whether the ladder put a version where it stands, and nothing else may be served or rolled back to.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.registry import CONTENT, verdict_from


class Stage(StrEnum):
    CANDIDATE = "candidate"
    SHADOW = "shadow"
    PAPER = "paper"
    CANARY = "canary"
    CHAMPION = "champion"
    RETIRED = "retired"
    PREVIOUS = "previous"  #: the champion before the present one, kept warm


#: What a version must have been before it may enter; an empty set asks for nothing
COMES_FROM: dict[Stage, frozenset[Stage]] = {
    Stage.CANDIDATE: frozenset(),
    Stage.SHADOW: frozenset(),
    Stage.PAPER: frozenset(),
    Stage.CANARY: frozenset({Stage.SHADOW, Stage.PAPER}),
    Stage.CHAMPION: frozenset({Stage.CANARY}),
    Stage.RETIRED: frozenset(),
}
GATED = frozenset({Stage.SHADOW, Stage.PAPER, Stage.CANARY, Stage.CHAMPION})
NEEDS_APPROVAL = frozenset({Stage.CANARY, Stage.CHAMPION})
#: Names under which our own processes act; none of them can approve
AUTOMATA = frozenset({"airflow", "demo", "scheduler", "system", "tradesage"})
REACHED = "reached"  #: tag of a version: the stages it has been at
ROLLBACK = "rollback_from"  #: in the evidence of a rollback: the champion it removed


@dataclass(frozen=True, slots=True)
class Promotion:
    """A move that was made."""

    model: str
    version: str
    from_stage: Stage | None  #: the last stage it had entered before
    to_stage: Stage
    displaced: str | None  #: the version that stood there before
    actor: str
    approved_by: str | None


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


@dataclass(frozen=True, slots=True)
class Signature:
    """What the ladder's last move to a stage put there."""

    version: str
    content: str | None  #: hash of the policy's files; None in moves that were recorded without one


class VersionStore(Protocol):
    """What the ladder asks of a registry."""

    model: str

    def version_at(self, alias: str) -> str | None: ...
    def aliases(self) -> dict[str, str]: ...
    def move(self, alias: str, version: str) -> None: ...
    def remove(self, alias: str) -> None: ...
    def tags(self, version: str) -> dict[str, str]: ...
    def tag(self, version: str, key: str, value: str) -> None: ...
    def verdicts(self, version: str) -> tuple[Verdict, ...]: ...


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


def signatures(events: Iterable[Mapping[str, Any]]) -> dict[str, Signature]:
    """Where the recorded moves, oldest first, leave each stage: the aliases as they must be.

    A retired version stands nowhere. A new champion leaves the one before at `previous`, a rollback nobody.
    """
    at: dict[str, Signature] = {}
    for event in events:
        stage, moved = event["to_stage"], Signature(event["version"], event["evidence"].get(CONTENT))
        champion = at.get(Stage.CHAMPION)
        if stage == Stage.RETIRED:
            at = {held: signature for held, signature in at.items() if signature.version != moved.version}
            continue
        if stage == Stage.CHAMPION and ROLLBACK in event["evidence"]:
            at.pop(Stage.PREVIOUS, None)
        elif stage == Stage.CHAMPION and champion is not None and champion.version != moved.version:
            at[Stage.PREVIOUS.value] = champion
        at[stage] = moved
    return at


def signed(journal: PolicyEvents, model: str, stage: str, version: str) -> Signature | None:
    """The ladder's signature under a version that stands at a stage, or None if the ladder did not put it there.

    Raises
    ------
    ServiceUnavailable : if the journal does not answer.
    """
    found = signatures(journal.policy_events(model)).get(stage)
    return found if found is not None and found.version == version else None


def promote(
    registry: VersionStore,
    journal: PolicyEvents,
    version: str,
    stage: Stage,
    verdicts: Sequence[Verdict],
    actor: str,
    reason: str,
    *,
    approved_by: str | None = None,
    at: datetime | None = None,
) -> Promotion | Refusal:
    """Move a version to a stage of the ladder if it may go there.

    Parameters
    ----------
    verdicts : what the gates said; must be those that the registry keeps with the version
    actor : who makes the move: a person or one of our processes
    approved_by : the person who approved; needed for canary and champion
    at : time of the move, now by default

    Returns
    -------
    Promotion, after journal and registry have it, or Refusal, after nothing was changed. A version that the ladder has
    put there already is a Promotion, too, and is not recorded twice.

    Raises
    ------
    NotFound : if the version is not in the registry.
    """
    stage = Stage(stage)
    reached = _reached(registry, version)
    standing = registry.version_at(stage.value)
    last = reached[-1] if reached else None
    done = Promotion(registry.model, version, last, stage, standing, actor, approved_by)
    if standing == version and signed(journal, registry.model, stage.value, version):
        return done
    failing = may_enter(stage, verdicts)
    reasons = _reasons(registry, version, stage, verdicts, failing, reached, approved_by)
    if reasons:
        return Refusal(registry.model, version, stage, reasons, failing)
    evidence = {
        "approved_by": approved_by,
        "displaced": standing,
        "verdicts": [each.as_dict() for each in verdicts],
        CONTENT: registry.tags(version).get(CONTENT),
    }
    _record(journal, done, reason, evidence, at)
    if stage is Stage.RETIRED:
        _retire(registry, version)
    else:
        if stage is Stage.CHAMPION:
            _keep_previous(registry, journal)  # first, so that there is a way back at every moment
        registry.move(stage.value, version)
    _mark(registry, version, reached, stage)
    return done


def rollback(
    registry: VersionStore, journal: PolicyEvents, actor: str, reason: str, *, at: datetime | None = None
) -> Promotion | Refusal:
    """Make the previous champion champion again and retire the present one; the gates were passed when it was champion.

    There is no `previous` afterwards: a second rollback must not bring back what the first one removed.
    """
    previous, failed = registry.version_at(Stage.PREVIOUS.value), registry.version_at(Stage.CHAMPION.value)
    if previous is None:
        return Refusal(registry.model, failed or "?", Stage.CHAMPION, ("there is no previous champion to go back to",))
    if previous == failed:
        return Refusal(registry.model, previous, Stage.CHAMPION, ("the previous champion is champion already",))
    recorded = signatures(journal.policy_events(registry.model))
    known = [recorded[stage] for stage in (Stage.PREVIOUS, Stage.CHAMPION) if stage in recorded]  # or one broken off
    signature = next((each for each in known if each.version == previous), None)
    if signature is None:
        reason = "it was put at previous past the ladder; set that alias back in MLflow, or promote a policy"
        return Refusal(registry.model, previous, Stage.CHAMPION, (reason,))
    done = Promotion(registry.model, previous, Stage.PREVIOUS, Stage.CHAMPION, failed, actor, None)
    _record(journal, done, reason, {ROLLBACK: failed, CONTENT: signature.content}, at)
    registry.move(Stage.CHAMPION.value, previous)
    registry.remove(Stage.PREVIOUS.value)
    _mark(registry, previous, _reached(registry, previous), Stage.CHAMPION)
    if failed is not None:
        _mark(registry, failed, _reached(registry, failed), Stage.RETIRED)
    return done


def _reasons(
    registry: VersionStore,
    version: str,
    stage: Stage,
    verdicts: Sequence[Verdict],
    failing: Sequence[Verdict],
    reached: Sequence[Stage],
    approved_by: str | None,
) -> tuple[str, ...]:
    if stage is Stage.PREVIOUS:
        return ("previous is set when the champion changes, not by hand",)
    if stage is Stage.RETIRED:
        champion = registry.version_at(Stage.CHAMPION.value) == version
        return ("it is champion; promote another or roll back first",) if champion else ()
    reasons = [_in_words(verdict) for verdict in failing]
    if stage in GATED and tuple(verdicts) != registry.verdicts(version):
        reasons.append("the verdicts given are not those kept with the version; judge and register it again")
    earlier = COMES_FROM[stage]
    if earlier and not earlier & set(reached):
        reasons.append(f"it has not been at {' or '.join(sorted(earlier))} before")
    if stage in NEEDS_APPROVAL:
        reasons += _approval_missing(approved_by)
    return tuple(reasons)


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


def _reached(registry: VersionStore, version: str) -> tuple[Stage, ...]:
    return tuple(Stage(name) for name in registry.tags(version).get(REACHED, "").split(",") if name)


def _mark(registry: VersionStore, version: str, reached: Sequence[Stage], stage: Stage) -> None:
    path = [*(earlier for earlier in reached if earlier is not stage), stage]  # the last one is the latest entered
    registry.tag(version, REACHED, ",".join(path))


def _retire(registry: VersionStore, version: str) -> None:
    for alias, at in registry.aliases().items():
        if at == version:
            registry.remove(alias)


def _keep_previous(registry: VersionStore, journal: PolicyEvents) -> None:
    previous = signatures(journal.policy_events(registry.model)).get(Stage.PREVIOUS)
    if previous is not None:
        with suppress(NotFound):  # deleted since: there is no way back to it
            registry.move(Stage.PREVIOUS.value, previous.version)


def _record(journal: PolicyEvents, move: Promotion, reason: str, evidence: dict[str, Any], at: datetime | None) -> None:
    journal.record_policy_event(  # before the alias moves: a move that nobody recorded must not exist
        model=move.model,
        version=move.version,
        from_stage=move.from_stage.value if move.from_stage else None,
        to_stage=move.to_stage.value,
        actor=move.actor,
        reason=reason,
        evidence=evidence,
        at=at or datetime.now(IST),
    )
