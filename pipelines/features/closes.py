"""The loops over closes: the first look at each stock, the market's row, and the stocks beside one another.

All are compiled once and run by batch and online alike; see `step` for how the machine code is kept.
"""

import math
from datetime import date, timedelta

import numpy as np

from pipelines.domain.bars import Interval
from pipelines.domain.compiled import kept
from pipelines.domain.market_calendar import regular_bars
from pipelines.features import breadth, cross_section, indices, market, newsflow, survey
from pipelines.features.catalogue import CLOSE_FAMILIES, COMPARED, MARKET, OWN, STEP
from pipelines.features.dates import calendar_rows
from pipelines.features.inputs import IST_US, MICROSECONDS_PER_DAY
from pipelines.features.outcomes import pattern_rows
from pipelines.features.state import advance
from pipelines.features.step import as_records, mask
from pipelines.features.windows import compiled

SESSIONS_A_YEAR = 248
_EPOCH = date(1970, 1, 1)

_BEGIN = (("count", np.int64), ("end", np.int64))
CLOSE_STATE = np.dtype([*_BEGIN, *(field for family in CLOSE_FAMILIES for field in family.STATE)], align=True)

_M = len(market.FEATURES)
_B = _M + len(breadth.FEATURES)
_I = _B + len(indices.FEATURES)
_N = _I + len(newsflow.FEATURES)
_survey, _compare = survey.survey, cross_section.compare
_market, _breadth, _indices, _newsflow = market.write, breadth.write, indices.write, newsflow.write

_CLOSE_NEEDS = np.array([[feature.look_back for feature in MARKET[:_N]]], dtype=np.int64)
_STRIP = 8  #: columns that are turned at once
_OWN = len(OWN)
#: Lines of `catalogue.OWN` among those of a whole row
OWN_LINES = slice(len(STEP), len(STEP) + _OWN)
#: Earlier bars of the instrument that the features of a close and of a comparison need
_LOOK_BACKS = np.array([feature.look_back for feature in (*MARKET, *COMPARED)], dtype=np.int64)


@kept(error_model="numpy", nogil=True)
def _run_survey(states, where, bars, look_backs, figures, counts):
    for i in range(bars.shape[0]):
        _survey(states[where[i]], bars[i], look_backs, figures[i], counts[i])


@kept(error_model="numpy", nogil=True)
def _run_closes(states, sums, levels, needs, longest, out):
    m = states[0]
    for i in range(sums.shape[0]):
        advance(m)
        _market(m, sums[i], levels[i], out[i, :_M])
        _breadth(m, sums[i], levels[i], out[i, _M:_B])
        _indices(m, sums[i], levels[i], out[i, _B:_I])
        _newsflow(m, sums[i], levels[i], out[i, _I:])
        mask(out[i], needs, longest, (m.count - 1,))


@kept(error_model="numpy", nogil=True)
def _run_compare(figures, score_of, out):
    known, places = np.empty(figures.shape[1]), np.empty(figures.shape[1], dtype=np.int64)
    for i in range(figures.shape[0]):
        _compare(figures[i], score_of, known, places, out[i])


@kept(error_model="numpy", nogil=True)
def _run_add(rows, out):
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[j] += rows[i, j]


@kept(error_model="numpy", nogil=True)
def _run_lay_out(stepped, market, at, compared, counts, look_backs, first, out):
    length, later = len(stepped), stepped.shape[1] + _OWN
    _turn(stepped, first, out, 0)
    _turn(compared, first, out, later + market.shape[0])
    for j in range(market.shape[0]):
        for i in range(length):
            out[later + j, first + i] = market[j, at[i]]
    fewest = counts.min()
    for j in range(look_backs.shape[0]):
        if fewest <= look_backs[j]:
            for i in range(length):
                if counts[i] <= look_backs[j]:
                    out[later + j, first + i] = math.nan


@compiled
def _turn(rows, first, out, column):
    """Rows into columns of `out` from `column` on, a strip at a time: as wide as a line of memory is read."""
    length, width = rows.shape
    whole = width - width % _STRIP
    for j in range(0, whole, _STRIP):
        for i in range(length):
            for k in range(_STRIP):
                out[column + j + k, first + i] = rows[i, j + k]
    for j in range(whole, width):
        for i in range(length):
            out[column + j, first + i] = rows[i, j]


def survey_bars(states: np.ndarray, where: np.ndarray, bars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What stocks tell of themselves: of one in order of time, or of many at one close; the states move on.

    Parameters
    ----------
    states : array of shape (stocks,), dtype SURVEY_STATE
    where : array of shape (n,), int64, the state each bar belongs to
    bars : array of shape (n, inputs), columns as in `state.INPUTS`

    Returns
    -------
    Figures of shape (n, `survey.FIGURES`), and what is added to the closes' sums, of shape (n, `survey.COUNTS`).
    """
    figures = np.empty((len(bars), len(survey.FIGURES)))
    counts = np.empty((len(bars), len(survey.COUNTS)))
    _run_survey(states, where, as_records(bars), survey.LOOK_BACKS, figures, counts)
    return figures, counts


def market_columns(
    state: np.ndarray,
    times: np.ndarray,
    sums: np.ndarray,
    levels: np.ndarray,
    tallies: np.ndarray,
    interval: Interval,
) -> np.ndarray:
    """`catalogue.MARKET` at the next closes, shape (features, n); `state` (1,) of CLOSE_STATE moves on.

    Parameters
    ----------
    times : array of shape (n,), the closes, microseconds since 1970
    sums : array of shape (n, `survey.COUNTS`), over the stocks of each close in the order of their symbols
    levels : array of shape (n, `indices.INDICES`), where the indices stood; NaN where unknown
    tallies : array of shape (n, `Tally.WIDTH`), the outcomes of all instruments known at each close
    """
    with_year = np.column_stack([levels, bars_a_year(times, interval)])
    stepped = np.empty((len(times), _N))
    _run_closes(state, sums, with_year, _CLOSE_NEEDS, _CLOSE_NEEDS.max(axis=1), stepped)
    rows = np.hstack([stepped, calendar_rows(times, interval), pattern_rows(tallies, times)])
    return np.ascontiguousarray(rows.T)


def bars_a_year(times: np.ndarray, interval: Interval) -> np.ndarray:
    """Bars of a year of regular sessions as they were on the day of each close, shape (n,)."""
    days, at = np.unique((times + IST_US) // MICROSECONDS_PER_DAY, return_inverse=True)
    bars = [regular_bars(_EPOCH + timedelta(days=int(day)), interval) for day in days]
    return np.array(bars, dtype=np.float64)[at] * SESSIONS_A_YEAR


def compare_stocks(figures: np.ndarray) -> np.ndarray:
    """Figures of shape (closes, stocks, `survey.FIGURES`) to comparisons of shape (closes, stocks, `COMPARED`)."""
    out = np.empty((*figures.shape[:2], len(COMPARED)))
    _run_compare(figures, cross_section.SCORE_OF, out)
    return out


def add_up(rows: np.ndarray, out: np.ndarray) -> None:
    """Add rows to `out` one after another, as the batch does stock by stock."""
    _run_add(rows, out)


def lay_out(
    stepped: np.ndarray,
    market: np.ndarray,
    at: np.ndarray,
    compared: np.ndarray,
    counts: np.ndarray,
    first: int,
    out: np.ndarray,
) -> None:
    """Put the parts of n rows side by side, in the catalogue's order, into `out`: a line a feature, as tables hold it.

    Parameters
    ----------
    stepped, compared : arrays of shape (n, ...)
    market : array of shape (`catalogue.MARKET`, closes), as of `market_columns`
    at : array of shape (n,), int64, the close of each row in `market`
    counts : array of shape (n,), int64, the instrument's bars so far: a feature is NaN for its first `look_back` bars
    first : where in `out` the rows begin
    out : array of shape (features, rows); the lines of `OWN_LINES` are left as they are
    """
    _run_lay_out(stepped, market, at, compared, counts, _LOOK_BACKS, first, out)
