"""Momentum: returns in units of their volatility, RSI, rate of change, stochastic."""

import math

from pipelines.features.catalogue import AT
from pipelines.features.state import push
from pipelines.features.windows import compiled, highest, lowest, mean, ratio, wilder


@compiled
def write(s, out):
    end = s.end
    close = s.close[end - 1]
    out[AT.return_1] = scaled_return(s, 1)
    out[AT.return_3] = scaled_return(s, 3)
    out[AT.return_6] = scaled_return(s, 6)
    out[AT.return_12] = scaled_return(s, 12)
    out[AT.return_24] = scaled_return(s, 24)
    out[AT.return_48] = scaled_return(s, 48)
    out[AT.return_72] = scaled_return(s, 72)
    out[AT.rsi_14] = _relative_strength_index(s)
    out[AT.roc_12] = close / s.close[end - 13] - 1.0
    top = highest(s.high[end - 14 : end])
    bottom = lowest(s.low[end - 14 : end])
    push(s.stochastic, end, 100.0 * (close - bottom) / (top - bottom) if top > bottom else 50.0)
    out[AT.stochastic_k_14] = s.stochastic[end - 1]
    out[AT.stochastic_d_3] = mean(s.stochastic[end - 3 : end])
    out[AT.session_return] = ratio(close - s.session_open, s.atr)


@compiled
def scaled_return(s, bars):
    """Log return over `bars` bars over what a random walk of the present volatility would do."""
    moved = math.log(s.close[s.end - 1] / s.close[s.end - 1 - bars])
    return ratio(moved, s.volatility * math.sqrt(bars))


@compiled
def _relative_strength_index(s):
    if s.count >= 2:
        change = s.close[s.end - 1] - s.close[s.end - 2]
        s.gain = wilder(s.gain, max(change, 0.0), 14, s.count - 1)
        s.loss = wilder(s.loss, max(-change, 0.0), 14, s.count - 1)
    moves = s.gain + s.loss
    return 100.0 * s.gain / moves if moves > 0.0 else 50.0
