"""Which version stands at which stage, as the journal recorded it; MLflow's aliases are a picture of this."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.promotion.registration import CONTENT, ROLLBACK, Registration, registered_by_event
from pipelines.promotion.stages import Stage


@dataclass(frozen=True, slots=True)
class Signature:
    """What the last recorded move to a stage put there."""

    version: str
    content: str | None  #: hash of the policy's files; None in moves that were recorded without one
    registration: Registration | None  #: of just these files; None if they were registered before records began


def signatures(events: Iterable[Mapping[str, Any]]) -> dict[str, Signature]:
    """Where the recorded moves, oldest first, leave each stage.

    A retired version stands nowhere, whatever it holds, nor does a champion that was rolled back. A new champion leaves
    the one before at `previous`, a rollback nobody.
    """
    at: dict[str, Signature] = {}
    registered: dict[tuple[str, str | None], Registration] = {}
    for event in events:
        registration = registered_by_event(event)
        if registration is not None:
            registered[registration.version, registration.content] = registration
        stage, policy = event["to_stage"], (event["version"], event["evidence"].get(CONTENT))
        moved = Signature(*policy, registered.get(policy))
        champion = at.get(Stage.CHAMPION)
        if stage == Stage.RETIRED:
            at = {held: signature for held, signature in at.items() if signature.version != moved.version}
            continue
        if stage == Stage.CHAMPION and ROLLBACK in event["evidence"]:
            at.pop(Stage.PREVIOUS, None)
            at = {held: each for held, each in at.items() if champion is None or not _same(each, champion)}
        elif stage == Stage.CHAMPION and champion is not None and not _same(champion, moved):
            at[Stage.PREVIOUS.value] = champion
        at[stage] = moved
    return {stage: _as_last_registered(signature, registered) for stage, signature in at.items()}


def _as_last_registered(signature: Signature, registered: Mapping[tuple[str, str | None], Registration]) -> Signature:
    return Signature(signature.version, signature.content, registered.get((signature.version, signature.content)))


def _same(one: Signature, other: Signature) -> bool:
    return (one.version, one.content) == (other.version, other.content)
