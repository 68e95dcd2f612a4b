"""The first look at a close: what each stock tells of itself, before any is compared with the others.

Its `FIGURES` are ranked against the figures of the other stocks (`cross_section`); its `COUNTS` are summed over all
stocks, and tell of the market as a whole (`breadth`, `sentiment`).
"""

import math
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.features.state import IN, advance, push, rings
from pipelines.features.state import figures as state_figures
from pipelines.features.windows import compiled, deviation, highest, lowest, mean


@dataclass(frozen=True, slots=True)
class Figure:
    look_back: int  #: earlier bars it needs
    meaning: str


FIGURES = {
    "return_1": Figure(1, "return of 1 bar"),
    "return_6": Figure(6, "return of 6 bars"),
    "return_24": Figure(24, "return of 24 bars"),
    "return_72": Figure(72, "return of 72 bars"),
    "volatility_24": Figure(24, "spread of 24 returns"),
    "relative_volume_20": Figure(20, "volume over the mean of the 20 bars before"),
    "turnover_20": Figure(19, "mean value traded in 20 bars"),
    "range_20": Figure(19, "mean range of 20 bars, as a share of the close"),
    "mean_distance_20": Figure(19, "close over its mean of 20 bars"),
    "high_distance_55": Figure(54, "close over the highest price of 55 bars"),
    "low_distance_55": Figure(54, "close over the lowest price of 55 bars"),
    "session_return": Figure(0, "close over the session's open"),
    "gap": Figure(1, "session's open over the close before it"),
}
FIG: Any = namedtuple("FIG", tuple(FIGURES))(*range(len(FIGURES)))  # type: ignore[misc]

#: What is summed over the stocks of a close; each sum goes with the number of stocks that know the figure
COUNTS = (
    "returns",
    "known",
    "rose",  # an unchanged one is half
    "squares",  # of the returns
    "above_20",
    "known_20",
    "above_50",
    "known_50",
    "new_highs",
    "new_lows",
    "known_55",
    "variances_48",
    "known_48",
    "sentiment",
    "levels",
    "items",
)
SUM: Any = namedtuple("SUM", COUNTS)(*range(len(COUNTS)))  # type: ignore[misc]

SURVEY_STATE = np.dtype(
    [
        ("count", np.int64),
        ("end", np.int64),
        *rings("close", "high", "low", "volume", "value", "log_return"),
        *state_figures("session", "session_open", "gap"),
    ],
    align=True,
)
NOTHING = 1e-12  #: a figure nearer to zero is zero: prices move in ticks
LOOK_BACKS = np.array([figure.look_back for figure in FIGURES.values()], dtype=np.int64)


@compiled
def survey(s, bar, look_backs, figures, counts):
    """Take a bar in and write the stock's figures, NaN while one warms up, and what it adds to the sums."""
    _remember(s, bar)
    end = s.end
    close = s.close[end - 1]
    figures[FIG.return_1] = s.log_return[end - 1]
    figures[FIG.return_6] = math.log(close / s.close[end - 7])
    figures[FIG.return_24] = math.log(close / s.close[end - 25])
    figures[FIG.return_72] = math.log(close / s.close[end - 73])
    figures[FIG.volatility_24] = deviation(s.log_return[end - 24 : end])
    usual = mean(s.volume[end - 21 : end - 1])
    figures[FIG.relative_volume_20] = s.volume[end - 1] / usual if usual > 0.0 else math.nan
    figures[FIG.turnover_20] = mean(s.value[end - 20 : end])
    figures[FIG.range_20] = mean_range(s.high[end - 20 : end], s.low[end - 20 : end], s.close[end - 20 : end])
    figures[FIG.mean_distance_20] = math.log(close / mean(s.close[end - 20 : end]))
    figures[FIG.high_distance_55] = math.log(close / highest(s.high[end - 55 : end]))
    figures[FIG.low_distance_55] = math.log(close / lowest(s.low[end - 55 : end]))
    figures[FIG.session_return] = math.log(close / s.session_open)
    figures[FIG.gap] = s.gap
    for i in range(look_backs.shape[0]):
        if s.count <= look_backs[i]:
            figures[i] = math.nan
        elif abs(figures[i]) < NOTHING:  # what is only rounding must not decide a rank
            figures[i] = 0.0
    _count(s, bar, counts)


@compiled
def _remember(s, bar):
    advance(s)
    end = s.end
    close, high, low, volume = bar[IN.close], bar[IN.high], bar[IN.low], bar[IN.volume]
    before = s.close[end - 2] if s.count > 1 else close
    if s.count == 1 or bar[IN.session] != s.session:
        s.session = bar[IN.session]
        s.session_open = bar[IN.open]
        s.gap = math.log(bar[IN.open] / before) if s.count > 1 else 0.0
    push(s.close, end, close)
    push(s.high, end, high)
    push(s.low, end, low)
    push(s.volume, end, volume)
    push(s.value, end, volume * close)
    push(s.log_return, end, math.log(close / before))


@compiled
def mean_range(highs, lows, closes):
    """Mean of the ranges, as shares of their closes."""
    summed = 0.0
    for i in range(closes.shape[0]):
        summed += (highs[i] - lows[i]) / closes[i]
    return summed / closes.shape[0]


@compiled
def _count(s, bar, counts):
    end = s.end
    close = s.close[end - 1]
    counts[:] = 0.0
    if s.count > 1:
        moved = s.log_return[end - 1]
        counts[SUM.returns] = moved
        counts[SUM.known] = 1.0
        counts[SUM.rose] = 1.0 if moved > 0.0 else 0.5 if moved == 0.0 else 0.0
        counts[SUM.squares] = moved * moved
    if s.count >= 20:
        counts[SUM.above_20] = _above(close, mean(s.close[end - 20 : end]))
        counts[SUM.known_20] = 1.0
    if s.count >= 50:
        counts[SUM.above_50] = _above(close, mean(s.close[end - 50 : end]))
        counts[SUM.known_50] = 1.0
    if s.count > 55:
        counts[SUM.new_highs] = 1.0 if s.high[end - 1] > highest(s.high[end - 56 : end - 1]) else 0.0
        counts[SUM.new_lows] = 1.0 if s.low[end - 1] < lowest(s.low[end - 56 : end - 1]) else 0.0
        counts[SUM.known_55] = 1.0
    if s.count > 48:
        spread = deviation(s.log_return[end - 48 : end])
        counts[SUM.variances_48] = spread * spread
        counts[SUM.known_48] = 1.0
    counts[SUM.sentiment] = bar[IN.news_sentiment]
    counts[SUM.levels] = bar[IN.news_levels]
    counts[SUM.items] = bar[IN.news_items]


@compiled
def _above(close, average):
    """1 above the mean, 0 below it, a half at it but for rounding."""
    if abs(close - average) <= 1e-9 * average:
        return 0.5
    return 1.0 if close > average else 0.0
