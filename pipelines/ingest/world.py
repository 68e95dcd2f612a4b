"""What a source hands over: all it knows of a market, before the days after T are split off."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE, Interval
from pipelines.domain.instruments import INSTRUMENT_COLUMNS

#: Columns of a source's bars: where a row came from goes with it, so that quarantine can name it.
RAW_BAR_COLUMNS = (*BAR_COLUMNS, "source", "source_row")
NEWS_COLUMNS = ("symbol", "time", "headline", "sentiment")
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
    rejected: pd.DataFrame | None = None  #: rows no bar could be made of, see `pipelines/ingest/rejects.py`
    files: Mapping[str, str] = field(default_factory=dict)  #: SHA-256 by name relative to the folder read


def empty_news() -> pd.DataFrame:
    """News of a source that has none, with the right types."""
    return pd.DataFrame(
        {
            "symbol": pd.Series(dtype="str"),
            "time": pd.Series(dtype=TIME_DTYPE),
            "headline": pd.Series(dtype="str"),
            "sentiment": pd.Series(dtype="float64"),
        }
    )


def instruments_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Instruments in the order and types of `instruments.parquet`."""
    frame = pd.DataFrame(rows, columns=list(INSTRUMENT_COLUMNS))
    return frame.astype(
        {
            "symbol": "str",
            "token": "int64",
            "kind": "str",
            "tick_size": "str",
            "lot_size": "int64",
            "sector": "str",
            "has_volume": "bool",
        }
    )
