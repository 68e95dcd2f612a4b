import numpy as np
import pytest

from pipelines.evaluation.significance import (
    deflated_sharpe,
    expected_best_sharpe,
    moments,
    probabilistic_sharpe,
    variance_inflation,
)

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


@pytest.mark.parametrize("days", [60, 250])
@pytest.mark.parametrize("autocorrelation", [0.0, 0.1, 0.2, 0.4])
def test_returns_that_follow_each_other_raise_no_more_false_alarms(days, autocorrelation):
    """Each of 1,500 useless strategies is believed at 95 %; with independence assumed 14 % were, at 0.4."""
    returns = np.random.default_rng(7).standard_normal((1500, days))
    for day in range(1, days):
        returns[:, day] += autocorrelation * returns[:, day - 1]

    alarms = np.mean([believed(row) > 0.95 for row in returns])

    assert alarms < 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(returns))


def believed(returns: np.ndarray) -> float:
    observed = float(returns.mean() / returns.std(ddof=1))
    return probabilistic_sharpe(observed, 0.0, len(returns), *moments(returns), variance_inflation(returns))


def test_returns_that_go_back_and_forth_promise_no_more_than_independent_ones():
    assert variance_inflation(np.array([0.01, -0.01] * 20)) == 1.0
    assert variance_inflation(np.full(10, 0.01)) == 1.0
