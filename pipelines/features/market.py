"""The market of the run: its stocks in equal weights, and an instrument's relation to it.

A bar's market return is the mean log return of the stocks with a bar at that close, each over its own bar before.
"""

import math

from pipelines.features.definition import MOSKOWITZ, family, places
from pipelines.features.state import push, rings
from pipelines.features.survey import SUM
from pipelines.features.windows import STILL, compiled, deviation, mean, total

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
STATE = rings("log_return", "breadth")


@compiled
def write(m, sums, levels, out):
    """From the stocks' returns: their sum, their number, how many rose (an unchanged one is half)."""
    end, stocks = m.end, sums[SUM.known]
    # A bar in which no stock has an earlier close tells nothing: the market stood still
    push(m.log_return, end, sums[SUM.returns] / stocks if stocks > 0.0 else 0.0)
    push(m.breadth, end, sums[SUM.rose] / stocks if stocks > 0.0 else 0.5)
    out[AT.market_return_1] = m.log_return[end - 1]
    out[AT.market_return_12] = total(m.log_return[end - 12 : end])
    out[AT.market_return_48] = total(m.log_return[end - 48 : end])
    out[AT.market_volatility_24] = deviation(m.log_return[end - 24 : end])
    out[AT.market_activity_72] = _mean_size(m.log_return[end - 72 : end])
    spread = deviation(m.log_return[end - 72 : end])
    moved = total(m.log_return[end - 72 : end])
    out[AT.market_trend_72] = moved / (spread * math.sqrt(72.0)) if spread > STILL else math.nan
    out[AT.market_breadth] = m.breadth[end - 1]
    out[AT.market_breadth_12] = mean(m.breadth[end - 12 : end])


@compiled
def _mean_size(values):
    summed = 0.0
    for value in values:
        summed += abs(value)
    return summed / values.shape[0]
