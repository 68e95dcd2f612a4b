"""Every gate: which figure, against which limit, and which stages of the ladder it guards.

A sanity gate says that the policy is what it claims to be and harms nobody; without it not even paper is traded. The
others say that it earns money after charges and not by luck; they guard what is near real money. A figure that is
undefined fails.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.domain.verdicts import Verdict
from pipelines.params import GateParams

EVERYWHERE = ("shadow", "paper", "canary", "champion")
NEAR_MONEY = ("canary", "champion")


def judge_gates(figures: Mapping[str, Any], limits: GateParams) -> tuple[Verdict, ...]:
    """Verdicts on an evaluation.

    Parameters
    ----------
    figures : as `reports/evaluation.json`
    limits : section `gates` of params.yaml
    """
    period = f"walk-forward {figures['first_day']} to {figures['last_day']}, {figures['days']} days"
    low = figures["sharpe_ci"][0]
    return (
        _at_most("position share", figures["max_position_share"], limits.max_position_share, EVERYWHERE,
                 f"largest value at entry over equity, {period}"),
        _at_most("turnover per day", figures["turnover_per_day"], limits.max_turnover_per_day, EVERYWHERE,
                 f"value traded a day over opening equity, {period}"),
        _at_most("finite figures", float(figures["non_finite"]), 0.0, EVERYWHERE,
                 "days on which equity was not a finite number above zero"),
        _holds("books agree", figures["books_agree"], EVERYWHERE,
               "cash at the end = opening equity + gross - charges, to the paisa"),
        _holds("policy reloads identically", figures["policy_reloads"], EVERYWHERE,
               f"policy {figures['policy_version']} saved, loaded and asked again"),
        _at_least("trades", float(figures["trades"]), float(limits.min_trades), NEAR_MONEY, period),
        _at_least("Sharpe ratio", figures["sharpe"], limits.min_sharpe, NEAR_MONEY,
                  f"annualised, daily, after charges and slippage, {period}"),
        _at_least("Sharpe ratio, lower end", low, limits.min_sharpe_lower, NEAR_MONEY,
                  "95 % interval of a block bootstrap"),
        _at_least("deflated Sharpe ratio", figures["deflated_sharpe"], limits.min_deflated_sharpe, NEAR_MONEY,
                  f"probability of skill above the best of {figures['trials']} useless trials"),
        _at_most("maximum drawdown, daily closes", figures["max_drawdown"], limits.max_drawdown, NEAR_MONEY, period),
        _profit_factor(figures, limits, period),
        _at_least("better than on other days", figures["timing_percentile"], limits.min_timing_percentile, NEAR_MONEY,
                  f"share beaten, in ratio and sum, of its own decisions on {figures['turns']} turns to other days"),
        _above("Sharpe ratio at double costs", figures["double_friction_sharpe"], 0.0, NEAR_MONEY,
               "the same trades with twice the charges and twice the slippage"),
    )  # fmt: skip


def _at_least(gate: str, measured: float | None, limit: float, protects: tuple[str, ...], evidence: str) -> Verdict:
    return Verdict(gate, measured is not None and measured >= limit, measured, limit, evidence, protects)


def _at_most(gate: str, measured: float | None, limit: float, protects: tuple[str, ...], evidence: str) -> Verdict:
    return Verdict(gate, measured is not None and measured <= limit, measured, limit, evidence, protects)


def _above(gate: str, measured: float | None, limit: float, protects: tuple[str, ...], evidence: str) -> Verdict:
    return Verdict(gate, measured is not None and measured > limit, measured, limit, evidence, protects)


def _holds(gate: str, claim: bool, protects: tuple[str, ...], evidence: str) -> Verdict:
    return Verdict(gate, bool(claim), 1.0 if claim else 0.0, 1.0, evidence, protects)


def _profit_factor(figures: Mapping[str, Any], limits: GateParams, period: str) -> Verdict:
    """Undefined without a losing trade; then it passes if anything was won at all."""
    measured, gate = figures["profit_factor"], "profit factor"
    if measured is None and figures["trades"] > 0 and figures["net_inr"] > 0:
        return Verdict(gate, True, None, limits.min_profit_factor, f"no trade lost, {period}", NEAR_MONEY)
    return _at_least(gate, measured, limits.min_profit_factor, NEAR_MONEY, f"rupees won over rupees lost, {period}")
