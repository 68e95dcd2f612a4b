"""The loops over closes: the first look at each stock, the market's row, and the stocks beside one another.

All are compiled once and run by batch and online alike; see `step` for how the machine code is kept.
"""

import math
from functools import cache

import numpy as np
from numba import njit

from pipelines.domain.bars import Interval
from pipelines.features import breadth, cross_section, indices, market, newsflow, survey
from pipelines.features.catalogue import CLOSE, CLOSE_FAMILIES, COMPARED, MARKET, OWN
from pipelines.features.dates import calendar_rows
from pipelines.features.outcomes import pattern_rows
from pipelines.features.step import fingerprint, mask

SESSIONS_A_YEAR = 248

_BEGIN = (("count", np.int64), ("end", np.int64))
CLOSE_STATE = np.dtype(
    [*_BEGIN, *market.CLOSE_STATE, *(field for family in CLOSE_FAMILIES for field in family.STATE)], align=True
)

_M = len(market.FEATURES)
_B = _M + len(breadth.FEATURES)
_I = _B + len(indices.FEATURES)
_N = _I + len(newsflow.FEATURES)
_survey, _compare, _market = survey.survey, cross_section.compare, market.market_step
_breadth, _indices, _newsflow = breadth.write, indices.write, newsflow.write
_RETURNS, _KNOWN, _ROSE = survey.SUM.returns, survey.SUM.known, survey.SUM.rose

_CLOSE_NEEDS = np.array([[feature.look_back for feature in MARKET[:_N]]], dtype=np.int64)
#: Earlier bars of the instrument that the features beside the step's need
_LATER_LOOK_BACKS = np.array([feature.look_back for feature in (*OWN, *CLOSE, *COMPARED)], dtype=np.int64)


def _loops(version: int):
    @njit(cache=True, error_model="numpy")
    def run_survey(states, where, bars, look_backs, figures, counts):
        for i in range(bars.shape[0]):
            _survey(states[where[i]], bars[i], look_backs, figures[i], counts[i])
        return version

    @njit(cache=True, error_model="numpy")
    def run_closes(states, sums, levels, needs, longest, out):
        m = states[0]
        for i in range(sums.shape[0]):
            _market(m, sums[i, _RETURNS], sums[i, _KNOWN], sums[i, _ROSE], out[i, :_M])
            _breadth(m, sums[i], levels[i], out[i, _M:_B])
            _indices(m, sums[i], levels[i], out[i, _B:_I])
            _newsflow(m, sums[i], levels[i], out[i, _I:])
            mask(out[i], needs, longest, (m.count - 1,))
        return version

    @njit(cache=True, error_model="numpy")
    def run_compare(figures, scored_at, out):
        for i in range(figures.shape[0]):
            _compare(figures[i], scored_at, out[i])
        return version

    @njit(cache=True, error_model="numpy")
    def run_add(rows, out):
        for i in range(rows.shape[0]):
            for j in range(rows.shape[1]):
                out[j] += rows[i, j]
        return version

    @njit(cache=True, error_model="numpy")
    def run_mask(counts, look_backs, out):
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                if counts[i] <= look_backs[j]:
                    out[i, j] = math.nan
        return version

    return run_survey, run_closes, run_compare, run_add, run_mask


@cache
def _compiled():
    return _loops(fingerprint())


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
    _compiled()[0](states, where, bars, survey.LOOK_BACKS, figures, counts)
    return figures, counts


def market_rows(
    state: np.ndarray,
    times: np.ndarray,
    sums: np.ndarray,
    levels: np.ndarray,
    tallies: np.ndarray,
    interval: Interval,
) -> np.ndarray:
    """Rows of `catalogue.MARKET` at the next closes; `state` (1,) of CLOSE_STATE moves on.

    Parameters
    ----------
    times : array of shape (n,), the closes, microseconds since 1970
    sums : array of shape (n, `survey.COUNTS`), over the stocks of each close in the order of their symbols
    levels : array of shape (n, `indices.INDICES`), where the indices stood; NaN where unknown
    tallies : array of shape (n, `Tally.WIDTH`), the outcomes of all instruments known at each close
    """
    with_year = np.column_stack([levels, np.full(len(times), float(interval.bars_per_day * SESSIONS_A_YEAR))])
    stepped = np.empty((len(times), _N))
    _compiled()[1](state, sums, with_year, _CLOSE_NEEDS, _CLOSE_NEEDS.max(axis=1), stepped)
    return np.hstack([stepped, calendar_rows(times, interval), pattern_rows(tallies, times)])


def compare_stocks(figures: np.ndarray) -> np.ndarray:
    """Figures of shape (closes, stocks, `survey.FIGURES`) to comparisons of shape (closes, stocks, `COMPARED`)."""
    out = np.empty((*figures.shape[:2], len(COMPARED)))
    _compiled()[2](figures, cross_section.SCORED_AT, out)
    return out


def add_up(rows: np.ndarray, out: np.ndarray) -> None:
    """Add rows to `out` one after another, as the batch does stock by stock."""
    _compiled()[3](rows, out)


def finished_rows(
    stepped: np.ndarray, own: np.ndarray, market: np.ndarray, compared: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Whole rows in the catalogue's order.

    Parameters
    ----------
    stepped, own, market, compared : arrays of shape (n, ...), `market` as of `market_rows`
    counts : array of shape (n,), int64, the instrument's bars so far: a feature is NaN for its first `look_back` bars
    """
    later = np.hstack([own, market[:, _M:], compared])
    _compiled()[4](counts, _LATER_LOOK_BACKS, later)
    return np.hstack([stepped, later])
