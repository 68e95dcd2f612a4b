"""One bar forward: the families joined into one compiled loop, which batch and online both run.

The machine code is kept between processes and workspaces, see `pipelines.domain.compiled`.
"""

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from pipelines.domain.compiled import kept
from pipelines.domain.portable_math import log
from pipelines.features.catalogue import FAMILIES, STEP
from pipelines.features.definition import Feature
from pipelines.features.sliding import slide, slide_highest, slide_line, slide_newest
from pipelines.features.state import INPUT_ROW, OF_24, OF_48, SHARED, advance, push
from pipelines.features.windows import STILL, STILL_RANGE, compiled, scatter, wilder

INSTRUMENT_STATE = np.dtype([*SHARED, *(field for family in FAMILIES for field in family.STATE)], align=True)


def _needs(features: Sequence[Feature]) -> np.ndarray:
    """What must be over before each feature is known, shape (4, features): bars, quarters, hours, sessions."""
    wanted = [[f.look_back, f.quarters, f.hours, f.sessions] for f in features]
    return np.array(wanted, dtype=np.int64).T.copy()


NEEDS = _needs(STEP)
LONGEST = NEEDS.max(axis=1)


def new_states(count: int, kind: np.dtype = INSTRUMENT_STATE) -> np.ndarray:
    """`count` states that have seen no bar."""
    return np.zeros(count, dtype=kind)


@compiled
def _remember(s, bar):
    """Put the bar into the rings, and the figures that several families use."""
    advance(s)
    end = s.end
    high, low, close = bar.high, bar.low, bar.close
    before = s.close[end - 2] if s.count > 1 else close
    if s.count == 1 or bar.session != s.session:
        _begin_session(s, bar, before)
    s.session_bars += 1.0
    s.session_high, s.session_low = max(s.session_high, high), min(s.session_low, low)
    push(s.open, end, bar.open)
    push(s.high, end, high)
    push(s.low, end, low)
    push(s.close, end, close)
    push(s.volume, end, bar.volume)
    push(s.typical, end, (high + low + close) / 3.0)
    push(s.market_return, end, bar.market_return)
    s.change = close - before
    s.true_range = max(high, before) - min(low, before)
    if s.count > 1:
        s.atr = wilder(s.atr, s.true_range, 14, s.count - 1)
    s.per_atr = 1.0 / s.atr if s.atr > STILL_RANGE * close else math.nan
    _remember_logs(s, bar)
    _remember_returns(s, bar.market_return)
    _remember_channels(s, high, low)
    s.mean_20, spread, _ = slide_line(s.closes_20, close, s.count)
    s.spread_20 = math.sqrt(spread / 20.0)


@compiled
def _remember_logs(s, bar):
    end = s.end
    s.log_open, s.log_high, s.log_low = log(bar.open), log(bar.high), log(bar.low)
    log_close = log(bar.close)
    push(s.log_return, end, log_close - s.log_close[end - 2] if s.count > 1 else 0.0)
    push(s.log_close, end, log_close)


@compiled
def _remember_returns(s, market_return):
    """Powers and products of the returns, summed over 24 and 48 bars; the spread of 24 is the volatility."""
    own, size_before = s.log_return[s.end - 1], abs(s.log_return[s.end - 2])
    square = own * own
    short, long = s.returns_24, s.returns_48
    short.now[OF_24.own] = long.now[OF_48.own] = own
    short.now[OF_24.square] = long.now[OF_48.square] = square
    short.now[OF_24.cube] = square * own
    short.now[OF_24.fourth] = square * square
    short.now[OF_24.down] = square if own < 0.0 else 0.0
    short.now[OF_24.bipower] = abs(own) * size_before
    short.now[OF_24.rise] = 1.0 if own > 0.0 else 0.0
    long.now[OF_48.market] = market_return
    long.now[OF_48.market_square] = market_return * market_return
    long.now[OF_48.product] = own * market_return
    slide(short, s.count)
    slide(long, s.count)
    spread = math.sqrt(scatter(short.total[OF_24.own], short.total[OF_24.square], 24) / 23.0)
    s.volatility = spread if spread > STILL else 0.0


@compiled
def _remember_channels(s, high, low):
    s.earlier_top_20, s.earlier_bottom_20 = s.top_20, s.bottom_20
    s.earlier_top_55, s.earlier_bottom_55 = s.top_55, s.bottom_55
    s.extremes_20.now[0] = s.extremes_55.now[0] = high
    s.extremes_20.now[1] = s.extremes_55.now[1] = -low
    slide_highest(s.extremes_20, s.count)
    slide_newest(s.extremes_55, s.count)
    s.top_20, s.bottom_20 = s.extremes_20.total[0], -s.extremes_20.total[1]
    s.top_55, s.bottom_55 = s.extremes_55.total[0], -s.extremes_55.total[1]


@compiled
def _begin_session(s, bar, before):
    """A bar of another day is the first of its session, and the session before is over."""
    if s.count > 1:
        s.sessions += 1
    s.last_high, s.last_low, s.last_close = s.session_high, s.session_low, before
    s.session = bar.session
    s.session_bars = 0.0
    s.session_open = bar.open
    s.session_high, s.session_low = bar.high, bar.low
    s.gap_rupees = bar.open - before if s.count > 1 else 0.0


@compiled
def mask(out, needs, longest, done):
    """NaN where less is over than a feature needs; nothing to do once there is more than any of them needs."""
    for k in range(needs.shape[0]):
        if done[k] < longest[k]:
            for i in range(out.shape[0]):
                if done[k] < needs[k, i]:
                    out[i] = math.nan


def _joined(families: Sequence[ModuleType]):
    """One function that lets each family fill its own part of the row, in order."""
    write, name = families[0].write, _name(families[0])
    if len(families) == 1:

        @compiled
        def last(s, bar, row):
            write(s, bar, row[name])

        return last

    others = _joined(families[1:])

    @compiled
    def several(s, bar, row):
        write(s, bar, row[name])
        others(s, bar, row)

    return several


def _name(family: ModuleType) -> str:
    return family.__name__.rpartition(".")[2]


# A global, since what a loop closes over is part of its kept version's key, and a compiled function never pickles alike
_write_all = _joined(FAMILIES)


#: A row of `catalogue.STEP`, family by family
ROW = np.dtype([(_name(family), family.ROW) for family in FAMILIES])


@kept(error_model="numpy", nogil=True)
def _run_bars(states, where, bars, needs, longest, rows, out):
    for i in range(bars.shape[0]):
        s = states[where[i]]
        _remember(s, bars[i])
        _write_all(s, bars[i], rows[i])
        mask(out[i], needs, longest, (s.count - 1, s.quarters, s.hours, s.sessions))


def step_bars(states: np.ndarray, where: np.ndarray, bars: np.ndarray, out: "StepRows") -> np.ndarray:
    """Feature rows of the next bars: of one instrument in order, or of many at one close; the states move on.

    Parameters
    ----------
    states : array of shape (instruments,), dtype INSTRUMENT_STATE
    where : array of shape (n or more,), int64, the state each bar belongs to
    bars : array of shape (n,) of records, see `as_records`
    out : room for n rows or more, which is written over

    Returns
    -------
    Array of shape (n, features of `catalogue.STEP`), which lies in `out`; NaN while a feature warms up.
    """
    values = out.values[: len(bars)]
    _run_bars(states, where, bars, NEEDS, LONGEST, out.records, values)
    return values


class StepRows:
    """Room for `count` rows of `step_bars`: the same numbers as an array and as records."""

    def __init__(self, count: int):
        self.values = np.empty((count, NEEDS.shape[1]))
        self.records = self.values.view(ROW).reshape(count)


def as_records(bars: np.ndarray) -> np.ndarray:
    """Rows of `state.INPUTS` as records, without a copy; shape (n,)."""
    return bars.view(INPUT_ROW).reshape(len(bars))
