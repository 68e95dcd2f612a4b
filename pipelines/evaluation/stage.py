"""The evaluation stage: walk forward over the run's history, measure, and write figures, tables and the report."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.fills import FillModel
from pipelines.evaluation.assessment import Assessment, assess
from pipelines.evaluation.engine import Rules
from pipelines.evaluation.importance import importance_over_time, proposals, selection_summary
from pipelines.evaluation.report import evaluation_report
from pipelines.evaluation.walk_forward import WalkForward, walk_forward
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.policy.bundle import Bundle
from pipelines.policy.decide import judge
from pipelines.policy.labels import hold_limit
from pipelines.policy.panel import Panel, read_panel
from pipelines.policy.stage import costs_from
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_json, read_table, write_json, write_table, write_text

RELOAD_ROWS = 500  #: last rows on which the saved policy must decide alike after another save and load


def run(params: Params, paths: Paths) -> StageReport:
    from pipelines.heads import heads_from

    panel = read_panel(paths)
    costs = costs_from(params)
    heads = heads_from(params.heads)
    walked = walk_forward(panel, heads, params.policy, params.evaluation, costs, read_json(paths.regime_model))
    assessed = assess(panel, walked, rules_from(params, panel), costs, params.policy, params.evaluation)
    importance = importance_of_run(panel, walked, paths)
    used = {head.name: head.uses for head in heads}
    summary = selection_summary(importance, proposals(importance, used, params.policy.selection.min_stability))
    bundle = Bundle.load(paths.bundle)
    assessed.figures["policy_version"] = bundle.version
    assessed.figures["policy_reloads"] = reloads_identically(bundle, panel.table.tail(RELOAD_ROWS))
    if summary["fits"]:
        assessed.figures["features_selected"] = float(np.mean(summary["selected"]))
    write_assessment(assessed, importance, summary, paths)
    return StageReport(
        stage="evaluation",
        rows_in=len(panel.table),
        rows_out=len(assessed.trades),
        notes=(*_notes(assessed.figures), *_told_of_steps(held_over_steps(panel, assessed.trades))),
    )


def importance_of_run(panel: Panel, walked: WalkForward, paths: Paths) -> pd.DataFrame:
    """Importance of features in every window's fit, and last in that of the policy which goes on."""
    of_policy = read_table(paths.importance) if paths.importance.exists() else None
    until = pd.to_datetime([*(window.trained_until for window in walked.windows), panel.times[-1]], unit="us", utc=True)
    fits = zip(until.tz_convert(IST), (*walked.importance, of_policy), strict=True)
    return importance_over_time(list(fits), panel.catalogue)


def rules_from(params: Params, panel: Panel) -> Rules:
    costs = params.evaluation
    return Rules(
        opening_equity_inr=params.evaluation.opening_equity_inr,
        fills=FillModel(costs.slippage_bps, costs.participation, costs.impact_bps),
        max_gross=params.evaluation.max_gross,
        risk_per_trade=params.policy.risk_per_trade,
        max_position=params.policy.max_position,
        hold_bars=hold_limit(params.policy.label, panel.interval),
        square_off_minutes=params.policy.label.square_off_minutes,
        margin_buffer=params.executor.margin_buffer,
        min_share_of_decision=params.executor.min_share_of_decision,
    )


def held_over_steps(panel: Panel, trades: pd.DataFrame) -> int:
    """How many trades were held over a step of their share's adjustment, and so went on by its ratio.

    Parameters
    ----------
    trades : as `trades_table` gives them, entered at a bar's open and left by a bar's close
    """
    table, entered, left = panel.table, ["symbol", "entered_at"], ["symbol", "exited_at"]
    at_open = table.set_index(["symbol", "open_time"])["adjustment"]
    at_close = table.set_index(["symbol", "close_time"])["adjustment"]
    before = at_open.reindex(pd.MultiIndex.from_frame(trades[entered])).to_numpy()
    after = at_close.reindex(pd.MultiIndex.from_frame(trades[left])).to_numpy()
    return int(((before != after) & ~np.isnan(after)).sum())  # left at the session's end and not in a bar: the same day


def reloads_identically(bundle: Bundle, table: pd.DataFrame) -> bool:
    """Whether a policy that is saved and loaded again has the same version and judges the same, to the bit."""
    with tempfile.TemporaryDirectory() as folder:
        bundle.save(Path(folder) / "bundle")
        again = Bundle.load(Path(folder) / "bundle")
    return bundle.version == again.version and judge(bundle, table).equals(judge(again, table))


def write_assessment(
    assessed: Assessment, importance: pd.DataFrame, selection: Mapping[str, Any], paths: Paths
) -> None:
    """Write the tables, the figures, the curves that DVC plots, and the report."""
    with fresh_folder(paths.evaluation) as folder:
        write_table(assessed.equity, folder / "equity.parquet")
        write_table(assessed.trades, folder / "trades.parquet")
        write_table(assessed.views, folder / "views.parquet")
        write_table(importance, folder / "importance.parquet")
        write_json(assessed.summary["folds"], folder / "folds.json")
        write_json({k: v for k, v in assessed.summary.items() if k != "folds"}, folder / "summary.json")
    write_json(assessed.figures, paths.reports / "evaluation.json")
    write_json(selection, paths.reports / "selection.json")
    write_text(importance.to_csv(index=False, float_format="%.6f"), paths.reports / "importance.csv")
    curve = assessed.equity[["day", "equity", "buy_and_hold"]].rename(columns={"equity": "policy"}).round(2)
    write_text(curve.to_csv(index=False), paths.reports / "equity.csv")
    write_text(assessed.equity[["day", "drawdown"]].round(6).to_csv(index=False), paths.reports / "drawdown.csv")
    evaluation_report(paths, paths.evaluation / "evaluation.html", with_gates=False)


def _notes(figures: dict[str, Any]) -> tuple[str, ...]:
    def shown(name: str) -> str:
        value = figures[name]
        return "undefined" if value is None or not np.isfinite(value) else f"{value:.2f}"

    return (
        f"{figures['first_day']} to {figures['last_day']}: {figures['trades']} trades, "
        f"net Rs {figures['net_inr']:,.2f} after Rs {figures['charges_inr']:,.2f} of charges",
        f"Sharpe {shown('sharpe')}, deflated {shown('deflated_sharpe')} for {figures['trials']} trials, "
        f"at double charges {shown('double_cost_sharpe')}, buy and hold {shown('buy_and_hold_sharpe')}",
    )


def _told_of_steps(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (
        f"{count} trades were held over an ex-date that was learnt too late, or a night nobody explains: by its ratio",
    )
