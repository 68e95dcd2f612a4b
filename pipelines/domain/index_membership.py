"""Which shares an index held on a day, from dated rows that a source tells; none are known by themselves.

A row holds from its first day to its last, both included; without a last day it still holds.
"""

from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd


def members_on(membership: pd.DataFrame, index_name: str, day: date) -> frozenset[str]:
    """The symbols in an index on a day.

    Parameters
    ----------
    membership : DataFrame with `index_name, symbol, effective_from, effective_to`
    index_name : as Kite writes it, e.g. NIFTY 50
    """
    own = membership[membership["index_name"] == index_name]
    midnight = pd.Timestamp(day, tz="Asia/Kolkata")
    holds = (own["effective_from"] <= midnight) & (own["effective_to"].isna() | (own["effective_to"] >= midnight))
    return frozenset(own.loc[holds, "symbol"])


def member_rows(membership: pd.DataFrame, index_name: str, symbol: str, times: pd.Series) -> npt.NDArray[np.bool_]:
    """For each time whether the symbol was in the index on that day; False where the time is missing; shape (n,)."""
    own = membership[(membership["index_name"] == index_name) & (membership["symbol"] == symbol)]
    days = times.dt.normalize()
    found = np.zeros(len(times), dtype=bool)
    for first, last in zip(own["effective_from"], own["effective_to"], strict=True):
        found |= ((days >= first) & ((days <= last) if pd.notna(last) else True)).to_numpy(dtype=bool)
    return found
