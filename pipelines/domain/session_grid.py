"""Where moments lie among the bars of their sessions, for whole columns of times at once."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.market_calendar import hours_of_bars, session_on, trades_on

_MINUTE = 60_000_000  # microseconds, as are all plain numbers below
_DAY = 24 * 60 * _MINUTE
_IST_OFFSET = 330 * _MINUTE  # no daylight saving
_EPOCH = date(1970, 1, 1)
#: How far both ends of a day's rows have to lie off its session to be shifted: zones differ by half an hour or more.
#: Where the first half hour is missing, rows a quarter of an hour beyond the close are no mere strays
_OFF, _STRAY = 30 * _MINUTE, 15 * _MINUTE
_MANY = 1 / 3  #: of a day's rows outside its session are no strays either; recorded days have up to 0.29


def slots(times: pd.Series, interval: Interval) -> pd.DataFrame:
    """The bar each moment belongs to.

    Parameters
    ----------
    times : Series of `TIME_DTYPE`, shape (n,), without NaT
    interval : Interval
        For `DAY` every moment of a day belongs to that day's bar, which closes with the stocks that trade on to
        `Session.end` if the moment is theirs alone.

    Returns
    -------
    DataFrame of shape (n, 4), indexed as `times`: `open_time` and `close_time` of the bar, `trades` (False on a day
    known to be closed; True where the calendar does not tell) and `inside` (False before the session's open, in a
    pause, and from its end on, where `open_time` means nothing).
    """
    moments = times.astype(TIME_DTYPE).astype("int64").to_numpy()
    days, position = np.unique((moments + _IST_OFFSET) // _DAY, return_inverse=True)
    hours = np.array([_hours(int(day)) for day in days], dtype="int64").reshape(-1, 6)[position]
    start, close, end, pause_from, pause_to, trades = hours.T
    last = moments >= close  # when only stocks without a closing auction trade on: counting starts again
    if interval is Interval.DAY:
        open_, inside = start, np.ones(len(moments), dtype=bool)
        close_ = np.where(last & (moments < end), end, close)
    else:
        step = interval.minutes * _MINUTE
        base = np.where(last, close, np.where(moments >= pause_to, pause_to, start))
        limit = np.where(last, end, np.where(moments >= pause_to, close, np.minimum(pause_from, close)))
        inside = (moments >= base) & (moments < limit)
        open_ = base + (moments - base) // step * step
        close_ = np.minimum(open_ + step, limit)
    return pd.DataFrame(
        {
            "open_time": _times(open_),
            "close_time": _times(np.where(inside, close_, open_ + interval.minutes * _MINUTE)),
            "trades": trades.astype(bool),
            "inside": inside,
        },
        index=times.index,
    )


def opens_of_ends(ends: pd.Series, minutes: int) -> pd.Series:
    """The opens of the bars of so many minutes that end at these moments.

    Parameters
    ----------
    ends : Series of `TIME_DTYPE`, shape (n,), without NaT

    Returns
    -------
    Series of `TIME_DTYPE`, indexed as `ends`. The last bar of a session, or before a pause, may be a short one. A
    moment at which no bar of its day's session ends is moved back by a whole bar.
    """
    moments = ends.astype(TIME_DTYPE).astype("int64").to_numpy()
    before, step = moments - 1, minutes * _MINUTE
    days, position = np.unique((before + _IST_OFFSET) // _DAY, return_inverse=True)
    hours = np.array([_hours(int(day)) for day in days], dtype="int64").reshape(-1, 6)[position]
    start, close, end, pause_from, pause_to, _ = hours.T
    last, paused = before >= close, before >= pause_to
    base = np.where(last, close, np.where(paused, pause_to, start))
    limit = np.where(last, end, np.where(paused, close, np.minimum(pause_from, close)))
    ends_here = (before >= base) & (moments <= limit) & ((moments == limit) | ((moments - base) % step == 0))
    opens = np.where(ends_here, base + (before - base) // step * step, moments - step)
    return pd.Series(_times(opens), index=ends.index)


def bar_numbers(open_times: pd.Series, interval: Interval) -> npt.NDArray[np.int64]:
    """The market's own count of bars, so that two bars that follow each other differ by one.

    Every bar of a session counts, whether anything traded in it or not; so does every session of the calendar. A day
    on which the calendar knows no session counts if a bar lies in it; the time between `Session.close` and
    `Session.end` if any bar of any day does.

    Parameters
    ----------
    open_times : Series of `TIME_DTYPE`, shape (n,), without NaT, in any order

    Returns
    -------
    int64, shape (n,); what the count begins at means nothing.
    """
    moments = open_times.astype(TIME_DTYPE).astype("int64").to_numpy()
    if not len(moments):
        return np.empty(0, dtype=np.int64)
    traded, position = np.unique((moments + _IST_OFFSET) // _DAY, return_inverse=True)
    hours = np.array([_hours(int(day)) for day in traded], dtype="int64")[position]
    late, known = bool((moments >= hours[:, 1]).any()), set(traded.tolist())
    days = range(int(traded[0]), int(traded[-1]) + 1)
    counts = [_bars_of_day(day, interval, traded=day in known, late=late) for day in days]
    before = np.r_[0, np.cumsum(counts)[:-1]].astype(np.int64)[traded - traded[0]][position]
    return before + _places_in_session(moments, hours, interval) if interval.intraday else before


def _places_in_session(
    moments: npt.NDArray[np.int64], hours: npt.NDArray[np.int64], interval: Interval
) -> npt.NDArray[np.int64]:
    """Which bar of its session each moment lies in, from 0; counting starts again after a pause and at the close."""
    step = interval.minutes * _MINUTE
    start, close, _, pause_from, pause_to, _ = hours.T
    morning = -((start - np.minimum(pause_from, close)) // step)
    whole = np.where(pause_from < close, morning - ((pause_to - close) // step), morning)
    late, afternoon = moments >= close, (moments >= pause_to) & (pause_from < close)
    base = np.where(late, close, np.where(afternoon, pause_to, start))
    return np.where(late, whole, np.where(afternoon, morning, 0)) + (moments - base) // step


def _bars_of_day(number: int, interval: Interval, *, traded: bool, late: bool) -> int:
    """How many bars a day's session holds, with `late` those between `close` and `end`, too; 0 where there is none."""
    if not traded and session_on(_EPOCH + timedelta(days=number)) is None:
        return 0
    if not interval.intraday:
        return 1
    start, close, end, pause_from, pause_to, _ = _hours(number)
    stretches = [(start, min(pause_from, close)), *([(close, end)] if late else [])]
    if pause_from < close:
        stretches.append((pause_to, close))
    return sum(-((a - b) // (interval.minutes * _MINUTE)) for a, b in stretches)


def shifted(times: pd.Series, owners: npt.NDArray[Any], outside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Rows of days that lie off their session: stamps of another zone, taken as ours.

    Either both ends of the day's rows lie off the session on the same side, or more than a third of them lie outside.

    Some of such rows may fall inside the session and bear the figures of another time of the day.

    Parameters
    ----------
    times : Series of `TIME_DTYPE`, shape (n,), intraday; NaT belongs to no day
    owners : whose row it is, shape (n,): a day is judged by all rows of its owner, so at its end
    outside : whether the row lies outside its day's session, see `slots`; False on days without one

    Returns
    -------
    Flags of shape (n,).
    """
    found = np.zeros(len(times), dtype=bool)
    if not outside.any():
        return found
    moments = times.astype(TIME_DTYPE).astype("int64").to_numpy()
    days = (moments + _IST_OFFSET) // _DAY
    some = np.flatnonzero(np.isin(days, days[outside]) & times.notna().to_numpy())
    rows = pd.DataFrame({"owner": owners[some], "day": days[some], "moment": moments[some]})
    ends = rows.groupby(["owner", "day"])["moment"]
    first, last = ends.transform("min").to_numpy(), ends.transform("max").to_numpy()
    start, close, end = (
        np.array([_hours(int(day))[:3] for day in rows["day"].unique()], dtype="int64")
        .reshape(-1, 3)[pd.factorize(rows["day"])[0]]
        .T
    )
    early = (first <= start - _OFF) & (last <= close - _OFF)
    late = (first >= start + _OFF) & (last >= end + _STRAY)
    many = rows.assign(outside=outside[some]).groupby(["owner", "day"])["outside"].transform("mean").to_numpy() > _MANY
    found[some] = early | late | many
    return found


def bars_in_sessions(first: date, last: date, interval: Interval) -> dict[date, int]:
    """How many bars each session from `first` to `last` holds, by day; days without a known session are absent."""
    counts = {}
    for number in range((first - _EPOCH).days, (last - _EPOCH).days + 1):
        day = _EPOCH + timedelta(days=number)
        if session_on(day) is None:
            continue
        start, close, _, pause_from, pause_to, _ = _hours(number)
        step = interval.minutes * _MINUTE
        if not interval.intraday:
            counts[day] = 1
        elif pause_from < close:
            counts[day] = -(-(pause_from - start) // step) - (-(close - pause_to) // step)
        else:
            counts[day] = -(-(close - start) // step)
    return counts


def _times(moments: np.ndarray) -> pd.Series:
    return pd.Series(pd.to_datetime(moments, unit="us", utc=True).tz_convert("Asia/Kolkata").astype(TIME_DTYPE)).array


@lru_cache(maxsize=20_000)
def _hours(number: int) -> tuple[int, int, int, int, int, int]:
    """Open, close, end, pause from, pause to and whether it trades, of the n-th day since 1970."""
    day = _EPOCH + timedelta(days=number)
    open_, close, end = (_microseconds(moment) for moment in hours_of_bars(day))
    session = session_on(day)
    pause = (end, end + _DAY)
    if session is not None and session.pause is not None:
        pause = (_microseconds(session.pause[0]), _microseconds(session.pause[1]))
    return open_, close, end, *pause, int(trades_on(day) is not False)


def _microseconds(moment: object) -> int:
    return pd.Timestamp(moment).value // 1000  # type: ignore[arg-type]
