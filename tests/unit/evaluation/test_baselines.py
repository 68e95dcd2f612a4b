import numpy as np
import pytest

from pipelines.evaluation.baselines import share_beaten

CALM_LOSS, WILD_LOSS = np.array([-0.011, -0.009, -0.010, -0.010]), np.array([-0.06, 0.01, -0.05, 0.02])


def test_of_two_losers_the_wilder_one_is_not_the_better():
    assert share_beaten(WILD_LOSS, np.array([CALM_LOSS])) == 0.0  # its ratio is nearer to zero, its loss is larger


@pytest.mark.parametrize("earned", [0.02, 0.001])
def test_the_share_is_of_those_beaten_in_ratio_and_sum(earned):
    own = CALM_LOSS + earned + 0.01

    assert share_beaten(own, np.array([CALM_LOSS, WILD_LOSS, own, own + 0.01])) == 0.5


def test_a_loss_does_not_beat_a_policy_that_never_moves():
    assert share_beaten(CALM_LOSS, np.zeros((3, 4))) == 0.0


def test_without_results_of_its_own_or_of_others_nothing_is_said():
    assert share_beaten(np.zeros(4), np.array([CALM_LOSS])) is None
    assert share_beaten(CALM_LOSS, np.zeros((0, 4))) is None
