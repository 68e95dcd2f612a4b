"""Market features to regimes: probabilities at every close, the model, and a curve a day for `dvc plots`."""

from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_table, write_json, write_table, write_text


def run(params: Params, paths: Paths) -> StageReport:
    """Read `03_features/market.parquet`, write `04_regimes` and `reports/regimes.csv`."""
    from pipelines.regimes.history import daily_means, find_regimes

    market = read_table(paths.market_features)
    found = find_regimes(market, params.regimes)
    with fresh_folder(paths.regimes.parent) as folder:
        write_table(found.table, folder / paths.regimes.name)
        write_json(found.model, folder / paths.regime_model.name)
    csv = daily_means(found.table).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_text(csv, paths.reports / "regimes.csv")
    return StageReport("regimes", len(market), len(found.table), found.notes)
