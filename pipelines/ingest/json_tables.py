"""Tables in JSON: rows of names and values, Kite's candles, NSE's and Yahoo's answers, and what pandas writes.

| written | by |
|---|---|
| `[{"date": ..., "open": ...}, ...]`, one such row a line, or such rows under `data`, `results` | programs, NSE |
| `{"data": {"candles": [["2024-01-02T09:15:00+0530", o, h, l, c, v], ...]}}` | Kite |
| `{"chart": {"result": [{"timestamp": [...], "indicators": {"quote": [{"open": [...]}]}}]}}` | Yahoo |
| `{"columns": [...], "data": [[...]]}`, `{"open": {"0": ...}, ...}`, `{"open": [...], ...}` | pandas and others |
"""

import json
from typing import Any

import pandas as pd

from pipelines.domain.errors import BadInput

_CANDLE = ("date", "open", "high", "low", "close", "volume", "oi")
_UNDER = ("data", "results", "result", "candles", "rows", "prices", "values")
_DEPTH = 6


def table_in(data: bytes, file: str) -> pd.DataFrame | None:
    """The first table found; None if there is none.

    Raises
    ------
    BadInput : if it is no JSON.
    """
    try:
        text = data.decode("utf-8-sig")
        return _table(_parsed(text), _DEPTH)
    except (ValueError, RecursionError) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadInput(f"{file} is no readable JSON ({what}); export it again") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith(("{", "[")) for line in lines):
            return [json.loads(line) for line in lines]
        raise


def _table(found: Any, depth: int) -> pd.DataFrame | None:
    if depth == 0:
        return None
    if isinstance(found, list):
        return _of_rows(found)
    if not isinstance(found, dict):
        return None
    if isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
        table = pd.DataFrame(found["data"], columns=[str(name) for name in found["columns"]])
        return _flat(_with_index(table, found.get("index")))
    if "chart" in found:
        return _of_yahoo(found["chart"])
    named = {str(key).lower() for key in found}
    if {"open", "high", "low", "close"} <= named or {"Open", "Close"} <= found.keys():
        return _of_columns(found)
    if found and all(
        isinstance(row, dict) and {"open", "close"} <= {str(k).lower() for k in row} for row in found.values()
    ):
        return _flat(_with_index(pd.DataFrame(list(found.values())), list(found)))
    for key in _UNDER:
        if key in found and (table := _table(found[key], depth - 1)) is not None:
            return table
    return None


def _has_prices(row: dict[str, Any]) -> bool:
    return {"open", "close"} <= {str(name).lower() for name in row}


def _of_rows(rows: list[Any]) -> pd.DataFrame | None:
    if rows and all(isinstance(row, dict) for row in rows):
        return _flat(pd.DataFrame(rows))
    if rows and all(isinstance(row, list) and 5 <= len(row) <= len(_CANDLE) for row in rows):
        return _flat(pd.DataFrame(rows, columns=list(_CANDLE[: max(map(len, rows))])))
    return None


def _of_columns(found: dict[str, Any]) -> pd.DataFrame | None:
    columns = {name: values for name, values in found.items() if isinstance(values, (list, dict))}
    table = pd.DataFrame(columns)
    return _flat(_with_index(table, list(table.index)))


def _with_index(table: pd.DataFrame, index: Any) -> pd.DataFrame:
    """With the times that pandas wrote as the index, where no column holds any."""
    named = {str(name).lower() for name in table}
    if named & {"date", "datetime", "timestamp", "time"} or not isinstance(index, list) or len(index) != len(table):
        return table
    return table.assign(date=index)


def _of_yahoo(chart: Any) -> pd.DataFrame | None:
    try:
        (result,) = chart["result"]
        quote = result["indicators"]["quote"][0]
        symbol = str(result.get("meta", {}).get("symbol", ""))
        table = pd.DataFrame({"timestamp": result["timestamp"], **quote})
        return table.assign(symbol=symbol) if symbol else table
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Without cells that hold tables of their own."""
    nested = [name for name in table if table[name].map(lambda cell: isinstance(cell, (list, dict))).any()]
    return table.drop(columns=nested)
