"""NSE's files of a day's prices, in the shapes the exchange has used; unadjusted, as they were traded.

Shapes: the old bhavcopy (until 2024-07-05), UDiFF (since 2024-07-08), the full bhavcopy with deliveries, and `pd` of
the daily bundle, which alone has indices and says no day. The columns of UDiFF are as public clients read them.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from io import StringIO

import pandas as pd

from pipelines.domain.bars import IST, PRICE_COLUMNS, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.session_grid import slots
from pipelines.domain.symbols import is_symbol
from pipelines.ingest.kinds import typed
from pipelines.ingest.names import canonical
from pipelines.ingest.rejects import no_rejects, rejected_rows

#: Series of the normal market, first choice first: EQ, and trade for trade, where the same share goes for a while
SERIES = ("EQ", "BE", "BZ")
INDEX = "INDEX"  #: our word for the rows of indices in `pd` files


@dataclass(frozen=True)
class _Shape:
    name: str
    columns: Mapping[str, str]  #: ours: theirs
    date_format: str | None  #: None: the file does not say its day


_SHAPES = (
    _Shape(
        "UDiFF",
        {"symbol": "TCKRSYMB", "series": "SCTYSRS", "open": "OPNPRIC", "high": "HGHPRIC", "low": "LWPRIC",
         "close": "CLSPRIC", "volume": "TTLTRADGVOL", "day": "TRADDT"},
        "%Y-%m-%d",
    ),
    _Shape(
        "old",
        {"symbol": "SYMBOL", "series": "SERIES", "open": "OPEN", "high": "HIGH", "low": "LOW", "close": "CLOSE",
         "volume": "TOTTRDQTY", "day": "TIMESTAMP"},
        "%d-%b-%Y",
    ),
    _Shape(
        "full",
        {"symbol": "SYMBOL", "series": "SERIES", "open": "OPEN_PRICE", "high": "HIGH_PRICE", "low": "LOW_PRICE",
         "close": "CLOSE_PRICE", "volume": "TTL_TRD_QNTY", "day": "DATE1"},
        "%d-%b-%Y",
    ),
    _Shape(
        "pd",
        {"symbol": "SYMBOL", "series": "SERIES", "open": "OPEN_PRICE", "high": "HIGH_PRICE", "low": "LOW_PRICE",
         "close": "CLOSE_PRICE", "volume": "NET_TRDQTY", "market": "MKT", "name": "SECURITY"},
        None,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Bhavcopy:
    """One day's prices of all shares."""

    bars: pd.DataFrame  #: columns of raw bars, by symbol; one row of each
    rejected: pd.DataFrame  #: REJECTED_COLUMNS: rows of the normal market that are no prices
    notes: tuple[str, ...]


def read_bhavcopy(content: bytes, file: str, day: date) -> Bhavcopy:
    """The daily bars of a file of `day`.

    Raises
    ------
    BadInput : if its shape is unknown, it holds another day, or nothing of the normal market.
    """
    header, rows = _rows(content, file)
    shape = _shape_of(header, file)
    places = {ours: header.index(theirs) for ours, theirs in shape.columns.items()}
    table = pd.DataFrame(
        {ours: [row[place].strip() for _, row in rows] for ours, place in places.items()}, dtype="str"
    ).assign(source=file, source_row=[line for line, _ in rows])
    if shape.date_format:
        _check_day(table, shape.date_format, day, file)
    if "market" in table:
        table = _with_indices(table)
    table["symbol"] = table["symbol"].map({name: canonical(name) for name in table["symbol"].unique()})
    kept, notes = _normal_market(table, file)
    prices = kept[[*PRICE_COLUMNS, "volume"]].apply(pd.to_numeric, errors="coerce")
    sound = prices.notna().all(axis=1) & (prices["volume"] % 1 == 0) & kept["symbol"].map(is_symbol)
    bars = kept[sound].assign(**{name: prices.loc[sound, name] for name in prices})
    if not len(bars):
        raise BadInput(f"{file} holds no row of the series {', '.join(SERIES)} with prices; download it again")
    return Bhavcopy(_daily(bars, day), _rejected(kept[~sound]), notes)


def _rows(content: bytes, file: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header (upper case) and rows with their line numbers."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not UTF-8 text (byte {error.start}); download it again") from None
    reader = csv.reader(StringIO(text))
    try:
        header = [cell.strip().upper() for cell in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise BadInput(f"{file}: line {reader.line_num}: {error}; download it again") from None
    short = next((line for line, row in rows if len(row) < len([name for name in header if name])), None)
    if not rows or short:
        where = f"line {short} is cut off" if short else "it holds no rows"
        raise BadInput(f"{file}: {where}; download it again")
    return header, rows


def _shape_of(header: list[str], file: str) -> _Shape:
    for shape in _SHAPES:
        if set(shape.columns.values()) <= set(header):
            return shape
    names = ", ".join(shape.name for shape in _SHAPES)
    raise BadInput(f"{file} has none of the known shapes ({names}); its columns: {', '.join(header)[:200]}")


def _check_day(table: pd.DataFrame, date_format: str, day: date, file: str) -> None:
    for text in table["day"].unique():
        try:
            found = datetime.strptime(text, date_format).date()  # noqa: DTZ007  a day has no zone
        except ValueError:
            raise BadInput(f"{file}: {text!r} is no day as {date_format} writes it; download it again") from None
        if found != day:
            raise BadInput(f"{file} should be of {day} and holds rows of {found}; download it again")


def _with_indices(table: pd.DataFrame) -> pd.DataFrame:
    """Indices of `pd` have a name in place of a symbol; odd lots and the like are of other markets."""
    index = table["market"] == "Y"
    table = table.assign(
        symbol=table["symbol"].where(~index, table["name"]), series=table["series"].where(~index, INDEX)
    )
    return table[index | (table["market"] == "N")].reset_index(drop=True)


def _normal_market(table: pd.DataFrame, file: str) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One row of each symbol: that of its first series."""
    order = {series: place for place, series in enumerate((INDEX, *SERIES))}
    place = table["series"].str.upper().map(order)
    other = table[place.isna()]
    kept = table[place.notna()].assign(place=place).sort_values(["symbol", "place", "source_row"], kind="stable")
    second = int(kept["symbol"].duplicated().sum())
    notes = [f"{file}: {len(other)} rows of other series are left out"] if len(other) else []
    notes += [f"{file}: {second} further rows of a symbol are left out"] if second else []
    return kept.drop_duplicates("symbol").drop(columns="place").reset_index(drop=True), tuple(notes)


def _daily(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    place = slots(pd.Series(pd.Timestamp(day, tz=IST), index=rows.index), Interval.DAY)
    return typed(rows.assign(open_time=place["open_time"], close_time=place["close_time"]), "bars")


def _rejected(rows: pd.DataFrame) -> pd.DataFrame:
    tables = [
        rejected_rows(part.drop(columns=["source", "source_row"]), str(symbol), "unreadable_number",
                      ["a price or the volume is no number, or the symbol none"] * len(part), part["source"].tolist(),
                      part["source_row"].tolist())
        for symbol, part in rows.groupby("symbol", sort=True)
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True).assign(rows_read=1) if tables else no_rejects()
