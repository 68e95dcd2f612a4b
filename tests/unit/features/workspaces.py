"""Workspaces that hold what `validate` would have written, from bars of our own."""

from pathlib import Path

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.ingest.kinds import empty
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.tables import write_json, write_table
from tests.conftest import workspace_at
from tests.unit.features.bars import instrument_table, instruments, no_news, random_market


def validated_workspace(
    folder: Path,
    market: dict[str, pd.DataFrame] | None = None,
    interval: Interval = Interval.MIN_5,
    overrides: dict[str, object] | None = None,
) -> tuple[Paths, Params]:
    """A workspace ready for the stage features."""
    paths, params = workspace_at(folder, overrides or {})
    for symbol, frame in (market if market is not None else random_market(bars=300, missing=0.05)).items():
        write_table(frame, paths.validated_bars / f"{symbol}.parquet")
    write_table(instrument_table(instruments()), paths.instruments)
    write_table(no_news(), paths.news)
    write_table(empty("actions"), paths.raw_actions)
    write_table(empty("outcomes"), paths.outcomes)
    write_json({"interval": interval.value}, paths.snapshot)
    return paths, params
