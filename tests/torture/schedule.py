"""A schedule: from one seed a short market, the policy's whims, when the daemon is killed and what goes wrong."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import numpy as np

from pipelines.domain.bars import IST, Bar
from pipelines.domain.instruments import Instrument, Kind

DAY = date(2026, 10, 30)
CLOSE = datetime(2026, 10, 30, 15, 15, tzinfo=IST)
MINUTES = 5
INSTRUMENTS = (
    Instrument("ALPHA", 408065, Kind.STOCK, Decimal("0.05"), 1, "IT", True),
    Instrument("BETA", 738561, Kind.STOCK, Decimal("0.05"), 1, "OIL", True),
    Instrument("GAMMA", 341249, Kind.STOCK, Decimal("0.05"), 1, "BANK", True),
)
#: Share of a session's calls that go wrong, by kind; the words are those of `serving.exchange.faults`
CALL_FAULTS = ("answer_lost", "reset_before", "server_error", "too_many_requests", "slow_answer")
EVENT_FAULTS = ("event_duplicate", "event_late", "event_reorder", "event_lost")
OTHER_FAULTS = ("ticker_drop", "tick_stale", "tick_out_of_range", "stop_rejected", "fill_then_cancel")


class Where(StrEnum):
    """Where a daemon dies."""

    BEFORE_WRITE = "before a write to the journal"
    AFTER_WRITE = "after a write to the journal"
    BEFORE_CALL = "before a call to the broker"
    AFTER_CALL = "after a call to the broker, its answer unread"
    ANY_TIME = "at any time"


@dataclass(frozen=True, slots=True)
class Kill:
    where: Where
    count: int = 0  #: of writes or calls that are lived through
    after_s: float = 0.0  #: of the wall clock, for ANY_TIME


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    step: int  #: of the market, at which it is armed
    count: int = 1


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    bars: int  #: five-minute bars up to the session's end
    instruments: int
    volume: int  #: shares a bar; few make fills partial
    stands_while_dead: bool  #: whether the market waits for the next daemon
    kills: tuple[Kill, ...]
    faults: tuple[Fault, ...]

    @property
    def traded(self) -> tuple[Instrument, ...]:
        return INSTRUMENTS[: self.instruments]


def schedule_of(seed: int, *, faults: bool = True) -> Schedule:
    """The schedule of a seed; the same seed gives the same one."""
    rng = np.random.default_rng([seed, 9001])
    bars = int(rng.integers(9, 15))
    return Schedule(
        seed=seed,
        bars=bars,
        instruments=int(rng.integers(2, 4)),
        volume=int(rng.choice([300, 1_500, 20_000])),
        stands_while_dead=bool(rng.random() < 0.6),
        kills=tuple(_kill(rng) for _ in range(int(rng.integers(1, 5)))),
        faults=_faults(rng, bars) if faults and rng.random() < 0.75 else (),
    )


def bars_of(schedule: Schedule) -> list[Bar]:
    """The day's bars: prices that wander enough for stops and targets to be met."""
    rng = np.random.default_rng([schedule.seed, 9002])
    first = CLOSE - timedelta(minutes=MINUTES) * schedule.bars
    made = []
    for instrument in schedule.traded:
        tick = float(instrument.tick_size)
        closes = 500 * np.exp(np.cumsum(rng.normal(0, 0.004, schedule.bars + 1)))
        for i in range(schedule.bars):
            opened, closed = closes[i] * (1 + rng.normal(0, 0.0015)), closes[i + 1]
            high = max(opened, closed) * (1 + abs(rng.normal(0, 0.002)))
            low = min(opened, closed) * (1 - abs(rng.normal(0, 0.002)))
            at = first + timedelta(minutes=MINUTES) * i
            prices = [round(round(float(price) / tick) * tick, 2) for price in (opened, high, low, closed)]
            volume = int(schedule.volume * rng.uniform(0.3, 1.7))
            made.append(Bar(instrument.symbol, at, at + timedelta(minutes=MINUTES), *prices, volume))
    return made


def _kill(rng: np.random.Generator) -> Kill:
    where = Where(rng.choice([where.value for where in Where]))
    if where is Where.ANY_TIME:
        return Kill(where, after_s=float(rng.uniform(0.05, 1.5)))
    most = 120 if "write" in where.value else 25
    return Kill(where, count=int(rng.integers(0, most)))


def _faults(rng: np.random.Generator, bars: int) -> tuple[Fault, ...]:
    kinds = (*CALL_FAULTS, *CALL_FAULTS, *EVENT_FAULTS, *OTHER_FAULTS)
    steps = bars * 7
    return tuple(
        Fault(str(rng.choice(kinds)), int(rng.integers(1, steps)), int(rng.integers(1, 4)))
        for _ in range(int(rng.integers(1, 7)))
    )
