"""Events of an instrument: how far its nearest ex-dates are, as far as they were announced.

An action counts from the moment it was known; where nobody noted that moment, from the midnight of its ex-date on.
"""

import math

import numpy as np
import pandas as pd

from pipelines.features.definition import OWN, family, places
from pipelines.features.inputs import microseconds

_DAY_US = 86_400_000_000
_IST_US = int(5.5 * 3_600_000_000)
FARTHEST_DAYS = 60  #: calendar days; beyond them an ex-date is no news

FEATURES = family(
    "events",
    [
        ("days_to_ex_date", 0, "days", OWN, "to the next announced ex-date; NaN where none is near"),
        ("days_since_ex_date", 0, "days", OWN, "from the last ex-date, today is 0; NaN where none is near"),
    ],
)
AT = places(FEATURES)


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
    return np.column_stack([(ex_midnights + _IST_US) // _DAY_US, known_at])


def event_rows(dates: np.ndarray, times: np.ndarray) -> np.ndarray:
    """`FEATURES` of one instrument at closes.

    Parameters
    ----------
    dates : array of shape (m, 2), as of `announced`
    times : array of shape (n,), microseconds since 1970 UTC
    """
    out = np.full((len(times), len(FEATURES)), math.nan)
    today = (times + _IST_US) // _DAY_US
    for ex_day, known_at in dates.tolist():
        ahead = (ex_day - today).astype(np.float64)
        told = known_at <= times
        coming = told & (ahead > 0) & (ahead <= FARTHEST_DAYS)
        gone = told & (ahead <= 0) & (ahead >= -FARTHEST_DAYS)
        out[coming, AT.days_to_ex_date] = np.fmin(out[coming, AT.days_to_ex_date], ahead[coming])
        out[gone, AT.days_since_ex_date] = np.fmin(out[gone, AT.days_since_ex_date], -ahead[gone])
    return out
