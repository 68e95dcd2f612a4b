"""Which features the trade model is given: chosen by every purged fold for itself, and by their vote for the whole."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.features.selection import Evidence, TrainingRows, choose, weigh
from pipelines.params import PolicyParams
from pipelines.policy.purge import Fold, purged_folds


@dataclass(frozen=True)
class Signals:
    """Past signals and what became of them, one row each."""

    features: np.ndarray  #: shape (n_rows, n_features): the catalogue's, then the flags and the regimes
    context: np.ndarray  #: shape (n_rows, n_context): views, signal, side; see `signal_context`
    instrument: np.ndarray  #: a number for each; rows of one are in the order of time
    net: np.ndarray  #: return after charges and slippage, per rupee
    stopped: np.ndarray  #: bool, whether the stop ended it
    decided: np.ndarray  #: int64, bar of the decision in the market's count
    ended: np.ndarray  #: int64, bar at whose close the label was known
    blocks: np.ndarray  #: block of time, within which rows are not independent


@dataclass(frozen=True)
class Selected:
    whole: np.ndarray  #: places of the features that the model of all signals is given
    by_fold: tuple[np.ndarray, ...]  #: the same for each fold, by its training rows alone
    importance: pd.DataFrame | None  #: as `choose` tells it over all folds; None where selection is switched off


def select_features(
    signals: Signals, names: tuple[str, ...], folds: tuple[Fold, ...], params: PolicyParams
) -> Selected:
    """Select for all signals and for each fold.

    A fold sees its training rows only, and holds a stretch of them out again, purged by label end: over the folds every
    stretch of time is held out once. What is learnt with a fold's choice can be tried on its test rows honestly.

    Parameters
    ----------
    signals : Signals
    names : of `signals.features`
    folds : of the signals
    params : PolicyParams

    Raises
    ------
    TooFewBars : if a fold cannot hold rows out of its own.
    """
    if not params.selection.enabled:
        everything = np.flatnonzero(~np.isin(names, params.selection.never))
        return Selected(everything, (everything,) * len(folds), None)
    rows = TrainingRows(
        signals.features, signals.context, np.sign(signals.context[:, -1]), signals.net, signals.instrument
    )

    def select(number: int) -> tuple[Evidence, np.ndarray]:
        train = folds[number].train
        inner = purged_folds(signals.decided[train], signals.ended[train], max(2, len(folds) - 1), params.embargo_bars)
        split, seed = inner[number % len(inner)], (params.selection.seed, number)
        found = weigh(rows.take(train), split.train, split.test, params.selection, seed)
        table = choose(names, [found], rows.values[train], params.selection)
        return found, np.flatnonzero(table["selected"])

    with ThreadPoolExecutor(max_workers=2) as pool:
        evidence, by_fold = zip(*pool.map(select, range(len(folds))), strict=True)
    importance = choose(names, evidence, rows.values, params.selection)
    return Selected(np.flatnonzero(importance["selected"]), by_fold, importance)
