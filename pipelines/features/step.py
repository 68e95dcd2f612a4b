"""One bar forward: the families joined into one compiled loop, which batch and online both run.

The machine code is kept between processes. Numba looks only at the file of the outermost function to see whether a kept
version is stale, so the loops close over a fingerprint of all sources of this package: another text, another version.
"""

import hashlib
import math
from functools import cache
from pathlib import Path

import numpy as np
from numba import njit

from pipelines.features import (
    breakouts,
    calendar,
    candles,
    market,
    momentum,
    news,
    statistics,
    trend,
    volatility,
    volume,
)
from pipelines.features.catalogue import CATALOGUE, MARKET, MARKET_AT
from pipelines.features.state import IN, advance, push
from pipelines.features.windows import compiled, deviation, wilder

STILL = market.STILL
PARKINSON = 1.0 / (4.0 * math.log(2.0))
GARMAN_KLASS = 2.0 * math.log(2.0) - 1.0
OPENING_BARS = 3

_trend, _momentum, _volatility, _volume = trend.write, momentum.write, volatility.write, volume.write
_candles, _breakouts, _statistics, _market = candles.write, breakouts.write, statistics.write, market.write
_calendar, _news, _market_step = calendar.write, news.write, market.market_step

#: Earlier bars each feature needs, in the catalogue's order; the loops write NaN before
LOOK_BACKS = np.array([feature.look_back for feature in CATALOGUE], dtype=np.int64)
MARKET_LOOK_BACKS = np.array([feature.look_back for feature in MARKET], dtype=np.int64)


@compiled
def _remember_session(s, bar):
    """Figures of the trading session that the bar belongs to."""
    high, low, close, volume = bar[IN.high], bar[IN.low], bar[IN.close], bar[IN.volume]
    if s.count == 1 or bar[IN.session] != s.session:
        s.session = bar[IN.session]
        s.session_bars = 0.0
        s.session_open = bar[IN.open]
        s.session_value = s.session_volume = 0.0
        s.gap_rupees = bar[IN.open] - s.close[s.end - 2] if s.count > 1 else 0.0
        s.range_high, s.range_low = high, low
    if s.session_bars < OPENING_BARS:
        s.range_high = max(s.range_high, high)
        s.range_low = min(s.range_low, low)
    s.session_bars += 1.0
    s.session_value += (high + low + close) / 3.0 * volume
    s.session_volume += volume


@compiled
def _remember(s, bar, market_return):
    """Put the bar into the rings, and the figures that several families use."""
    advance(s)
    end = s.end
    high, low, close = bar[IN.high], bar[IN.low], bar[IN.close]
    _remember_session(s, bar)
    s.open_now = bar[IN.open]
    before = s.close[end - 2] if s.count > 1 else close
    push(s.high, end, high)
    push(s.low, end, low)
    push(s.close, end, close)
    push(s.volume, end, bar[IN.volume])
    push(s.typical, end, (high + low + close) / 3.0)
    push(s.log_return, end, math.log(close / before))
    push(s.market_return, end, market_return)
    width, body = math.log(high / low), math.log(close / bar[IN.open])
    push(s.parkinson, end, PARKINSON * width * width)
    push(s.garman_klass, end, 0.5 * width * width - GARMAN_KLASS * body * body)
    if s.count > 1:
        s.atr = wilder(s.atr, max(high, before) - min(low, before), 14, s.count - 1)
    spread = deviation(s.log_return[end - 24 : end])
    s.volatility = spread if spread > STILL else 0.0
    _remember_streak(s, close, before)


@compiled
def _remember_streak(s, close, before):
    if close > before:
        s.streak = max(s.streak, 0.0) + 1.0
    elif close < before:
        s.streak = min(s.streak, 0.0) - 1.0
    else:
        s.streak = 0.0


@compiled
def _mask(out, look_backs, count):
    for i in range(out.shape[0]):
        if count <= look_backs[i]:
            out[i] = math.nan


@compiled
def _step(s, bar, market_row, look_backs, out):
    _remember(s, bar, market_row[MARKET_AT.market_return_1])
    _trend(s, out)
    _momentum(s, out)
    _volatility(s, out)
    _volume(s, out)
    _candles(s, out)
    _breakouts(s, out)
    _statistics(s, out)
    _market(s, market_row, out)
    _calendar(bar, out)
    _news(s, bar, out)
    _mask(out, look_backs, s.count)


def _fingerprint() -> int:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return int.from_bytes(digest.digest()[:7], "big")


def _loops(fingerprint: int):
    @njit(cache=True, error_model="numpy")
    def run_bars(states, bars, market_rows, look_backs, out):
        s = states[0]
        for i in range(bars.shape[0]):
            _step(s, bars[i], market_rows[i], look_backs, out[i])
        return fingerprint

    @njit(cache=True, error_model="numpy")
    def run_market(states, summed, stocks, rose, look_backs, out):
        m = states[0]
        for i in range(summed.shape[0]):
            _market_step(m, summed[i], stocks[i], rose[i], out[i])
            _mask(out[i], look_backs, m.count)
        return fingerprint

    @njit(cache=True, error_model="numpy")
    def run_returns(closes, before, out):
        for i in range(closes.shape[0]):
            out[i] = math.log(closes[i] / before)
            before = closes[i]
        return fingerprint

    return run_bars, run_market, run_returns


@cache
def _compiled_loops():
    return _loops(_fingerprint())


def step_bars(state: np.ndarray, bars: np.ndarray, market_rows: np.ndarray) -> np.ndarray:
    """Feature rows of the next bars of one instrument; `state` moves on.

    Parameters
    ----------
    state : array of shape (1,), dtype INSTRUMENT_STATE
    bars : array of shape (n, inputs), columns as in `state.INPUTS`
    market_rows : array of shape (n, market features), the market at the same closes

    Returns
    -------
    Array of shape (n, features) in the catalogue's order; NaN while a feature warms up.
    """
    out = np.empty((len(bars), len(LOOK_BACKS)))
    _compiled_loops()[0](state, bars, market_rows, LOOK_BACKS, out)
    return out


def step_market(state: np.ndarray, summed: np.ndarray, stocks: np.ndarray, rose: np.ndarray) -> np.ndarray:
    """Market rows of the next closes, shape (n, market features); `state` (1,) of MARKET_STATE moves on."""
    out = np.empty((len(summed), len(MARKET_LOOK_BACKS)))
    _compiled_loops()[1](state, summed, stocks, rose, MARKET_LOOK_BACKS, out)
    return out


def step_returns(closes: np.ndarray, before: float) -> np.ndarray:
    """One-bar log returns of `closes`, shape (n,); `before` is the close before the first, NaN where there is none."""
    out = np.empty(len(closes))
    _compiled_loops()[2](closes, before, out)
    return out
