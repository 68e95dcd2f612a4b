"""What a source hands over: all it knows of a market, before the days after T are split off."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.instruments import INSTRUMENT_COLUMNS
from pipelines.ingest.kinds import empty, types_of

TRUTH_COLUMNS = ("close_time", "regime", "symbol", "drift")


@dataclass(frozen=True)
class World:
    """A market as one source tells it; faults of the source (high below low, repeated stamps) are still in it."""

    bars: Mapping[str, pd.DataFrame]  #: by symbol, RAW_BAR_COLUMNS, in the source's order
    instruments: pd.DataFrame  #: INSTRUMENT_COLUMNS, one row for each symbol of `bars`
    news: pd.DataFrame  #: NEWS_COLUMNS; `time` is when it was known, sentiment in [-1, 1]; may be empty
    interval: Interval
    truth: pd.DataFrame | None = None  #: TRUTH_COLUMNS, of a simulated market only
    left_out: tuple[str, ...] = ()  #: sentences: what the source holds that is not used, and why
    actions: pd.DataFrame = field(default_factory=lambda: empty("actions"))
    membership: pd.DataFrame = field(default_factory=lambda: empty("membership"))
    outcomes: pd.DataFrame = field(default_factory=lambda: empty("outcomes"))  #: of earlier runs of this market
    disagreements: pd.DataFrame = field(default_factory=lambda: empty("disagreements"))  #: of sources of one series
    ticks: Mapping[str, pd.DataFrame] = field(default_factory=dict)  #: by symbol, TICK_COLUMNS
    rejected: pd.DataFrame | None = None  #: rows no bar could be made of, see `pipelines/ingest/rejects.py`
    pinned: Mapping[str, object] | None = None  #: of a lake: up to when it was read, and what names its content
    files: Mapping[str, str] = field(default_factory=dict)  #: SHA-256 by name relative to the folder read


def empty_news() -> pd.DataFrame:
    """News of a source that has none, with the right types."""
    return empty("news")


def instruments_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Instruments in the order and types of `instruments.parquet`."""
    return pd.DataFrame(rows, columns=list(INSTRUMENT_COLUMNS)).astype(types_of("instruments"))
