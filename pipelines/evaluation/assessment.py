"""From a walk-forward to its figures: what was earned, against what, how surely, and at what cost. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.evaluation import metrics
from pipelines.evaluation.baselines import buy_and_hold
from pipelines.evaluation.engine import Backtest, Rules, run_backtest
from pipelines.evaluation.other_days import Purse, on_other_days, timing_percentile
from pipelines.evaluation.significance import deflated_sharpe, moments, probabilistic_sharpe, variance_inflation
from pipelines.evaluation.trades import Trade, trades_table
from pipelines.evaluation.walk_forward import WalkForward
from pipelines.params import EvaluationParams, PolicyParams
from pipelines.policy.labels import Costs, barrier_labels
from pipelines.policy.panel import Panel

CONFIGURATIONS_TRIED = 1  #: by one run: nothing is searched over yet; a search adds its own count


@dataclass(frozen=True)
class Assessment:
    figures: dict[str, Any]  #: reports/evaluation.json
    equity: pd.DataFrame  #: day, equity, exposure, drawdown, buy_and_hold, turned_low, turned_middle, turned_high
    trades: pd.DataFrame
    views: pd.DataFrame  #: day, head, direction (mean of direction times confidence), strength (mean absolute)
    summary: dict[str, Any]  #: what only the report shows


def assess(
    panel: Panel,
    walked: WalkForward,
    rules: Rules,
    costs: Costs,
    policy: PolicyParams,
    params: EvaluationParams,
) -> Assessment:
    """Trade the walk-forward's decisions with one purse and measure the result.

    Parameters
    ----------
    panel : Panel
    walked : WalkForward
    rules : Rules of the engine
    costs : Costs of labels, for the policy on other days
    policy, params : sections of params.yaml
    """
    first, last = walked.windows[0].first, walked.windows[-1].last
    backtest = run_backtest(panel, walked.judged, rules, first, last)
    labels = barrier_labels(panel, policy.label, costs)
    opening = float(rules.opening_equity_inr)
    held = buy_and_hold(panel, first, last, opening)
    purse = Purse(rules.risk_per_trade, rules.max_position, rules.max_gross, rules.hold_bars, rules.square_off_minutes)
    other_days = on_other_days(
        panel, walked.judged, labels, purse, first_us=first, last_us=last, turns=params.turns, seed=params.seed
    )
    equity = _equity_table(backtest, held, other_days.turned, opening)
    figures = _figures(backtest, equity, rules, params) | {
        "timing_percentile": timing_percentile(other_days),
        "turns": len(other_days.turned),
        "buy_and_hold_sharpe": metrics.sharpe(metrics.daily_returns(held["equity"].to_numpy(), opening)),
    }
    summary = {
        "heads": head_scores(walked, labels),
        "charges": _charges(backtest.trades),
        "folds": list(walked.folds),
        "exits": _counts([t.outcome.exit_reason.value for t in backtest.trades]),
        "turned_sharpes": [metrics.finite_or_none(metrics.sharpe(row)) for row in other_days.turned],
    }
    views = daily_views(panel, walked)
    return Assessment(_without_nan(figures), equity, trades_table(backtest.trades), views, _without_nan(summary))


def _equity_table(backtest: Backtest, held: pd.DataFrame, turned: np.ndarray, opening: float) -> pd.DataFrame:
    equity = backtest.equity.merge(held.rename(columns={"equity": "buy_and_hold"}), on="day", how="left")
    equity["drawdown"] = metrics.drawdowns(equity["equity"].to_numpy(), opening)
    bands = {"turned_low": 5, "turned_middle": 50, "turned_high": 95}
    for name, percent in bands.items():
        paths = opening * (1 + np.cumsum(turned, axis=1))
        equity[name] = np.percentile(paths, percent, axis=0) if len(turned) else np.nan
    return equity


def _figures(backtest: Backtest, equity: pd.DataFrame, rules: Rules, params: EvaluationParams) -> dict[str, Any]:
    opening = float(rules.opening_equity_inr)
    path = equity["equity"].to_numpy(np.float64)
    returns = metrics.daily_returns(path, opening)
    trades = backtest.trades
    trials = params.prior_trials + CONFIGURATIONS_TRIED
    interval = metrics.sharpe_interval(
        returns, bootstraps=params.bootstraps, block_days=params.block_days, seed=params.seed
    )
    psr = None
    if metrics.sharpe(returns) is not None:
        observed, inflation = float(returns.mean() / returns.std(ddof=1)), variance_inflation(returns)
        psr = probabilistic_sharpe(observed, 0.0, len(returns), *moments(returns), inflation)
    gross = sum((t.outcome.gross_inr for t in trades), rules.opening_equity_inr * 0)
    net = sum((t.outcome.net_inr for t in trades), rules.opening_equity_inr * 0)
    charges, slippage = _costs_by_day(trades, equity, rules)
    before = np.r_[opening, path[:-1]]
    return {
        "sharpe": metrics.sharpe(returns),
        "sharpe_ci": list(interval) if interval else [None, None],
        "probabilistic_sharpe": psr,
        "deflated_sharpe": deflated_sharpe(returns, trials),
        "trials": trials,
        "double_cost_sharpe": metrics.sharpe(returns - charges / before),
        "double_friction_sharpe": metrics.sharpe(returns - (charges + slippage) / before),
        "opening_equity_inr": opening,
        "return_total": float(path[-1] / opening - 1) if len(path) else 0.0,
        "max_drawdown": float(equity["drawdown"].max()) if len(equity) else 0.0,
        "trades": len(trades),
        "win_rate": metrics.win_rate(trades),
        "profit_factor": metrics.profit_factor(trades),
        "gross_inr": round(float(gross), 2),
        "charges_inr": round(float(gross - net), 2),
        "net_inr": round(float(net), 2),
        "turnover_per_day": float(backtest.traded_inr) / max(len(path), 1) / opening,
        "exposure": float(equity["exposure"].mean()) if len(equity) else 0.0,
        "max_position_share": max((t.share for t in trades), default=0.0),
        "mean_hold_bars": float(np.mean([t.outcome.hold_bars for t in trades])) if trades else None,
        "non_finite": int((~np.isfinite(path)).sum() + (path <= 0).sum()),
        "books_agree": backtest.cash == rules.opening_equity_inr + net,
        "first_day": str(equity["day"].iloc[0]) if len(equity) else None,
        "last_day": str(equity["day"].iloc[-1]) if len(equity) else None,
        "days": len(path),
    }


def _costs_by_day(trades: Sequence[Trade], equity: pd.DataFrame, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Rupees of charges and of slippage a day, booked when trades close: what twice the costs would take away more."""
    charges, slippage = (pd.Series(0.0, index=equity["day"]) for _ in range(2))
    bps = rules.fills.slippage_bps + rules.fills.impact_bps  # no order pays more
    for trade in trades:
        o = trade.outcome
        day = o.exited_at.date()
        charges[day] += float(sum(o.charges.values()))
        slippage[day] += float(o.entry_price + o.exit_price) * o.quantity * bps / 1e4
    return charges.to_numpy(), slippage.to_numpy()


def _charges(trades: Sequence[Trade]) -> dict[str, float]:
    items: dict[str, float] = {}
    for trade in trades:
        for item, amount in trade.outcome.charges.items():
            items[item] = items.get(item, 0.0) + float(amount)
    return {item: round(amount, 2) for item, amount in items.items()}


def _counts(words: Sequence[str]) -> dict[str, int]:
    return {word: words.count(word) for word in sorted(set(words))}


def head_scores(walked: WalkForward, labels: pd.DataFrame) -> list[dict[str, Any]]:
    """Each head by itself on the test windows: how often it spoke, was right, and what it earned gross."""
    judged = walked.judged
    long_gross, short_gross = (labels[f"{side}_gross"].to_numpy()[judged.index] for side in ("long", "short"))
    weights = [fold["weights"] for fold in walked.folds]
    scores = []
    for head in weights[0]:
        view = (judged[f"{head}_direction"] * judged[f"{head}_confidence"]).to_numpy()
        gross = np.where(view > 0, long_gross, short_gross)
        spoke = (np.abs(view) > 1e-9) & np.isfinite(gross)
        strength = np.abs(view[spoke]).sum()
        scores.append(
            {
                "head": head,
                "weight": float(np.mean([w[head] for w in weights])),
                "spoke": float((np.abs(view) > 1e-9).mean()) if len(view) else 0.0,
                "hit_rate": float((gross[spoke] > 0).mean()) if spoke.any() else None,
                "edge": float((np.abs(view[spoke]) * gross[spoke]).sum() / strength) if strength > 0 else None,
            }
        )
    return scores


def daily_views(panel: Panel, walked: WalkForward) -> pd.DataFrame:
    """Mean view of each head and day over all instruments of the test windows."""
    judged = walked.judged
    day = panel.table["close_time"].iloc[judged.index].dt.date.to_numpy()
    parts = []
    for head in walked.folds[0]["weights"]:
        view = (judged[f"{head}_direction"] * judged[f"{head}_confidence"]).to_numpy()
        frame = pd.DataFrame({"day": day, "direction": view, "strength": np.abs(view)})
        parts.append(frame.groupby("day", as_index=False).mean().assign(head=head))
    return pd.concat(parts, ignore_index=True)[["day", "head", "direction", "strength"]]


def _without_nan(content: Any) -> Any:
    """The same content with None for every NaN or infinity, in plain Python types."""
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    if isinstance(content, bool | np.bool_):
        return bool(content)
    if isinstance(content, float | np.floating):
        return metrics.finite_or_none(float(content))
    return int(content) if isinstance(content, np.integer) else content
