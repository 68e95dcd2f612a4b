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
from pyarrow import feather

from pipelines.domain.errors import BadInput
from pipelines.ingest.containers import Content, NoBars, contents_of, shown
from pipelines.ingest.file_names import symbol_of_file
from pipelines.ingest.json_tables import table_in
from pipelines.ingest.spellings import PRICES, STAMPS, field_of, unit_of
from pipelines.ingest.workbooks import sheets_of
from pipelines.params import ColumnParams

_FIELDS = (*PRICES, "volume", "symbol", "series")
#: What pandas calls an index without a name
_UNNAMED = ("", "index", "unnamed: 0")
_PARQUET_INDEX = "__index_level_0__"
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_TITLES, _LONG = 12, 300  #: lines of titles above a header, and letters of a message about it, at most
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


def read_sheets(path: Path, file: str, columns: ColumnParams | None = None) -> list[Sheet | NoBars]:
    """Read the tables of one file: of an archive each file in it, of a workbook each sheet, else one.

    Parameters
    ----------
    path : Path
    file : its name in messages
    columns : names of columns that a person gave; files that have none of them are read as usual

    Raises
    ------
    BadInput : if it cannot be read, is empty, damaged, or has some but not all columns of a bar.
    """
    told = columns if columns and columns.names else None
    found: list[Sheet | NoBars] = []
    for content in contents_of(path, file):
        found += [content] if isinstance(content, NoBars) else _sheets_in(content, told)
    return found


def read_sheet(path: Path, file: str, columns: ColumnParams | None = None) -> Sheet | NoBars:
    """As `read_sheets`, of a file that holds one table.

    Raises
    ------
    BadInput : if it holds several.
    """
    found = read_sheets(path, file, columns)
    if len(found) > 1:
        raise BadInput(f"{file} holds {len(found)} tables; name the folder it lies in, or unpack it")
    return found[0]


def _sheets_in(content: Content, columns: ColumnParams | None) -> list[Sheet | NoBars]:
    file = content.file
    if content.form == "workbook":
        sheets = [(f"{file}/{name}", text) for name, text in sheets_of(content.data, file)]
        read = [_read_text(text, name, columns) if text.strip() else NoBars(name, "is empty") for name, text in sheets]
        return read or [NoBars(file, "holds no sheet")]
    if content.form == "text":
        text = _decoded(content.data, file)
        return [text if isinstance(text, NoBars) else _read_text(text, file, columns)]
    if content.form == "json":
        rows = table_in(content.data, file)
        if rows is None:
            return [NoBars(file, "holds no table of bars")]
    else:
        rows = _parquet_rows(content.data, file, content.form)
    return [_sheet(file, rows, pd.Series(range(1, len(rows) + 1)), None, columns)]


def _decoded(data: bytes, file: str) -> str | NoBars:
    """Text in UTF-8, or in UTF-16 as Excel saves Unicode text.

    Raises
    ------
    BadInput : if a table of bars is in another encoding, or holds nothing.
    """
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff")) and not data.startswith(b"\xff\xfe\0\0")
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        head = re.split(r"[,;\t|]", data.partition(b"\n")[0].decode("latin-1"))
        if not {field_of(cell.strip(' "')) for cell in head} & {*PRICES, *STAMPS}:
            return NoBars(file, "is no text")
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8 CSV") from None
    if not text.strip():
        raise BadInput(f"{file} is empty; delete it or export it again")
    return text


def parquet_rows(path: Path, file: str) -> pd.DataFrame:
    """The rows of a Parquet file, whatever a pandas that wrote it noted of its index.

    Raises
    ------
    BadInput : if it is damaged.
    """
    return _parquet_rows(path.read_bytes(), file, "parquet")


def _parquet_rows(data: bytes, file: str, form: str) -> pd.DataFrame:
    try:
        source = pa.BufferReader(data)
        table = pq.read_table(source) if form == "parquet" else feather.read_table(source)
        table.validate(full=True)  # else text that is none breaks where it is first looked at
        return table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0]  # damaged metadata break in many ways
        raise BadInput(f"{file} is not readable as {form.capitalize()} ({what}); copy or export it again") from None


def _read_text(text: str, file: str, columns: ColumnParams | None) -> Sheet | NoBars:
    lines = text.splitlines()
    start = _start(lines)
    delimiter = _delimiter(lines[start])
    head = list(islice(csv.reader(lines[start:], delimiter=delimiter), 3))
    names, skipped, ticker = _header(head, file)
    if names is None and _names_by_look([cell.strip() for cell in head[0]]) is None:
        return NoBars(file, "has no header and is no bar file")
    if names is not None and not _may_be_bars(names, columns):
        return NoBars(file, f"holds no prices (columns: {_some(names)})")
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


def _start(lines: Sequence[str]) -> int:
    """The line that the table begins with: titles above a header, as exports have them, are passed over."""
    first = _next_filled(lines, 0)
    for place in range(first, min(first + _TITLES, len(lines))):
        named = {field_of(cell.strip(' "')) for cell in lines[place].split(_delimiter(lines[place]))}
        if len(named & set(PRICES)) >= 3:
            return place
    return _next_filled(lines, first + 1) if lines[first].lower().startswith("sep=") else first


def _delimiter(line: str) -> str:
    return max(",;\t|", key=line.count)


def _may_be_bars(names: Sequence[str], columns: ColumnParams | None) -> bool:
    told = set(columns.names.values()) if columns else set()
    return bool(told & set(names) or {field_of(name) for name in names} & {*PRICES, "price"})


def _some(names: Sequence[str]) -> str:
    """Names of columns as they can be printed."""
    text = ", ".join(shown(name) for name in names)
    return text if len(text) <= _LONG else f"{text[:_LONG]} ..."


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
    known = {field_of(name) for name in first} & {*_FIELDS, *STAMPS}
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


def _sheet(
    file: str, rows: pd.DataFrame, source_row: pd.Series, ticker: str | None, columns: ColumnParams | None
) -> Sheet | NoBars:
    found = _some([str(header).strip() for header in rows.columns])
    headers = [str(header).strip() for header in rows.columns]
    columns = columns if columns and set(columns.names.values()) & set(headers) else None
    places = _places(headers, columns, file, found)
    prices = [field for field in PRICES if field in places]
    stamps = [field for field in STAMPS if field in places]
    if not prices or (len(prices) == 1 and not stamps):
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
        first = places.setdefault(field_of(header), place)
        if first != place and field_of(header) in _FIELDS and headers[first].lower() == header.lower():
            raise BadInput(f"{file} has the column {header} more than once; rename or delete one")
    if not set(STAMPS) & places.keys():
        unnamed = 0 if headers[0].lower() in _UNNAMED else places.get(field_of(_PARQUET_INDEX))
        places |= {"date": unnamed} if unnamed is not None else {}
    if "close" not in places and "price" in places and {"open", "high", "low"} <= places.keys():
        places["close"] = places["price"]  # investing.com
    if columns is None:
        return places
    missing = [theirs for theirs in columns.names.values() if theirs not in headers]
    if missing:
        raise BadInput(f"{file} has no column {', '.join(missing)}, named in ingest.columns; found: {found}")
    if "date" in columns.names:
        places = {field: place for field, place in places.items() if field not in STAMPS}
    return places | {ours: headers.index(theirs) for ours, theirs in columns.names.items()}
