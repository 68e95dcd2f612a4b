"""Where a close stands in the session, the week, the month and the derivatives' calendar: columns by close time.

Nothing here comes from prices. Distances to what lies ahead are to dates that exchange and parliament set long before;
NaN where the calendar's tables end before them.
"""

import math
from datetime import date, datetime, timedelta
from functools import lru_cache

import numpy as np

from pipelines.domain.bars import IST, Interval
from pipelines.domain.expiries import (
    is_budget_day,
    last_budget,
    last_monthly_expiry,
    next_monthly_expiry,
    next_weekly_expiry,
)
from pipelines.domain.market_calendar import count_trading_days, session_on, trading_day_after, trading_day_before
from pipelines.domain.portable_math import cos, sin
from pipelines.features.definition import OWN, family, places
from pipelines.features.inputs import IST_US, MICROSECONDS_PER_DAY, MICROSECONDS_PER_MINUTE

_EPOCH = date(1970, 1, 1).toordinal()

_FRENCH = "French (1980), Journal of Financial Economics 8(1)"
_ARIEL = "Ariel (1987), Journal of Financial Economics 18(1)"
_STOLL = "Stoll and Whaley (1987), Financial Analysts Journal 43(2)"
_WOOD = "Wood, McInish and Ord (1985), Journal of Finance 40(3)"

FEATURES = family(
    "dates",
    [
        # of the clock
        ("minutes_since_open", 0, "minutes", _WOOD, "from the session's open to the close"),
        ("minutes_to_close", 0, "minutes", _WOOD, "to the end of continuous trading, 0 after it"),
        ("session_share", 0, "share", _WOOD, "of the session that is over"),
        ("first_bar", 0, "yes or no", _WOOD, "1 for the session's first bar"),
        ("last_bar", 0, "yes or no", _WOOD, "1 for the last bar before continuous trading ends, and after it"),
        # of the day
        ("weekday", 0, "days", _FRENCH, "Monday is 0"),
        ("month_day_sine", 0, "of the month's circle", _ARIEL, "day of the month"),
        ("month_day_cosine", 0, "of the month's circle", _ARIEL, "day of the month"),
        ("sessions_to_month_end", 0, "sessions", _ARIEL, "that follow in the month"),
        ("sessions_since_month_start", 0, "sessions", _ARIEL, "of the month before this one"),
        ("sessions_to_quarter_end", 0, "sessions", _ARIEL, "that follow in the quarter"),
        ("days_since_session", 0, "days", _FRENCH, "since the session before; more than 1 after a holiday"),
        ("days_to_session", 0, "days", _FRENCH, "to the next session; more than 1 before a holiday"),
        ("days_to_weekly_expiry", 0, "days", _STOLL, "of NIFTY's options; NaN before there were any"),
        ("days_to_monthly_expiry", 0, "days", _STOLL, "of the derivatives' month"),
        ("days_since_monthly_expiry", 0, "days", _STOLL, "of the derivatives' month"),
        ("weekly_expiry_day", 0, "yes or no", _STOLL, "1 on the day"),
        ("monthly_expiry_day", 0, "yes or no", _STOLL, "1 on the day"),
        ("budget_day", 0, "yes or no", OWN, "1 on the day of a Union Budget"),
        ("days_since_budget", 0, "days", OWN, "since the last Union Budget, an interim one too"),
    ],
)
CAL = places(FEATURES)
CLOCK = 5  #: the first features are of the clock, the others of the day


def calendar_rows(times: np.ndarray, interval: Interval) -> np.ndarray:
    """Calendar columns at closes.

    Parameters
    ----------
    times : array of shape (n,), microseconds since 1970 UTC
    interval : of the bars; the first bar of a session is as long as it says

    Returns
    -------
    Array of shape (n, columns). The clock's columns are NaN on days of which the calendar knows no session.
    """
    local = times + IST_US
    days = local // MICROSECONDS_PER_DAY
    minutes = (local - days * MICROSECONDS_PER_DAY) / MICROSECONDS_PER_MINUTE
    out = np.empty((len(times), len(FEATURES)))
    distinct, at = np.unique(days, return_inverse=True)
    of_days = np.array([_day_row(int(day)) for day in distinct]).reshape(len(distinct), 2 + len(FEATURES) - CLOCK)[at]
    opened, closed = of_days[:, 0], of_days[:, 1]
    since = minutes - opened
    step = interval.minutes if interval.intraday else math.inf
    known = ~np.isnan(opened)
    out[:, CAL.minutes_since_open] = since
    out[:, CAL.minutes_to_close] = np.maximum(closed - minutes, 0.0)
    out[:, CAL.session_share] = np.minimum(since / (closed - opened), 1.0)
    out[:, CAL.first_bar] = np.where(known, since <= step, math.nan)
    out[:, CAL.last_bar] = np.where(known, minutes >= closed, math.nan)
    out[:, CLOCK:] = of_days[:, 2:]
    return out


@lru_cache(maxsize=4096)
def _day_row(number: int) -> tuple[float, ...]:
    """Open and close in minutes of the day, then the day's columns; `number` counts days since 1970."""
    day = date.fromordinal(_EPOCH + number)
    session = session_on(day)
    opened = _minutes(session.open) if session else math.nan
    closed = _minutes(session.close) if session else math.nan
    weekly, monthly = next_weekly_expiry(day), next_monthly_expiry(day)
    circle = 2.0 * math.pi * (day.day - 1) / _days_in_month(day)
    return (
        opened,
        closed,
        float(day.weekday()),
        sin(circle),
        cos(circle),
        _count(day + timedelta(days=1), _month_end(day)),
        _count(day.replace(day=1), day - timedelta(days=1)),
        _count(day + timedelta(days=1), _quarter_end(day)),
        _days(trading_day_before(day), day),
        _days(day, trading_day_after(day)),
        _days(day, weekly),
        _days(day, monthly),
        _days(last_monthly_expiry(day), day),
        math.nan if weekly is None else float(weekly == day),
        math.nan if monthly is None else float(monthly == day),
        math.nan if last_budget(day) is None else float(is_budget_day(day)),
        _days(last_budget(day), day),
    )


def _minutes(moment: datetime) -> float:
    local = moment.astimezone(IST)
    return float(local.hour * 60 + local.minute)


def _days(first: date | None, last: date | None) -> float:
    return math.nan if first is None or last is None else float((last - first).days)


def _count(first: date, last: date) -> float:
    sessions = count_trading_days(first, last)
    return math.nan if sessions is None else float(sessions)


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def _quarter_end(day: date) -> date:
    return _month_end(day.replace(day=1, month=(day.month + 2) // 3 * 3))


def _days_in_month(day: date) -> int:
    return _month_end(day).day
