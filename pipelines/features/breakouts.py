"""Breakouts: where the close stands to earlier highs and lows, the overnight gap, the opening range."""

from pipelines.features.definition import BOLLINGER, DONCHIAN, OWN, family, row_of
from pipelines.features.state import figures
from pipelines.features.windows import compiled, ratio

_CHANNEL = "half widths of the earlier channel"
_GEORGE = "George and Hwang (2004), Journal of Finance 59(5)"
_CRABEL = "Crabel (1990), Day Trading"

FEATURES = family(
    "breakouts",
    [
        ("donchian_20", 20, _CHANNEL, DONCHIAN, "close in the channel of the 20 bars before"),
        ("donchian_55", 55, _CHANNEL, DONCHIAN, "close in the channel of the 55 bars before"),
        ("high_distance_55", 54, "ATR", _GEORGE, "close over the highest high of 55 bars"),
        ("low_distance_55", 54, "ATR", _GEORGE, "close over the lowest low of 55 bars"),
        ("high_age_55", 54, "share", _GEORGE, "age of the highest high of 55 bars"),
        ("low_age_55", 54, "share", _GEORGE, "age of the lowest low of 55 bars"),
        ("channel_squeeze_20_55", 54, "ratio", BOLLINGER, "channel of 20 bars over that of 55"),
        ("squeeze_20", 19, "ratio", "Carter (2005), Mastering the Trade", "Bollinger's bands over Keltner's"),
        ("gap", 14, "ATR", OWN, "session's open over the close before"),
        ("opening_range", 0, "half widths of the session's first 3 bars", _CRABEL, "close in the opening range"),
        ("opening_range_width", 14, "ATR", _CRABEL, "width of the opening range"),
    ],
) + family("breakouts", [("gap_fill", 0, "share", OWN, "part of the opening gap closed again")], sessions=1)
ROW = row_of(FEATURES)
STATE = figures("range_high", "range_low")

OPENING_BARS = 3
KELTNER = 1.5  #: ATR on either side; Bollinger's bands are 2 standard deviations


@compiled
def write(s, bar, out):
    close = s.close[s.end - 1]
    _remember_opening(s)
    out.donchian_20 = _place(close, s.earlier_top_20, s.earlier_bottom_20)
    out.donchian_55 = _place(close, s.earlier_top_55, s.earlier_bottom_55)
    out.high_distance_55 = (close - s.top_55) * s.per_atr
    out.low_distance_55 = (close - s.bottom_55) * s.per_atr
    out.channel_squeeze_20_55 = ratio(s.top_20 - s.bottom_20, s.top_55 - s.bottom_55)
    out.squeeze_20 = s.spread_20 * s.per_atr * (2.0 / KELTNER)
    out.high_age_55 = (s.count - s.extremes_55.total_at[0]) / 54.0
    out.low_age_55 = (s.count - s.extremes_55.total_at[1]) / 54.0
    out.gap = s.gap_rupees * s.per_atr
    out.gap_fill = _filled(s)
    out.opening_range = _place(close, s.range_high, s.range_low)
    out.opening_range_width = (s.range_high - s.range_low) * s.per_atr


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
def _filled(s):
    """How far the session has gone back from its open to the close before: 1 is all of it, also without a gap."""
    if s.gap_rupees > 0.0:
        return min((s.session_open - s.session_low) / s.gap_rupees, 1.0)
    return min((s.session_high - s.session_open) / -s.gap_rupees, 1.0) if s.gap_rupees < 0.0 else 1.0


@compiled
def _place(close, top, bottom):
    """-1 at the bottom of a channel, 1 at its top, beyond outside; 0 for a channel without width."""
    return (2.0 * close - top - bottom) / (top - bottom) if top > bottom else 0.0
