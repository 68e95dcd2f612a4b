"""Rows that are set aside: each with the rule it breaks, the reason, where it came from and what it held."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS
from pipelines.validate.judge import Broken

QUARANTINE_COLUMNS = ("symbol", "rule", "reason", "source", "source_row", "row")
GAP_RULE = "unexplained_gap"  #: sets history aside, not faulty rows: it does not count towards `max_quarantined`


def broken_rows(bars: pd.DataFrame, broken: Sequence[Broken]) -> pd.DataFrame:
    """The rows of `bars` that break a rule, each once, for the first rule it breaks.

    Returns
    -------
    DataFrame of QUARANTINE_COLUMNS, indexed by the rows' labels in `bars`.
    """
    first: dict[int, Broken] = {}
    for one in broken:
        for row in one.rows:
            first.setdefault(row, one)
    rows = bars.loc[sorted(first)]
    values = rows.to_dict("records")
    found = [first[label] for label in rows.index]
    reasons = [one.reason.format_map(row) for one, row in zip(found, values, strict=True)]
    return set_aside(rows, [one.rule for one in found], reasons)


def before_gaps(bars: pd.DataFrame, gaps: pd.Series, most: float) -> pd.DataFrame:
    """The history before each instrument's last night that moved by more than `most`; QUARANTINE_COLUMNS."""
    parts = [set_aside(bars.iloc[:0], [], [])]
    for _, own in bars.groupby("symbol", sort=True):
        ordered = own.sort_values("open_time", kind="stable")
        jumps = ordered.index[gaps.loc[ordered.index] > most]
        if not len(jumps):
            continue
        at = ordered.index.get_loc(jumps[-1])
        day, size = ordered["open_time"].iloc[at], gaps.loc[jumps[-1]]
        old = ordered.iloc[:at]
        reason = f"before the night to {day:%Y-%m-%d}, which moved by {size:.0%} without a known corporate action"
        parts.append(set_aside(old, [GAP_RULE] * len(old), [reason] * len(old)))
    return pd.concat(parts)


def set_aside(rows: pd.DataFrame, rules: Sequence[str], reasons: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "symbol": rows["symbol"],
            "rule": pd.Series(rules, index=rows.index, dtype="str"),
            "reason": pd.Series(reasons, index=rows.index, dtype="str"),
            "source": rows["source"],
            "source_row": rows["source_row"],
            "row": pd.Series(_as_json(rows), index=rows.index, dtype="str"),
        }
    )
    return frame[list(QUARANTINE_COLUMNS)]


def _as_json(rows: pd.DataFrame) -> list[str]:
    if not len(rows):
        return []
    plain = rows[list(BAR_COLUMNS)].assign(open_time=_iso(rows["open_time"]), close_time=_iso(rows["close_time"]))
    return plain.to_json(orient="records", lines=True, force_ascii=False, double_precision=10).splitlines()


def _iso(times: pd.Series) -> pd.Series:
    """Times as text; by way of numpy, since pandas formats zoned times one by one."""
    local = times.dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    text = pd.Series(np.datetime_as_string(local), index=times.index) + "+05:30"
    return text.where(times.notna(), None)
