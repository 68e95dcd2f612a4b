"""The market of the run: its stocks in equal weights, and an instrument's relation to it.

A bar's market return is the mean log return of the stocks with a bar at that close, each over its own bar before.
"""

import math

from pipelines.features.catalogue import AT, MARKET_AT
from pipelines.features.state import advance, push
from pipelines.features.windows import co_moments, compiled, deviation, mean, ratio, total

#: Log returns per bar under this spread count as no movement at all: prices move in ticks, this is rounding
STILL = 1e-9


@compiled
def market_step(m, summed, stocks, rose, out):
    """Next market row from the stocks' returns: their sum, their number, how many rose (an unchanged one is half)."""
    advance(m)
    end = m.end
    # A bar in which no stock has an earlier close tells nothing: the market stood still
    push(m.log_return, end, summed / stocks if stocks > 0.0 else 0.0)
    push(m.breadth, end, rose / stocks if stocks > 0.0 else 0.5)
    out[MARKET_AT.market_return_1] = m.log_return[end - 1]
    out[MARKET_AT.market_return_12] = total(m.log_return[end - 12 : end])
    out[MARKET_AT.market_return_48] = total(m.log_return[end - 48 : end])
    out[MARKET_AT.market_volatility_24] = deviation(m.log_return[end - 24 : end])
    out[MARKET_AT.market_activity_72] = _mean_size(m.log_return[end - 72 : end])
    spread = deviation(m.log_return[end - 72 : end])
    moved = total(m.log_return[end - 72 : end])
    out[MARKET_AT.market_trend_72] = moved / (spread * math.sqrt(72.0)) if spread > STILL else math.nan
    out[MARKET_AT.market_breadth] = m.breadth[end - 1]
    out[MARKET_AT.market_breadth_12] = mean(m.breadth[end - 12 : end])


@compiled
def _mean_size(values):
    summed = 0.0
    for value in values:
        summed += abs(value)
    return summed / values.shape[0]


@compiled
def write(s, market, out):
    """The market's features as they stand, and how the instrument moves with and against it."""
    end = s.end
    for i in range(market.shape[0]):
        out[AT.market_return_1 + i] = market[i]
    product, own, others = co_moments(s.log_return[end - 48 : end], s.market_return[end - 48 : end])
    out[AT.beta_48] = product / others if others > STILL * STILL else math.nan
    moving = own > STILL * STILL and others > STILL * STILL
    out[AT.market_correlation_48] = product / math.sqrt(own * others) if moving else math.nan
    out[AT.relative_strength_12] = _ahead(s, 12)
    out[AT.relative_strength_48] = _ahead(s, 48)


@compiled
def _ahead(s, bars):
    """Log return over the market's, in the instrument's volatilities."""
    end = s.end
    own = math.log(s.close[end - 1] / s.close[end - 1 - bars])
    others = total(s.market_return[end - bars : end])
    return ratio(own - others, s.volatility * math.sqrt(bars))
