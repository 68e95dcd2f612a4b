from pathlib import Path

import pytest

from pipelines.gates.rules import judge_gates
from pipelines.params import load_params

LIMITS = load_params(Path(__file__).parents[3] / "params.yaml").gates
GOOD = {
    "sharpe": 2.0, "sharpe_ci": [0.8, 3.1], "deflated_sharpe": 0.99, "trials": 2, "double_friction_sharpe": 0.9,
    "max_drawdown": 0.05, "profit_factor": 1.4, "trades": 300, "net_inr": 5000.0, "timing_percentile": 1.0,
    "turns": 200, "turnover_per_day": 2.0, "max_position_share": 0.1, "non_finite": 0, "books_agree": True,
    "policy_reloads": True, "policy_version": "0123456789ab", "first_day": "2026-01-05",
    "last_day": "2026-06-30", "days": 120,
}  # fmt: skip


def failing(**figures):
    return {verdict.gate: verdict for verdict in judge_gates(GOOD | figures, LIMITS) if not verdict.passed}


def test_good_figures_pass_every_gate():
    assert failing() == {}


@pytest.mark.parametrize(
    ("figures", "gate"),
    [
        ({"trades": 99}, "trades"),
        ({"sharpe": 0.4}, "Sharpe ratio"),
        ({"sharpe_ci": [-0.1, 2.0]}, "Sharpe ratio, lower end"),
        ({"deflated_sharpe": 0.94}, "deflated Sharpe ratio"),
        ({"max_drawdown": 0.16}, "maximum drawdown, daily closes"),
        ({"profit_factor": 1.05}, "profit factor"),
        ({"timing_percentile": 0.9}, "better than on other days"),
        ({"double_friction_sharpe": 0.0}, "Sharpe ratio at double costs"),
    ],
)
def test_a_figure_beyond_its_limit_keeps_the_policy_from_money_but_not_from_paper(figures, gate):
    failed = failing(**figures)

    assert list(failed) == [gate]
    assert failed[gate].protects == ("canary", "champion")
    assert failed[gate].evidence


@pytest.mark.parametrize(
    ("figures", "gate"),
    [
        ({"max_position_share": 0.3}, "position share"),
        ({"turnover_per_day": 21.0}, "turnover per day"),
        ({"non_finite": 1}, "finite figures"),
        ({"books_agree": False}, "books agree"),
        ({"policy_reloads": False}, "policy reloads identically"),
    ],
)
def test_a_policy_that_is_not_sane_may_not_even_trade_on_paper(figures, gate):
    assert "paper" in failing(**figures)[gate].protects


@pytest.mark.parametrize("figure", [None, float("nan")])
@pytest.mark.parametrize(
    ("name", "gate"),
    [
        ("sharpe", "Sharpe ratio"),
        ("deflated_sharpe", "deflated Sharpe ratio"),
        ("double_friction_sharpe", "Sharpe ratio at double costs"),
        ("max_drawdown", "maximum drawdown, daily closes"),
        ("timing_percentile", "better than on other days"),
        ("turnover_per_day", "turnover per day"),
        ("max_position_share", "position share"),
    ],
)
def test_a_figure_that_is_not_known_fails_its_gate(name, gate, figure):
    assert gate in failing(**{name: figure})


def test_a_profit_factor_that_is_no_number_fails():
    assert "profit factor" in failing(profit_factor=float("nan"))
    assert "profit factor" in failing(profit_factor=None, net_inr=0.0)


def test_a_policy_that_never_trades_is_sane_but_gets_no_money():
    nothing = {"sharpe": None, "sharpe_ci": [None, None], "deflated_sharpe": None, "double_friction_sharpe": None,
               "profit_factor": None, "timing_percentile": None, "trades": 0, "net_inr": 0.0}  # fmt: skip

    failed = failing(**nothing)

    assert all("paper" not in verdict.protects for verdict in failed.values())
    assert failed["Sharpe ratio"].measured is None


def test_a_profit_without_any_loss_has_no_factor_and_passes():
    assert failing(profit_factor=None) == {}
