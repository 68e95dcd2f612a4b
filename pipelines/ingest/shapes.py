"""Shapes of bar files: headers in many spellings, three header lines, none at all; all become one sheet of columns."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.domain.errors import BadInput
from pipelines.ingest.file_names import symbol_of_file
from pipelines.params import ColumnParams

SUFFIXES = (".csv", ".txt", ".parquet")
PRICES = ("open", "high", "low", "close")

#: How columns are spelt, lower case, `_` read as a blank; for the stamp the first that is there counts.
_STAMPS = ("datetime", "timestamp", "date", "time", "date time")
_SPELLINGS = {
    "o": "open",
    "open price": "open",
    "opening price": "open",
    "ch opening price": "open",
    "h": "high",
    "high price": "high",
    "ch trade high price": "high",
    "l": "low",
    "low price": "low",
    "ch trade low price": "low",
    "c": "close",
    "close price": "close",
    "closing price": "close",
    "ch closing price": "close",
    "close*": "close",
    "v": "volume",
    "vol": "volume",
    "qty": "volume",
    "quantity": "volume",
    "traded quantity": "volume",
    "traded qty": "volume",
    "shares traded": "volume",
    "no of shares": "volume",
    "no.of shares": "volume",
    "no. of shares": "volume",
    "total traded quantity": "volume",
    "total traded qty": "volume",
    "ch tot traded qty": "volume",
    "ttl trd qnty": "volume",
    "tottrdqty": "volume",
    "index name": "symbol",
    "tradingsymbol": "symbol",
    "trading symbol": "symbol",
    "ticker": "symbol",
    "scrip": "symbol",
    "stock symbol": "symbol",
    "ch symbol": "symbol",
    "ch series": "series",
    "ch timestamp": "date",
    "trade date": "date",
    "trading date": "date",
    "historical date": "date",
}
#: Units behind the header of a volume
_SIZES = {
    ("000", "000s", "'000", "'000s", "thousand", "thousands", "k"): 1e3,
    ("lakh", "lakhs", "lac", "lacs"): 1e5,
    ("million", "millions", "mn"): 1e6,
    ("crore", "crores", "cr", "crs"): 1e7,
}
_UNIT = re.compile(
    r"(?<=[a-z.]) ?[-,]?[(\[ ](in |shares in )?(?P<unit>"
    + "|".join(sorted((word for words in _SIZES for word in words), key=len, reverse=True))
    + r")( shares)?[)\]]?$"
)
_FIELDS = (*PRICES, "volume", "symbol", "series")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_WANTED = "a time (date, datetime or timestamp), open, high, low, close and, if there is one, volume"


@dataclass(frozen=True)
class Sheet:
    """What one file holds, before any value is understood."""

    file: str  #: name relative to the folder read
    columns: pd.DataFrame  #: `stamp`, open, high, low, close and, where found, volume, symbol, series; text or typed
    rows: pd.DataFrame  #: the file's rows under their own headers, for the quarantine
    source_row: pd.Series  #: line of a CSV file, row of a Parquet file, from 1
    stamp_header: str  #: what the file calls its times
    volume_unit: float = 1.0  #: shares that one of volume means
    ticker: str | None = None  #: from the header lines of a yfinance file
    told: ColumnParams | None = None  #: what a person says of the file's times


@dataclass(frozen=True)
class NoBars:
    """A readable file without prices, e.g. a calendar or ticks."""

    file: str
    reason: str


def read_sheet(path: Path, file: str, columns: ColumnParams | None = None) -> Sheet | NoBars:
    """Read one file.

    Parameters
    ----------
    path : Path
    file : its name in messages
    columns : names of columns that a person gave; files that have none of them are read as usual

    Raises
    ------
    BadInput : if it is empty, damaged, or has some but not all columns of a bar.
    """
    if path.stat().st_size == 0:
        raise BadInput(f"{file} is empty; delete it or export it again")
    sheet = _read_parquet if path.suffix.lower() == ".parquet" else _read_csv
    return sheet(path, file, columns if columns and columns.names else None)


def _read_parquet(path: Path, file: str, columns: ColumnParams | None) -> Sheet | NoBars:
    rows = parquet_rows(path, file)
    return _sheet(file, rows, pd.Series(range(1, len(rows) + 1)), None, columns)


def parquet_rows(path: Path, file: str) -> pd.DataFrame:
    """The rows of a Parquet file, whatever a pandas that wrote it noted of its index.

    Raises
    ------
    BadInput : if it is damaged.
    """
    try:
        table = pq.read_table(path)
        table.validate(full=True)  # else text that is none breaks where it is first looked at
        return table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]  # damaged metadata break in many ways
        raise BadInput(f"{file} is not readable as Parquet ({what}); copy or export it again") from None


def _read_csv(path: Path, file: str, columns: ColumnParams | None) -> Sheet | NoBars:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8 CSV") from None
    if not text.strip():
        raise BadInput(f"{file} is empty; delete it or export it again")
    delimiter = max(",;\t|", key=text.lstrip().partition("\n")[0].count)
    lines = text.splitlines()
    start = _next_filled(lines, 0)
    head = list(islice(csv.reader(lines[start:], delimiter=delimiter), 3))
    names, skipped, ticker = _header(head, file)
    skipped = _next_filled(lines, start + skipped)
    rows = _body(text, skipped, delimiter, file)
    if rows is None:
        raise BadInput(f"{file} has a header and no rows; delete it or export it again")
    names = _fit(names, rows, file)
    if names is None:
        return NoBars(file, "has no header and is no bar file")
    rows = rows.iloc[:, : len(names)].set_axis(names, axis=1)
    source_row = pd.Series(range(skipped + 1, skipped + 1 + len(rows)))
    filled = (rows != "").any(axis=1)
    return _sheet(file, rows[filled].reset_index(drop=True), source_row[filled].reset_index(drop=True), ticker, columns)


def _next_filled(lines: Sequence[str], start: int) -> int:
    return next((place for place in range(start, len(lines)) if lines[place].strip()), len(lines))


def _header(head: list[list[str]], file: str) -> tuple[list[str] | None, int, str | None]:
    """Names of the columns (None: there is no header), lines to skip and the ticker found."""
    first = [cell.strip() for cell in head[0]]
    if len(head) > 1 and first[0].lower() == "price" and head[1][0].strip().lower() == "ticker":
        tickers = {cell.strip() for cell in head[1][1:] if cell.strip()}
        if len(tickers) != 1:
            raise BadInput(f"{file} holds {len(tickers)} tickers side by side; export one file for each")
        return ["date", *first[1:]], 3, tickers.pop()
    known = {_field(name) for name in first} & {*_FIELDS, *_STAMPS}
    if not known and (len(first) == 1 or sum(bool(_NUMBER.fullmatch(cell)) for cell in first) >= 4):
        return None, 0, None
    return first, 1, None


def _body(text: str, skipped: int, delimiter: str, file: str) -> pd.DataFrame | None:
    try:
        rows = pd.read_csv(
            StringIO(text),
            header=None,
            skiprows=skipped,
            sep=delimiter,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError:
        return None
    except pd.errors.ParserError as error:
        raise BadInput(f"{file}: {str(error).splitlines()[-1].strip()}; mend or delete that line") from None
    return rows.fillna("").apply(lambda column: column.str.strip())


def _fit(names: list[str] | None, rows: pd.DataFrame, file: str) -> list[str] | None:
    """Names that fit the body's width; without a header they come from the first row's look."""
    if names is None:
        return _names_by_look(rows.iloc[0].tolist())
    surplus = rows.iloc[:, len(names) :]
    if surplus.shape[1] and (surplus != "").any(axis=None):
        raise BadInput(f"{file}: rows have {rows.shape[1]} fields, the header {len(names)}; mend the header")
    return names[: rows.shape[1]]


def _names_by_look(cells: Sequence[str]) -> list[str] | None:
    """Columns of a file without header: [symbol], date, [HH:MM], open, high, low, close, [volume], [oi]."""
    rest, names = list(cells), []
    if rest and not re.match(r"\d", rest[0]):
        names.append("symbol")
        rest.pop(0)
    if not rest or not re.fullmatch(r"\d{8}|\d{4}-\d\d-\d\d.*|\d\d-\w{3}-\d{4}|\d{10}", rest[0]):
        return None
    names.append("date")
    rest.pop(0)
    if rest and re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", rest[0]):
        names.append("time")
        rest.pop(0)
    if len(rest) < 4 or not all(_NUMBER.fullmatch(cell) for cell in rest[:4]):
        return None
    return [*names, *PRICES, "volume", "oi"][: len(names) + len(rest)]


def _field(header: str) -> str:
    name = re.sub(r"[\s_]+", " ", str(header)).strip().lower()
    name = re.sub(r" ?[(\[]?(in )?(₹|rs\.?|inr|rupees)[)\]]?$", "", name) if name not in _SPELLINGS else name
    name = _UNIT.sub("", name).strip(" .:")
    return _SPELLINGS.get(name, name)


def unit_of(header: str) -> float:
    """Shares that one of a column of volumes means, by its header; 1 if that says nothing."""
    told = _UNIT.search(re.sub(r"[\s_]+", " ", str(header)).strip().lower())
    return next(size for words, size in _SIZES.items() if told["unit"] in words) if told else 1.0


def _sheet(
    file: str, rows: pd.DataFrame, source_row: pd.Series, ticker: str | None, columns: ColumnParams | None
) -> Sheet | NoBars:
    found = ", ".join(str(header).strip() for header in rows.columns)
    headers = [str(header).strip() for header in rows.columns]
    columns = columns if columns and set(columns.names.values()) & set(headers) else None
    places = _places(headers, columns, file, found)
    prices = [field for field in PRICES if field in places]
    stamps = [field for field in _STAMPS if field in places]
    if not prices:
        return NoBars(file, f"holds no prices (columns: {found})")
    if len(prices) < len(PRICES) or not stamps:
        missing = [field for field in PRICES if field not in places] + ([] if stamps else ["date"])
        raise BadInput(f"{file}: no column {', '.join(missing)}; found: {found}; wanted: {_WANTED}")
    if not len(rows):
        raise BadInput(f"{file} has columns and no rows; delete it or export it again")
    if "symbol" not in places and ticker is None and symbol_of_file(file) is None:
        return NoBars(file, "names no instrument: name it after the symbol, e.g. SBIN.csv, or add a column symbol")
    stamp = rows.iloc[:, places[stamps[0]]]
    if "date" in stamps and "time" in stamps and stamps[0] == "date":
        stamp = stamp.astype("str") + " " + rows.iloc[:, places["time"]].astype("str")
    picked = {"stamp": stamp}
    picked |= {field: rows.iloc[:, places[field]] for field in _FIELDS if field in places}
    header = headers[places[stamps[0]]]
    unit = unit_of(headers[places["volume"]]) if "volume" in places else 1.0
    return Sheet(file, pd.DataFrame(picked), rows, source_row, header, unit, ticker, columns)


def _places(headers: Sequence[str], columns: ColumnParams | None, file: str, found: str) -> dict[str, int]:
    """The place of each field's column: the one that a person named, else the first that is spelt like it."""
    places: dict[str, int] = {}
    for place, header in enumerate(headers):
        places.setdefault(_field(header), place)
    if "close" not in places and "price" in places and {"open", "high", "low"} <= places.keys():
        places["close"] = places["price"]  # investing.com
    if columns is None:
        return places
    missing = [theirs for theirs in columns.names.values() if theirs not in headers]
    if missing:
        raise BadInput(f"{file} has no column {', '.join(missing)}, named in ingest.columns; found: {found}")
    if "date" in columns.names:
        places = {field: place for field, place in places.items() if field not in _STAMPS}
    return places | {ours: headers.index(theirs) for ours, theirs in columns.names.items()}
