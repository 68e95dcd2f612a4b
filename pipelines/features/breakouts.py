"""Breakouts: where the close stands to earlier highs and lows, the overnight gap, the opening range."""

from pipelines.features.catalogue import AT
from pipelines.features.windows import compiled, highest, lowest, ratio


@compiled
def write(s, out):
    end = s.end
    close = s.close[end - 1]
    out[AT.donchian_20] = _place(close, highest(s.high[end - 21 : end - 1]), lowest(s.low[end - 21 : end - 1]))
    out[AT.donchian_55] = _place(close, highest(s.high[end - 56 : end - 1]), lowest(s.low[end - 56 : end - 1]))
    top, bottom = highest(s.high[end - 55 : end]), lowest(s.low[end - 55 : end])
    out[AT.high_distance_55] = ratio(close - top, s.atr)
    out[AT.low_distance_55] = ratio(close - bottom, s.atr)
    out[AT.channel_squeeze_20_55] = ratio(highest(s.high[end - 20 : end]) - lowest(s.low[end - 20 : end]), top - bottom)
    out[AT.gap] = ratio(s.gap_rupees, s.atr)
    out[AT.opening_range] = _place(close, s.range_high, s.range_low)


@compiled
def _place(close, top, bottom):
    """-1 at the bottom of a channel, 1 at its top, beyond outside; 0 for a channel without width."""
    return (2.0 * close - top - bottom) / (top - bottom) if top > bottom else 0.0
