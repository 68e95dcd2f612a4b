"""Market features to regimes: probabilities at every close, the model, and a curve a day for `dvc plots`."""

from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_table, write_json, write_table, write_text


def run(params: Params, paths: Paths) -> StageReport:
    """Read `03_features/market.parquet`, write `04_regimes` and `reports/regimes.csv`."""
    from pipelines.domain.bars import TIME_DTYPE
    from pipelines.regimes.history import daily_means, find_regimes

    market = read_table(paths.market_features)
    found = find_regimes(market, params.regimes)
    table = found.table.astype({"close_time": TIME_DTYPE})
    with fresh_folder(paths.regimes.parent) as folder:
        write_table(table, folder / paths.regimes.name)
        write_json(found.model, folder / paths.regime_model.name)
    csv = daily_means(table).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_text(csv, paths.reports / "regimes.csv")
    return StageReport("regimes", len(market), len(table), found.notes)
