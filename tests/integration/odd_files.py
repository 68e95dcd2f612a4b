"""Files as exchanges, sites, brokers and spreadsheets really give them, and what goes wrong on the way to us.

A file is a shape (who wrote it) with a flaw (what befell it). The shapes stand in docs/file_shapes.md. Rows are cut
from recorded prices where they are at hand, else drawn.
"""

import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

from tests.conftest import SHARED_DATA
from tests.workbook import workbook

ROWS = 120
PRICES = ["open", "high", "low", "close"]
COLUMNS = ["date", *PRICES, "volume"]
#: Text of a whole table: header and rows of cells
Grid = list[list[str]]


@cache
def bars() -> pd.DataFrame:
    """Daily bars of SBIN: date (naive), prices to the paisa, volume."""
    path = SHARED_DATA / "daily/nse_unadjusted/SBIN.parquet"
    if path.exists():
        table = pd.read_parquet(path).tail(ROWS).rename(columns=str.lower)[COLUMNS].reset_index(drop=True)
        return table.assign(date=pd.to_datetime(table["date"]))
    days, draw = pd.bdate_range("2020-11-02", periods=ROWS), np.random.default_rng(5)
    closes = 300 * np.exp(np.cumsum(draw.normal(0, 0.01, ROWS)))
    opens = np.concatenate([[300.0], closes[:-1]])
    table = pd.DataFrame({"date": days, "open": opens, "high": np.maximum(opens, closes) * 1.01,
                          "low": np.minimum(opens, closes) * 0.99, "close": closes})  # fmt: skip
    return table.round(2).assign(volume=draw.integers(10_000_000, 90_000_000, ROWS))


@dataclass(frozen=True)
class Shape:
    """How somebody writes a table."""

    name: str  #: of the file
    header: list[str]
    order: list[str]  #: our field of each column, or a constant text
    date: str = "%Y-%m-%d"
    delimiter: str = ","
    number: Callable[[float], str] = "{:.2f}".format
    count: Callable[[int], str] = str
    before: str = ""  #: lines above the header
    newest_first: bool = False
    quoted: bool = False
    packed: Callable[[str], bytes] = field(default=lambda text: text.encode())


def _grouped(value: float) -> str:
    return f"{value:,.2f}"


def _comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def _millions(value: int) -> str:
    return f"{value / 1e6:.6f}M"


def _as_json(text: str) -> bytes:
    return pd.read_csv(io.StringIO(text)).to_json(orient="records").encode()


def _as_lines(text: str) -> bytes:
    return pd.read_csv(io.StringIO(text)).to_json(orient="records", lines=True).encode()


def _as_parquet(text: str) -> bytes:
    buffer = io.BytesIO()
    pd.read_csv(io.StringIO(text)).to_parquet(buffer)
    return buffer.getvalue()


def _as_candles(text: str) -> bytes:
    rows = pd.read_csv(io.StringIO(text)).to_numpy().tolist()
    return json.dumps({"status": "success", "data": {"candles": rows}}).encode()


PLAIN = ["date", *PRICES, "volume"]
SHAPES = {
    "nse site": Shape(
        "Quote-Equity-SBIN-EQ-01-11-2020-to-30-04-2021.csv",
        ["Date ", "series ", "OPEN ", "HIGH ", "LOW ", "PREV. CLOSE ", "ltp ", "close ", "vwap ", "VOLUME ", "VALUE "],
        ["date", "EQ", "open", "high", "low", "1.00", "1.00", "close", "1.00", "volume", "9"],
        "%d-%b-%Y", number=_grouped, count="{:,}".format, newest_first=True, quoted=True,
    ),
    "nse json": Shape(
        "sbin.json",
        ["CH_SYMBOL", "CH_SERIES", "CH_TIMESTAMP", "CH_OPENING_PRICE", "CH_TRADE_HIGH_PRICE", "CH_TRADE_LOW_PRICE",
         "CH_CLOSING_PRICE", "CH_TOT_TRADED_QTY"],
        ["SBIN", "EQ", "date", *PRICES, "volume"], packed=_as_json,
    ),
    "kite candles": Shape("SBIN_day.json", PLAIN, PLAIN, "%Y-%m-%dT00:00:00+0530", packed=_as_candles),
    "kite csv": Shape("SBIN-EQ.csv", PLAIN, PLAIN, "%Y-%m-%d 00:00:00+05:30"),
    "tradingview": Shape("NSE_SBIN, 1D.csv", ["time", *PRICES, "Volume"], PLAIN, "epoch"),
    "yahoo": Shape(
        "SBIN.NS.csv", ["Date", "Open", "High", "Low", "Close", "Adj Close", "Volume"],
        ["date", *PRICES, "9.99", "volume"],
    ),
    "yfinance": Shape(
        "SBIN.csv", ["Price", "Close", "High", "Low", "Open", "Volume"],
        ["date", "close", "high", "low", "open", "volume"],
        before="", number=repr,
    ),
    "investing": Shape(
        "SBIN Historical Data.csv", ["Date", "Price", "Open", "High", "Low", "Vol.", "Change %"],
        ["date", "close", "open", "high", "low", "volume", "0.5%"], "%b %d, %Y", number=_grouped, count=_millions,
        newest_first=True, quoted=True,
    ),
    "excel india": Shape("SBIN.csv", PLAIN, PLAIN, "%d-%m-%Y"),
    "excel months": Shape("SBIN.csv", PLAIN, PLAIN, "%d-%b-%y"),
    "excel us": Shape("SBIN.csv", [name.title() for name in PLAIN], PLAIN, "%m/%d/%Y", number=_grouped, quoted=True),
    "excel germany": Shape("SBIN.csv", PLAIN, PLAIN, "%d.%m.%Y", ";", _comma),
    "excel unicode": Shape("SBIN.txt", PLAIN, PLAIN, "%d/%m/%Y", "\t", packed=lambda text: text.encode("utf-16")),
    "workbook": Shape("SBIN.xlsx", PLAIN, PLAIN, packed=lambda text: workbook({"Sheet1": text})),
    "metatrader": Shape(
        "SBIN.csv", ["<DATE>", "<OPEN>", "<HIGH>", "<LOW>", "<CLOSE>", "<TICKVOL>"], PLAIN, "%Y.%m.%d", "\t"
    ),
    "symbol column": Shape("prices.csv", ["symbol", *PLAIN], ["NSE:SBIN", *PLAIN]),
    "hive": Shape("symbol=SBIN/year=2021/part-0.parquet", PLAIN, PLAIN, packed=_as_parquet),
    "lines of json": Shape("SBIN.jsonl", PLAIN, PLAIN, packed=_as_lines),
    "packed": Shape("SBIN.csv.gz", PLAIN, PLAIN, packed=lambda text: gzip.compress(text.encode())),
    "titled": Shape("SBIN.csv", PLAIN, PLAIN, before="Prices of SBIN\nTaken from the site, 2021\n\n"),
}  # fmt: skip
TYPED = ("nse json", "kite candles", "hive", "lines of json")  #: shapes in which numbers and words are kept apart


def grid_of(shape: Shape, table: pd.DataFrame) -> Grid:
    """Header and rows as the shape writes them."""
    rows = []
    for row in table.iloc[:: -1 if shape.newest_first else 1].itertuples():
        stamp = row.date + pd.Timedelta(hours=9, minutes=15)
        written = (
            str(int(stamp.tz_localize("Asia/Kolkata").timestamp()))
            if shape.date == "epoch"
            else f"{row.date:{shape.date}}"
        )
        told = {"date": written, "volume": shape.count(row.volume)}
        told |= {name: shape.number(getattr(row, name)) for name in PRICES}
        rows.append([told.get(name, name) for name in shape.order])
    return [list(shape.header), *rows]


def written(shape: Shape, grid: Grid, *, yfinance: bool = False, end: str = "\n") -> str:
    """The grid as text."""
    lines = []
    for cells in grid:
        quote = shape.quoted or any(shape.delimiter in cell or "\n" in cell for cell in cells)
        lines.append(shape.delimiter.join(f'"{cell}"' if quote else cell for cell in cells))
    if yfinance:
        lines[1:1] = ["Ticker,SBIN.NS,SBIN.NS,SBIN.NS,SBIN.NS,SBIN.NS", "Date,,,,,"]
    return shape.before + end.join(lines) + end


#: A flaw changes the table, the grid or the text, in place or by what it returns
Change = Callable[[Shape, Grid], str | None]


def _place(shape: Shape, field: str) -> int:
    return shape.order.index(field)


def _cells(field: str, change: Callable[[str], str], every: int = 1) -> Change:
    def changed(shape: Shape, grid: Grid) -> None:
        for row in grid[1::every]:
            row[_place(shape, field)] = change(row[_place(shape, field)])

    return changed


def _prices(change: Callable[[str], str], every: int = 1) -> Change:
    def changed(shape: Shape, grid: Grid) -> None:
        for name in PRICES:
            _cells(name, change, every)(shape, grid)

    return changed


def _header(change: Callable[[str], str]) -> Change:
    def changed(_: Shape, grid: Grid) -> None:
        grid[0] = [change(name) for name in grid[0]]

    return changed


def _moved(days: int) -> Change:
    def changed(shape: Shape, grid: Grid) -> None:
        later = bars().assign(date=bars()["date"] + pd.Timedelta(days=days))
        grid[1:] = grid_of(shape, later)[1:]

    return changed


def _volumes(make: Callable[[int, int], int]) -> Change:
    """`make` gets place in time and volume."""

    def changed(shape: Shape, grid: Grid) -> None:
        table = bars().assign(volume=[make(place, volume) for place, volume in enumerate(bars()["volume"])])
        grid[1:] = grid_of(shape, table)[1:]

    return changed


def _without(field: str) -> Change:
    def changed(shape: Shape, grid: Grid) -> None:
        place = _place(shape, field)
        for row in grid:
            del row[place]

    return changed


def _dates(way: str, every: int = 1) -> Change:
    def changed(shape: Shape, grid: Grid) -> None:
        days = bars()["date"].iloc[:: -1 if shape.newest_first else 1].tolist()
        for row, day in list(zip(grid[1:], days, strict=True))[::every]:
            row[_place(shape, "date")] = f"{day:{way}}"

    return changed


def _with_comma(cell: str) -> str:
    """A price with a decimal comma, whatever it had."""
    return cell if re.fullmatch(r"\d+,\d\d", cell) else cell.replace(",", "").replace(".", ",")


def _row_of_totals(_: Shape, grid: Grid) -> None:
    grid.append(["Total", *["" for _ in grid[0][1:]]])


def _nameless_column(_: Shape, grid: Grid) -> None:
    for place, row in enumerate(grid):
        row.append("" if place == 0 else "x")


def _turned_round(_: Shape, grid: Grid) -> None:
    grid[:] = [row[::-1] for row in grid]


def _serial_dates(shape: Shape, grid: Grid) -> None:
    days = bars()["date"].iloc[:: -1 if shape.newest_first else 1]
    for row, day in zip(grid[1:], days, strict=True):
        row[_place(shape, "date")] = str((day - pd.Timestamp("1899-12-30")).days)


def _exchanged(shape: Shape, grid: Grid) -> None:
    high, low = _place(shape, "high"), _place(shape, "low")
    for row in grid[1:]:
        row[high], row[low] = row[low], row[high]


def _thousandfold(cell: str) -> str:
    """In the grouping of lakhs, as Indian spreadsheets write large numbers."""
    return f"2,{re.split('[.,]', cell)[0].zfill(3)[-2:]},500.50"


def _nothing(_: Shape, __: Grid) -> None:
    return None


@dataclass(frozen=True)
class Flaw:
    """What befell a file."""

    change: Change
    end: str = "\n"
    before: str = ""
    after: str = ""


FLAWS: dict[str, Flaw] = {
    "nothing": Flaw(_nothing),
    "ends of lines of Windows": Flaw(_nothing, end="\r\n"),
    "a byte order mark": Flaw(_nothing, before="\ufeff"),
    "blank lines at the end": Flaw(_nothing, after="\n\n\n"),
    "a footer": Flaw(_nothing, after="Source: the exchange; all rights reserved\n"),
    "a row of totals": Flaw(_row_of_totals),
    "the header again in the middle": Flaw(lambda _, grid: grid.insert(40, list(grid[0]))),
    "a blank row in the middle": Flaw(lambda _, grid: grid.insert(40, ["" for _ in grid[0]])),
    "headers in capitals": Flaw(_header(str.upper)),
    "headers with blanks": Flaw(_header(lambda name: f" {name} ")),
    "columns turned round": Flaw(_turned_round),
    "a column without a name": Flaw(_nameless_column),
    "rupee signs": Flaw(_prices(lambda cell: f"₹{cell}")),
    "Rs. before prices": Flaw(_prices(lambda cell: f"Rs. {cell}")),
    "blanks around cells": Flaw(_prices(lambda cell: f"  {cell} ")),
    "apostrophes before prices": Flaw(_prices(lambda cell: f"'{cell}")),
    "decimal commas": Flaw(_prices(_with_comma)),
    "decimal commas in some rows": Flaw(_prices(_with_comma, every=3)),
    "prices in paise": Flaw(_prices(lambda cell: _with_comma(cell).replace(",", ""))),
    "prices a thousandfold in some": Flaw(_prices(_thousandfold, every=40)),
    "prices with a dash for some": Flaw(_cells("open", lambda _: "-", every=17)),
    "errors of Excel in some": Flaw(_cells("close", lambda _: "#N/A", every=17)),
    "dates that Excel cannot show": Flaw(_cells("date", lambda _: "########", every=17)),
    "dates without a year": Flaw(_cells("date", lambda _: "29-Dec")),
    "dates of the US": Flaw(_dates("%m/%d/%Y")),
    "dates of the US in two digits": Flaw(_dates("%m/%d/%y")),
    "dates of the US in some rows": Flaw(_dates("%m/%d/%Y", every=2)),
    "dates as Excel counts them": Flaw(_serial_dates),
    "dates with a clock": Flaw(_dates("%d-%m-%Y 15:30")),
    "dates a year ahead": Flaw(_moved(7 * 364)),
    "dates a day off": Flaw(_moved(-1)),
    "no volume": Flaw(_without("volume")),
    "volume zero": Flaw(_volumes(lambda _, __: 0)),
    "volume in lakhs": Flaw(_volumes(lambda _, volume: round(volume / 100_000))),
    "volume in fractions of lakhs": Flaw(_cells("volume", lambda cell: "123.45")),
    "volume a running total": Flaw(_volumes(lambda place, _: 1_000_000 * (place + 1))),
    "volume with a unit": Flaw(_cells("volume", lambda cell: "12.5 Lakh")),
    "volume rounded by Excel": Flaw(_cells("volume", lambda cell: "1.23E+07")),
    "no column of closes": Flaw(_without("close")),
    "no column of dates": Flaw(_without("date")),
    "high and low exchanged": Flaw(_exchanged),
}  # fmt: skip


def content_of(shape_name: str, flaw_name: str) -> bytes:
    """The file."""
    shape, flaw = SHAPES[shape_name], FLAWS[flaw_name]
    grid = grid_of(shape, bars())
    flaw.change(shape, grid)
    text = flaw.before + written(shape, grid, yfinance=shape_name == "yfinance", end=flaw.end) + flaw.after
    return shape.packed(text)


def cases() -> list[tuple[str, str]]:
    """Shape and flaw; typed shapes are made of the text, so flaws of text alone are not theirs."""
    textual = ("a byte order mark", "a footer", "ends of lines of Windows", "a column without a name",
               "the header again in the middle", "blank lines at the end", "a row of totals")  # fmt: skip
    return [(shape, flaw) for shape in SHAPES for flaw in FLAWS if not (shape in TYPED and flaw in textual)]
