"""Features: the batch against TA-Lib and pandas called one by one, each family, one bar live, first compilation."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.paths import Paths
from tests.bench.timing import seconds_of

REPEATS = 7
ALPHA158_VALUE_NS = 154.0  #: Qlib's Alpha158 builder, measured on the design's machine; not measured here


def best_seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Least time of `work` after one call that is not counted: the machine's other work is not the code's."""
    return min(seconds_of(work, repeats))


def measure(paths: Paths) -> dict[str, dict[str, Any]]:
    return {
        "features, batch": batch(paths),
        "features, by family": by_family(paths),
        "features, online": online(paths),
        "features, first compilation": compilation(),
    }


def one_stock(paths: Paths) -> tuple[str, pd.DataFrame]:
    from pipelines.tables import read_table

    path = sorted(paths.validated_bars.glob("*.parquet"))[0]
    return path.stem, read_table(path)


def batch(paths: Paths) -> dict[str, Any]:
    """All features as tables, per value: of all stocks, of one alone; and what TA-Lib and pandas take one by one."""
    from pipelines.domain.bars import Interval
    from pipelines.features.batch import THREADS, build_features, stocks_of
    from pipelines.features.catalogue import FEATURE_NAMES
    from pipelines.tables import read_table

    frames = {path.stem: read_table(path) for path in sorted(paths.validated_bars.glob("*.parquet"))}
    news, instruments = read_table(paths.news), read_table(paths.instruments)
    symbol, bars = one_stock(paths)

    def value_ns(given: dict[str, pd.DataFrame], threads: int) -> float:
        def built() -> None:
            for _ in build_features(given, news, instruments, Interval.MIN_5, threads=threads).rows:
                pass

        rows = sum(len(given[name]) for name in stocks_of(instruments).keys() & given.keys())
        return _value_ns(built, rows * len(FEATURE_NAMES))

    ours = value_ns(frames, 1)
    functions, as_table, columns = _by_talib(bars)
    by_pandas, others = _by_pandas(bars.head(2_000).reset_index(drop=True))
    by_both = (columns * as_table + others * by_pandas) / (columns + others)
    return {
        "threads": 1, "features": len(FEATURE_NAMES), "bars": sum(map(len, frames.values())), "value_ns": ours,
        "one_stock_alone_value_ns": value_ns({symbol: bars}, 1),
        f"with_{THREADS}_threads_value_ns": value_ns(frames, THREADS),
        "peer": f"TA-Lib, {columns} columns by one call after another, as a table", "peer_value_ns": as_table,
        "peer_functions_alone_value_ns": functions, "times_as_fast_as_peer": as_table / ours,
        "pandas_columns": others, "pandas_value_ns": by_pandas, "times_as_fast_as_pandas": by_pandas / ours,
        "times_as_fast_as_talib_and_pandas": by_both / ours, "times_as_fast_as_alpha158": ALPHA158_VALUE_NS / ours,
    }  # fmt: skip


def _value_ns(work: Callable[[], Any], values: int) -> float:
    return best_seconds(work) / values * 1e9


def _by_talib(bars: pd.DataFrame) -> tuple[float, float, int]:
    """Nanoseconds a value of the functions, and of the functions and a table of their columns; how many these are."""
    calls = _talib(bars)

    def columns() -> list[np.ndarray]:
        found = [call() for call in calls]
        return [column for out in found for column in (out if isinstance(out, tuple) else (out,))]

    def table() -> pd.DataFrame:
        return pd.DataFrame(dict(enumerate(columns())))

    count = len(columns())
    return _value_ns(columns, count * len(bars)), _value_ns(table, count * len(bars)), count


def _by_pandas(bars: pd.DataFrame) -> tuple[float, int]:
    """Nanoseconds a value of what pandas gives one by one; how many columns these are."""
    from tests.unit.features.references import pandas_figures

    moves = np.log(bars["close"]).diff()
    started = time.perf_counter()
    found = pandas_figures(bars, moves, (moves > 0).astype(float))
    return (time.perf_counter() - started) / len(found) / len(bars) * 1e9, len(found)


def _talib(bars: pd.DataFrame) -> list[Callable[[], Any]]:
    """The functions that give the classical features, each called for itself."""
    import talib

    o, h, low, c, v = (bars[name].to_numpy(float) for name in ("open", "high", "low", "close", "volume"))
    median = (h + low) / 2
    return [
        *(lambda n=n: talib.EMA(c, n) for n in (5, 12, 20, 26, 50)),
        *(lambda n=n: talib.RSI(c, n) for n in (7, 14, 28)),
        *(lambda n=n: talib.LINEARREG_SLOPE(c, n) for n in (12, 24)),
        *(lambda n=n: talib.STDDEV(c, n) for n in (20, 48)),
        *(lambda n=n: talib.SMA(median, n) for n in (5, 34)),
        *(lambda n=n: talib.MAX(h, n) for n in (9, 20, 26, 55)),
        *(lambda n=n: talib.MIN(low, n) for n in (9, 20, 26, 55)),
        *(lambda n=n: talib.ROC(c, n) for n in (1, 3, 6, 12, 24, 48, 72)),
        lambda: talib.MACD(c), lambda: talib.ADX(h, low, c), lambda: talib.PLUS_DI(h, low, c),
        lambda: talib.MINUS_DI(h, low, c), lambda: talib.ATR(h, low, c), lambda: talib.NATR(h, low, c),
        lambda: talib.TEMA(c, 12), lambda: talib.KAMA(c, 10), lambda: talib.TRIX(c, 15),
        lambda: talib.AROONOSC(h, low, 25), lambda: talib.LINEARREG(c, 24), lambda: talib.STOCHF(h, low, c, 14, 3),
        lambda: talib.STOCHRSI(c, 14, 14, 1), lambda: talib.CCI(h, low, c, 20),
        lambda: talib.ULTOSC(h, low, c, 7, 14, 28), lambda: talib.BOP(o, h, low, c), lambda: talib.BBANDS(c, 20, 2, 2),
        lambda: talib.OBV(c, v), lambda: talib.MFI(h, low, c, v), lambda: talib.ADOSC(h, low, c, v),
        lambda: talib.CORREL(c, v, 20), lambda: talib.BETA(h, low, 20), lambda: talib.MAXINDEX(h, 55),
        lambda: talib.MININDEX(low, 55), lambda: talib.CDLENGULFING(o, h, low, c), lambda: talib.CDLDOJI(o, h, low, c),
        lambda: talib.CDLHAMMER(o, h, low, c), lambda: talib.CDLHARAMI(o, h, low, c),
    ]  # fmt: skip


def by_family(paths: Paths) -> dict[str, Any]:
    """Nanoseconds a value of each family that the step computes, and of what they share, a bar."""
    from numba import njit

    from pipelines.features import step
    from pipelines.features.catalogue import FAMILIES
    from pipelines.features.inputs import Said, bar_inputs, microseconds

    _, bars = one_stock(paths)
    inputs = step.as_records(bar_inputs(bars, microseconds(bars["close_time"]), Said(), has_volume=True))
    remember = step._remember

    def seconds(write: Any, row: np.dtype) -> float:
        @njit(error_model="numpy")
        def run(states, inputs, out):
            s = states[0]
            for i in range(inputs.shape[0]):
                remember(s, inputs[i])
                write(s, inputs[i], out[i % 64])

        out = np.empty(64, row)
        return best_seconds(lambda: run(step.new_states(1), inputs, out), repeats=30)

    @njit(error_model="numpy")
    def nothing(s, bar, out):
        return

    shared = seconds(nothing, step.INPUT_ROW)
    figures = {"shared_bar_ns": shared / len(bars) * 1e9}
    for family in FAMILIES:
        taken = seconds(family.write, family.ROW) - shared
        figures[family.FEATURES[0].family] = taken / len(bars) / len(family.FEATURES) * 1e9
    return figures


def online(paths: Paths) -> dict[str, Any]:
    """All features of all instruments at one close."""
    from pipelines.domain.bars import Bar, Interval
    from pipelines.features.online import OnlineFeatures
    from pipelines.policy.panel import read_panel
    from pipelines.tables import read_table

    instruments = list(read_panel(paths).instruments.values())
    frames = {p.stem: read_table(p) for p in paths.validated_bars.glob("*.parquet")}
    online, taken = OnlineFeatures(instruments, Interval.MIN_5), []
    for rows in zip(*(frame.head(1500).itertuples(index=False) for frame in frames.values()), strict=False):
        closes = {row.close_time for row in rows}
        if len(closes) != 1:
            continue
        bars = {
            row.symbol: Bar(
                row.symbol, row.open_time, row.close_time, row.open, row.high, row.low, row.close, row.volume
            )
            for row in rows
        }
        started = time.perf_counter()
        online.update(closes.pop(), bars)
        taken.append((time.perf_counter() - started) / len(bars))
    return {"bar_us": statistics.median(taken[100:]) * 1e6, "target_us": 1000}


def compilation() -> dict[str, Any]:
    """Processor time of the first rows on a machine that has no compiled code yet, and the size of that code."""
    program = (
        "import time; from pipelines.domain.bars import Interval; from pipelines.features.batch import build_features; "
        "from tests.unit.features.bars import instrument_table, instruments, no_news, random_market; "
        "market = random_market(bars=5); t = time.process_time(); "
        "list(build_features(market, no_news(), instrument_table(instruments()), Interval.MIN_5).rows); "
        "print('seconds', time.process_time() - t)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"NUMBA_CACHE_DIR": folder}
        told = [
            subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
            ).stdout
            for _ in range(2)
        ]
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    first, again = (float(line.split("seconds")[-1]) for line in told)
    return {"cpu_seconds": first, "target_seconds": 60, "again_cpu_seconds": again, "cache_mb": size / 1e6}
