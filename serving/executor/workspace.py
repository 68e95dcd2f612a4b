"""What the executor reads of its workspace: the run's instruments, news and ended trades."""

from decimal import Decimal

import pandas as pd

from pipelines.domain.instruments import Instrument, Kind
from pipelines.ingest.kinds import empty
from pipelines.paths import Paths
from pipelines.tables import read_table


def read_instruments(paths: Paths) -> list[Instrument]:
    table = read_table(paths.instruments)
    return [
        Instrument(
            symbol=row.symbol,
            token=int(row.token),
            kind=Kind(row.kind),
            tick_size=Decimal(row.tick_size),
            lot_size=int(row.lot_size),
            sector=row.sector or "",
            has_volume=bool(row.has_volume),
        )
        for row in table.itertuples(index=False)
    ]


def read_news(paths: Paths) -> pd.DataFrame:
    """What was known, and what the played days will tell; LiveFeatures hands on only what is past."""
    found = [read_table(path) for path in (paths.news, paths.session_news) if path.exists()]
    if not found:
        return empty("news")
    return pd.concat(found, ignore_index=True)


def read_outcomes(paths: Paths) -> pd.DataFrame:
    """Ended trades that the pipeline knows; a workspace without the table knows none."""
    return read_table(paths.outcomes) if paths.outcomes.exists() else empty("outcomes")
