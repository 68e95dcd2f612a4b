"""Recent outcomes: how trades in the same instrument, and trades of the same pattern in any, have ended lately.

A pattern is a side in a regime, as the decision named it. An outcome is known from its exit on, and counts for half
after `HALF_LIFE_DAYS` calendar days. Where no outcome is known of any instrument all is NaN: then there may be no
journal at all. Afterwards an instrument without outcomes has counts of zero, and its rates stay NaN.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.outcomes import Outcome
from pipelines.domain.portable_math import LN_2, exp
from pipelines.domain.signals import Side
from pipelines.features.definition import OWN, family, places
from pipelines.features.inputs import MICROSECONDS_PER_DAY, microseconds, moment_us

HALF_LIFE_DAYS = 20.0
REGIMES = ("bull", "bear", "range", "high_volatility")
SIDES = (Side.BUY.value, Side.SELL.value)
_LEAST = 1e-3  #: decayed outcomes: under this all are so old that nothing is known

#: Of the instrument
FEATURES = family(
    "outcomes",
    [
        ("outcome_count", 0, "trades", OWN, "decayed number of closed trades in the instrument"),
        ("outcome_hit_rate", 0, "share", OWN, "decayed share of trades that earned after charges"),
        ("outcome_mean_net", 0, "return", OWN, "decayed mean of net profit over the value at entry"),
        ("outcome_last_net", 0, "return", OWN, "of the last trade"),
        ("outcome_streak", 0, "trades", OWN, "wins in a row, or losses below zero"),
        ("outcome_days_since", 0, "days", OWN, "from the last exit to the close"),
        ("outcome_hit_rate_buy", 0, "share", OWN, "of long trades"),
        ("outcome_hit_rate_sell", 0, "share", OWN, "of short trades"),
        ("outcome_mean_net_buy", 0, "return", OWN, "of long trades"),
        ("outcome_mean_net_sell", 0, "return", OWN, "of short trades"),
    ],
)
AT = places(FEATURES)
#: Of all instruments
PATTERN_FEATURES = family(
    "outcomes",
    [
        ("run_outcome_count", 0, "trades", OWN, "decayed number of closed trades in all instruments"),
        ("run_hit_rate", 0, "share", OWN, "of all instruments"),
        *(
            (f"pattern_mean_net_{side.lower()}_{regime}", 0, "return", OWN, f"of {side.lower()} trades in {regime}")
            for side in SIDES
            for regime in REGIMES
        ),
    ],
)


@dataclass(frozen=True, slots=True, order=True)
class Ended:
    """A closed trade as features see it; ordered by the time it was known."""

    known_us: int  #: exit, microseconds since 1970
    symbol: str
    entered_us: int
    side: str
    regime: str
    net: float  #: net profit over the value at entry


def ended_from(outcome: Outcome) -> Ended:
    """An outcome of the executor or of the journal."""
    value = float(outcome.entry_price) * outcome.quantity
    return Ended(
        moment_us(outcome.exited_at),
        outcome.symbol,
        moment_us(outcome.entered_at),
        outcome.side.value,
        outcome.regime,
        float(outcome.net_inr) / value if value > 0.0 else math.nan,
    )


def ended_in(outcomes: pd.DataFrame) -> list[Ended]:
    """The rows of an outcomes table, ordered by the time they were known; rows without an exit are not known."""
    known = outcomes[outcomes["exited_at"].notna() & (outcomes["quantity"] > 0) & (outcomes["entry_price"] > 0)]
    rows = zip(
        microseconds(known["exited_at"]).tolist(),
        known["symbol"].astype(str),
        microseconds(known["entered_at"]).tolist(),
        known["side"].astype(str),
        known["regime"].astype(str),
        (known["net_inr"] / (known["entry_price"] * known["quantity"])).tolist(),
        strict=True,
    )
    return sorted(Ended(*row) for row in rows)


class Tally:
    """Decayed sums over closed trades, as of the last one taken in."""

    #: known at, streak, last net; then of all, buy and sell: number, hits, net; then of each pattern: number, net
    WIDTH = 3 + 3 * 3 + 2 * len(SIDES) * len(REGIMES)

    def __init__(self) -> None:
        self.values = np.zeros(self.WIDTH)
        self.values[0] = self.values[2] = math.nan

    def take(self, ended: Ended) -> None:
        if math.isnan(ended.net):
            return  # an entry of no value: nothing can be said of it
        values = self.values
        if not math.isnan(values[0]):
            values[3:] *= _left((ended.known_us - values[0]) / MICROSECONDS_PER_DAY)
        hit = ended.net > 0.0
        values[0], values[2] = ended.known_us, ended.net
        values[1] = max(values[1], 0.0) + 1.0 if hit else min(values[1], 0.0) - 1.0
        for group in (0, 1 + SIDES.index(ended.side)) if ended.side in SIDES else (0,):
            values[3 + 3 * group : 6 + 3 * group] += (1.0, float(hit), ended.net)
        if ended.side in SIDES and ended.regime in REGIMES:
            pattern = SIDES.index(ended.side) * len(REGIMES) + REGIMES.index(ended.regime)
            values[12 + 2 * pattern : 14 + 2 * pattern] += (1.0, ended.net)


@dataclass(frozen=True)
class Tallies:
    """A tally after each outcome of a history."""

    known_us: np.ndarray  #: shape (n,), ascending
    values: np.ndarray  #: shape (n + 1, Tally.WIDTH), the first before any outcome

    @classmethod
    def of(cls, history: Iterable[Ended]) -> "Tallies":
        tally, times, values = Tally(), [], []
        values.append(tally.values.copy())
        for ended in history:
            tally.take(ended)
            times.append(ended.known_us)
            values.append(tally.values.copy())
        return cls(np.array(times, dtype=np.int64), np.array(values))

    def at(self, times: np.ndarray) -> np.ndarray:
        """The tally as of each time, shape (n, Tally.WIDTH)."""
        return self.values[np.searchsorted(self.known_us, times, side="right")]


def write_outcomes(tallies: np.ndarray, times: np.ndarray, source_known: np.ndarray, out: np.ndarray) -> None:
    """`FEATURES` at closes into `out`, shape (features, n).

    Parameters
    ----------
    tallies : array of shape (n, Tally.WIDTH), of the instrument, as of each close
    times : array of shape (n,), the closes, microseconds since 1970
    source_known : array of bool, shape (n,), whether an outcome of any instrument was known
    """
    out[:] = math.nan
    if not source_known.any():
        return
    days, left = _age(tallies, times)
    number = tallies[:, 3] * left
    out[AT.outcome_count] = number
    out[AT.outcome_hit_rate] = _rate(tallies[:, 4], tallies[:, 3], left)
    out[AT.outcome_mean_net] = _rate(tallies[:, 5], tallies[:, 3], left)
    out[AT.outcome_last_net] = tallies[:, 2]
    out[AT.outcome_streak] = tallies[:, 1]
    out[AT.outcome_days_since] = days
    out[AT.outcome_hit_rate_buy] = _rate(tallies[:, 7], tallies[:, 6], left)
    out[AT.outcome_hit_rate_sell] = _rate(tallies[:, 10], tallies[:, 9], left)
    out[AT.outcome_mean_net_buy] = _rate(tallies[:, 8], tallies[:, 6], left)
    out[AT.outcome_mean_net_sell] = _rate(tallies[:, 11], tallies[:, 9], left)
    out[:, ~source_known] = math.nan


def pattern_rows(tallies: np.ndarray, times: np.ndarray) -> np.ndarray:
    """`PATTERN_FEATURES` at closes; `tallies` is of all instruments, as in `write_outcomes`."""
    out = np.full((len(times), len(PATTERN_FEATURES)), math.nan)
    if np.isnan(tallies[:, 0]).all():
        return out
    _, left = _age(tallies, times)
    out[:, 0] = tallies[:, 3] * left
    out[:, 1] = _rate(tallies[:, 4], tallies[:, 3], left)
    for pattern in range(len(SIDES) * len(REGIMES)):
        number, net = tallies[:, 12 + 2 * pattern], tallies[:, 13 + 2 * pattern]
        out[:, 2 + pattern] = _rate(net, number, left)
    out[np.isnan(tallies[:, 0])] = math.nan
    return out


def _age(tallies: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days since the last outcome, NaN before the first; and what of its weight is left."""
    days = (times - tallies[:, 0]) / MICROSECONDS_PER_DAY
    left, known = np.ones(len(days)), ~np.isnan(days)
    left[known] = [_left(age) for age in days[known].tolist()]
    return days, left


def _left(days: float) -> float:
    return exp(-LN_2 * (days / HALF_LIFE_DAYS))


def _rate(summed: np.ndarray, number: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Mean per outcome; NaN where all outcomes are so old that nothing is known."""
    known = number * left > _LEAST
    return np.where(known, summed / np.where(known, number, 1.0), math.nan)
