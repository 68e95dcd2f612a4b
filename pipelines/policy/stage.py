"""The policy stage: fit on all history that the run knows, and save the bundle."""

import numpy as np
import pandas as pd

from pipelines.params import Params
from pipelines.paths import Paths, table_of
from pipelines.policy.labels import Costs
from pipelines.policy.panel import Panel, read_panel
from pipelines.stages import StageReport
from pipelines.tables import read_json, read_table, write_table


def run(params: Params, paths: Paths) -> StageReport:
    from pipelines.heads import heads_from
    from pipelines.policy.fit import fit_policy

    panel = read_panel(paths)
    heads = heads_from(params.heads)
    fitted = fit_policy(
        panel,
        heads,
        params.policy,
        costs_from(params),
        read_json(paths.regime_model),
        views=stored_views(panel, [head.name for head in heads], paths),
    )
    bundle = fitted.bundle
    bundle.save(paths.bundle)
    if fitted.importance is None:
        paths.importance.unlink(missing_ok=True)
    else:
        write_table(fitted.importance, paths.importance)
    model = bundle.trade_model
    notes = [
        f"policy {bundle.version}, {panel.interval.value} bars, {panel.product.value}",
        "weights: "
        + ", ".join(
            f"{name} {weight:.0%}"
            for name, weight in zip(bundle.consensus.heads, bundle.consensus.overall, strict=True)
        ),
    ]
    if fitted.importance is not None:
        notes.append(f"{len(model.features)} of {len(fitted.importance)} features selected")
    if not model.forests:
        notes.append(f"only {model.rows} signals to learn from: the trade model answers with base rates")
    return StageReport(stage="policy", rows_in=len(panel.table), rows_out=model.rows, notes=tuple(notes))


def costs_from(params: Params) -> Costs:
    """Costs that labels assume: the largest position the policy may take, at the evaluation's slippage."""
    position = float(params.evaluation.opening_equity_inr) * params.policy.max_position
    return Costs(slippage_bps=params.evaluation.slippage_bps, position_inr=position)


def stored_views(panel: Panel, heads: list[str], paths: Paths) -> np.ndarray:
    """The views that the heads stage wrote, direction times confidence, by row of the panel; 0 where it wrote none."""
    keys = panel.table[["symbol", "close_time"]]
    tables = [read_table(table_of(paths.views, symbol)) for symbol in panel.symbol_slices]
    found = keys.merge(pd.concat(tables, ignore_index=True), on=["symbol", "close_time"], how="left")
    columns = [
        found[f"{head}_direction"].to_numpy(np.float64) * found[f"{head}_confidence"].to_numpy(np.float64)
        for head in heads
    ]
    return np.nan_to_num(np.column_stack(columns))
