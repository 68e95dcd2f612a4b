"""Validation of a million bars: rows a second, Great Expectations' share, and the same rules in plain pandas."""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from expectations.raw_bars import HIGHEST_PRICE, JUMP, OUTLIER, REPEATS, VOLUME
from pipelines.domain.bars import PRICE_COLUMNS, Interval
from pipelines.domain.market_calendar import bar_times, sessions_between
from pipelines.domain.session_grid import slots
from pipelines.ingest.names import tokens_for
from pipelines.ingest.world import instruments_table
from pipelines.params import ValidateParams
from pipelines.tables import read_table, write_table
from pipelines.validate import judge
from pipelines.validate.bars import Raw, Validated, validated
from pipelines.validate.data_docs import write_data_docs

INSTRUMENTS, BARS = 50, 20_000
FAULTS = 2_000
TARGET_SECONDS = 5


def measure(params: ValidateParams) -> dict[str, Any]:
    """Judge a market of INSTRUMENTS x BARS bars with planted faults, all of it and by its parts."""
    raw = a_market()
    small = Raw(raw.bars.iloc[:BARS], raw.instruments.iloc[:1], None)
    validated(small, Interval.MIN_5, params)  # imports, caches
    asked = _Watch(judge, "_asked")
    started = time.perf_counter()
    with asked:
        found = validated(raw, Interval.MIN_5, params)
    seconds = time.perf_counter() - started
    started = time.perf_counter()
    faulty = faulty_in_pandas(raw.bars)
    peer = time.perf_counter() - started
    agreed = set(found.quarantine["source_row"] + 1_000_000 * found.quarantine["symbol"].str[1:].astype(int))
    # by hand nobody looks again for wild bars that stood behind wild bars
    assert not faulty - agreed
    assert len(agreed - faulty) < 10
    rows = len(raw.bars)
    return {
        "rows_per_second": rows / seconds, "seconds": seconds, "target_seconds": TARGET_SECONDS, "rows": rows,
        "quarantined": len(found.quarantine), "great_expectations_share": asked.seconds / seconds,
        **_around(raw, found),
        "peer": "the same rules in pandas, instrument by instrument", "peer_rows_per_second": rows / peer,
        "times_as_fast_as_peer": peer / seconds,
    }  # fmt: skip


def a_market() -> Raw:
    """Random walks on ticks of 0.05, with a fault in one of 500 rows."""
    rng = np.random.default_rng(11)
    days = sessions_between(pd.Timestamp("2022-01-03").date(), pd.Timestamp("2023-12-29").date())
    opens, closes = zip(*[slot for day in days for slot in bar_times(day, Interval.MIN_5)][:BARS], strict=True)
    times = [pd.DatetimeIndex(t).tz_convert("Asia/Kolkata").as_unit("us") for t in (opens, closes)]
    names = [f"S{number:03d}" for number in range(INSTRUMENTS)]
    parts = []
    for name in names:
        close = np.round(500 * np.exp(np.cumsum(rng.normal(0, 0.001, BARS))) / 0.05)
        start = np.r_[close[0], close[:-1]]
        high = np.maximum(start, close) + rng.integers(0, 5, BARS)
        low = np.minimum(start, close) - rng.integers(0, 5, BARS)
        prices = {column: np.round(ticks * 0.05, 2) for column, ticks in
                  zip(PRICE_COLUMNS, (start, high, low, close), strict=True)}  # fmt: skip
        volume = np.exp(rng.normal(8, 0.5, BARS)).astype("int64")
        place = {"source": f"{name}.csv", "source_row": np.arange(2, BARS + 2)}
        parts.append(pd.DataFrame({"symbol": name, "open_time": times[0], "close_time": times[1]} | prices
                                  | {"volume": volume} | place))  # fmt: skip
    bars = pd.concat(parts, ignore_index=True).astype({"symbol": "str", "source": "str"})
    at = np.array_split(rng.choice(len(bars), FAULTS, replace=False), 4)
    bars.loc[at[0], "high"] = 0.05
    bars.loc[at[1], "close"] = np.nan
    bars.loc[at[2], "open"] = -1.0
    bars.loc[at[3], "high"] *= 2
    tokens = tokens_for(names)
    kind = {"kind": "stock", "tick_size": "0.05", "lot_size": 1, "sector": "", "has_volume": True}
    return Raw(bars, instruments_table([{"symbol": name, "token": tokens[name]} | kind for name in names]), None)


def faulty_in_pandas(bars: pd.DataFrame) -> set[int]:
    """Rows that a rule on raw bars sets aside, written as one would by hand; also works out what only warns."""
    faulty: set[int] = set()
    for name, own in bars.groupby("symbol"):
        prices, times = own[list(PRICE_COLUMNS)], own["open_time"]
        inner = prices[["open", "close"]]
        bad = prices.isna().any(axis=1) | (prices <= 0).any(axis=1) | (own["volume"] < 0)
        bad |= (prices > HIGHEST_PRICE).any(axis=1)
        bad |= own.duplicated(["open_time"], keep=False) | (times > times[::-1].cummin()[::-1])
        bad |= inner.gt(own["high"], axis=0).any(axis=1) | inner.lt(own["low"], axis=0).any(axis=1)
        place = slots(times, Interval.MIN_5)
        bad |= ~place["trades"] | ~place["inside"] | (place["open_time"] != times)
        before = own["close"].shift()
        references = (before.rolling(5, min_periods=1).median(), before)
        off = [(prices.div(reference, axis=0) - 1).abs().max(axis=1) for reference in references]
        bad |= np.minimum(*off) > OUTLIER[True]
        move = (own["close"] / before - 1).abs()
        _odd = move / (1.4826 * move.rolling(100).median().shift()) > JUMP
        volume = np.log1p(own["volume"])
        middle = volume.rolling(100).median().shift()
        spread = 1.4826 * (volume - middle).abs().rolling(100).median().shift()
        _odd |= (volume - middle).abs() / spread > VOLUME
        same = (prices == prices.shift()).all(axis=1) & (own["volume"] > 0)
        _odd |= same.astype(int).groupby((~same).cumsum()).cumsum() >= REPEATS
        ticks = prices / 0.05
        _odd |= ((ticks - ticks.round()).abs() > 1e-3).any(axis=1)
        faulty |= set(own.loc[bad, "source_row"] + 1_000_000 * int(str(name)[1:]))
    return faulty


def _around(raw: Raw, found: Validated) -> dict[str, float]:
    """Seconds of reading, writing and Data Docs, which are not in the figure above."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for symbol, own in raw.bars.groupby("symbol"):
            write_table(own, folder / f"{symbol}.parquet")
        started = time.perf_counter()
        pd.concat([read_table(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)
        reading = time.perf_counter() - started
        started = time.perf_counter()
        for symbol, own in found.bars.items():
            write_table(own, folder / f"{symbol}.parquet")
        writing = time.perf_counter() - started
        started = time.perf_counter()
        write_data_docs(
            folder / "docs", found.verdicts, found.findings, "a market made for this", len(found.quarantine)
        )
        return {"read_seconds": reading, "write_seconds": writing, "data_docs_seconds": time.perf_counter() - started}


class _Watch:
    """Adds up the time spent in a function of a module while it is open."""

    def __init__(self, module: Any, name: str):
        self.module, self.name, self.seconds = module, name, 0.0
        self.function = getattr(module, name)

    def __enter__(self) -> "_Watch":
        setattr(self.module, self.name, self._timed)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self.module, self.name, self.function)

    def _timed(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return self.function(*arguments)
        finally:
            self.seconds += time.perf_counter() - started
