"""Trend: exponential means, MACD, fitted lines, Wilder's directional movement; distances in ATR."""

from pipelines.features.catalogue import AT
from pipelines.features.windows import SAME, compiled, exponential, line, ratio, wilder


@compiled
def write(s, out):
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
