"""Fitting the hidden Markov model on the past: expectation maximisation from a few starts, the likeliest is kept.

References
----------
Hamilton (1989), Econometrica 57(2), 357-384; Rabiner (1989), Proceedings of the IEEE 77(2), 257-286.
"""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from pipelines.domain.errors import TradeSageError
from pipelines.regimes.filter import (
    LIMIT,
    REGIMES,
    RETURN_OBSERVATION,
    VOLATILITY_OBSERVATION,
    Fit,
)

STATES = len(REGIMES)
STARTS = 3  #: starting points of the expectation maximisation
ROUNDS = 60  #: at most, for each start
LEAST_OBSERVATIONS = 50  #: with fewer nothing is fitted
LEAST_OCCUPANCY = 0.01  #: share of the bars a state should explain: such fits are preferred to those with an idle state
PRIOR_BARS = 5.0  #: pseudo-bars that hold a state's mean and covariance at its start, so that an idle state stays sound
STICKINESS = 20.0  #: pseudo-counts of staying: regimes that flicker from bar to bar are of no use
MIN_COVARIANCE = 1e-2  #: of standardised observations, added to the diagonal


class DegenerateFit(TradeSageError):
    """The observations do not vary, or no start of the expectation maximisation led to finite states."""


@dataclass(frozen=True)
class Fits:
    fits: tuple[Fit, ...]
    notes: tuple[str, ...]


def fit_history(times: Sequence[datetime], observations: np.ndarray, min_bars: int, refits: int, seed: int) -> Fits:
    """Fits over a history, each on its own past.

    The first is made after `min_bars` observations, each further one after twice as many as the one before, `refits` at
    most. So the moments do not depend on how long the history is, and the past stays when later bars arrive.

    Parameters
    ----------
    times : closes, ascending, length n
    observations : array of shape (n, d) in market units, without NaN
    min_bars, refits, seed : see `params.yaml`

    Returns
    -------
    Fits, oldest first, with notes on what could not be fitted. A history not longer than `min_bars` gets an earlier
    first fit; one of fewer than 50 observations gets none.
    """
    first, notes = _first_fit(len(observations), min_bars)
    fits: list[Fit] = []
    for bars in (first * 2**i for i in range(refits)):
        if not first or bars >= len(observations):
            break
        try:
            fits.append(fit_past(observations[:bars], times[bars], seed))
        except DegenerateFit as error:
            notes.append(f"no fit on the first {bars:,} market bars: {error}")
    return Fits(tuple(fits), tuple(notes))


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


def fit_past(observations: np.ndarray, valid_from: datetime, seed: int) -> Fit:
    """One fit on all of `observations`, shape (n, d), to be used from `valid_from` on.

    Raises
    ------
    DegenerateFit : if an observation does not vary or no start gives four proper states.
    """
    mean, scale = observations.mean(axis=0), observations.std(axis=0)
    if not (scale > 1e-12).all():
        raise DegenerateFit("the market did not move; check the bars")
    standard = np.clip((observations - mean) / scale, -LIMIT, LIMIT)
    tried = [_maximise(standard, np.random.default_rng([seed, start]) if start else None) for start in range(STARTS)]
    found = [attempt for attempt in tried if attempt is not None]
    if not found:
        raise DegenerateFit(
            f"none of {STARTS} starts found four states in {len(standard):,} bars; give a longer history"
        )
    _, likelihood, hmm = max(found, key=lambda attempt: attempt[:2])
    order = regime_order(hmm.means_)
    return Fit(
        valid_from=valid_from,
        bars=len(standard),
        mean=mean,
        scale=scale,
        start=hmm.startprob_[order],
        transition=hmm.transmat_[np.ix_(order, order)],
        means=hmm.means_[order],
        covariances=hmm.covars_[order],
        log_likelihood=likelihood,
    )


def regime_order(means: np.ndarray) -> np.ndarray:
    """Which state is which regime, in the order of REGIMES.

    The most volatile is `high_volatility`; of the others the one with the highest return is `bull`, with the lowest
    `bear`, the middle one `range`.
    """
    turbulent = int(np.argmax(means[:, VOLATILITY_OBSERVATION]))
    others = [state for state in np.argsort(means[:, RETURN_OBSERVATION], kind="stable") if state != turbulent]
    bear, level, bull = others
    return np.array([bull, bear, level, turbulent])


def _maximise(standard: np.ndarray, random: np.random.Generator | None):
    """From one start: are all states in use, likelihood per bar, the fitted model; None if it is not finite."""
    from hmmlearn.hmm import GaussianHMM
    from threadpoolctl import threadpool_limits

    means = _starting_means(standard, random)
    spread = np.cov(standard.T) * 0.5 + MIN_COVARIANCE * np.eye(standard.shape[1])
    hmm = GaussianHMM(
        n_components=STATES,
        covariance_type="full",
        min_covar=MIN_COVARIANCE,
        covars_prior=PRIOR_BARS * spread,
        covars_weight=PRIOR_BARS + standard.shape[1],  # hmmlearn takes the dimensions off again
        means_prior=means,
        means_weight=PRIOR_BARS,
        n_iter=ROUNDS,
        tol=0.1,
        init_params="",  # our own start: hmmlearn's k-means sums in an order that threads decide
        transmat_prior=1.0 + STICKINESS * np.eye(STATES),
    )
    hmm.startprob_ = np.full(STATES, 1.0 / STATES)
    hmm.transmat_ = np.full((STATES, STATES), 0.02 / (STATES - 1)) + np.eye(STATES) * (0.98 - 0.02 / (STATES - 1))
    hmm.means_ = means
    hmm.covars_ = np.tile(spread, (STATES, 1, 1))
    logging.getLogger("hmmlearn").setLevel(logging.ERROR)  # a start that does not converge is judged below
    try:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hmm.fit(standard)
            likelihood, shares = hmm.score_samples(standard)
    except (ValueError, np.linalg.LinAlgError):
        return None
    if not (np.isfinite(likelihood) and np.isfinite(hmm.means_).all() and np.isfinite(hmm.covars_).all()):
        return None
    return bool(shares.mean(axis=0).min() >= LEAST_OCCUPANCY), float(likelihood) / len(standard), hmm


def _starting_means(standard: np.ndarray, random: np.random.Generator | None) -> np.ndarray:
    """The most volatile fifth, and thirds of the rest by return; with `random` shaken by half a deviation."""
    turbulent = standard[:, VOLATILITY_OBSERVATION] >= np.quantile(standard[:, VOLATILITY_OBSERVATION], 0.8)
    calm = standard[~turbulent] if (~turbulent).sum() >= STATES else standard
    ordered = calm[np.argsort(calm[:, RETURN_OBSERVATION], kind="stable")]
    means = np.array([part.mean(axis=0) for part in (*np.array_split(ordered, 3), standard[turbulent])])
    return means if random is None else means + random.normal(0.0, 0.5, means.shape)
