import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.errors import TooFewBars
from pipelines.policy.purge import purged_folds


@given(
    count=st.integers(60, 300),
    horizon=st.integers(0, 12),
    instruments=st.integers(1, 3),
    folds=st.integers(2, 5),
    embargo=st.integers(0, 10),
)
def test_no_training_label_overlaps_the_test_block_or_its_embargo(count, horizon, instruments, folds, embargo):
    decided = np.tile(np.arange(count), instruments)
    ended = decided + horizon

    made = purged_folds(decided, ended, folds, embargo)

    assert np.array_equal(np.sort(np.concatenate([fold.test for fold in made])), np.arange(len(decided)))
    for fold in made:
        first, last = decided[fold.test].min(), ended[fold.test].max()
        before, after = ended[fold.train] < first, decided[fold.train] > min(last, count - 1) + embargo
        assert np.all(before | after)


@given(gaps=st.sets(st.integers(0, 99), max_size=60), folds=st.integers(2, 4), embargo=st.integers(0, 10))
def test_bars_without_a_decision_count_towards_the_embargo(gaps, folds, embargo):
    decided = np.array([bar for bar in range(100) if bar not in gaps])

    made = purged_folds(decided, decided + 2, folds, embargo)

    for fold in made:
        first, last = decided[fold.test].min(), decided[fold.test].max() + 2
        expected = (decided + 2 < first) | (decided > last + embargo)
        assert fold.train.tolist() == np.flatnonzero(expected).tolist()


def test_fewer_times_than_folds_are_refused():
    with pytest.raises(TooFewBars, match="distinct times"):
        purged_folds(np.array([1, 1, 2]), np.array([2, 2, 3]), 5, 0)


def test_an_embargo_that_leaves_nothing_to_train_on_is_refused():
    decided = np.arange(20)
    with pytest.raises(TooFewBars):
        purged_folds(decided, decided + 30, 2, 30)
