"""Momentum: returns in units of their volatility, RSI, rate of change, stochastic."""

import math

from pipelines.features.definition import KAUFMAN, LANE, MOSKOWITZ, OWN, WILDER, family, places
from pipelines.features.state import figures, push, rings
from pipelines.features.windows import compiled, highest, lowest, mean, ratio, wilder

FEATURES = family(
    "momentum",
    [
        ("return_1", 24, "volatilities", MOSKOWITZ, "log return of 1 bar over what a random walk would do"),
        ("return_3", 24, "volatilities", MOSKOWITZ, "log return of 3 bars over what a random walk would do"),
        ("return_6", 24, "volatilities", MOSKOWITZ, "log return of 6 bars over what a random walk would do"),
        ("return_12", 24, "volatilities", MOSKOWITZ, "log return of 12 bars over what a random walk would do"),
        ("return_24", 24, "volatilities", MOSKOWITZ, "log return of 24 bars over what a random walk would do"),
        ("return_48", 48, "volatilities", MOSKOWITZ, "log return of 48 bars over what a random walk would do"),
        ("return_72", 72, "volatilities", MOSKOWITZ, "log return of 72 bars over what a random walk would do"),
        ("rsi_14", 14, "percent", WILDER, "share of rises in the smoothed moves"),
        ("roc_12", 12, "share", KAUFMAN, "change of the close over 12 bars"),
        ("stochastic_k_14", 13, "percent", LANE, "close in the range of 14 bars"),
        ("stochastic_d_3", 15, "percent", LANE, "mean of 3 stochastic values"),
        ("session_return", 14, "ATR", OWN, "close over the session's open"),
    ],
)
AT = places(FEATURES)
STATE = figures("gain", "loss") + rings("stochastic")


@compiled
def write(s, bar, market, out):
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
