"""The expectation step of the hidden Markov model, one bar after another: the same bits on every processor.

hmmlearn keeps the rounds, the maximisation and the prior; its own expectation step multiplies matrices, and BLAS adds
in an order that the processor and its threads decide.
"""

import math

import numpy as np
from hmmlearn.hmm import GaussianHMM

from pipelines.domain.compiled import kept
from pipelines.domain.portable_math import exp, log, whiteners


class PortableHMM(GaussianHMM):
    """hmmlearn's model with full covariances, its expectation step in a fixed order."""

    def _do_estep(self, X, lengths):
        stats, likelihood = _expected(self, X)
        return {"nobs": len(lengths)} | stats, likelihood

    def score(self, X, lengths=None) -> float:
        """Logarithm of the likelihood of all observations."""
        del lengths  # one sequence
        return _expected(self, X)[1]


def _expected(model: PortableHMM, observations: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
    factors, logarithms = whiteners(np.ascontiguousarray(model.covars_, dtype=np.float64))
    if not np.isfinite(logarithms).all():
        raise ValueError("a covariance is not positive definite")
    states, dimensions = np.shape(model.means_)
    stats = {
        "start": np.zeros(states),
        "trans": np.zeros((states, states)),
        "post": np.zeros(states),
        "obs": np.zeros((states, dimensions)),
        "obs**2": np.zeros((states, dimensions)),
        "obs*obs.T": np.zeros((states, dimensions, dimensions)),
    }
    likelihood = _expect(
        np.ascontiguousarray(observations, dtype=np.float64),
        np.ascontiguousarray(model.startprob_, dtype=np.float64),
        np.ascontiguousarray(model.transmat_, dtype=np.float64),
        np.ascontiguousarray(model.means_, dtype=np.float64),
        factors,
        logarithms,
        stats["start"],
        stats["trans"],
        stats["post"],
        stats["obs"],
        stats["obs*obs.T"],
    )
    return stats, float(likelihood)


@kept(error_model="numpy")
def _expect(seen, start, transition, means, factors, logarithms, first, moves, weights, sums, products):
    """Forward and backward, each bar scaled to sum to one; the expected counts are added to the last five.

    Returns the logarithm of the likelihood.
    """
    bars, dimensions = seen.shape
    states = len(means)
    dense, forward = np.empty((bars, states)), np.empty((bars, states))
    scale = np.empty(bars)
    likelihood = -0.5 * dimensions * log(2.0 * math.pi) * bars
    for t in range(bars):
        highest = -math.inf
        for j in range(states):
            away = 0.0
            for row in range(dimensions):
                whitened = 0.0
                for column in range(row + 1):
                    whitened += factors[j, row, column] * (seen[t, column] - means[j, column])
                away += whitened * whitened
            dense[t, j] = logarithms[j] - 0.5 * away
            highest = max(highest, dense[t, j])
        total = 0.0
        for j in range(states):
            dense[t, j] = exp(dense[t, j] - highest)
            expected = start[j]
            if t > 0:
                expected = 0.0
                for i in range(states):
                    expected += forward[t - 1, i] * transition[i, j]
            forward[t, j] = expected * dense[t, j]
            total += forward[t, j]
        for j in range(states):
            forward[t, j] /= total
        scale[t] = total
        likelihood += highest + log(total)
    backward, before = np.ones(states), np.empty(states)
    for t in range(bars - 1, -1, -1):
        for j in range(states):
            weight = forward[t, j] * backward[j]
            weights[j] += weight
            for row in range(dimensions):
                sums[j, row] += weight * seen[t, row]
                for column in range(dimensions):
                    products[j, row, column] += weight * seen[t, row] * seen[t, column]
            if t == 0:
                first[j] += weight
        if t > 0:
            for i in range(states):
                before[i] = 0.0
                for j in range(states):
                    way = transition[i, j] * dense[t, j] * backward[j] / scale[t]
                    before[i] += way
                    moves[i, j] += forward[t - 1, i] * way
            backward[:] = before
    return likelihood
