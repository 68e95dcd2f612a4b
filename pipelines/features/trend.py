"""Trend: exponential means, MACD, fitted lines, Wilder's directional movement; distances in ATR."""

from pipelines.features.definition import APPEL, KAUFMAN, WILDER, family, places
from pipelines.features.state import figures
from pipelines.features.windows import SAME, compiled, exponential, line, ratio, wilder

FEATURES = family(
    "trend",
    [
        ("ema_gap_5_20", 19, "ATR", KAUFMAN, "EMA of 5 bars over that of 20"),
        ("ema_gap_20_50", 49, "ATR", KAUFMAN, "EMA of 20 bars over that of 50"),
        ("close_ema_20", 19, "ATR", KAUFMAN, "close over its EMA of 20 bars"),
        ("close_ema_50", 49, "ATR", KAUFMAN, "close over its EMA of 50 bars"),
        ("macd_12_26", 25, "ATR", APPEL, "EMA of 12 bars over that of 26"),
        ("macd_histogram_9", 33, "ATR", APPEL, "MACD over its signal line"),
        ("slope_12", 14, "ATR per bar", "least squares line through the closes", "slope of the line through 12 closes"),
        ("slope_24", 23, "ATR per bar", "least squares line through the closes", "slope of the line through 24 closes"),
        (
            "trend_r2_24",
            23,
            "share",
            "determination of the least squares line",
            "how straight the line through 24 closes is",
        ),
        ("adx_14", 27, "percent", WILDER, "strength of directional movement, whichever way"),
        ("di_spread_14", 14, "share", WILDER, "upward over downward movement"),
    ],
)
AT = places(FEATURES)
STATE = figures("ema_5", "ema_12", "ema_20", "ema_26", "ema_50", "macd_signal", "plus_move", "minus_move", "adx")


@compiled
def write(s, bar, market, out):
    end = s.end
    close = s.close[end - 1]
    _means(s, close)
    out[AT.ema_gap_5_20] = ratio(s.ema_5 - s.ema_20, s.atr)
    out[AT.ema_gap_20_50] = ratio(s.ema_20 - s.ema_50, s.atr)
    out[AT.close_ema_20] = ratio(close - s.ema_20, s.atr)
    out[AT.close_ema_50] = ratio(close - s.ema_50, s.atr)
    macd = s.ema_12 - s.ema_26
    if s.count >= 26:
        s.macd_signal = exponential(s.macd_signal, macd, 9, s.count - 25)
    out[AT.macd_12_26] = ratio(macd, s.atr)
    out[AT.macd_histogram_9] = ratio(macd - s.macd_signal, s.atr)
    short_slope, _ = line(s.close[end - 12 : end])
    long_slope, determination = line(s.close[end - 24 : end])
    out[AT.slope_12] = ratio(short_slope, s.atr)
    out[AT.slope_24] = ratio(long_slope, s.atr)
    out[AT.trend_r2_24] = determination
    _directional(s, out)


@compiled
def _means(s, close):
    s.ema_5 = exponential(s.ema_5, close, 5, s.count)
    s.ema_12 = exponential(s.ema_12, close, 12, s.count)
    s.ema_20 = exponential(s.ema_20, close, 20, s.count)
    s.ema_26 = exponential(s.ema_26, close, 26, s.count)
    s.ema_50 = exponential(s.ema_50, close, 50, s.count)


@compiled
def _directional(s, out):
    """Wilder's +DI, -DI and ADX; of two moves in one bar only the larger counts."""
    end = s.end
    if s.count < 2:
        return
    up = s.high[end - 1] - s.high[end - 2]
    down = s.low[end - 2] - s.low[end - 1]
    changes = s.count - 1
    tie = SAME * s.close[end - 1]
    s.plus_move = wilder(s.plus_move, up if up > down + tie and up > 0.0 else 0.0, 14, changes)
    s.minus_move = wilder(s.minus_move, down if down > up + tie and down > 0.0 else 0.0, 14, changes)
    moves = s.plus_move + s.minus_move
    if changes >= 14:
        index = abs(s.plus_move - s.minus_move) / moves if moves > 0.0 else 0.0
        s.adx = wilder(s.adx, 100.0 * index, 14, changes - 13)
    out[AT.adx_14] = s.adx
    out[AT.di_spread_14] = ratio(s.plus_move - s.minus_move, s.atr)
