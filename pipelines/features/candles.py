"""Candles: body and wicks of the bar, patterns of up to three bars, how long closes have moved one way.

A bar without range has shares of 0. A pattern is 1 where it is bullish, -1 where it is bearish, 0 where it is absent.
"""

from pipelines.features.definition import NISON, OWN, family, row_of
from pipelines.features.state import figures
from pipelines.features.windows import SAME, compiled

_RANGE = "share of the range"

FEATURES = family(
    "candles",
    [
        ("body_share", 0, "signed share", NISON, "close over open, of the range"),
        ("upper_wick_share", 0, _RANGE, NISON, "wick above the body"),
        ("lower_wick_share", 0, _RANGE, NISON, "wick below the body"),
        ("close_location", 0, "signed share", OWN, "where in the range the bar closed"),
        ("body_atr", 14, "ATR", NISON, "close over open"),
        ("streak", 1, "bars", OWN, "closes in a row that rose (or fell, below zero)"),
        ("doji", 0, "yes or no", NISON, "body of at most a tenth of the range"),
        ("hammer", 0, "yes or no", NISON, "long wick below a small body at the top"),
        ("shooting_star", 0, "yes or no", NISON, "long wick above a small body at the bottom"),
        ("inside_bar", 1, "yes or no", "Crabel (1990), Day Trading", "range within that of the bar before"),
        ("outside_bar", 1, "yes or no", "Crabel (1990), Day Trading", "range beyond that of the bar before, both ways"),
        ("engulfing", 1, "pattern", NISON, "body covers the opposite body before"),
        ("harami", 1, "pattern", NISON, "body within the opposite, larger body before"),
        ("piercing", 1, "pattern", NISON, "opens beyond the close before, closes past its body's middle"),
        ("star_reversal", 2, "pattern", NISON, "large body, small body, then past the first one's middle"),
        ("three_in_a_row", 2, "pattern", NISON, "three bodies one way, each closing further"),
    ],
)
ROW = row_of(FEATURES)
STATE = figures("streak")

SMALL, LARGE, LONG_WICK = 0.3, 0.6, 0.6  #: bodies and wicks, of the range
DOJI = 0.1


@compiled
def write(s, bar, out):
    end = s.end
    open_, high, low, close = s.open[end - 1], s.high[end - 1], s.low[end - 1], s.close[end - 1]
    width, body = high - low, close - open_
    top, bottom, tie = max(open_, close), min(open_, close), SAME * close
    per_width = 1.0 / width if width > 0.0 else 0.0
    out.body_share = body * per_width
    out.upper_wick_share = (high - top) * per_width
    out.lower_wick_share = (bottom - low) * per_width
    out.close_location = (2.0 * close - high - low) * per_width
    out.body_atr = body * s.per_atr
    out.doji = _yes(width > 0.0 and abs(body) <= DOJI * width + tie)
    small = width > 0.0 and abs(body) <= SMALL * width + tie
    out.hammer = _yes(small and bottom - low >= LONG_WICK * width - tie)
    out.shooting_star = _yes(small and high - top >= LONG_WICK * width - tie)
    if s.count > 1:
        _two_bars(s, open_, high, low, close, out)
        _remember_streak(s, close, s.close[end - 2])
    if s.count > 2:
        _three_bars(s, open_, close, out)
    out.streak = s.streak


@compiled
def _yes(claim):
    return 1.0 if claim else 0.0


@compiled
def _way(open_, close):
    return 1.0 if close > open_ else (-1.0 if close < open_ else 0.0)


@compiled
def _large(s, bars):
    """Had the bar `bars` before this one a large body?"""
    at = s.end - 1 - bars
    return abs(s.close[at] - s.open[at]) >= LARGE * (s.high[at] - s.low[at]) - SAME * s.close[at]


@compiled
def _past_middle(way, close, open_before, close_before):
    """Is the close past the middle of a body before, by more than rounding?"""
    return way * (2.0 * close - open_before - close_before) > SAME * close


@compiled
def _two_bars(s, open_, high, low, close, out):
    at = s.end - 2
    open_before, close_before = s.open[at], s.close[at]
    out.inside_bar = _yes(high <= s.high[at] and low >= s.low[at])
    out.outside_bar = _yes(high > s.high[at] and low < s.low[at])
    way = _way(open_, close)
    opposite = way != 0.0 and way == -_way(open_before, close_before)
    top, bottom = max(open_, close), min(open_, close)
    top_before, bottom_before = max(open_before, close_before), min(open_before, close_before)
    covers = top >= top_before and bottom <= bottom_before
    covered = top <= top_before and bottom >= bottom_before
    out.engulfing = way if opposite and covers and not covered else 0.0
    out.harami = way if opposite and covered and not covers and _large(s, 1) else 0.0
    beyond = way * (open_ - close_before) <= 0.0 and way * (close - open_before) < 0.0
    pierces = opposite and beyond and _large(s, 1) and _past_middle(way, close, open_before, close_before)
    out.piercing = way if pierces else 0.0


@compiled
def _three_bars(s, open_, close, out):
    first, second = s.end - 3, s.end - 2
    way, way_first = _way(open_, close), _way(s.open[first], s.close[first])
    body, width = abs(s.close[second] - s.open[second]), s.high[second] - s.low[second]
    small = body <= SMALL * width + SAME * close
    turned = way != 0.0 and way == -way_first and _large(s, 2) and small
    out.star_reversal = way if turned and _past_middle(way, close, s.open[first], s.close[first]) else 0.0
    same = way != 0.0 and way == way_first and way == _way(s.open[second], s.close[second])
    further = way * (close - s.close[second]) > 0.0 and way * (s.close[second] - s.close[first]) > 0.0
    out.three_in_a_row = way if same and further else 0.0


@compiled
def _remember_streak(s, close, before):
    if close > before:
        s.streak = max(s.streak, 0.0) + 1.0
    elif close < before:
        s.streak = min(s.streak, 0.0) - 1.0
    else:
        s.streak = 0.0
