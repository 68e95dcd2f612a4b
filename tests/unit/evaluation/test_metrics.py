import numpy as np
import pytest

from pipelines.evaluation import metrics


def test_a_sharpe_ratio_is_annualised_by_252_days():
    returns = np.array([0.01, -0.005, 0.02, 0.0])

    assert metrics.sharpe(returns) == pytest.approx(returns.mean() / returns.std(ddof=1) * 252**0.5)


def test_what_is_undefined_is_none():
    assert metrics.sharpe(np.zeros(10)) is None
    assert metrics.sharpe(np.array([0.1])) is None
    assert metrics.sharpe_interval(np.zeros(10), bootstraps=10, block_days=5, seed=1) is None
    assert metrics.win_rate(()) is None
    assert metrics.profit_factor(()) is None


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth, covered = 0.05 * 252**0.5, 0
    for seed in range(100):
        returns = rng.normal(0.0005, 0.01, 250)
        low, high = metrics.sharpe_interval(returns, bootstraps=300, block_days=5, seed=seed)
        covered += low <= truth <= high

    assert 85 <= covered <= 99


def test_resamples_without_a_single_lucky_day_count_as_no_skill():
    returns = np.r_[0.05, np.zeros(59)]

    low, high = metrics.sharpe_interval(returns, bootstraps=300, block_days=5, seed=1)

    assert low == 0.0
    assert high > 0.0


def test_a_drawdown_is_measured_from_the_highest_equity_so_far():
    assert metrics.drawdowns(np.array([110.0, 99.0, 120.0]), 100.0).tolist() == pytest.approx([0.0, 0.1, 0.0])


def test_the_first_return_is_against_the_opening_equity():
    assert metrics.daily_returns(np.array([110.0, 99.0]), 100.0).tolist() == pytest.approx([0.1, -0.1])
