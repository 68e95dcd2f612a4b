"""Rows that could not become bars, kept with their place and their own text for the quarantine."""

import json
from collections.abc import Sequence

import pandas as pd

#: As `quarantine.parquet`, and how many rows were read beside it: the share is judged against those.
REJECTED_COLUMNS = ("symbol", "rule", "reason", "source", "source_row", "row", "rows_read")


def rejected_rows(
    rows: pd.DataFrame, symbol: str, rule: str, reasons: Sequence[str], source: Sequence[str], source_row: Sequence[int]
) -> pd.DataFrame:
    """A table of REJECTED_COLUMNS; `rows` are as the file holds them, `rows_read` is left to whoever knows it."""
    frame = pd.DataFrame(
        {
            "symbol": symbol,
            "rule": rule,
            "reason": list(reasons),
            "source": list(source),
            "source_row": list(source_row),
            "row": [as_json(row) for row in rows.to_dict("records")],
            "rows_read": 0,
        }
    )
    return frame.astype(no_rejects().dtypes.to_dict())


def as_json(row: dict) -> str:
    return json.dumps({str(key): _plain(value) for key, value in row.items()}, ensure_ascii=False)


def _plain(value: object) -> object:
    if value is None or value is pd.NaT or (isinstance(value, float) and not abs(value) < float("inf")):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def no_rejects() -> pd.DataFrame:
    types = {"source_row": "int64", "rows_read": "int64"}
    return pd.DataFrame({name: pd.Series(dtype=types.get(name, "str")) for name in REJECTED_COLUMNS})
