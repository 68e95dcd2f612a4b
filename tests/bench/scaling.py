"""Time and memory of the feature tables for 10, 100 and 500 instruments, each number in a process of its own.

Bars are made when they are asked for and rows are written as Parquet and left, as the stage does; making the bars is
not counted. `slope` is the exponent of time over the number of instruments, 1 if time grows as they do.

The 500 instruments' rows of one close, made online, are timed as well.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE, Interval
from pipelines.domain.market_calendar import bar_times, trading_days_before
from tests.conftest import ROOT

SIZES = (10, 100, 500)
SESSIONS = 4  #: of 5-minute bars
CLOSES = 40  #: that are made online


class Bars(Mapping[str, pd.DataFrame]):
    """Random walks, each made anew when it is asked for; `seconds` is what that took."""

    def __init__(self, instruments: int, sessions: int = SESSIONS):
        days = trading_days_before(pd.Timestamp("2026-07-31").date(), sessions)
        times = [slot for day in days for slot in bar_times(day, Interval.MIN_5)]
        opens, closes = zip(*times, strict=True)
        self._opens, self._closes = (pd.Series(side).astype(TIME_DTYPE) for side in (opens, closes))
        self.symbols = [f"STOCK{i:04d}" for i in range(instruments)]
        self.seconds = 0.0

    def __getitem__(self, symbol: str) -> pd.DataFrame:
        if symbol not in self.symbols:
            raise KeyError(symbol)
        started = time.perf_counter()
        random, count = np.random.default_rng([7, *symbol.encode()]), len(self._opens)
        close = 1000.0 * np.exp(np.cumsum(random.standard_t(4, count) * 0.002))
        opened = np.r_[1000.0, close[:-1]]
        frame = pd.DataFrame({"symbol": symbol, "open_time": self._opens, "close_time": self._closes})
        frame["open"], frame["close"] = opened, close
        frame["high"] = np.maximum(opened, close) * (1 + random.random(count) * 0.002)
        frame["low"] = np.minimum(opened, close) * (1 - random.random(count) * 0.002)
        frame["volume"] = random.integers(1, 50_000, count)
        self.seconds += time.perf_counter() - started
        return frame[list(BAR_COLUMNS)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.symbols)

    def __len__(self) -> int:
        return len(self.symbols)

    def instruments(self) -> pd.DataFrame:
        sectors = [f"sector {i % 12}" for i in range(len(self.symbols))]
        return pd.DataFrame({"symbol": self.symbols, "kind": "stock", "has_volume": True, "sector": sectors})


def build(bars: Bars, folder: Path) -> int:
    """All feature tables of `bars`, written one after another; the rows written."""
    from pipelines.features.batch import build_features
    from pipelines.ingest.kinds import empty
    from pipelines.tables import write_table

    tables = build_features(bars, empty("news"), bars.instruments(), Interval.MIN_5, scratch=folder)
    rows = 0
    for symbol, table in tables.rows:
        write_table(table, folder / f"{symbol}.parquet")
        rows += len(table)
    return rows


def one_size(instruments: int) -> dict[str, float]:
    """Seconds and peak memory for a number of instruments, in this process."""
    with tempfile.TemporaryDirectory(prefix="ts-scaling-", dir="/tmp") as folder:
        build(Bars(5), Path(folder))  # the machine code is loaded or made
        bars = Bars(instruments)
        started = time.perf_counter()
        rows = build(bars, Path(folder))
        seconds = time.perf_counter() - started - bars.seconds
    return {"instruments": instruments, "rows": rows, "seconds": seconds, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Of this process since it began; `getrusage` would count the parent that it was forked from."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def online_close(instruments: int = SIZES[-1]) -> dict[str, float]:
    """Median time of all rows of one close."""
    from decimal import Decimal

    from pipelines.domain.bars import Bar
    from pipelines.domain.instruments import Instrument, Kind
    from pipelines.features.catalogue import FEATURE_NAMES
    from pipelines.features.online import OnlineFeatures

    bars = Bars(instruments, 2)
    table = bars.instruments()
    of = [
        Instrument(row.symbol, i + 1, Kind.STOCK, Decimal("0.05"), 1, row.sector, True)
        for i, row in enumerate(table.itertuples(index=False))
    ]
    online, taken = OnlineFeatures(of, Interval.MIN_5), []
    frames = [bars[symbol].head(CLOSES).to_dict("records") for symbol in bars]
    for rows in zip(*frames, strict=True):
        now = rows[0]["close_time"].to_pydatetime()
        at_close = {row["symbol"]: Bar(**row | {"close_time": now}) for row in rows}
        started = time.perf_counter()
        online.update(now, at_close)
        taken.append(time.perf_counter() - started)
    middle = sorted(taken[5:])[len(taken[5:]) // 2]
    return {
        "instruments": instruments,
        "features": len(FEATURE_NAMES),
        "close_ms": middle * 1e3,
        "bar_us": middle / instruments * 1e6,
    }


def measure() -> dict[str, dict[str, Any]]:
    found = [_told("one_size", size) for size in SIZES]
    slope = np.polyfit([math.log(f["instruments"]) for f in found], [math.log(f["seconds"]) for f in found], 1)[0]
    scaling: dict[str, Any] = {}
    for figures in found:
        size = int(figures["instruments"])
        scaling |= {f"seconds_{size}": figures["seconds"], f"peak_mb_{size}": figures["peak_mb"]}
    scaling |= {"rows_500": found[-1]["rows"], "slope": float(slope), "target_slope": 1.05}
    return {"features, 10 to 500 instruments": scaling, "features, online, one close": _told("online_close", SIZES[-1])}


def _told(function: str, size: int) -> dict[str, float]:
    program = f"import json; from tests.bench import scaling; print(json.dumps(scaling.{function}({size})))"
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    return json.loads(told.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
