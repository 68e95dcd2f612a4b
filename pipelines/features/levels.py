"""Levels: pivots and extremes of the session before, and the last confirmed swings; distances in ATR."""

from pipelines.features.definition import OWN, family, row_of
from pipelines.features.state import figures
from pipelines.features.windows import compiled, place_in

_PIVOT = "Person (2004), A Complete Guide to Technical Trading Tactics"
_SWING = "Williams (1995), Trading Chaos: the highest (lowest) of 7 bars, known 3 bars later"

FEATURES = family(
    "levels",
    [
        ("pivot_distance", 14, "ATR", _PIVOT, "close over the pivot: the mean of high, low and close"),
        ("resistance_1_distance", 14, "ATR", _PIVOT, "close over twice the pivot less the low"),
        ("support_1_distance", 14, "ATR", _PIVOT, "close over twice the pivot less the high"),
        ("resistance_2_distance", 14, "ATR", _PIVOT, "close over the pivot and the range"),
        ("support_2_distance", 14, "ATR", _PIVOT, "close over the pivot less the range"),
        ("last_high_distance", 14, "ATR", OWN, "close over the high of the session before"),
        ("last_low_distance", 14, "ATR", OWN, "close over the low of the session before"),
        ("last_close_distance", 14, "ATR", OWN, "close over the close of the session before"),
        ("last_range_place", 0, "half widths of the range before", OWN, "close in the range of the session before"),
    ],
    sessions=1,
) + family(
    "levels",
    [
        ("swing_high_distance", 14, "ATR", _SWING, "close over the last swing high (the highest high, before one)"),
        ("swing_low_distance", 14, "ATR", _SWING, "close over the last swing low (the lowest low, before one)"),
        ("swing_high_age", 6, "bars", _SWING, "bars since that high"),
        ("swing_low_age", 6, "bars", _SWING, "bars since that low"),
        ("swing_place", 6, "half widths between the swings", _SWING, "close between the last swings"),
    ],
)
ROW = row_of(FEATURES)
STATE = figures("swing_high", "swing_high_at", "swing_highs", "swing_low", "swing_low_at", "swing_lows")

SIDE = 3  #: bars on either side of a swing


@compiled
def write(s, bar, out):
    close, per_atr = s.close[s.end - 1], s.per_atr
    _session_before(s, close, per_atr, out)
    _remember_swings(s)
    out.swing_high_distance = (close - s.swing_high) * per_atr
    out.swing_low_distance = (close - s.swing_low) * per_atr
    out.swing_high_age = s.count - s.swing_high_at
    out.swing_low_age = s.count - s.swing_low_at
    out.swing_place = place_in(close, s.swing_high, s.swing_low)


@compiled
def _session_before(s, close, per_atr, out):
    width, pivot = s.last_high - s.last_low, (s.last_high + s.last_low + s.last_close) / 3.0
    out.pivot_distance = (close - pivot) * per_atr
    out.resistance_1_distance = (close - 2.0 * pivot + s.last_low) * per_atr
    out.support_1_distance = (close - 2.0 * pivot + s.last_high) * per_atr
    out.resistance_2_distance = (close - pivot - width) * per_atr
    out.support_2_distance = (close - pivot + width) * per_atr
    out.last_high_distance = (close - s.last_high) * per_atr
    out.last_low_distance = (close - s.last_low) * per_atr
    out.last_close_distance = (close - s.last_close) * per_atr
    out.last_range_place = place_in(close, s.last_high, s.last_low)


@compiled
def _remember_swings(s):
    """A swing is known `SIDE` bars later: higher than the bars before it, not lower than those after it."""
    high, low = s.high[s.end - 1], s.low[s.end - 1]
    if s.swing_highs == 0.0 and (s.count == 1 or high >= s.swing_high):
        s.swing_high, s.swing_high_at = high, 1.0 * s.count
    if s.swing_lows == 0.0 and (s.count == 1 or low <= s.swing_low):
        s.swing_low, s.swing_low_at = low, 1.0 * s.count
    if s.count <= 2 * SIDE:
        return
    middle = s.end - 1 - SIDE
    top = bottom = True
    for i in range(1, SIDE + 1):
        top = top and s.high[middle] > s.high[middle - i] and s.high[middle] >= s.high[middle + i]
        bottom = bottom and s.low[middle] < s.low[middle - i] and s.low[middle] <= s.low[middle + i]
    if top:
        s.swing_high, s.swing_high_at, s.swing_highs = s.high[middle], 1.0 * (s.count - SIDE), 1.0
    if bottom:
        s.swing_low, s.swing_low_at, s.swing_lows = s.low[middle], 1.0 * (s.count - SIDE), 1.0
