"""The consensus: heads vote with weights earned on past labels, by regime, shrunk by how uncertain the earning is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.policy.panel import REGIMES


@dataclass(frozen=True)
class Consensus:
    """Weights of the heads' votes, each row summing to one."""

    heads: tuple[str, ...]
    overall: np.ndarray  #: shape (n_heads,), used where the regime is unknown
    by_regime: np.ndarray  #: shape (4, n_heads), in the order of REGIMES
    edges: np.ndarray  #: shape (n_heads,): return earned per unit of view before charges, as measured

    def signal(self, views: np.ndarray, regimes: np.ndarray) -> np.ndarray:
        """Weighted vote in [-1, 1].

        Parameters
        ----------
        views : shape (n_rows, n_heads)
            Direction times confidence.
        regimes : shape (n_rows, 4)
            Probabilities; a row with NaN uses the overall weights.

        Notes
        -----
        Sums run term by term: a matrix product adds in another order for one row than for many, and a row must get
        the same signal alone as in a table.
        """
        known = np.isfinite(regimes).all(axis=1)
        weights = np.zeros(views.shape)
        for share, row in zip(regimes.T, self.by_regime, strict=True):
            weights += share[:, None] * row
        votes = np.where(known[:, None], weights, self.overall) * views
        signal = np.zeros(len(views))
        for vote in votes.T:
            signal += vote
        return signal

    def as_dict(self) -> dict[str, Any]:
        def named(row: np.ndarray) -> dict[str, float]:
            return dict(zip(self.heads, map(float, row), strict=True))

        return {
            "overall": named(self.overall),
            "by_regime": {name: named(row) for name, row in zip(REGIMES, self.by_regime, strict=True)},
            "edges": named(self.edges),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], heads: Sequence[str]) -> "Consensus":
        def row(named: Mapping[str, float]) -> np.ndarray:
            return np.array([named[head] for head in heads], dtype=np.float64)

        by_regime = np.array([row(content["by_regime"][name]) for name in REGIMES])
        return cls(tuple(heads), row(content["overall"]), by_regime, row(content["edges"]))


def learn_consensus(
    heads: Sequence[str],
    views: np.ndarray,
    long_gross: np.ndarray,
    short_gross: np.ndarray,
    regimes: np.ndarray,
    blocks: np.ndarray,
) -> Consensus:
    """Weigh each head by the return its views have earned, per unit of view, before charges.

    The edge of a head is a ratio: summed payoff over summed strength of view; its standard error comes from sums over
    `blocks` of time (a day, or a holding period), since rows within one are not independent. An edge is shrunk to
    `m * m² / (m² + se²)`, and to zero if it is not above zero: a head that loses gets no vote, it is not turned around.
    In a regime the estimate is pulled to the overall one by the same errors. If no head has earned anything, all get
    the same vote, and the trade model has to judge.

    Parameters
    ----------
    heads : names, n_heads of them
    views : shape (n_rows, n_heads), direction times confidence
    long_gross, short_gross : shape (n_rows,), label returns before charges; rows with NaN do not count
    regimes : shape (n_rows, 4), probabilities or NaN
    blocks : shape (n_rows,), integers
    """
    labelled = np.isfinite(long_gross) & np.isfinite(short_gross)
    views, regimes = views[labelled], regimes[labelled]
    payoff = np.where(views > 0, views * long_gross[labelled, None], -views * short_gross[labelled, None])
    strength = np.abs(views)
    _, groups = np.unique(blocks[labelled], return_inverse=True)
    edges, errors = _edge(payoff, strength, groups, np.ones(len(views)))
    by_regime = np.empty((len(REGIMES), len(heads)))
    for i in range(len(REGIMES)):
        by_regime[i] = _weights(*_towards(_edge(payoff, strength, groups, np.nan_to_num(regimes[:, i])), edges))
    return Consensus(tuple(heads), _weights(edges, errors), by_regime, edges)


def _edge(
    payoff: np.ndarray, strength: np.ndarray, groups: np.ndarray, share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Edge per unit of view and its standard error, per head; zero and infinite where a head had no view."""
    count = int(groups.max()) + 1 if len(groups) else 0
    heads = payoff.shape[1]
    edges, errors = np.zeros(heads), np.full(heads, np.inf)
    for h in range(heads):
        earned = np.bincount(groups, weights=payoff[:, h] * share, minlength=count)
        voted = np.bincount(groups, weights=strength[:, h] * share, minlength=count)
        if voted.sum() <= 0 or count < 2:
            continue
        edges[h] = earned.sum() / voted.sum()
        errors[h] = np.sqrt(np.square(earned - edges[h] * voted).sum() * count / (count - 1)) / voted.sum()
    return edges, errors


def _towards(estimate: tuple[np.ndarray, np.ndarray], prior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior of a regime's edges under a prior around the overall edge, as wide as that edge is large."""
    edges, errors = estimate
    width = np.maximum(np.abs(prior), 1e-12)
    precision = 1 / np.square(np.maximum(errors, 1e-12)) + 1 / np.square(width)
    mean = (edges / np.square(np.maximum(errors, 1e-12)) + prior / np.square(width)) / precision
    return mean, 1 / np.sqrt(precision)


def _weights(edges: np.ndarray, errors: np.ndarray) -> np.ndarray:
    squared = np.square(edges)
    shrunk = np.where((edges > 0) & np.isfinite(errors), edges * squared / (squared + np.square(errors) + 1e-300), 0.0)
    total = shrunk.sum()
    return shrunk / total if total > 0 else np.full(len(edges), 1 / len(edges))
