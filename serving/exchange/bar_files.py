"""Recorded bars from files of many shapes, read by the ingest's own readers at the interval that they have."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.domain.errors import BadInput, NotFound
from pipelines.domain.session_grid import slots
from pipelines.ingest.containers import SUFFIXES, NoBars
from pipelines.ingest.row_faults import impossible
from pipelines.ingest.series import DAY_MINUTES, Series, series_of
from pipelines.ingest.shapes import read_sheets


@dataclass(frozen=True)
class BarFiles:
    """Bars by symbol, all at one interval, and what was left out in sentences."""

    bars: dict[str, pd.DataFrame]  #: BAR_COLUMNS, sorted by open_time
    interval: Interval
    has_volume: dict[str, bool]
    left_out: tuple[str, ...]


def read_bars(path: Path, symbols: frozenset[str] = frozenset(), days: frozenset[date] = frozenset()) -> BarFiles:
    """Bars of a file, or of every file of a folder that holds bars; `days` may stand in any of them.

    Rows outside of sessions and impossible ones are left out and counted. Of several files of one symbol the one is
    taken that holds most of the days asked for, then most bars.

    Raises
    ------
    NotFound : if the file is not there, or holds nothing of what was asked for.
    BadInput : if it holds no bars, or bars of several intervals.
    """
    if not path.exists():
        raise NotFound(f"{path} is not there; give --bars a file or folder of bars")
    files = (
        [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
    )
    found = [series for file in files for series in _series_in(file) if not symbols or series.symbol in symbols]
    if not found:
        raise NotFound(f"{path} holds no bars of {', '.join(sorted(symbols)) or 'any kind'}; correct --bars, --symbols")
    spacings = {series.minutes for series in found}
    interval = next((one for one in Interval if spacings == {one.minutes if one.intraday else DAY_MINUTES}), None)
    if interval is None:
        raise BadInput(f"{path} mixes bars of {sorted(spacings)} minutes; name a folder, or --symbols, of one interval")
    best: dict[str, Series] = {}
    told = []
    for series in sorted(found, key=lambda one: (-_days_of(one, days), -len(one.frame), one.file)):
        if best.setdefault(series.symbol, series) is not series:
            told.append(f"{series.file} is left out for {best[series.symbol].file}")
    bars = {}
    for symbol, series in sorted(best.items()):
        bars[symbol], dropped = _on_grid(series, interval)
        if dropped:
            told.append(f"{series.file}: {dropped} rows outside of sessions or impossible")
    volumes = {symbol: series.has_volume for symbol, series in best.items()}
    return BarFiles(bars, interval, volumes, tuple(told))


def _series_in(file: Path) -> list[Series]:
    sheets = read_sheets(file, file.name)
    return [series for sheet in sheets if not isinstance(sheet, NoBars) for series in series_of(sheet)]


def _days_of(series: Series, days: frozenset[date]) -> int:
    return len(days & set(series.frame["open_time"].dt.date)) if days else 0


def _on_grid(series: Series, interval: Interval) -> tuple[pd.DataFrame, int]:
    rows = series.frame[impossible(series.frame) == ""].sort_values("open_time", kind="stable")
    place = slots(rows["open_time"], interval)
    sound = place["inside"] & place["trades"]
    if interval.intraday:
        sound &= place["open_time"] == rows["open_time"]
    bars = rows.assign(symbol=series.symbol, open_time=place["open_time"], close_time=place["close_time"])[sound]
    return bars[list(BAR_COLUMNS)].reset_index(drop=True), len(series.frame) - len(bars)
