"""Recorded ticks from files, cleaned: what a recorder's defects look like is known, and each is counted.

A row is a snapshot: stamp (Asia/Kolkata), last price, the day's running total of shares. Files hold exact duplicates,
stale repeats after the close and rows of other days, stamps and totals that step back, two rows with one stamp.
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE, Interval
from pipelines.domain.errors import BadInput, NotFound
from pipelines.domain.session_grid import slots
from pipelines.domain.symbols import checked_symbol
from pipelines.ingest.file_names import symbol_for
from pipelines.ingest.names import canonical

PRICES, TOTALS, STAMPS = ("ltp", "last_price", "price"), ("volume", "volume_traded"), ("timestamp", "time", "date")
SLIVER = 0.1  #: share of a session's minutes; a day with ticks in fewer is a rest of another recording


@dataclass(frozen=True)
class TickFile:
    """Ticks of some instruments in order of time, and what was left out."""

    ticks: pd.DataFrame  #: symbol, at (Asia/Kolkata), price (rupees), total (shares since the session's open)
    left_out: dict[str, int]  #: rows by defect
    reordered: int  #: rows whose stamp or total stepped back in the file; they stand in their place now


def read_ticks(path: Path, days: frozenset[date] = frozenset(), symbols: frozenset[str] = frozenset()) -> TickFile:
    """Ticks of a file, or of every CSV and Parquet file of a folder that holds ticks.

    Parameters
    ----------
    path : Path
    days, symbols : what to take; empty takes every day that was recorded well, every symbol

    Raises
    ------
    NotFound : if the file is not there, or nothing of what was asked for is in it.
    BadInput : if it holds no ticks.
    """
    if not path.exists():
        raise NotFound(f"{path} is not there; give --ticks a file or folder of ticks")
    files = [path] if path.is_file() else sorted(p for p in path.iterdir() if p.suffix in (".csv", ".parquet"))
    sheets = [sheet for file in files if (sheet := _sheet(file)) is not None]
    if not sheets:
        raise BadInput(f"{path} holds no ticks; wanted are columns timestamp, ltp, volume and, if several, symbol")
    rows = pd.concat(sheets, ignore_index=True)
    if symbols:
        rows = rows[rows["symbol"].isin(symbols)]
    if not len(rows):
        raise NotFound(f"{path} holds no ticks of {', '.join(sorted(symbols))}; correct --symbols")
    return _cleaned(rows, days, path)


def minute_bars(ticks: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """One-minute bars of cleaned ticks by symbol, in the bar columns."""
    bars = {}
    for symbol, rows in ticks.groupby("symbol", sort=True):
        shares = rows["total"] - rows.groupby(rows["at"].dt.date)["total"].shift(fill_value=0)
        found = (
            rows.assign(open_time=rows["at"].dt.floor("min"), shares=shares)
            .groupby("open_time", as_index=False)
            .agg(open=("price", "first"), high=("price", "max"), low=("price", "min"), close=("price", "last"),
                 volume=("shares", "sum"))
        )  # fmt: skip
        found.insert(1, "close_time", found["open_time"] + pd.Timedelta(minutes=1))
        bars[str(symbol)] = found.assign(symbol=symbol).astype({"open_time": TIME_DTYPE, "close_time": TIME_DTYPE})
    return bars


def _sheet(file: Path) -> pd.DataFrame | None:
    rows = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)
    named = {str(column).strip().lower(): column for column in rows.columns}
    stamp, price, total = (next((named[n] for n in names if n in named), None) for names in (STAMPS, PRICES, TOTALS))
    if stamp is None or price is None or total is None:
        return None
    times = pd.to_datetime(rows[stamp], errors="coerce")
    times = times.dt.tz_localize(IST) if times.dt.tz is None else times.dt.tz_convert(IST)
    names = rows[named["symbol"]].map(_symbol) if "symbol" in named else symbol_for(file.name)
    return pd.DataFrame(
        {
            "symbol": names,
            "at": times.astype(TIME_DTYPE),
            "price": pd.to_numeric(rows[price], errors="coerce"),
            "total": pd.to_numeric(rows[total], errors="coerce").fillna(-1).astype("int64"),
        }
    )


def _cleaned(rows: pd.DataFrame, days: frozenset[date], path: Path) -> TickFile:
    left_out: dict[str, int] = {}

    def keep(wanted: pd.Series, otherwise: str) -> None:
        nonlocal rows
        left_out[otherwise] = int((~wanted).sum())
        rows = rows[wanted]

    keep(rows["at"].notna() & (rows["price"] > 0) & (rows["total"] >= 0), "unreadable")
    keep(~rows.duplicated(), "exact duplicates")
    place = slots(rows["at"], Interval.MIN_1)
    keep(place["trades"], "days without a session")
    keep(place["inside"].loc[rows.index], "outside the session's hours")
    day = rows["at"].dt.date
    keep(day.isin(days) if days else day.isin(_well_recorded(rows)), "other days")
    before = rows
    rows = rows.sort_values(["symbol", "at", "total"], kind="stable")
    reordered = int((before.groupby("symbol").cumcount() != rows.groupby("symbol").cumcount().loc[before.index]).sum())
    group = [rows["symbol"], rows["at"].dt.date]
    keep(rows["total"] >= rows.groupby(group)["total"].cummax(), "steps back of the running total")
    keep(~rows.duplicated(["symbol", "at"], keep="last"), "earlier rows of one stamp")
    if not len(rows):
        asked = ", ".join(map(str, sorted(days))) or "any session"
        raise NotFound(f"{path} holds no ticks of {asked}; correct --days")
    told = {what: count for what, count in left_out.items() if count}
    return TickFile(rows.reset_index(drop=True), told, reordered)


def _well_recorded(rows: pd.DataFrame) -> set[date]:
    minutes = rows["at"].dt.floor("min").drop_duplicates()
    per_day = minutes.dt.date.value_counts()
    if per_day.empty:
        return set()
    return set(per_day.index[np.asarray(per_day >= SLIVER * per_day.max())])


def _symbol(name: object) -> str:
    return checked_symbol(canonical(str(name)), "ticks")
