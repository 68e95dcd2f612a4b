"""The market of the run: its stocks in equal weights, and an instrument's relation to it.

A bar's market return is the mean log return of the stocks with a bar at that close, each over its own bar before.
"""

import math

from pipelines.features.definition import MOSKOWITZ, family, places
from pipelines.features.sliding import slide, sliding
from pipelines.features.survey import SUM
from pipelines.features.windows import STILL, compiled, scatter

FEATURES = family(
    "market",
    [
        ("market_return_1", 1, "log return", "equal-weighted stocks of the run", "the market's return in the bar"),
        ("market_return_12", 12, "log return", "equal-weighted stocks of the run", "the market's return over 12 bars"),
        ("market_return_48", 48, "log return", "equal-weighted stocks of the run", "the market's return over 48 bars"),
        (
            "market_volatility_24",
            24,
            "log return per bar",
            "equal-weighted stocks of the run",
            "spread of the market's returns",
        ),
        (
            "market_activity_72",
            72,
            "log return per bar",
            "mean absolute return: one overnight gap moves it little",
            "mean size of the market's moves",
        ),
        ("market_trend_72", 72, "volatilities", MOSKOWITZ, "the market's return over what a random walk would do"),
        ("market_breadth", 1, "share", "stocks of the run that rose in the bar", "stocks that rose in the bar"),
        ("market_breadth_12", 12, "share", "mean of market_breadth", "stocks that rose, mean of 12 bars"),
    ],
)
AT = places(FEATURES)
_SUMS_12, _ = sliding("sums_12", 12, "own", "breadth")
_SUMS_24, OF_24 = sliding("sums_24", 24, "own", "square")
_SUMS_48, _ = sliding("sums_48", 48, "own")
_SUMS_72, OF_72 = sliding("sums_72", 72, "own", "square", "size")
STATE = (_SUMS_12, _SUMS_24, _SUMS_48, _SUMS_72)


@compiled
def write(m, sums, levels, out):
    """From the stocks' returns: their sum, their number, how many rose (an unchanged one is half)."""
    stocks = sums[SUM.known]
    # A bar in which no stock has an earlier close tells nothing: the market stood still
    own = sums[SUM.returns] / stocks if stocks > 0.0 else 0.0
    breadth = sums[SUM.rose] / stocks if stocks > 0.0 else 0.5
    m.sums_12.now[0], m.sums_12.now[1] = own, breadth
    m.sums_24.now[OF_24.own] = m.sums_48.now[0] = m.sums_72.now[OF_72.own] = own
    m.sums_24.now[OF_24.square] = m.sums_72.now[OF_72.square] = own * own
    m.sums_72.now[OF_72.size] = abs(own)
    slide(m.sums_12, m.count)
    slide(m.sums_24, m.count)
    slide(m.sums_48, m.count)
    slide(m.sums_72, m.count)
    short, long = m.sums_24.total, m.sums_72.total
    out[AT.market_return_1] = own
    out[AT.market_return_12] = m.sums_12.total[0]
    out[AT.market_return_48] = m.sums_48.total[0]
    out[AT.market_volatility_24] = math.sqrt(scatter(short[OF_24.own], short[OF_24.square], 24) / 23.0)
    out[AT.market_activity_72] = long[OF_72.size] / 72.0
    spread = math.sqrt(scatter(long[OF_72.own], long[OF_72.square], 72) / 71.0)
    out[AT.market_trend_72] = long[OF_72.own] / (spread * math.sqrt(72.0)) if spread > STILL else math.nan
    out[AT.market_breadth] = breadth
    out[AT.market_breadth_12] = m.sums_12.total[1] / 12.0
