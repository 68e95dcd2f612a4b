"""Which features carry something: evidence from training rows alone, held against noise, and the choice made of it.

Three measures, each on rows that a fold may train on and on nothing else: mutual information with the target, gain in a
boosted forest, and loss on held-out rows when a feature is shuffled. Shadows go through the same measures beside the
features: copies that are shifted in time, so that they move as features do and know nothing. A feature carries
something if it ranks above `above_shadows` of them; a useless one does so about once in ten times at 0.9. Of features
that say the same, one stays.

References
----------
Kursa and Rudnicki (2010), Feature Selection with the Boruta Package, Journal of Statistical Software 36(11): shadows.
Meinshausen and Buehlmann (2010), Stability Selection, JRSS B 72(4): choosing what most subsets choose.
Lopez de Prado (2018), Advances in Financial Machine Learning, chapter 8: importance in purged folds, substitution.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.portable_math import logs
from pipelines.params import SelectionParams

BINS = 10  #: of a feature, with as many rows each as ties allow; the unknown are one more
CLASSES = 5  #: of the target, likewise
FOREST = {
    "objective": "regression",
    "learning_rate": 0.1,
    "num_leaves": 15,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,  # so that of two features that say the same both get to show it
    "max_bin": 63,
    "feature_pre_filter": False,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
TREES = 40


@dataclass(frozen=True)
class TrainingRows:
    """What a fold may learn from."""

    values: np.ndarray  #: shape (n_rows, n_features), the candidates; NaN where unknown
    context: np.ndarray  #: shape (n_rows, n_context), what the model is given in any case
    side: np.ndarray  #: 1 long, -1 short
    target: np.ndarray  #: what is to be foretold, of the side's trade
    instrument: np.ndarray  #: a number for each; rows of one instrument are in the order of time

    def take(self, rows: np.ndarray) -> "TrainingRows":
        return TrainingRows(
            self.values[rows], self.context[rows], self.side[rows], self.target[rows], self.instrument[rows]
        )


@dataclass(frozen=True)
class Evidence:
    """What one set of training rows says; arrays of shape (n_features,)."""

    mutual_information: np.ndarray  #: nats, less the bias of so many bins
    gain: np.ndarray  #: share of the forest's whole gain
    permutation: np.ndarray  #: squared error added on held-out rows, over the target's variance
    score: np.ndarray  #: mean of the three ranks among features and shadows, in (0, 1]
    noise: float  #: score that `above_shadows` of the shadows do not reach

    @property
    def above_noise(self) -> np.ndarray:
        return self.score > self.noise


def weigh(
    rows: TrainingRows, train: np.ndarray, held_out: np.ndarray, params: SelectionParams, seed: Sequence[int]
) -> Evidence:
    """Weigh every feature on the rows of one fold.

    Parameters
    ----------
    rows : TrainingRows
    train, held_out : row numbers
        The forest grows on the one and is tried on the other; no label of the one may overlap the other.
    params : SelectionParams
        Number of shadows, most rows that a measure looks at.
    seed : of the shadows, the forest and the shuffles
    """
    rng = np.random.default_rng(seed)
    table = np.column_stack([rows.values, shadows_of(rows, params.shadows, rng)])
    both = _thinned(np.sort(np.r_[train, held_out]), params.max_rows)
    information = mutual_information(table[both], rows.target[both], rows.side[both])
    gain, permutation = _forest_importance(
        table, rows, _thinned(train, 2 * params.max_rows), _thinned(held_out, params.max_rows // 2), rng
    )
    score = np.mean([_ranks(measure) for measure in (information, gain, permutation)], axis=0)
    own, noise = np.split(np.arange(len(score)), [rows.values.shape[1]])
    return Evidence(
        information[own],
        gain[own],
        permutation[own],
        score[own],
        float(np.quantile(score[noise], params.above_shadows, method="higher")),
    )


def shadows_of(rows: TrainingRows, count: int, rng: np.random.Generator) -> np.ndarray:
    """Noise that moves as features do: of `count` features drawn, copies shifted in time, shape (n_rows, count).

    Each instrument's rows are turned by the same share of their length, so that a copy keeps how it moves from row to
    row and what instruments have in common, and loses what it knew of the target. Features that are never known or
    never change have no shadow: it would be weaker than noise.
    """
    high, low = np.fmax.reduce(rows.values), np.fmin.reduce(rows.values)  # NaN only where all is unknown
    moving = np.flatnonzero(high > low) if (high > low).any() else np.arange(rows.values.shape[1])
    drawn = rng.choice(moving, count, replace=count > len(moving))
    shares = rng.uniform(0.2, 0.8, count)
    made = np.empty((len(rows.values), count))
    for code in np.unique(rows.instrument):
        own = np.flatnonzero(rows.instrument == code)
        for i in range(count):
            made[own, i] = np.roll(rows.values[own, drawn[i]], round(shares[i] * len(own)))
    return made


def mutual_information(values: np.ndarray, target: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Mutual information of each column and the target within each side, in nats, mean over the sides by their rows.

    Within a side, since a feature that foretells where the price goes is good for one side and bad for the other. Of
    quantile bins, the unknown in a bin of their own; entropies are corrected after Miller (1955), so that noise has a
    mean near 0.
    """
    total = np.zeros(values.shape[1])
    for sign in np.unique(side):
        rows = np.flatnonzero(side == sign)
        classes = _binned(target[rows], CLASSES)
        for i in range(values.shape[1]):
            counts = np.zeros((BINS + 1, CLASSES + 1))
            np.add.at(counts, (_binned(values[rows, i], BINS), classes), 1)
            total[i] += len(rows) / len(side) * _information(counts)
    return total


def _information(counts: np.ndarray) -> float:
    """Mutual information of a table of counts, in nats: entropies of the margins less that of the cells."""
    total = counts.sum()
    entropies = []
    for cells in (counts.sum(axis=1), counts.sum(axis=0), counts.ravel()):
        share = cells[cells > 0] / total
        entropies.append(-(share * logs(share)).sum() + (len(share) - 1) / (2 * total))
    return float(entropies[0] + entropies[1] - entropies[2])


def rank_correlation(values: np.ndarray) -> np.ndarray:
    """Absolute Spearman correlation of the columns, shape (n_columns, n_columns); 0 of a column that never changes.

    An unknown value takes the middle rank. Twice a rank's distance from the middle is a whole number, so the sums of
    products are exact, in whatever order a processor adds them: below 2^53, which 200,000 rows do not reach.
    """
    ranks = pd.DataFrame(values).rank()
    centred = (2.0 * ranks - (ranks.count() + 1.0)).fillna(0.0).to_numpy()
    products = centred.T @ centred
    lengths = np.sqrt(np.diagonal(products))
    whole = np.where(lengths > 0, lengths, 1.0)
    found = np.minimum(np.abs(products) / whole[:, None] / whole, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def clusters(correlation: np.ndarray, least: float) -> np.ndarray:
    """A number for each column; any two columns of a cluster are correlated by `least` or more (complete linkage)."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(correlation) < 2:
        return np.zeros(len(correlation), dtype=np.int64)
    apart = squareform(1 - correlation, checks=False)
    return fcluster(linkage(apart, method="complete"), 1 - least, criterion="distance").astype(np.int64)


def choose(
    names: Sequence[str], evidence: Sequence[Evidence], values: np.ndarray, params: SelectionParams
) -> pd.DataFrame:
    """The features to keep, with the grounds.

    A feature is stable if it is above the noise in at least `min_stability` of the sets; of a cluster the best stable
    one represents it; at most `keep` are selected, by mean score.

    Parameters
    ----------
    names : n_features of them
    evidence : of one set of training rows or of several
    values : shape (n_rows, n_features)
        Of the same training rows, to tell which features say the same.
    params : SelectionParams

    Returns
    -------
    DataFrame, a row a feature in the order of `names`: `feature`, `mutual_information`, `gain`, `permutation`, `score`,
    `noise` (means over the sets), `stability` (share of the sets in which it is above the noise), `representative`
    (feature that stands for its cluster), `correlation` (with it), `selected`.
    """
    correlation = rank_correlation(_thinned(values, params.max_rows // 2))
    said: dict[str, Any] = {"feature": list(names)}
    for measure in ("mutual_information", "gain", "permutation", "score", "noise"):
        said[measure] = np.mean([getattr(each, measure) for each in evidence], axis=0)
    stability = np.mean([each.above_noise for each in evidence], axis=0)
    barred = np.isin(names, params.never)
    stable = (stability >= params.min_stability) & ~barred
    best_first = np.lexsort((-said["score"], ~stable, barred))
    representative = np.empty(len(names), dtype=np.int64)
    groups = clusters(correlation, params.max_correlation)
    for group in np.unique(groups):
        representative[groups == group] = best_first[np.isin(best_first, np.flatnonzero(groups == group))][0]
    alone = [i for i in best_first if stable[i] and representative[i] == i]
    selected = np.isin(np.arange(len(names)), alone[: params.keep])
    return pd.DataFrame(
        said
        | {
            "stability": stability,
            "representative": np.asarray(names, dtype=object)[representative],
            "correlation": correlation[np.arange(len(names)), representative],
            "selected": selected,
        }
    )


def _forest_importance(
    table: np.ndarray, rows: TrainingRows, train: np.ndarray, held_out: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Gain and permutation importance of each column of `table`, beside the context, in one forest."""
    import lightgbm

    inputs = np.column_stack([table, rows.context])
    options = FOREST | {"seed": int(rng.integers(2**31)), "min_data_in_leaf": max(20, len(train) // 100)}
    data = lightgbm.Dataset(inputs[train], label=rows.target[train], params=options)
    forest = lightgbm.train(options, data, num_boost_round=TREES)
    gain = forest.feature_importance("gain")
    tried, truth = inputs[held_out], rows.target[held_out]
    missed = np.square(truth - forest.predict(tried, num_threads=1)).mean()
    permutation = np.zeros(table.shape[1])
    for i in np.flatnonzero(gain[: table.shape[1]] > 0):  # what the forest does not ask for cannot change its answer
        kept = tried[:, i].copy()
        tried[:, i] = rng.permutation(kept)
        permutation[i] = np.square(truth - forest.predict(tried, num_threads=1)).mean() - missed
        tried[:, i] = kept
    spread = max(truth.var(), 1e-300)
    return gain[: table.shape[1]] / max(gain.sum(), 1e-300), permutation / spread


def _ranks(measure: np.ndarray) -> np.ndarray:
    """Share of the columns that are not above; ties get their mean."""
    from scipy.stats import rankdata

    return rankdata(measure) / len(measure)


def _binned(column: np.ndarray, bins: int) -> np.ndarray:
    """The quantile bin of each value, from 0; `bins` for the unknown. Equal values share a bin.

    Of few values each is a bin, however rare: a flag that is seldom up would fall between the quantiles.
    """
    known = np.isfinite(column)
    found = np.full(len(column), bins, dtype=np.int64)
    distinct, place = np.unique(column[known], return_inverse=True)
    if len(distinct) <= bins:
        found[known] = place
    else:
        edges = np.unique(np.quantile(column[known], np.arange(1, bins) / bins))
        found[known] = np.searchsorted(edges, column[known], side="right")
    return found


def _thinned(rows: np.ndarray, most: int) -> np.ndarray:
    return rows[:: max(1, -(-len(rows) // most))]
