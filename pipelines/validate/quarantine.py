"""Rows that are set aside: each with the rule it breaks, the reason, where it came from and what it held."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

#: `table` is bars, ticks, news or outcomes; `time` as text, empty where unreadable; `row` the values as JSON
QUARANTINE_COLUMNS = ("table", "symbol", "time", "rule", "reason", "source", "source_row", "row")
GAP_RULE = "unexplained_gap"  #: sets sessions aside, not faulty rows: it does not count towards `max_quarantined`


def set_aside(
    rows: pd.DataFrame, table: str, time: str, columns: Sequence[str], rules: Sequence[str], reasons: Sequence[str]
) -> pd.DataFrame:
    """A table of QUARANTINE_COLUMNS, indexed as `rows`.

    Parameters
    ----------
    rows : the rows, with `symbol` and, where the table has them, `source` and `source_row`
    table : the table's name
    time, columns : which column holds the row's time, and which ones are the row as it came
    rules, reasons : of each row
    """
    frame = pd.DataFrame(
        {
            "table": pd.Series(table, index=rows.index, dtype="str"),
            "symbol": rows["symbol"].astype("str"),
            "time": iso(rows[time]).fillna("").astype("str"),
            "rule": pd.Series(rules, index=rows.index, dtype="str"),
            "reason": pd.Series(reasons, index=rows.index, dtype="str"),
            "source": rows["source"] if "source" in rows else pd.Series("", index=rows.index, dtype="str"),
            "source_row": rows["source_row"] if "source_row" in rows else pd.Series(-1, rows.index, dtype="int64"),
            "row": pd.Series(as_json(rows, columns), index=rows.index, dtype="str"),
        }
    )
    return frame[list(QUARANTINE_COLUMNS)]


def nothing_aside() -> pd.DataFrame:
    types = dict.fromkeys(QUARANTINE_COLUMNS, "str") | {"source_row": "int64"}
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types.items()})


def unreadable(rejected: pd.DataFrame | None) -> pd.DataFrame:
    """Rows that `ingest` could make no bar of, as rows of the quarantine; their text is the source's own."""
    if rejected is None:
        return nothing_aside()
    return rejected.assign(table="bars", time="")[list(QUARANTINE_COLUMNS)].astype(nothing_aside().dtypes.to_dict())


def as_json(rows: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Each row's values as one line; the same values give the same line in every run."""
    if not len(rows):
        return []
    plain = rows[list(columns)]
    plain = plain.assign(**{name: iso(plain[name]) for name in plain if hasattr(plain[name].dtype, "tz")})
    return plain.to_json(orient="records", lines=True, force_ascii=False, double_precision=10).splitlines()


def iso(times: pd.Series) -> pd.Series:
    """Times as text; by way of numpy, since pandas formats zoned times one by one."""
    local = times.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    text = pd.Series(np.datetime_as_string(local), index=times.index) + "+05:30"
    return text.where(times.notna(), None)
