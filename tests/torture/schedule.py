"""A schedule: from one seed a short market, the policy's whims, when daemons are killed and what goes wrong."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

import numpy as np

from pipelines.domain.bars import IST, Bar, Interval
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import Product
from serving.exchange.faults import FaultKind
from tests.torture.hand_trades import HandTrade, hand_trades
from tests.torture.neighbours import Neighbours, neighbours_of
from tests.torture.odd_books import odd_books
from tests.torture.wild import wild_rates

CLOSE = datetime(2026, 10, 30, 15, 15, tzinfo=IST)
INTERVAL = Interval.MIN_5
PRODUCT = Product.MIS
TICKS_PER_BAR = 6
INSTRUMENTS = (
    Instrument("ALPHA", 408065, Kind.STOCK, Decimal("0.05"), 1, "IT", True),
    Instrument("BETA", 738561, Kind.STOCK, Decimal("0.05"), 1, "OIL", True),
    Instrument("GAMMA", 341249, Kind.STOCK, Decimal("0.05"), 1, "BANK", True),
)


def crowd_of(count: int) -> tuple[Instrument, ...]:
    """Many instruments, each of a sector of its own."""
    return tuple(
        Instrument(f"STOCK{i:02d}", 1025 + i * 256, Kind.STOCK, Decimal("0.05"), 1, f"SECTOR{i}", True)
        for i in range(count)
    )


REFERENCE = 1028  #: seed of the day on which every edge is tried: it has partial fills and every reason to leave
#: Shares of their opportunities that faults hit where a schedule has them: the lowest and the highest
RATES: Mapping[FaultKind, tuple[float, float]] = {
    FaultKind.ANSWER_LOST: (0.01, 0.08),
    FaultKind.RESET_BEFORE: (0.01, 0.08),
    FaultKind.SERVER_ERROR: (0.01, 0.08),
    FaultKind.TOO_MANY_REQUESTS: (0.002, 0.01),
    FaultKind.SLOW_ANSWER: (0.002, 0.01),
    FaultKind.TOKEN_EXPIRED: (0.001, 0.003),
    FaultKind.EVENT_DUPLICATE: (0.05, 0.5),
    FaultKind.EVENT_LATE: (0.05, 0.5),
    FaultKind.EVENT_REORDER: (0.05, 0.5),
    FaultKind.EVENT_LOST: (0.05, 0.5),
    FaultKind.TICKER_DROP: (0.005, 0.02),
    FaultKind.TICKER_MUTE: (0.002, 0.006),
    FaultKind.TICK_STALE: (0.02, 0.2),
    FaultKind.TICK_OUT_OF_RANGE: (0.01, 0.1),
    FaultKind.STOP_REJECTED: (0.05, 0.4),
    FaultKind.FILL_THEN_CANCEL: (0.05, 0.4),
}


class Where(StrEnum):
    """Where a daemon dies. Commits are the journal's writing transactions, calls those that order, change or cancel."""

    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    BEFORE_CALL = "before-call"
    ON_THE_WIRE = "on-the-wire"  #: the request is sent, its answer is never read
    AFTER_CALL = "after-call"  #: the answer is there, nothing was made of it
    ANY_TIME = "any-time"


AT_COMMITS = (Where.BEFORE_COMMIT, Where.AFTER_COMMIT)
AT_CALLS = (Where.BEFORE_CALL, Where.ON_THE_WIRE, Where.AFTER_CALL)


@dataclass(frozen=True, slots=True)
class Kill:
    """How one daemon dies.

    Parameters
    ----------
    count : of commits or calls that it lives through
    after_s : of the wall clock from its taking part, for ANY_TIME
    missed : frames that the market plays before the next daemon is started
    """

    where: Where
    count: int = 0
    after_s: float = 0.0
    missed: int = 0


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    bars: int  #: five-minute bars up to the session's end
    instruments: int
    volume: int  #: shares a bar; few make fills partial
    pace: float | None  #: times the wall clock; None: lockstep
    kills: tuple[Kill, ...] = ()
    faults: dict[FaultKind, float] = field(default_factory=dict)  #: share of the opportunities, by kind
    by_hand: tuple[HandTrade, ...] = ()  #: what a person trades in the account
    crowd: int = 0  #: so many instruments, all of them entered at each close in small sizes; 0: a few, by whim

    neighbours: Neighbours = field(default_factory=Neighbours)  #: how they misbehave

    @property
    def traded(self) -> tuple[Instrument, ...]:
        return crowd_of(self.crowd) if self.crowd else INSTRUMENTS[: self.instruments]

    @property
    def name(self) -> str:
        if self == reference(*self.kills):
            return f"edge {', '.join(f'{kill.where}:{kill.count}' for kill in self.kills)}"
        return f"seed {self.seed}"


def schedule_of(seed: int, *, kills: bool = True, faults: bool = True) -> Schedule:
    """The schedule of a seed; the same seed gives the same one."""
    rng = np.random.default_rng([seed, 9001])
    schedule = Schedule(
        seed=seed,
        bars=int(rng.integers(8, 13)),
        instruments=int(rng.integers(2, 4)),
        volume=int(rng.choice([1_500, 6_000, 40_000])),
        pace=600.0 if seed % 10 == 0 else None,
    )
    drawn_kills = tuple(_kill(rng) for _ in range(int(rng.integers(1, 6))))
    drawn_faults = _faults(rng) if rng.random() < 0.75 else {}
    schedule = replace(schedule, neighbours=neighbours_of(seed) if faults else Neighbours())
    drawn_faults |= wild_rates(seed)
    schedule = replace(schedule, kills=drawn_kills if kills else (), faults=drawn_faults if faults else {})
    return with_odd_books(with_hand_trades(schedule)) if faults else schedule


def with_odd_books(schedule: Schedule) -> Schedule:
    return replace(schedule, faults=schedule.faults | odd_books(schedule.seed))


def with_hand_trades(schedule: Schedule) -> Schedule:
    trades = hand_trades(schedule.seed, schedule.bars, schedule.instruments, TICKS_PER_BAR)
    return replace(schedule, by_hand=trades)


def reference(*kills: Kill) -> Schedule:
    """A short day without faults, on which every edge is tried."""
    return Schedule(seed=REFERENCE, bars=8, instruments=3, volume=4_000, pace=None, kills=kills)


def edge_from(text: str) -> Kill:
    """Of `after-commit:12`."""
    where, _, count = text.partition(":")
    return Kill(Where(where), int(count))


def bars_of(schedule: Schedule) -> dict[str, list[Bar]]:
    """The day's bars by symbol: prices that wander enough for stops and targets to be met."""
    rng = np.random.default_rng([schedule.seed, 9002])
    return {instrument.symbol: _bars_of(instrument, schedule, rng) for instrument in schedule.traded}


def _bars_of(instrument: Instrument, schedule: Schedule, rng: np.random.Generator) -> list[Bar]:
    step, tick = timedelta(minutes=INTERVAL.minutes), float(instrument.tick_size)
    first = CLOSE - step * schedule.bars
    levels = 500 * np.exp(np.cumsum(rng.normal(0, 0.004, schedule.bars + 1)))
    made = []
    for i in range(schedule.bars):
        opened, closed = levels[i] * (1 + rng.normal(0, 0.0015)), levels[i + 1]
        high = max(opened, closed) * (1 + abs(rng.normal(0, 0.002)))
        low = min(opened, closed) * (1 - abs(rng.normal(0, 0.002)))
        prices = [round(round(float(price) / tick) * tick, 2) for price in (opened, high, low, closed)]
        volume = int(schedule.volume * rng.uniform(0.3, 1.7))
        made.append(Bar(instrument.symbol, first + step * i, first + step * (i + 1), *prices, volume))
    return made


def _kill(rng: np.random.Generator) -> Kill:
    """Half of them early: in the taking up, and at the first orders."""
    where = rng.choice(list(Where))
    early = rng.random() < 0.5
    return Kill(
        Where(where),
        count=int(rng.integers(0, (12 if early else 120) if where in AT_COMMITS else (4 if early else 25))),
        after_s=float(rng.uniform(0.0, 0.5 if early else 2.0)),
        missed=int(rng.integers(1, 8)) if rng.random() < 0.4 else 0,
    )


def _faults(rng: np.random.Generator) -> dict[FaultKind, float]:
    kinds = rng.choice(list(RATES), size=int(rng.integers(1, 7)), replace=False)
    return {FaultKind(kind): round(float(rng.uniform(*RATES[FaultKind(kind)])), 4) for kind in kinds}
