"""Validated bars and news to features: one file an instrument, the market, the catalogue."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.params import Params
from pipelines.paths import Paths, table_of
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_json, read_table, write_json, write_table


class BarFolder(Mapping[str, pd.DataFrame]):
    """Bars by symbol, read from a folder when asked for and not kept."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __getitem__(self, symbol: str) -> pd.DataFrame:
        return read_table(table_of(self.folder, symbol))

    def __contains__(self, symbol: object) -> bool:
        return table_of(self.folder, str(symbol)).exists()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.parquet")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def run(params: Params, paths: Paths) -> StageReport:
    """Read `02_validated` and the pinned corporate actions, write `03_features`.

    Raises
    ------
    BadInput : if there is no stock.
    DataRejected : if a policy must not learn from the features; nothing is written then.
    """
    from pipelines.features.ahead import made_ahead
    from pipelines.features.batch import THREADS, build_features
    from pipelines.features.catalogue import CATALOGUE, FEATURE_NAMES, catalogue_content
    from pipelines.features.outcomes import ended_in
    from pipelines.validate.feature_tables import feature_profile, judge_features

    interval = Interval(read_json(paths.snapshot)["interval"])
    tables = build_features(
        BarFolder(paths.validated_bars),
        read_table(paths.news),
        read_table(paths.instruments),
        interval,
        actions=read_table(paths.raw_actions),
        outcomes=ended_in(read_table(paths.outcomes)),
        scratch=paths.data,
    )
    with fresh_folder(paths.features) as folder:

        def kept(made: tuple[str, pd.DataFrame]) -> tuple[int, pd.DataFrame]:
            symbol, table = made
            write_table(table, table_of(folder, symbol))
            return len(table), feature_profile(table, FEATURE_NAMES)

        counts, profiles = [], []
        for count, profile in made_ahead(kept, tables.rows, THREADS):
            counts.append(count)
            profiles.append(profile)
        rows = sum(counts)
        if not rows:
            raise BadInput(f"{paths.validated_bars} holds no stock; give the run at least one (indices are not traded)")
        judge_features(profiles)
        write_table(tables.market, folder / paths.market_features.name)
        write_json(catalogue_content(interval), folder / paths.catalogue.name)
    notes = [f"{len(CATALOGUE)} features, {len(tables.market):,} market bars"]
    short = max(feature.look_back for feature in CATALOGUE)
    if len(tables.market) <= short:
        notes.append(f"the history is shorter than the longest look-back ({short} bars): some features are never known")
    return StageReport("features", rows, rows, tuple(notes))
