"""The first look at a close: what each stock tells of itself, before any is compared with the others.

Its `FIGURES` are ranked against the figures of the other stocks (`cross_section`); its `COUNTS` are summed over all
stocks, and tell of the market as a whole (`breadth`, `sentiment`).
"""

import math
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.domain.portable_math import log
from pipelines.features.sliding import slide, slide_highest, sliding
from pipelines.features.state import advance, push, rings
from pipelines.features.state import figures as state_figures
from pipelines.features.windows import STILL, compiled, scatter


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

_OF_20, OF_20 = sliding("of_20", 20, "close", "volume", "value", "range")
_OF_50, _ = sliding("of_50", 50, "close")
_RETURNS_24, _ = sliding("returns_24", 24, "own", "square")
_RETURNS_48, _ = sliding("returns_48", 48, "own", "square")
_EXTREMES_55, _ = sliding("extremes_55", 55, "high", "low")
SURVEY_STATE = np.dtype(
    [
        ("count", np.int64),
        ("end", np.int64),
        *rings("log_close"),
        *state_figures("session", "log_session_open", "gap", "usual_volume", "earlier_top", "earlier_bottom"),
        *(_OF_20, _OF_50, _RETURNS_24, _RETURNS_48, _EXTREMES_55),
    ],
    align=True,
)
NOTHING = 1e-12  #: a figure nearer to zero is zero: prices move in ticks
LOOK_BACKS = np.array([figure.look_back for figure in FIGURES.values()], dtype=np.int64)


@compiled
def survey(s, bar, look_backs, figures, counts):
    """Take a bar in and write the stock's figures, NaN while one warms up, and what it adds to the sums."""
    _remember(s, bar)
    logs, end, of_20 = s.log_close, s.end, s.of_20.total
    log_close = logs[end - 1]
    figures[FIG.return_1] = log_close - logs[end - 2]
    figures[FIG.return_6] = log_close - logs[end - 7]
    figures[FIG.return_24] = log_close - logs[end - 25]
    figures[FIG.return_72] = log_close - logs[end - 73]
    figures[FIG.volatility_24] = math.sqrt(_variance(s.returns_24))
    figures[FIG.relative_volume_20] = bar.volume / s.usual_volume if s.usual_volume > 0.0 else math.nan
    figures[FIG.turnover_20] = of_20[OF_20.value] / 20.0
    figures[FIG.range_20] = of_20[OF_20.range] / 20.0
    figures[FIG.mean_distance_20] = log_close - log(of_20[OF_20.close] / 20.0)
    figures[FIG.high_distance_55] = log_close - log(s.extremes_55.total[0])
    figures[FIG.low_distance_55] = log_close - log(-s.extremes_55.total[1])
    figures[FIG.session_return] = log_close - s.log_session_open
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
    end, close, volume = s.end, bar.close, bar.volume
    log_close = log(close)
    before = s.log_close[end - 2] if s.count > 1 else log_close
    if s.count == 1 or bar.session != s.session:
        s.session = bar.session
        s.log_session_open = log(bar.open)
        s.gap = s.log_session_open - before if s.count > 1 else 0.0
    push(s.log_close, end, log_close)
    s.usual_volume = s.of_20.total[OF_20.volume] / 20.0  # of the bars before
    s.earlier_top, s.earlier_bottom = s.extremes_55.total[0], -s.extremes_55.total[1]
    own = log_close - before
    s.of_20.now[OF_20.close] = s.of_50.now[0] = close
    s.of_20.now[OF_20.volume], s.of_20.now[OF_20.value] = volume, volume * close
    s.of_20.now[OF_20.range] = (bar.high - bar.low) / close
    s.returns_24.now[0] = s.returns_48.now[0] = own
    s.returns_24.now[1] = s.returns_48.now[1] = own * own
    s.extremes_55.now[0], s.extremes_55.now[1] = bar.high, -bar.low
    slide(s.of_20, s.count)
    slide(s.of_50, s.count)
    slide(s.returns_24, s.count)
    slide(s.returns_48, s.count)
    slide_highest(s.extremes_55, s.count)


@compiled
def _variance(returns):
    """Of the last returns; what is only rounding is none."""
    n = returns.tail.shape[0]
    found = scatter(returns.total[0], returns.total[1], n) / (n - 1.0)
    return found if found > STILL * STILL else 0.0


@compiled
def _count(s, bar, counts):
    close, moved = bar.close, s.returns_24.now[0]
    counts[:] = 0.0
    if s.count > 1:
        counts[SUM.returns] = moved
        counts[SUM.known] = 1.0
        counts[SUM.rose] = 1.0 if moved > 0.0 else 0.5 if moved == 0.0 else 0.0
        counts[SUM.squares] = moved * moved
    if s.count >= 20:
        counts[SUM.above_20] = _above(close, s.of_20.total[OF_20.close] / 20.0)
        counts[SUM.known_20] = 1.0
    if s.count >= 50:
        counts[SUM.above_50] = _above(close, s.of_50.total[0] / 50.0)
        counts[SUM.known_50] = 1.0
    if s.count > 55:
        counts[SUM.new_highs] = 1.0 if bar.high > s.earlier_top else 0.0
        counts[SUM.new_lows] = 1.0 if bar.low < s.earlier_bottom else 0.0
        counts[SUM.known_55] = 1.0
    if s.count > 48:
        counts[SUM.variances_48] = _variance(s.returns_48)
        counts[SUM.known_48] = 1.0
    counts[SUM.sentiment] = bar.news_sentiment
    counts[SUM.levels] = bar.news_levels
    counts[SUM.items] = bar.news_items


@compiled
def _above(close, average):
    """1 above the mean, 0 below it, a half at it but for rounding."""
    if abs(close - average) <= 1e-9 * average:
        return 0.5
    return 1.0 if close > average else 0.0
