import numpy as np
import pytest

from pipelines.evaluation.significance import deflated_sharpe, expected_best_sharpe, probabilistic_sharpe

# The numerical example of Bailey and Lopez de Prado (2014): 1,250 daily returns, annual Sharpe ratio 2.5, skewness -3,
# kurtosis 10, variance of the trials' annual Sharpe ratios 1/2, 250 days a year.
DAILY = 2.5 / np.sqrt(250)
VARIANCE = 0.5 / 250


def test_the_published_example_of_a_hundred_trials():
    best = expected_best_sharpe(100, VARIANCE)

    assert best == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(DAILY, best, 1250, -3.0, 10.0) == pytest.approx(0.9004, abs=5e-4)


def test_the_published_examples_of_fewer_trials():
    skewed = probabilistic_sharpe(DAILY, expected_best_sharpe(46, VARIANCE), 1250, -3.0, 10.0)
    normal = probabilistic_sharpe(DAILY, expected_best_sharpe(88, VARIANCE), 1250, 0.0, 3.0)

    assert skewed == pytest.approx(0.9505, abs=5e-4)
    assert normal == pytest.approx(0.9505, abs=1e-3)


def test_one_trial_needs_no_deflation():
    assert expected_best_sharpe(1, VARIANCE) == 0.0


def test_more_trials_ask_for_more():
    returns = np.random.default_rng(3).normal(0.001, 0.01, 500)

    probabilities = [deflated_sharpe(returns, trials) for trials in (1, 10, 100, 1000)]

    assert probabilities == sorted(probabilities, reverse=True)


def test_the_best_of_many_useless_strategies_is_not_believed():
    returns = np.random.default_rng(5).normal(0, 0.01, (200, 250))
    best = max(returns, key=lambda r: r.mean() / r.std())

    assert deflated_sharpe(best, 1) > 0.95
    assert deflated_sharpe(best, 200) < 0.95


def test_without_variance_nothing_is_said():
    assert deflated_sharpe(np.zeros(50), 2) is None
    assert deflated_sharpe(np.array([0.01, 0.02]), 2) is None
