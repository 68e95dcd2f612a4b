"""Why entries are held back, as events: each cause is raised and lifted on its own, and what stands is their fold."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Word(StrEnum):
    """What an event says."""

    HALT = "halt"  #: no entries; what is open is protected and closed as ever
    FLATTEN = "flatten"  #: a halt, and every position is left at once
    RESUME = "resume"


class Cause(StrEnum):
    """What raised a halt. One cause may stand while another is lifted."""

    BY_HAND = "by hand"
    DRAWDOWN = "drawdown"
    LOSSES = "losses in a row"
    SLOW_DECISIONS = "slow decisions"
    RECONCILIATION = "reconciliation"
    STALE_FEED = "stale feed"
    CLOCK_SKEW = "clock skew"


#: Only a person lifts these; the others lift themselves when what caused them has been gone for a while
BY_A_PERSON_ONLY = frozenset({Cause.BY_HAND, Cause.DRAWDOWN, Cause.LOSSES})


class Mode(StrEnum):
    TRADING = "TRADING"
    HALTED = "HALTED"
    FLATTENING = "FLATTENING"


@dataclass(frozen=True, slots=True)
class HaltEvent:
    """One word about trading, never changed once it is noted."""

    word: Word
    cause: Cause  #: of a resume: the one that is lifted; BY_HAND lifts all
    reason: str
    actor: str  #: a person as user@host, or the part of the executor that said it
    at: datetime  #: market time where the executor says it, the wall clock's where a person does
    forced: bool = False  #: a resume that accepts a cause that still stands


@dataclass(frozen=True, slots=True)
class TradingState:
    """What stands after all events so far."""

    standing: dict[Cause, HaltEvent] = field(default_factory=dict)  #: the first event of each cause not yet lifted
    last: HaltEvent | None = None

    @property
    def mode(self) -> Mode:
        if any(event.word is Word.FLATTEN for event in self.standing.values()):
            return Mode.FLATTENING
        return Mode.HALTED if self.standing else Mode.TRADING

    @property
    def reason(self) -> str:
        """Every cause that stands, in one sentence; empty while trading."""
        return "; ".join(f"{cause}: {event.reason} ({event.actor})" for cause, event in self.standing.items())

    def after(self, event: HaltEvent) -> "TradingState":
        """The state once `event` was said. A halt that repeats a standing cause changes nothing but a flatten does."""
        standing = dict(self.standing)
        if event.word is Word.RESUME:
            if event.cause is Cause.BY_HAND:
                standing.clear()
            standing.pop(event.cause, None)
        elif event.cause not in standing or event.word is Word.FLATTEN:
            standing[event.cause] = event
        return TradingState(standing, event)


def state_after(events: Iterable[HaltEvent]) -> TradingState:
    state = TradingState()
    for event in events:
        state = state.after(event)
    return state
