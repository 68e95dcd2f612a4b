"""Feature tables judged: by one profile an instrument, so that hundreds of instruments cost little."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE
from pipelines.domain.data_rules import RULES
from pipelines.domain.errors import DataRejected
from pipelines.validate.judge import judge

KEYS = {"symbol": "str", "close_time": TIME_DTYPE}


def feature_profile(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """What the suite asks of one instrument's features.

    Parameters
    ----------
    table : DataFrame with `symbol`, `close_time` and the features, one row a close
    names : the features that the catalogue holds, in any order; nothing else may be in the table

    Returns
    -------
    DataFrame with a row for every column wanted or there: `symbol`, `feature`, `wanted`, `there`, `found` (its type),
    `type_wanted`, `type_fits`, `infinite` (rows), `largest` (finite absolute value), and of the times `repeated`,
    `missing`, `unordered` (rows).
    """
    types = KEYS | dict.fromkeys(names, "float64")
    columns = [*types, *(column for column in table if column not in types)]
    kinds = {str(column): str(kind) for column, kind in table.dtypes.items()}
    found = {column: kinds.get(column, "") for column in columns}
    profile = pd.DataFrame(
        {
            "symbol": str(table["symbol"].iloc[0]) if "symbol" in table and len(table) else "",
            "feature": columns,
            "wanted": [column in types for column in columns],
            "there": [column in kinds for column in columns],
            "found": list(found.values()),
            "type_wanted": [types.get(column, "") for column in columns],
            "type_fits": [types.get(column, kind) == kind or not kind for column, kind in found.items()],
            "repeated": 0,
            "missing": 0,
            "unordered": 0,
            "infinite": 0,
            "largest": np.nan,
        },
        index=pd.Index(columns),
    )
    numbers = [name for name in names if found[name] == "float64"]
    if len(table):
        values = table[numbers].to_numpy().T
        largest = np.array([_largest(line) for line in values])
        for place in np.flatnonzero(np.isinf(largest)):
            profile.loc[numbers[place], "infinite"] = int(np.isinf(values[place]).sum())
        profile.loc[numbers, "largest"] = np.where(np.isinf(largest), np.nan, largest)
    if found["close_time"] == TIME_DTYPE:
        times = table["close_time"]
        profile.loc["close_time", ["repeated", "missing", "unordered"]] = (
            int(times.dropna().duplicated().sum()), int(times.isna().sum()), int((times.diff() < pd.Timedelta(0)).sum())
        )  # fmt: skip
    return profile.reset_index(drop=True)


def judge_features(profiles: Iterable[pd.DataFrame]) -> None:
    """Refuse feature tables that a policy must not learn from.

    Parameters
    ----------
    profiles : of each instrument, from `feature_profile`

    Raises
    ------
    DataRejected : naming the first instrument and feature, and how many there are.
    """
    from expectations import features

    together = pd.concat(list(profiles), ignore_index=True)
    broken = judge(together, features.suite())
    if broken:
        first = broken[0]
        rows = together.loc[list(first.rows)]
        told = first.reason.format_map(rows.iloc[0].to_dict())
        raise DataRejected(
            f"features break {first.rule} {len(rows)} times, in {rows['symbol'].nunique()} instruments; first: {told}; "
            f"{RULES[first.rule].remedy}"
        )


def _largest(values: np.ndarray) -> float:
    """Largest absolute value; NaN where all are unknown."""
    return float(np.fmax(np.fmax.reduce(values), -np.fmin.reduce(values)))
