"""The source `ticks:<folder>`: recorded ticks as a recorder left them, and the minute bars that they make.

A row is a snapshot: stamp (Asia/Kolkata where it has no zone), last price, the day's running total of shares. Repeats,
stale rows after the close and totals that step back stay in: validation judges them. A recording is known from when it
was stored, since nothing but its own stamps says when it was made.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.session_grid import slots
from pipelines.domain.symbols import checked_symbol
from pipelines.ingest.file_names import symbol_for
from pipelines.ingest.kinds import empty, typed
from pipelines.ingest.names import canonical
from pipelines.ingest.rejects import no_rejects, rejected_rows
from pipelines.ingest.shapes import parquet_rows
from pipelines.ingest.source import Fetched, Known
from pipelines.ingest.stamps import read_stamps

SUFFIXES = (".csv", ".parquet")
#: Of so many steps of a running total so large a share goes back only where it is none; recorded are 2 %
FEW_STEPS, MOST_BACK = 100, 0.2
USUALLY = 0.5  #: share of an instrument's ticks with a count of shares, above which one without it lacks it
#: How columns are spelt, lower case; the first that is there counts
_STAMPS = ("timestamp", "exchange_timestamp", "time", "datetime", "date")
_PRICES = ("ltp", "last_price", "price")
_TOTALS = ("volume", "volume_traded", "total_volume")
_QUANTITIES = ("quantity", "last_traded_quantity", "last_quantity", "ltq")


@dataclass(frozen=True)
class TickSheet:
    """The ticks of one file, of all its instruments, in the file's order."""

    ticks: pd.DataFrame  #: TICK_COLUMNS; quantity is the rise of the running total since the instrument's row before
    rejected: pd.DataFrame  #: REJECTED_COLUMNS: rows without a readable time, or whose total is no number


@dataclass
class TickFiles:
    """Ticks of every CSV and Parquet file of a folder that holds ticks.

    Parameters
    ----------
    folder : Path
    symbols : only these; empty takes all
    known : what is stored already; files that have not changed are passed over
    """

    folder: Path
    symbols: Sequence[str] = ()
    known: Known | None = None

    @property
    def name(self) -> str:
        return f"ticks:{self.folder.name}"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """One piece for each file, instrument and day, in the order of the days.

        Raises
        ------
        BadInput : if the folder is not there or holds no ticks, or a file cannot be read.
        """
        if not self.folder.is_dir():
            raise BadInput(f"{self.folder} is no folder; name the folder that the recorded ticks lie in")
        paths = sorted(path for path in self.folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        found = False
        for path in paths:
            file = path.relative_to(self.folder).as_posix()
            sheet = read_tick_sheet(path, file)
            if sheet is None:
                continue
            found = True
            yield from self._pieces(sheet, file, hashlib.sha256(path.read_bytes()).hexdigest(), since, until)
        if not found:
            raise BadInput(
                f"{self.folder} holds no ticks; wanted are columns timestamp, ltp, volume and, if several, symbol"
            )

    def _pieces(self, sheet: TickSheet, file: str, digest: str, since: date | None, until: date) -> Iterator[Fetched]:
        wanted = {canonical(symbol) for symbol in self.symbols}
        days = sheet.ticks["time"].dt.date
        rejected = {str(symbol): rows for symbol, rows in sheet.rejected.groupby("symbol")}
        for (day, symbol), rows in sheet.ticks.groupby([days, "symbol"], sort=True):
            if (wanted and symbol not in wanted) or day > until or (since is not None and day < since):
                continue
            origin = f"{file} {symbol} {day}"
            if self.known is None or not self.known.seen("ticks", symbol, origin, digest):
                gone = rejected.pop(symbol, None)
                yield Fetched("ticks", symbol, rows.reset_index(drop=True), None, origin, digest, gone)
        for symbol, gone in rejected.items():  # of whom nothing else could be read, or only what was asked for before
            if not (wanted and symbol not in wanted) and symbol not in set(sheet.ticks["symbol"]):
                yield Fetched("ticks", symbol, empty("ticks"), None, f"{file} {symbol}", digest, gone)


def read_tick_sheet(path: Path, file: str) -> TickSheet | None:
    """The ticks of one file; None if it holds something else.

    Raises
    ------
    BadInput : if it is damaged, has some but not all columns of ticks, or none of its times can be read, or
        its totals fall as prices do.
    """
    try:
        rows = parquet_rows(path, file) if path.suffix.lower() == ".parquet" else pd.read_csv(path, dtype=str)
    except pd.errors.EmptyDataError:
        return None
    except (OSError, ValueError) as error:  # of pandas: what is no text, or no table
        what = " ".join(str(error).split()) or type(error).__name__
        raise BadInput(f"{file} is not readable ({what}); copy or export it again") from None
    named = {str(column).strip().lower(): column for column in rows.columns}
    stamp, price, total, quantity = (_first(named, names) for names in (_STAMPS, _PRICES, _TOTALS, _QUANTITIES))
    if "open" in named or not len(rows) or (price is None and quantity is None):
        return None
    if stamp is None or price is None or (total is None and quantity is None):
        raise BadInput(
            f"{file} has some columns of ticks and lacks others (found: {', '.join(named)[:200]}); wanted are "
            "timestamp, ltp, volume and, if several, symbol"
        )
    source_row = pd.Series(range(1, len(rows) + 1)) + (path.suffix.lower() == ".csv")
    symbols = rows[named["symbol"]].astype("str") if "symbol" in named else pd.Series(symbol_for(file), rows.index)
    ticks = pd.DataFrame(
        {
            "symbol": symbols.map({name: checked_symbol(canonical(name), file) for name in symbols.unique()}),
            "time": read_stamps(rows[stamp], file, source_row).times,
            "price": _number(rows, price),
            "quantity": _number(rows, quantity),
            "volume": _number(rows, total),
        }
    )
    timeless, garbled = ticks["time"].isna(), _garbled(rows, total, ticks["symbol"])
    if quantity is None:
        ticks["quantity"] = ticks["volume"] - ticks.groupby(["symbol", ticks["time"].dt.date])["volume"].shift()
    gone = timeless | garbled
    _refuse_wandering(ticks[~gone], file)
    return TickSheet(typed(ticks[~gone], "ticks"), _rejected(rows[gone], ticks, source_row, file))


def minute_bars(ticks: pd.DataFrame) -> pd.DataFrame:
    """One-minute bars of recorded ticks: first, highest, lowest and last price, and the rise of the running total.

    Exact repeats and rows outside of sessions are left out; a minute without a tick has no bar, and the shares of the
    time when the recorder stood still count in the bar after it.

    Parameters
    ----------
    ticks : DataFrame of TICK_COLUMNS, with running totals, of each instrument in the order of time

    Returns
    -------
    DataFrame of BAR_COLUMNS, by instrument and time.
    """
    rows = ticks.drop_duplicates(["symbol", "time", "price", "volume"])
    place = slots(rows["time"], Interval.MIN_1)
    inside = (place["inside"] & place["trades"]).to_numpy()
    rows = rows[inside].assign(open_time=place["open_time"][inside], close_time=place["close_time"][inside])
    bars = rows.groupby(["symbol", "open_time"], sort=True, as_index=False).agg(
        close_time=("close_time", "first"),
        open=("price", "first"),
        high=("price", "max"),
        low=("price", "min"),
        close=("price", "last"),
        total=("volume", "max"),
    )
    day = bars["open_time"].dt.date
    rise = bars["total"] - bars.groupby(["symbol", day])["total"].shift(fill_value=0)
    bars["volume"] = rise.clip(lower=0).fillna(0).astype("int64")
    return bars.drop(columns="total").astype({"open_time": TIME_DTYPE, "close_time": TIME_DTYPE})


def _first(named: dict[str, str], names: Sequence[str]) -> str | None:
    return next((named[name] for name in names if name in named), None)


def _number(rows: pd.DataFrame, column: str | None) -> pd.Series:
    if column is None:
        return pd.Series(float("nan"), rows.index)
    return pd.to_numeric(rows[column], errors="coerce").astype("float64")


def _refuse_wandering(ticks: pd.DataFrame, file: str) -> None:
    steps = ticks.groupby(["symbol", ticks["time"].dt.date])["volume"].diff()
    back = int((steps < 0).sum())
    if steps.count() >= FEW_STEPS and back > MOST_BACK * steps.count():
        raise BadInput(
            f"{file}: the day's total of shares falls in {back} of {steps.count()} rows; sort the file by time, or "
            "look whether price and total are swapped"
        )


def _garbled(rows: pd.DataFrame, column: str | None, symbols: pd.Series) -> pd.Series:
    """Rows whose count of shares is no number, or missing though it is told of most of the instrument's ticks."""
    if column is None:
        return pd.Series(False, rows.index)
    number, text = _number(rows, column), rows[column].astype("str").str.strip()
    told = rows[column].notna() & ~text.str.lower().isin(["", "nan", "none", "null", "-"])
    usual = told.groupby(symbols).transform("mean") > USUALLY
    return (told | usual) & ~np.isfinite(number)


def _rejected(rows: pd.DataFrame, ticks: pd.DataFrame, source_row: pd.Series, file: str) -> pd.DataFrame:
    tables = [
        rejected_rows(rows.loc[part.index], str(symbol), rule, [reason] * len(part), [file] * len(part),
                      source_row.loc[part.index].tolist())
        for (symbol, timeless), part in ticks.loc[rows.index].groupby(["symbol", ticks["time"].isna()], sort=True)
        for rule, reason in [("unreadable_time", "the stamp is no time") if timeless
                             else ("unreadable_number", "the count of shares is no number")]
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True).assign(rows_read=len(ticks)) if tables else no_rejects()
