"""What a bar looks like beside the bars before it. Nothing later than the bar is looked at.

So a row that was judged stays judged as it was, whatever follows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.domain.bars import PRICE_COLUMNS
from pipelines.domain.portable_math import exps, logs
from pipelines.validate.in_time import Flags, Floats, InTime

WINDOW = 100  #: bars whose median says what is usual
BLOCK = 25  #: bars that share one window, which ends before the first of them
NORMAL = 1.4826  #: a normal deviation over a median absolute one
LEAST_MOVE = 5e-4  #: share under which a usual move is not believed: a quiet instrument moves by its tick
LEAST_SPREAD = 0.2  #: of the logarithm of volume
STANDING = 5  #: bars that a price has to stand before it is asked whether the market moved
CROWD = 5  #: stocks that make a market
LIKELY = 0.05  #: return that one stock counts with at most in the market's mean


def deviations(
    bars: pd.DataFrame,
    in_time: InTime | None = None,
    prices: Sequence[str] = PRICE_COLUMNS,
    close: str = "close",
    *,
    daily: bool = False,
) -> Floats:
    """How far a row's prices lie from what was traded just before, as a share; NaN where nothing was.

    Each price is held against the median of the five closes before it, and against the last of them; the nearer counts.
    After a wild bar the median still stands, after a lasting step the last close does, so that either sets aside one
    bar only. A `daily` bar may also be near to its own open: then the night moved, which is judged by itself.
    """
    rows = in_time or InTime.of(bars)
    last = rows.column(bars, close)
    earlier = [rows.before(last, back) for back in range(1, 6)]
    references = [_median(earlier), earlier[0], *([rows.column(bars, "open")] if daily else [])]
    return rows.back(np.fmin.reduce([_farthest(bars, rows, reference, prices) for reference in references]))


def _farthest(bars: pd.DataFrame, rows: InTime, reference: Floats, prices: Sequence[str] = PRICE_COLUMNS) -> Floats:
    """The largest distance of a row's prices from `reference`, as a share; prices that are missing do not count."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.fmax.reduce([np.abs(rows.column(bars, name) / reference - 1) for name in prices])
    found[np.isinf(found)] = np.nan
    return found


def _median(five: list[Floats]) -> Floats:
    """Median of five columns; where some are missing, of the others."""
    a, b, c, d, e = five
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    found = np.maximum(np.minimum(low, high), np.minimum(np.maximum(low, high), e))
    some = np.flatnonzero(np.isnan(found) & ~np.isnan(np.fmin.reduce(five)))
    found[some] = np.nanmedian(np.stack([one[some] for one in five]), axis=0)
    return found


def overnight_gaps(bars: pd.DataFrame, in_time: InTime | None = None) -> Floats:
    """|open / close of the day before - 1| at an instrument's first bar of each day, NaN elsewhere."""
    rows = in_time or InTime.of(bars)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.abs(rows.column(bars, "open") / rows.before(rows.column(bars, "close")) - 1)
    return rows.back(np.where(rows.opens_day, gap, np.nan))


def jumps(bars: pd.DataFrame, rows: InTime) -> Floats:
    """How many times its usual move a bar moved (robust z); NaN while too little is known.

    A day's first bar is measured from its own open: nights are judged by `overnight_gaps`.
    """
    close, opening = rows.column(bars, "close"), rows.column(bars, "open")
    start = np.where(rows.opens_day, opening, rows.before(close))
    with np.errstate(divide="ignore", invalid="ignore"):
        move = np.abs(close / start - 1)
    move[~np.isfinite(move)] = 0.0
    usual = np.maximum(NORMAL * _usual(move, rows), LEAST_MOVE)
    return rows.back(_farthest(bars, rows, start) / usual)


def volume_surprise(bars: pd.DataFrame, rows: InTime) -> Floats:
    """Distance of log(1 + volume) from its median, in robust deviations; NaN while too little is known."""
    volume = logs(1.0 + np.maximum(rows.column(bars, "volume"), 0.0))
    middle = _usual(volume, rows)
    spread = np.maximum(NORMAL * _usual(volume, rows, around=True), LEAST_SPREAD)
    return rows.back(np.abs(volume - middle) / spread)


def _usual(values: Floats, rows: InTime, around: bool = False) -> Floats:
    """Median (`around`: median distance from it) of the WINDOW values before the block of BLOCK a row stands in."""
    found = np.full(len(values), np.nan)
    starts = np.flatnonzero((rows.place % BLOCK == 0) & (rows.place >= WINDOW))
    if not len(starts):
        return found
    windows = np.lib.stride_tricks.sliding_window_view(values, WINDOW)[starts - WINDOW]
    if around:
        windows = np.abs(windows - np.partition(windows, WINDOW // 2, axis=1)[:, [WINDOW // 2]])
    middle = np.partition(windows, WINDOW // 2, axis=1)[:, WINDOW // 2]
    block = np.maximum.accumulate(np.where(rows.place % BLOCK == 0, np.arange(len(values)), 0))
    known = rows.place >= WINDOW
    found[known] = middle[np.searchsorted(starts, block[known])]
    return found


def repeats(bars: pd.DataFrame, rows: InTime) -> Floats:
    """How many bars in a row, up to the one above, are the same as this one.

    Flat bars at one price are the same only with the same volume; bars without volume never are.
    """
    columns = {name: rows.column(bars, name) for name in (*PRICE_COLUMNS, "volume")}
    same = columns["volume"] > 0
    for name in PRICE_COLUMNS:
        same &= columns[name] == rows.before(columns[name])
    same &= (columns["high"] > columns["low"]) | (columns["volume"] == rows.before(columns["volume"]))
    return rows.back(_run(same))


def stands(bars: pd.DataFrame, rows: InTime, stocks: Flags) -> Floats:
    """By which share the market moved while the close stood, once it stood for STANDING bars; else 0.

    Parameters
    ----------
    stocks : of each row of the table, whether it belongs to a stock: their mean return is the market's
    """
    close = rows.column(bars, "close")
    with np.errstate(divide="ignore", invalid="ignore"):
        move = logs(close / rows.before(close))
    own = stocks[rows.order] & np.isfinite(move)
    place, times = pd.factorize(rows.moment, sort=True)
    crowd = np.bincount(place[own], minlength=len(times))
    total = np.bincount(place[own], np.clip(move[own], -LIKELY, LIKELY), minlength=len(times))
    level = np.cumsum(np.where(crowd >= CROWD, total / np.maximum(crowd, 1), 0.0))[place]
    run = _run(move == 0.0)
    since = np.abs(exps(level - level[np.arange(len(run)) - run.astype(np.int64)]) - 1.0)
    return rows.back(np.where((run >= STANDING) & stocks[rows.order], since, 0.0))


def _run(flags: Flags) -> Floats:
    """How many flags in a row are set, up to and with each place."""
    places = np.arange(len(flags))
    return (places - np.maximum.accumulate(np.where(flags, -1, places))).astype(np.float64)
