"""Which state is which regime: the names of the fit before are kept, and economics decides where there is none.

States of a new fit are matched to the named ones of the fit before by the distance of their densities, the cheapest
matching of all (Kuhn 1955). Only if the names so kept would say the opposite of the figures (a bull market that falls
more than the bear market, a high volatility that is not the highest) the figures name the states anew.

References
----------
Bhattacharyya (1943), Bulletin of the Calcutta Mathematical Society 35, 99-109; Kuhn (1955), Naval Research Logistics
Quarterly 2, 83-97.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipelines.domain.portable_math import whiteners
from pipelines.regimes.filter import ACTIVITY_OBSERVATION, REGIMES, TREND_OBSERVATION, Fit

#: Trend and centred activity that the regimes are expected at. Activity: near the 10th, 30th, 70th and 90th percentile
#: of NIFTY 50, alike on daily bars 1996 to 2023 and five-minute bars 2020 to 2023. Bears are louder than bulls.
EXPECTED_MEANS = np.array([[0.5, -0.2], [-0.5, 0.2], [0.0, -0.5], [0.0, 0.6]])
EXPECTED_COVARIANCE = np.diag([1.0, 0.25 * 0.25])


def name_states(means: np.ndarray, covariances: np.ndarray, centre: np.ndarray, before: Fit | None) -> np.ndarray:
    """For each of REGIMES the number of its state, shape (4,).

    Parameters
    ----------
    means, covariances : of the states as they were found, shapes (4, d) and (4, d, d), measured from `centre`
    before : the fit before, whose states have names
    """
    economic = _match(means, covariances, EXPECTED_MEANS, np.tile(EXPECTED_COVARIANCE, (len(REGIMES), 1, 1)))
    if before is None:
        return economic
    kept = _match(means, covariances, before.means + before.centre - centre, before.covariances)
    return kept if _sound(means[kept]) or not _sound(means[economic]) else economic


def renamed(fits: Sequence[Fit]) -> list[str]:
    """A note for each fit whose names do not go on from the fit before: where the figures renamed its states."""
    notes = []
    for before, fit in pairwise(fits):
        kept = _match(fit.means, fit.covariances, before.means + before.centre - fit.centre, before.covariances)
        if (kept != np.arange(len(REGIMES))).any():
            was = ", ".join(f"{REGIMES[i]} was {REGIMES[int(np.flatnonzero(kept == i)[0])]}" for i in _moved(kept))
            notes.append(f"the fit on {fit.bars:,} bars renames its states, since the figures changed: {was}")
    return notes


def _moved(kept: np.ndarray) -> list[int]:
    return [int(i) for i in range(len(kept)) if kept[i] != i]


def _sound(means: np.ndarray) -> bool:
    """Do named states say what their names say?"""
    bull, bear, _, loud = means
    calm = np.delete(means[:, ACTIVITY_OBSERVATION], REGIMES.index("high_volatility"))
    return bool(bull[TREND_OBSERVATION] > bear[TREND_OBSERVATION] and loud[ACTIVITY_OBSERVATION] > calm.max())


def _match(means: np.ndarray, covariances: np.ndarray, to: np.ndarray, to_covariances: np.ndarray) -> np.ndarray:
    """For each row of `to` the state nearest to it when all are matched at the least total distance."""
    cost = np.empty((len(to), len(means)))
    for i in range(len(to)):
        for j in range(len(means)):
            cost[i, j] = _distance(to[i], to_covariances[i], means[j], covariances[j])
    return linear_sum_assignment(cost)[1]


def _distance(one: np.ndarray, one_covariance: np.ndarray, two: np.ndarray, two_covariance: np.ndarray) -> float:
    """Bhattacharyya's distance of two Gaussian densities."""
    both = (one_covariance + two_covariance) / 2.0
    factors, logarithms = whiteners(np.stack([both, one_covariance, two_covariance]))
    whitened = [math.fsum(row) for row in (factors[0] * (one - two)).tolist()]
    apart = math.fsum(value * value for value in whitened) / 8.0
    return apart + float((logarithms[1] + logarithms[2]) / 2.0 - logarithms[0])
