"""The lake against plain pyarrow on the same rows: the price of durability, digests and looking up what is known."""

import hashlib
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.domain.bars import IST
from pipelines.ingest.kinds import typed
from pipelines.ingest.lake import Lake
from pipelines.ingest.source import Fetched
from tests.bench.timing import seconds_of

INSTRUMENTS = 10
BARS = 90_000  #: a year of minute bars
REPEATS = 3


def measure() -> dict[str, Any]:
    """Rows a second written and read, as a share of what pyarrow does with one file an instrument; and asked again."""
    frames = {f"STOCK{n}": some_bars(f"STOCK{n}", n) for n in range(INSTRUMENTS)}
    rows = INSTRUMENTS * BARS
    pieces = [
        Fetched("bars", f"{symbol}@1min", frame, None, "bench", hashlib.sha256(symbol.encode()).hexdigest())
        for symbol, frame in frames.items()
    ]
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        folder = Path(place)
        lakes = iter(Lake(folder / f"lake{n}") for n in range(REPEATS + 1))
        full = Lake(folder / "full")
        write = median(lambda: store(next(lakes), pieces))
        plain_write = median(lambda: write_plain(folder, frames))
        store(full, pieces)
        again = median(lambda: store(full, pieces))
        read = median(lambda: [full.pin().rows("bars", "bench", piece.key) for piece in pieces])
        plain_read = median(lambda: [pq.read_table(folder / f"{symbol}.parquet").to_pandas() for symbol in frames])
    return {
        "write_rows_per_second": rows / write, "write_share_of_pyarrow": plain_write / write,
        "read_rows_per_second": rows / read, "read_share_of_pyarrow": plain_read / read,
        "fetched_again_rows_per_second": rows / again, "peer": "pyarrow, one zstd file an instrument, no fsync",
    }  # fmt: skip


def store(lake: Lake, pieces: list[Fetched]) -> None:
    for piece in pieces:
        lake.store("bench", piece)


def write_plain(folder: Path, frames: dict[str, pd.DataFrame]) -> None:
    for symbol, frame in frames.items():
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table, folder / f"{symbol}.parquet", compression="zstd")


def median(work: Callable[[], Any]) -> float:
    """Median seconds of `work` after one call that is not counted."""
    return statistics.median(seconds_of(work, REPEATS))


def some_bars(symbol: str, seed: int) -> pd.DataFrame:
    """Minute bars of a random walk on a grid of 0.05."""
    chance = np.random.default_rng(seed)
    opens = pd.Series(pd.date_range("2024-01-01 09:15", periods=BARS, freq="1min", tz=IST))
    close = 100 + chance.integers(-2, 3, BARS).cumsum() * 0.05
    frame = {"symbol": symbol, "open_time": opens, "close_time": opens + pd.Timedelta(minutes=1), "open": close,
             "high": close + 0.05, "low": close - 0.05, "close": close, "volume": chance.integers(1, 10_000, BARS),
             "source": "bench", "source_row": range(1, BARS + 1)}  # fmt: skip
    return typed(pd.DataFrame(frame), "bars")
