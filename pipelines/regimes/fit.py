"""Fitting the hidden Markov model on the past: expectation maximisation under a prior of what regimes look like.

A history of a week has not seen all four regimes. So each state is held at the place where its regime is expected by
some seven sessions of five-minute bars; a state that the past never visited stays there, instead of taking a share of
another one's noise. As many pseudo-bars hold the arrows between the states: what the past never visited can be entered.

References
----------
Hamilton (1989), Econometrica 57(2), 357-384; Rabiner (1989), Proceedings of the IEEE 77(2), 257-286; Gauvain and Lee
(1994), IEEE Transactions on Speech and Audio Processing 2(2), 291-298, on the prior.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.domain.errors import TradeSageError
from pipelines.regimes.filter import LIMITS, REGIMES, Fit
from pipelines.regimes.labels import EXPECTED_COVARIANCE, EXPECTED_MEANS, name_states, renamed

STATES = len(REGIMES)
ROUNDS = 60  #: of the expectation maximisation, at most
LEAST_OBSERVATIONS = 50  #: with fewer nothing is fitted
PRIOR_BARS = 500.0  #: pseudo-bars that hold a state's mean, covariance and arrows where its regime is expected
STAY = 1.0 - 1.0 / 200.0  #: expected probability of staying for a bar: regimes that flicker are of no use
MIN_COVARIANCE = 1e-3  #: added to the diagonal


class DegenerateFit(TradeSageError):
    """The observations do not vary, or the expectation maximisation did not lead to finite states."""


@dataclass(frozen=True)
class Fits:
    fits: tuple[Fit, ...]
    notes: tuple[str, ...]


def fit_history(
    times: Sequence[datetime], observations: np.ndarray, min_bars: int, window_bars: int, refits: int
) -> Fits:
    """Fits over a history, each on its own past: the last `window_bars` before it, or all there are.

    The first is made after `min_bars` observations, each further one after twice as many as the one before, but half a
    window later at most; `refits` in all. So the moments do not depend on how long the history is, and the past stays
    when later bars arrive.

    Parameters
    ----------
    times : closes, ascending, length n
    observations : array of shape (n, d) in market units, without NaN
    min_bars, window_bars, refits : see `params.yaml`

    Returns
    -------
    Fits, oldest first, with notes on what could not be fitted and on names that changed. A history not longer than
    `min_bars` gets an earlier first fit; one of fewer than 50 observations gets none.
    """
    first, notes = _first_fit(len(observations), min_bars)
    fits: list[Fit] = []
    for bars in fit_moments(first, window_bars, refits, len(observations)):
        try:
            past = observations[max(0, bars - window_bars) : bars]
            fits.append(fit_past(past, times[bars], fits[-1] if fits else None))
        except DegenerateFit as error:
            notes.append(f"no fit after {bars:,} market bars: {error}")
    return Fits(tuple(fits), (*notes, *renamed(fits)))


def fit_moments(first: int, window_bars: int, refits: int, available: int) -> list[int]:
    """After how many observations a fit is made; none without a first."""
    moments: list[int] = []
    bars = first
    while first and bars < available and len(moments) < refits:
        moments.append(bars)
        bars += min(bars, max(window_bars // 2, 1))
    return moments


def _first_fit(available: int, min_bars: int) -> tuple[int, list[str]]:
    first = min_bars
    while first >= max(available, LEAST_OBSERVATIONS):
        first //= 2
    if first < LEAST_OBSERVATIONS or first >= available:
        return 0, [
            f"regimes stay unknown: a fit needs more than {LEAST_OBSERVATIONS} warm market bars, found {available:,}"
        ]
    if first < min_bars:
        return first, [f"first fit on {first:,} market bars: the history of {available:,} is short of {min_bars:,}"]
    return first, []


def fit_past(observations: np.ndarray, valid_from: datetime, before: Fit | None = None) -> Fit:
    """One fit on all of `observations`, shape (n, d), to be used from `valid_from` on.

    `before`, the fit before, hands on the names of its states. Trend is measured from zero, activity from its median.

    Raises
    ------
    DegenerateFit : if an observation does not vary or no proper states were found.
    """
    if not (observations.std(axis=0) > 1e-12).all():
        raise DegenerateFit("the market did not move; check the bars")
    centre = np.array([0.0, float(np.median(observations[:, 1]))])
    centred = np.clip(observations - centre, -LIMITS, LIMITS)
    hmm, likelihood = _maximise(centred)
    order = name_states(hmm.means_, hmm.covars_, centre, before)
    return Fit(
        valid_from=valid_from,
        bars=len(centred),
        centre=centre,
        start=hmm.startprob_[order],
        transition=hmm.transmat_[np.ix_(order, order)],
        means=hmm.means_[order],
        covariances=hmm.covars_[order],
        log_likelihood=likelihood,
    )


def _maximise(centred: np.ndarray):
    """The fitted model and its likelihood per bar."""
    from pipelines.regimes.expectation import PortableHMM  # hmmlearn takes seconds to import

    leave = (1.0 - STAY) / (STATES - 1)
    arrows = np.full((STATES, STATES), leave) + np.eye(STATES) * (STAY - leave)
    hmm = PortableHMM(
        n_components=STATES,
        covariance_type="full",
        min_covar=MIN_COVARIANCE,
        covars_prior=PRIOR_BARS * EXPECTED_COVARIANCE,
        covars_weight=PRIOR_BARS + centred.shape[1],  # hmmlearn takes the dimensions off again
        means_prior=EXPECTED_MEANS,
        means_weight=PRIOR_BARS,
        n_iter=ROUNDS,
        tol=0.1,
        init_params="",  # our own start, where the prior is
        params="tmc",  # all regimes are as likely at the first use, whatever the past began with
        transmat_prior=1.0 + PRIOR_BARS * arrows,
    )
    hmm.startprob_ = np.full(STATES, 1.0 / STATES)
    hmm.transmat_ = arrows
    hmm.means_ = EXPECTED_MEANS.copy()
    hmm.covars_ = np.tile(EXPECTED_COVARIANCE, (STATES, 1, 1))
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # a fit that does not converge is judged below
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hmm.fit(centred)
            likelihood = float(hmm.score(centred)) / len(centred)
    except (ValueError, np.linalg.LinAlgError) as error:
        raise DegenerateFit(f"no four states in {len(centred):,} bars ({error}); give a longer history") from None
    if not (np.isfinite(likelihood) and np.isfinite(hmm.means_).all() and np.isfinite(hmm.covars_).all()):
        raise DegenerateFit(f"no four states in {len(centred):,} bars; give a longer history")
    return hmm, likelihood
