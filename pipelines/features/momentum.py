"""Momentum: returns in units of their volatility, RSI, stochastics and the oscillators built of them."""

import math

from pipelines.features.definition import KAUFMAN, LANE, MOSKOWITZ, OWN, WILDER, family, row_of
from pipelines.features.sliding import slide, slide_highest, sliding
from pipelines.features.state import figures, push, rings
from pipelines.features.windows import SAME, compiled, exponential, ratio, wilder

_WALK = "volatilities"
_WILLIAMS = "Williams (1985), TASC 3(4)"
_CHANDE = "Chande and Kroll (1994), The New Technical Trader"

FEATURES = family(
    "momentum",
    [
        ("return_1", 24, _WALK, MOSKOWITZ, "log return of 1 bar over what a random walk would do"),
        ("return_3", 24, _WALK, MOSKOWITZ, "log return of 3 bars over what a random walk would do"),
        ("return_6", 24, _WALK, MOSKOWITZ, "log return of 6 bars over what a random walk would do"),
        ("return_12", 24, _WALK, MOSKOWITZ, "log return of 12 bars over what a random walk would do"),
        ("return_24", 24, _WALK, MOSKOWITZ, "log return of 24 bars over what a random walk would do"),
        ("return_48", 48, _WALK, MOSKOWITZ, "log return of 48 bars over what a random walk would do"),
        ("return_72", 72, _WALK, MOSKOWITZ, "log return of 72 bars over what a random walk would do"),
        ("acceleration_12", 24, _WALK, OWN, "log return of 12 bars over that of the 12 before"),
        ("rsi_7", 7, "percent", WILDER, "share of rises in the smoothed moves, span 7"),
        ("rsi_14", 14, "percent", WILDER, "share of rises in the smoothed moves, span 14"),
        ("rsi_28", 28, "percent", WILDER, "share of rises in the smoothed moves, span 28"),
        ("stochastic_rsi_14", 27, "percent", _CHANDE, "RSI in its own range of 14 bars"),
        ("roc_12", 12, "share of the earlier close", KAUFMAN, "change of the close over 12 bars"),
        ("stochastic_k_14", 13, "percent", LANE, "close in the range of 14 bars"),
        ("stochastic_d_3", 15, "percent", LANE, "mean of 3 stochastic values"),
        ("stochastic_k_55", 54, "percent", LANE, "close in the range of 55 bars"),
        ("cci_20", 19, "1.5 % of the mean deviation", "Lambert (1980), Commodities 9(10)", "price over its mean"),
        ("ultimate_7_14_28", 28, "percent", _WILLIAMS, "buying pressure of 7, 14 and 28 bars"),
        ("tsi_13_25", 37, "signed percent", "Blau (1991), TASC 9(11)", "smoothed moves over their smoothed size"),
        ("awesome_5_34", 33, "ATR", "Williams (1998), New Trading Dimensions", "middle of 5 bars over that of 34"),
        ("balance_of_power_14", 13, "signed share", "Livshin (2001), TASC 19(8)", "mean body of the range, 14 bars"),
        ("session_return", 14, "ATR", OWN, "close over the session's open"),
    ],
)
ROW = row_of(FEATURES)

_RANGE_14, _ = sliding("range_14", 14, "high", "low", "rsi", "minus_rsi")
_PRESSURE_7, _ = sliding("pressure_7", 7, "buying", "range")
_PRESSURE_14, OF = sliding("pressure_14", 14, "buying", "range", "power")
_PRESSURE_28, _ = sliding("pressure_28", 28, "buying", "range")
_MIDDLE_5, _ = sliding("middle_5", 5, "middle")
_MIDDLE_34, _ = sliding("middle_34", 34, "middle")
STATE = (
    *figures("gain_7", "loss_7", "gain_14", "loss_14", "gain_28", "loss_28"),
    *figures("moved_once", "moved_twice", "size_once", "size_twice"),
    *rings("stochastic"),
    _RANGE_14,
    _PRESSURE_7,
    _PRESSURE_14,
    _PRESSURE_28,
    _MIDDLE_5,
    _MIDDLE_34,
)

ROOT_3, ROOT_6, ROOT_12 = 1.0 / math.sqrt(3.0), 1.0 / math.sqrt(6.0), 1.0 / math.sqrt(12.0)
ROOT_24, ROOT_48, ROOT_72 = 1.0 / math.sqrt(24.0), 1.0 / math.sqrt(48.0), 1.0 / math.sqrt(72.0)


@compiled
def write(s, bar, out):
    close = s.close[s.end - 1]
    _returns(s, close, out)
    _strength(s, out)
    _stochastics(s, close, out)
    _pressure(s, close, out)
    _smoothed(s, out)
    _middles(s, out)
    out.cci_20 = _channel_index(s.typical[s.end - 20 : s.end])
    out.session_return = (close - s.session_open) * s.per_atr


@compiled
def _returns(s, close, out):
    """Log returns over what a random walk of the present volatility would do."""
    logs, end = s.log_close, s.end
    now, earlier = logs[end - 1], logs[end - 13]
    per_volatility = 1.0 / s.volatility if s.volatility > 0.0 else math.nan
    out.return_1 = (now - logs[end - 2]) * per_volatility
    out.return_3 = (now - logs[end - 4]) * (per_volatility * ROOT_3)
    out.return_6 = (now - logs[end - 7]) * (per_volatility * ROOT_6)
    out.return_12 = (now - earlier) * (per_volatility * ROOT_12)
    out.return_24 = (now - logs[end - 25]) * (per_volatility * ROOT_24)
    out.return_48 = (now - logs[end - 49]) * (per_volatility * ROOT_48)
    out.return_72 = (now - logs[end - 73]) * (per_volatility * ROOT_72)
    out.acceleration_12 = ((now - earlier) - (earlier - logs[end - 25])) * (per_volatility * ROOT_24)
    out.roc_12 = close / s.close[end - 13] - 1.0


@compiled
def _strength(s, out):
    if s.count >= 2:
        gain, loss, changes = max(s.change, 0.0), max(-s.change, 0.0), s.count - 1
        s.gain_7, s.loss_7 = wilder(s.gain_7, gain, 7, changes), wilder(s.loss_7, loss, 7, changes)
        s.gain_14, s.loss_14 = wilder(s.gain_14, gain, 14, changes), wilder(s.loss_14, loss, 14, changes)
        s.gain_28, s.loss_28 = wilder(s.gain_28, gain, 28, changes), wilder(s.loss_28, loss, 28, changes)
    out.rsi_7 = _share_of_rises(s.gain_7, s.loss_7)
    out.rsi_14 = _share_of_rises(s.gain_14, s.loss_14)
    out.rsi_28 = _share_of_rises(s.gain_28, s.loss_28)


@compiled
def _share_of_rises(gain, loss):
    moves = gain + loss
    return 100.0 * gain / moves if moves > 0.0 else 50.0


@compiled
def _stochastics(s, close, out):
    block = s.range_14
    block.now[0], block.now[1] = s.high[s.end - 1], -s.low[s.end - 1]
    block.now[2], block.now[3] = out.rsi_14, -out.rsi_14
    slide_highest(block, s.count)
    push(s.stochastic, s.end, _place(close, block.total[0], -block.total[1]))
    out.stochastic_k_14 = s.stochastic[s.end - 1]
    out.stochastic_d_3 = (s.stochastic[s.end - 3] + s.stochastic[s.end - 2] + s.stochastic[s.end - 1]) / 3.0
    out.stochastic_k_55 = _place(close, s.top_55, s.bottom_55)
    out.stochastic_rsi_14 = _place(out.rsi_14, block.total[2], -block.total[3])


@compiled
def _place(value, top, bottom):
    """Percent of the way from the bottom to the top; 50 where they are the same."""
    return 100.0 * (value - bottom) / (top - bottom) if top - bottom > SAME * abs(value) else 50.0


@compiled
def _pressure(s, close, out):
    """Williams' ultimate oscillator: the close over the true low, of the true range; and the balance of power."""
    before = s.close[s.end - 2] if s.count > 1 else close
    low, width = s.low[s.end - 1], s.high[s.end - 1] - s.low[s.end - 1]
    buying = close - min(low, before)
    short, middle, long = s.pressure_7, s.pressure_14, s.pressure_28
    short.now[OF.buying] = middle.now[OF.buying] = long.now[OF.buying] = buying
    short.now[OF.range] = middle.now[OF.range] = long.now[OF.range] = s.true_range
    middle.now[OF.power] = (close - s.open[s.end - 1]) / width if width > 0.0 else 0.0
    slide(short, s.count)
    slide(middle, s.count)
    slide(long, s.count)
    out.ultimate_7_14_28 = 100.0 / 7.0 * (4.0 * _bought(short) + 2.0 * _bought(middle) + _bought(long))
    out.balance_of_power_14 = middle.total[OF.power] / 14.0


@compiled
def _bought(block):
    """Half where nothing moved."""
    return block.total[OF.buying] / block.total[OF.range] if block.total[OF.range] > 0.0 else 0.5


@compiled
def _smoothed(s, out):
    """Blau's true strength: the moves and their sizes, both smoothed twice."""
    if s.count >= 2:
        s.moved_once = exponential(s.moved_once, s.change, 25, s.count - 1)
        s.size_once = exponential(s.size_once, abs(s.change), 25, s.count - 1)
    if s.count >= 26:
        s.moved_twice = exponential(s.moved_twice, s.moved_once, 13, s.count - 25)
        s.size_twice = exponential(s.size_twice, s.size_once, 13, s.count - 25)
    out.tsi_13_25 = 100.0 * s.moved_twice / s.size_twice if s.size_twice > 0.0 else 0.0


@compiled
def _middles(s, out):
    middle = 0.5 * (s.high[s.end - 1] + s.low[s.end - 1])
    s.middle_5.now[0] = s.middle_34.now[0] = middle
    slide(s.middle_5, s.count)
    slide(s.middle_34, s.count)
    out.awesome_5_34 = (s.middle_5.total[0] / 5.0 - s.middle_34.total[0] / 34.0) * s.per_atr


@compiled
def _channel_index(prices):
    """Lambert's commodity channel index; the deviations are measured from the newest price."""
    n, last = prices.shape[0], prices[prices.shape[0] - 1]
    a = b = c = d = 0.0
    for i in range(0, n, 4):
        a += prices[i] - last
        b += prices[i + 1] - last
        c += prices[i + 2] - last
        d += prices[i + 3] - last
    mean = ((a + b) + (c + d)) / n
    a = b = c = d = 0.0
    for i in range(0, n, 4):
        a += abs(prices[i] - last - mean)
        b += abs(prices[i + 1] - last - mean)
        c += abs(prices[i + 2] - last - mean)
        d += abs(prices[i + 3] - last - mean)
    return ratio(-mean, 0.015 * ((a + b) + (c + d)) / n)
