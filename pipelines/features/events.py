"""Events of an instrument: how far its nearest ex-dates are, as far as they were announced.

An action counts from the moment it was known; where nobody noted that moment, from the midnight of its ex-date on.
"""

import math

import numpy as np
import pandas as pd

from pipelines.features.definition import OWN, family, places
from pipelines.features.inputs import IST_US, MICROSECONDS_PER_DAY, microseconds

FARTHEST_DAYS = 60  #: calendar days; beyond them an ex-date is no news

FEATURES = family(
    "events",
    [
        ("days_to_ex_date", 0, "days", OWN, "to the next announced ex-date; NaN where none is near"),
        ("days_since_ex_date", 0, "days", OWN, "from the last ex-date, today is 0; NaN where none is near"),
    ],
)
AT = places(FEATURES)
EVENTS = len(FEATURES)


NO_DATES = np.empty((0, 2), dtype=np.int64)


def dates_by_symbol(actions: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """What was `announced` of each instrument, from a table with `symbol, ex_date, known_at`."""
    if actions is None or not len(actions):
        return {}
    return {str(symbol): announced(rows) for symbol, rows in actions.groupby("symbol")}


def announced(actions: pd.DataFrame) -> np.ndarray:
    """Ex-day (days since 1970) and moment it was known (microseconds since 1970) of an instrument's actions.

    Parameters
    ----------
    actions : DataFrame with `ex_date` and `known_at`

    Returns
    -------
    Array of shape (n, 2), int64; actions without an ex-date are left out.
    """
    dated = actions[actions["ex_date"].notna()]
    ex_midnights = microseconds(dated["ex_date"])
    known_at = microseconds(dated["known_at"].fillna(dated["ex_date"]))
    return np.column_stack([(ex_midnights + IST_US) // MICROSECONDS_PER_DAY, known_at])


def write_events(dates: np.ndarray, times: np.ndarray, out: np.ndarray) -> None:
    """`FEATURES` of one instrument at closes into `out`, shape (features, n).

    Parameters
    ----------
    dates : array of shape (m, 2), as of `announced`
    times : array of shape (n,), microseconds since 1970 UTC
    """
    out[:] = math.nan
    if not len(dates):
        return
    coming, gone = out[AT.days_to_ex_date], out[AT.days_since_ex_date]
    today = (times + IST_US) // MICROSECONDS_PER_DAY
    for ex_day, known_at in dates.tolist():
        ahead = (ex_day - today).astype(np.float64)
        told = known_at <= times
        before = told & (ahead > 0) & (ahead <= FARTHEST_DAYS)
        after = told & (ahead <= 0) & (ahead >= -FARTHEST_DAYS)
        coming[before] = np.fmin(coming[before], ahead[before])
        gone[after] = np.fmin(gone[after], -ahead[after])
