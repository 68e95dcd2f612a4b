"""Folds in time whose training rows know nothing of the test rows: purged by label end, with an embargo after."""

from dataclasses import dataclass

import numpy as np

from pipelines.domain.errors import TooFewBars


@dataclass(frozen=True, slots=True)
class Fold:
    train: np.ndarray  #: row numbers
    test: np.ndarray  #: row numbers


def purged_folds(decided: np.ndarray, ended: np.ndarray, folds: int, embargo: int) -> tuple[Fold, ...]:
    """Cut time into `folds` blocks of equal length; train each on the rest, less what overlaps.

    Parameters
    ----------
    decided, ended : int64 arrays of shape (n_rows,)
        In the market's count of bars: whose close a row was decided at, and at which its label was known, not before.
    folds : int
        At least 2.
    embargo : int
        Bars of the market after the test block's last label end that are left out of training too, whether anything
        was decided at their closes or not.

    Returns
    -------
    tuple of Fold; every row is in exactly one test set, and no training row's [decided, ended] overlaps the test
    block's [first decided, last ended] or the embargo.

    Raises
    ------
    TooFewBars : if there are fewer distinct times than folds, or a fold would have nothing to train on.

    References
    ----------
    Lopez de Prado (2018), Advances in Financial Machine Learning, chapter 7.
    """
    times = np.unique(decided)
    if len(times) < folds:
        raise TooFewBars(needed=folds, received=len(times), what="distinct times with a label")
    made = []
    for block in np.array_split(times, folds):
        test = np.flatnonzero((decided >= block[0]) & (decided <= block[-1]))
        last = ended[test].max()
        train = np.flatnonzero((ended < block[0]) | (decided > last + embargo))
        if not len(train):
            raise TooFewBars(needed=(folds + 1) * (embargo + 1), received=len(times), what="distinct labelled times")
        made.append(Fold(train, test))
    return tuple(made)
