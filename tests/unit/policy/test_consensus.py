import numpy as np
import pytest

from pipelines.policy.consensus import Consensus, learn_consensus


def learnt(skill, seed=0, rows=4000):
    """Two heads: the first right with `skill`, the second guessing."""
    rng = np.random.default_rng(seed)
    moved = rng.normal(size=rows) * 0.01
    views = np.column_stack([np.sign(moved) * np.where(rng.random(rows) < skill, 1, -1), rng.uniform(-1, 1, rows)])
    regimes = rng.dirichlet(np.ones(4), rows)
    return learn_consensus(["able", "guessing"], views, moved, -moved, regimes, np.arange(rows) // 40)


def test_a_head_that_is_right_gets_the_vote():
    weights = learnt(skill=0.6).overall

    assert weights[0] > 0.9
    assert weights.sum() == pytest.approx(1.0)


def test_a_head_that_loses_gets_no_vote_and_is_not_turned_around():
    consensus = learnt(skill=0.3)

    assert consensus.overall[0] == 0.0
    assert (consensus.by_regime >= 0).all()


def test_without_a_regime_the_overall_weights_hold():
    consensus = learnt(skill=0.6)
    views = np.array([[1.0, -1.0]])

    unknown = consensus.signal(views, np.full((1, 4), np.nan))

    assert unknown == pytest.approx(consensus.overall @ [1.0, -1.0])


def test_a_signal_stays_within_one():
    consensus = learnt(skill=0.6)
    rng = np.random.default_rng(1)

    signal = consensus.signal(rng.uniform(-1, 1, (500, 2)), rng.dirichlet(np.ones(4), 500))

    assert np.abs(signal).max() <= 1.0


def test_weights_survive_being_written_down():
    consensus = learnt(skill=0.6)

    again = Consensus.from_dict(consensus.as_dict(), consensus.heads)

    assert np.array_equal(again.by_regime, consensus.by_regime)
