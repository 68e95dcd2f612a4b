"""Trend: exponential means, MACD, fitted lines, Wilder's directional movement, Aroon, Ichimoku; distances in ATR."""

from pipelines.features.definition import APPEL, KAUFMAN, WILDER, family, row_of
from pipelines.features.sliding import (
    slide,
    slide_highest,
    slide_line,
    slide_newest,
    sliding,
    sliding_line,
    sliding_newest,
)
from pipelines.features.state import figures
from pipelines.features.windows import SAME, compiled, exponential, ratio, wilder

_LINE = "least squares line through the closes"
_AROON = "Chande (1995), Technical Analysis of Stocks and Commodities 13(9)"

FEATURES = family(
    "trend",
    [
        ("ema_gap_5_20", 19, "ATR", KAUFMAN, "EMA of 5 bars over that of 20"),
        ("ema_gap_20_50", 49, "ATR", KAUFMAN, "EMA of 20 bars over that of 50"),
        ("close_ema_20", 19, "ATR", KAUFMAN, "close over its EMA of 20 bars"),
        ("close_ema_50", 49, "ATR", KAUFMAN, "close over its EMA of 50 bars"),
        ("macd_12_26", 25, "ATR", APPEL, "EMA of 12 bars over that of 26"),
        ("macd_histogram_9", 33, "ATR", APPEL, "MACD over its signal line"),
        ("slope_12", 14, "ATR per bar", _LINE, "slope of the line through 12 closes"),
        ("slope_24", 23, "ATR per bar", _LINE, "slope of the line through 24 closes"),
        ("trend_r2_24", 23, "share", _LINE, "how straight the line through 24 closes is"),
        ("line_gap_24", 23, "ATR", _LINE, "close over the end of the line through 24 closes"),
        ("adx_14", 27, "percent", WILDER, "strength of directional movement, whichever way"),
        ("di_spread_14", 14, "signed share", WILDER, "upward less downward movement"),
        ("plus_di_14", 14, "percent", WILDER, "upward movement of the true range"),
        ("minus_di_14", 14, "percent", WILDER, "downward movement of the true range"),
        ("vortex_14", 14, "ratio", "Botes and Siepman (2010), TASC 28(1)", "upward less downward vortex movement"),
        ("tema_gap_12", 33, "ATR", "Mulloy (1994), TASC 12(1)", "close over its triple EMA of 12 bars"),
        ("trix_15", 43, "percent per bar", "Hutson (1983), TASC 1(5)", "growth of the EMA of 15, taken three times"),
        ("kama_gap_10", 14, "ATR", KAUFMAN, "close over Kaufman's adaptive mean of 10 bars"),
        ("aroon_25", 25, "signed percent", _AROON, "how much newer the highest high is than the lowest low"),
        ("ichimoku_9_26", 25, "ATR", "Hosoda (1969), Ichimoku Kinko Hyo", "middle of 9 bars' range over that of 26"),
    ],
)
ROW = row_of(FEATURES)

_MOVES_14, OF_14 = sliding("moves_14", 14, "up", "down", "true_range")
_PATH_10, _ = sliding("path_10", 10, "size")
_RANGE_9, _ = sliding("range_9", 9, "high", "low")
_RANGE_26 = sliding_newest("range_26", 26, "high", "low")
STATE = (
    *figures("ema_5", "ema_12", "ema_20", "ema_26", "ema_50", "macd_signal", "plus_move", "minus_move", "adx"),
    *figures("ema_12_twice", "ema_12_thrice", "trix_once", "trix_twice", "trix_thrice", "kama"),
    _MOVES_14,
    _PATH_10,
    _RANGE_9,
    _RANGE_26,
    sliding_line("line_12", 12),
    sliding_line("line_24", 24),
)

FAST, SLOW = 2.0 / 3.0, 2.0 / 31.0  #: weights of Kaufman's mean on a straight and on a random way


@compiled
def write(s, bar, out):
    close = s.close[s.end - 1]
    _means(s, close, out)
    _lines(s, close, out)
    _triple(s, close, out)
    _adaptive(s, close, out)
    _channels(s, out)
    if s.count > 1:
        _directional(s, out)


@compiled
def _means(s, close, out):
    s.ema_5 = exponential(s.ema_5, close, 5, s.count)
    s.ema_12 = exponential(s.ema_12, close, 12, s.count)
    s.ema_20 = exponential(s.ema_20, close, 20, s.count)
    s.ema_26 = exponential(s.ema_26, close, 26, s.count)
    s.ema_50 = exponential(s.ema_50, close, 50, s.count)
    out.ema_gap_5_20 = (s.ema_5 - s.ema_20) * s.per_atr
    out.ema_gap_20_50 = (s.ema_20 - s.ema_50) * s.per_atr
    out.close_ema_20 = (close - s.ema_20) * s.per_atr
    out.close_ema_50 = (close - s.ema_50) * s.per_atr
    macd = s.ema_12 - s.ema_26
    if s.count >= 26:
        s.macd_signal = exponential(s.macd_signal, macd, 9, s.count - 25)
    out.macd_12_26 = macd * s.per_atr
    out.macd_histogram_9 = (macd - s.macd_signal) * s.per_atr


@compiled
def _lines(s, close, out):
    """A line's slope is the product with the time over the time's own squares, n (n² - 1) / 12."""
    _, _, product = slide_line(s.line_12, close, s.count)
    out.slope_12 = product / 143.0 * s.per_atr
    mean, spread, product = slide_line(s.line_24, close, s.count)
    slope = product / 1150.0
    out.slope_24 = slope * s.per_atr
    out.trend_r2_24 = min(product * slope / spread, 1.0) if spread > 0.0 else 0.0
    out.line_gap_24 = (close - mean - 11.5 * slope) * s.per_atr


@compiled
def _triple(s, close, out):
    """Means of means; each starts when the one before it has its first full value."""
    if s.count >= 12:
        s.ema_12_twice = exponential(s.ema_12_twice, s.ema_12, 12, s.count - 11)
    if s.count >= 23:
        s.ema_12_thrice = exponential(s.ema_12_thrice, s.ema_12_twice, 12, s.count - 22)
    out.tema_gap_12 = (close - 3.0 * (s.ema_12 - s.ema_12_twice) - s.ema_12_thrice) * s.per_atr
    s.trix_once = exponential(s.trix_once, close, 15, s.count)
    if s.count >= 15:
        s.trix_twice = exponential(s.trix_twice, s.trix_once, 15, s.count - 14)
    if s.count >= 29:
        before = s.trix_thrice
        s.trix_thrice = exponential(before, s.trix_twice, 15, s.count - 28)
        out.trix_15 = 100.0 * (s.trix_thrice / before - 1.0)


@compiled
def _adaptive(s, close, out):
    """Kaufman's mean: the straighter the way of 10 bars, the faster it follows."""
    s.path_10.now[0] = abs(s.change)
    slide(s.path_10, s.count)
    if s.count <= 10:
        s.kama = close
    else:
        way = abs(close - s.close[s.end - 11])
        path = s.path_10.total[0]
        straight = way / path if path > way else 1.0
        weight = straight * (FAST - SLOW) + SLOW
        s.kama += (close - s.kama) * weight * weight
    out.kama_gap_10 = (close - s.kama) * s.per_atr


@compiled
def _channels(s, out):
    high, low = s.high[s.end - 1], s.low[s.end - 1]
    s.range_9.now[0] = s.range_26.now[0] = high
    s.range_9.now[1] = s.range_26.now[1] = -low
    slide_highest(s.range_9, s.count)
    slide_newest(s.range_26, s.count)
    out.aroon_25 = 4.0 * (s.range_26.total_at[0] - s.range_26.total_at[1])
    middles = s.range_9.total[0] - s.range_9.total[1] - s.range_26.total[0] + s.range_26.total[1]
    out.ichimoku_9_26 = 0.5 * middles * s.per_atr


@compiled
def _directional(s, out):
    """Wilder's +DI, -DI and ADX (of two moves in one bar only the larger counts), and the vortex."""
    end = s.end
    high, low, high_before, low_before = s.high[end - 1], s.low[end - 1], s.high[end - 2], s.low[end - 2]
    up, down = high - high_before, low_before - low
    changes = s.count - 1
    tie = SAME * s.close[end - 1]
    s.plus_move = wilder(s.plus_move, up if up > down + tie and up > 0.0 else 0.0, 14, changes)
    s.minus_move = wilder(s.minus_move, down if down > up + tie and down > 0.0 else 0.0, 14, changes)
    moves, apart = s.plus_move + s.minus_move, s.plus_move - s.minus_move
    if changes >= 14:
        index = abs(apart) / moves if moves > 0.0 else 0.0
        s.adx = wilder(s.adx, 100.0 * index, 14, changes - 13)
    out.adx_14 = s.adx
    out.di_spread_14 = apart * s.per_atr
    out.plus_di_14 = 100.0 * s.plus_move * s.per_atr
    out.minus_di_14 = 100.0 * s.minus_move * s.per_atr
    moves = s.moves_14
    moves.now[OF_14.up], moves.now[OF_14.down] = abs(high - low_before), abs(low - high_before)
    moves.now[OF_14.true_range] = s.true_range
    slide(moves, s.count)
    out.vortex_14 = ratio(moves.total[OF_14.up] - moves.total[OF_14.down], moves.total[OF_14.true_range])
