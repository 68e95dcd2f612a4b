"""Candles: body and wicks of the bar, and how long closes have moved one way. A bar without range has shares of 0."""

from pipelines.features.catalogue import AT
from pipelines.features.windows import compiled, ratio


@compiled
def write(s, out):
    end = s.end
    high, low, close = s.high[end - 1], s.low[end - 1], s.close[end - 1]
    width = high - low
    body = close - s.open_now
    out[AT.body_share] = body / width if width > 0.0 else 0.0
    out[AT.upper_wick_share] = (high - max(s.open_now, close)) / width if width > 0.0 else 0.0
    out[AT.lower_wick_share] = (min(s.open_now, close) - low) / width if width > 0.0 else 0.0
    out[AT.body_atr] = ratio(body, s.atr)
    out[AT.streak] = s.streak
