"""Validated bars and news to regimes: probabilities and flags at every close, the model, a curve a day for dvc."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.params import Params
from pipelines.paths import Paths, table_of
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_json, read_table, write_json, write_table, write_text


class _BarFolder(Mapping[str, pd.DataFrame]):
    """Bars by symbol, read when asked for and not kept."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __getitem__(self, symbol: str) -> pd.DataFrame:
        return read_table(table_of(self._folder, symbol))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self._folder.glob("*.parquet")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def run(params: Params, paths: Paths) -> StageReport:
    """Read `02_validated`, write `04_regimes` and `reports/regimes.csv`."""
    from pipelines.regimes.history import daily_means, find_regimes
    from pipelines.regimes.pulse import observed_instruments

    volumes = observed_instruments(read_table(paths.instruments).to_dict("records"))
    interval = Interval(read_json(paths.catalogue)["interval"])
    bars, news = _BarFolder(paths.validated_bars), read_table(paths.news)
    found = find_regimes(bars, volumes, news, interval, params.regimes)
    with fresh_folder(paths.regimes.parent) as folder:
        write_table(found.table, folder / paths.regimes.name)
        write_json(found.model, folder / paths.regime_model.name)
    csv = daily_means(found.table).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_text(csv, paths.reports / "regimes.csv")
    return StageReport("regimes", len(found.table), len(found.table), found.notes)
