"""Splits, bonuses, dividends, rights and demergers as dated facts, and the adjustment that they call for.

Adjustment is forward: a bar keeps the prices that were traded and gets the product of the ratios of all actions from
its series' first bar up to its own day. Price times adjustment, and volume over adjustment, compare over time; and as
the past keeps its figures whatever is learnt later, a table cut at any moment is the table that was known then.

Dividends are recorded and never adjusted for: on its ex-date a share falls by the dividend, which is small, and the
holder has it in cash. The ratio of rights and demergers is one of prices; a holder is taken to sell what comes on top
and to buy more of the share with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import combinations
from math import prod

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.domain.bars import PRICE_COLUMNS, TIME_DTYPE
from pipelines.domain.portable_math import log

#: `ratio` is shares after for one before (a split 10:1 is 10, a bonus 1:1 is 2), or price before over price after where
#: only prices tell (rights, demergers), NaN for dividends; `amount_inr` rupees a share, of dividends; `ex_date` the
#: midnight that begins the day; `known_at` when the world knew, NaT if the source does not say.
ACTION_COLUMNS = ("symbol", "ex_date", "kind", "ratio", "amount_inr", "known_at", "source")
_DTYPES = {
    "symbol": "str",
    "ex_date": TIME_DTYPE,
    "kind": "str",
    "ratio": "float64",
    "amount_inr": "float64",
    "known_at": TIME_DTYPE,
    "source": "str",
}
_SMALL = 100  #: shares are split and given in small numbers: 4 for 3, 10 for 1


class ActionKind(StrEnum):
    SPLIT = "split"
    BONUS = "bonus"
    DIVIDEND = "dividend"
    RIGHTS = "rights"
    DEMERGER = "demerger"

    @property
    def changes_shares(self) -> bool:
        """Whether the broker's count of shares changes overnight."""
        return self in (ActionKind.SPLIT, ActionKind.BONUS)


def actions_table(rows: Iterable[Mapping[str, object]] = ()) -> pd.DataFrame:
    """Actions in the order and types of `actions.parquet`; without rows the empty table."""
    frame = pd.DataFrame(list(rows), columns=list(ACTION_COLUMNS))
    return frame.astype(_DTYPES)


@dataclass(frozen=True, slots=True)
class Step:
    """All that happens to a share's price on one ex-date."""

    symbol: str
    ex_date: date
    known: float  #: product of the ratios of the day's actions
    applied: float  #: product of those that the traded prices show; 1.0 if the source's prices carry them already


@dataclass(frozen=True)
class Adjustment:
    """What a series is multiplied by."""

    factors: npt.NDArray[np.float64]  #: of each row, shape (n,)
    steps: tuple[Step, ...]  #: those that fall into the series, in order of time


def ratios_by_day(actions: pd.DataFrame, symbol: str) -> list[tuple[date, tuple[float, ...]]]:
    """Ex-dates of a symbol with the ratios of their actions, in order of time.

    Parameters
    ----------
    actions : DataFrame of ACTION_COLUMNS
        Of one action told twice (same kind and ex-date) the row learnt last counts.
    """
    own = actions[(actions["symbol"] == symbol) & (actions["ratio"] > 0) & (actions["ratio"] != 1)]
    if not len(own):
        return []
    own = own.sort_values(["ex_date", "kind", "known_at"], kind="stable", na_position="first")
    own = own.drop_duplicates(["ex_date", "kind"], keep="last")
    return [(day, tuple(of_day["ratio"].tolist())) for day, of_day in own.groupby(own["ex_date"].dt.date)]


def shown(ratios: Sequence[float], close_before: float, open_after: float) -> float:
    """The product of those of a day's ratios that a night's traded step shows: the nearest to the step of all products,
    none of them being 1. What is not shown was adjusted for by the source, or told twice.
    """
    step = log(close_before / open_after)
    products = sorted(prod(some) for n in range(len(ratios) + 1) for some in combinations(ratios, n))
    return min([1.0, *products], key=lambda product: abs(step - log(product)))


def adjust(bars: pd.DataFrame, actions: pd.DataFrame, symbol: str) -> Adjustment:
    """The factors of one instrument's series.

    Parameters
    ----------
    bars : DataFrame of `symbol` with `open_time`, `open`, `close`; rows in any order and with any fault
    actions : DataFrame of ACTION_COLUMNS, of all symbols

    Returns
    -------
    Adjustment
        An action counts if the series has a bar before its ex-date and one from it on. What of it the series carries
        already is judged by that night's step alone, so a row's factor depends on nothing after its own day.
    """
    factors = np.ones(len(bars))
    ratios = ratios_by_day(actions, symbol)
    if not ratios or not len(bars):
        return Adjustment(factors, ())
    prices = bars[["open", "close"]].to_numpy(np.float64)
    sound = bars[(np.isfinite(prices) & (prices > 0)).all(axis=1) & bars["open_time"].notna().to_numpy()]
    sound = sound.sort_values("open_time", kind="stable")
    opens, closes = sound["open"].to_numpy(), sound["close"].to_numpy()
    steps = []
    for day, of_day in ratios:
        midnight = pd.Timestamp(day, tz="Asia/Kolkata")
        at = int((sound["open_time"] < midnight).sum())
        if not 0 < at < len(sound):
            continue
        applied = shown(of_day, float(closes[at - 1]), float(opens[at]))
        steps.append(Step(symbol, day, prod(of_day), applied))
        factors[(bars["open_time"] >= midnight).to_numpy()] *= applied
    return Adjustment(factors, tuple(steps))


class GoingOn:
    """The adjustment of one instrument's bars as they come: what `adjust` gives to the series once it is whole.

    Parameters
    ----------
    actions : DataFrame of ACTION_COLUMNS, of all symbols
    factor : of the last bar so far
    last : day and close, as it was traded, of the last bar so far; None: there was none
    """

    def __init__(self, actions: pd.DataFrame, symbol: str, factor: float = 1.0, last: tuple[date, float] | None = None):
        self._ratios = ratios_by_day(actions, symbol)
        self._factor, self._last = factor, last

    def take(self, day: date, open_price: float, close: float) -> float:
        """The factor of the next bar; prices as they were traded, in rupees."""
        if self._last is not None:
            before, closed = self._last
            for ex_day, of_day in self._ratios:
                if before < ex_day <= day:
                    self._factor *= shown(of_day, closed, open_price)
        self._last = (day, close)
        return self._factor


def adjustments(bars: pd.DataFrame) -> npt.NDArray[np.float64]:
    """The adjustment of each row, 1.0 where a table (raw bars, a recording) has none; shape (n,)."""
    return bars["adjustment"].to_numpy(np.float64) if "adjustment" in bars else np.ones(len(bars))


def adjusted(bars: pd.DataFrame) -> pd.DataFrame:
    """The bars with prices and volume (float64 then) on one scale; the same table if nothing is to be adjusted."""
    factors = adjustments(bars)
    if (factors == 1.0).all():
        return bars
    prices = bars[list(PRICE_COLUMNS)].mul(factors, axis=0)
    return bars.assign(**prices, volume=bars["volume"] / factors)


def share_ratio(ratio: float) -> Fraction | None:
    """A ratio as the exact fraction of small numbers that was meant: 1.3333333333333333 is 4/3.

    None if it is none: then it is a step in price (rights, a demerger, a night that nobody explains) and no new count
    of shares.
    """
    meant = Fraction(ratio).limit_denominator(_SMALL)
    return meant if meant > 0 and abs(float(meant) - ratio) <= 1e-9 * ratio else None


def shares_after(shares: int, ratio: Fraction) -> tuple[int, Fraction]:
    """Whole shares held after an action, and the fraction of a share that is paid in cash instead."""
    exact = shares * ratio
    whole = int(exact)
    return whole, exact - whole


def price_after(price: Decimal, ratio: Fraction) -> Decimal:
    """A price in rupees restated for after an action; not rounded to ticks."""
    return price * ratio.denominator / ratio.numerator


def cash_for(fraction: Fraction, price: Decimal) -> Decimal:
    """What a fraction of a share is worth at `price`, to the paisa."""
    value = Decimal(fraction.numerator) * price / fraction.denominator
    return value.quantize(Decimal("0.01"), ROUND_HALF_EVEN)
