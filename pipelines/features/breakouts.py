"""Breakouts: where the close stands to earlier highs and lows, the overnight gap, the opening range."""

from pipelines.features.definition import BOLLINGER, DONCHIAN, OWN, family, places
from pipelines.features.state import figures
from pipelines.features.windows import compiled, highest, lowest, ratio

FEATURES = family(
    "breakouts",
    [
        (
            "donchian_20",
            20,
            "half widths of the earlier channel",
            DONCHIAN,
            "close in the channel of the 20 bars before",
        ),
        (
            "donchian_55",
            55,
            "half widths of the earlier channel",
            DONCHIAN,
            "close in the channel of the 55 bars before",
        ),
        (
            "high_distance_55",
            54,
            "ATR",
            "George and Hwang (2004), Journal of Finance 59(5)",
            "close under the highest high of 55 bars",
        ),
        (
            "low_distance_55",
            54,
            "ATR",
            "George and Hwang (2004), Journal of Finance 59(5)",
            "close over the lowest low of 55 bars",
        ),
        ("channel_squeeze_20_55", 54, "ratio", BOLLINGER, "channel of 20 bars over that of 55"),
        ("gap", 14, "ATR", OWN, "session's open over the close before"),
        (
            "opening_range",
            0,
            "half widths of the session's first 3 bars",
            "Crabel (1990), Day Trading",
            "close in the range of the session's first 3 bars",
        ),
    ],
)
AT = places(FEATURES)
STATE = figures("range_high", "range_low")

OPENING_BARS = 3


@compiled
def write(s, bar, market, out):
    _remember_opening(s)
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
def _remember_opening(s):
    """Range of the session's first bars."""
    high, low = s.high[s.end - 1], s.low[s.end - 1]
    if s.session_bars == 1.0:
        s.range_high, s.range_low = high, low
    elif s.session_bars <= OPENING_BARS:
        s.range_high = max(s.range_high, high)
        s.range_low = min(s.range_low, low)


@compiled
def _place(close, top, bottom):
    """-1 at the bottom of a channel, 1 at its top, beyond outside; 0 for a channel without width."""
    return (2.0 * close - top - bottom) / (top - bottom) if top > bottom else 0.0
