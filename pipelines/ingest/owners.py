"""Whose bars a file holds: what its column, its header and its name say, held against each other.

| column | name | read as |
|---|---|---|
| none | a symbol | the name's; a header of yfinance says it, too |
| one share | the same, or nothing, or no known symbol | the column's |
| one share | another known one | refused: one of the two is wrong |
| several at the same times | nothing, or an index with its members | each for itself |
| several, one after the other | any | one share if it was renamed, see `_one_share`; else each for itself |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.listings import current_symbol
from pipelines.domain.symbols import checked_symbol
from pipelines.ingest.file_names import FileName, named_by, symbol_for
from pipelines.ingest.names import canonical
from pipelines.ingest.shapes import Sheet

#: A previous close differs from the close before by rounding only
_SAME_CLOSE = 1e-3
_BEFORE = ("prev close", "previous close", "prevclose", "prev cl pr")  #: headers of the close of the day before
_NOBODY = ("", "NAN", "NONE", "NULL", "-")
_NAMED = 4  #: symbols named in a sentence


@dataclass(frozen=True)
class Owners:
    parts: list[tuple[str, pd.DataFrame]]  #: symbol and its rows
    notes: list[str]


def by_owner(sheet: Sheet, frame: pd.DataFrame) -> Owners:
    """Rows by the instrument they are of.

    Parameters
    ----------
    frame : rows of the sheet with `open_time`, `close`, indexed as the sheet's

    Raises
    ------
    BadInput : if nothing says whose they are, a name is no symbol, or name and column contradict each other.
    """
    name = named_by(sheet.file)
    if "symbol" not in sheet.columns:
        return Owners([(_without_column(sheet, name), frame)], [])
    symbols = _symbols(sheet, frame)
    frame, notes = _with_owner(frame, symbols, sheet.file)
    symbols = symbols.loc[frame.index]
    order = _in_turn(frame, symbols)
    if order is not None and _one_share(order, frame, symbols, sheet):
        share, own = order[-1], {current_symbol(symbol) for symbol in order}
        if len(own) > 1:
            notes.append(f"{sheet.file}: {_some(order)} are one share, by ISIN or previous close: read as {share}")
        if name.symbol is not None and current_symbol(name.symbol) in own:
            share = name.symbol
        notes += _against(name, [share], sheet.file)
        return Owners([(share, frame)], notes)
    parts = [(str(symbol), part) for symbol, part in frame.groupby(symbols, sort=True)]
    notes += _against(name, [symbol for symbol, _ in parts], sheet.file)
    if order is not None:
        notes.append(f"{sheet.file}: {_some(order)} follow each other; nothing says they are one share: read apart")
    return Owners(parts, notes)


def _without_column(sheet: Sheet, name: FileName) -> str:
    told = canonical(sheet.ticker) if sheet.ticker else None
    if told is not None:
        checked_symbol(told, f"{sheet.file} line 2")
        _against(name, [told], sheet.file)
    return told or symbol_for(sheet.file)


def _symbols(sheet: Sheet, frame: pd.DataFrame) -> pd.Series:
    """The symbol of each row, empty where none is told."""
    told = sheet.columns["symbol"].loc[frame.index]
    codes, known = pd.factorize(told.astype("str"))
    names = ["" if text.strip().upper() in _NOBODY else canonical(text) for text in known]
    for place, name in enumerate(names):
        if name:
            row = sheet.source_row.loc[told.index[np.argmax(codes == place)]]
            checked_symbol(name, f"{sheet.file} row {row}")
    return pd.Series(np.array(names, dtype=object)[codes], index=frame.index, dtype="str")


def _with_owner(frame: pd.DataFrame, symbols: pd.Series, file: str) -> tuple[pd.DataFrame, list[str]]:
    nobody = symbols == ""
    if nobody.all():
        raise BadInput(f"{file}: its column of symbols is empty; fill it in or leave it out")
    if not nobody.any():
        return frame, []
    return frame[~nobody], [f"{file}: {int(nobody.sum())} rows name no symbol: left out"]


def _in_turn(frame: pd.DataFrame, symbols: pd.Series) -> list[str] | None:
    """The symbols in the order of time; None if they stand beside each other, which different instruments do."""
    told = pd.DataFrame({"time": frame["open_time"], "name": symbols}).dropna().sort_values("time", kind="stable")
    if not len(told):
        return [str(symbols.iloc[0])] if symbols.nunique() == 1 else None
    pairs = told.drop_duplicates()
    if pairs["time"].duplicated().mean() > 0.05:
        return None
    return [str(name) for name in told.groupby("name")["time"].max().sort_values(kind="stable").index]


def _one_share(order: list[str], frame: pd.DataFrame, symbols: pd.Series, sheet: Sheet) -> bool:
    """Whether symbols that follow each other are names of one share.

    By `facts/symbol_changes.csv`, by one ISIN, or because the first row under each name tells as the previous close the
    last close under the name before.
    """
    if len({current_symbol(symbol) for symbol in order}) == 1:
        return True
    headers = {str(header).strip().lower().replace("_", " "): header for header in sheet.rows.columns}
    if "isin" in headers:
        codes = sheet.rows.loc[frame.index, headers["isin"]].astype("str").str.strip()
        told = codes[codes.str.fullmatch(r"IN[A-Z0-9]{10}")].groupby(symbols).agg(set)
        if len(told) == len(order) and len(set().union(*told)) == 1:
            return True
    before = next((headers[name] for name in _BEFORE if name in headers), None)
    return before is not None and _goes_on(order, frame, symbols, sheet.rows.loc[frame.index, before])


def _goes_on(order: list[str], frame: pd.DataFrame, symbols: pd.Series, before: pd.Series) -> bool:
    """Whether the first row under each name tells the last close under the one before."""
    ordered = frame.sort_values("open_time", kind="stable")
    previous = pd.to_numeric(before.astype("str").str.replace(",", ""), errors="coerce")
    own: Mapping[str, pd.Index] = {symbol: ordered.index[symbols.loc[ordered.index] == symbol] for symbol in order}
    for old, new in pairwise(order):
        close, told = frame.loc[own[old][-1], "close"], previous.loc[own[new][0]]
        if current_symbol(old) != current_symbol(new) and not abs(told / close - 1) <= _SAME_CLOSE:
            return False
    return True


def _against(name: FileName, symbols: list[str], file: str) -> list[str]:
    """What a name says that the rows do not: a sentence, or BadInput if it must be meant."""
    shares = {current_symbol(symbol) for symbol in symbols}
    if name.symbol is None or shares == {current_symbol(name.symbol)}:
        return []
    group = name.kind is Kind.INDEX and len(symbols) > 2 and name.symbol not in symbols
    if name.sure and not group:
        raise BadInput(
            f"{file}: its name says {name.symbol}, its rows are of {_some(symbols)}; rename the file or correct the "
            "column, whichever is wrong"
        )
    return [f"{file}: read as {_some(symbols)}, as its rows say, not {name.symbol}, as its name may say"]


def _some(symbols: list[str]) -> str:
    shown = ", ".join(symbols[:_NAMED])
    return shown if len(symbols) <= _NAMED else f"{shown} and {len(symbols) - _NAMED} more"
