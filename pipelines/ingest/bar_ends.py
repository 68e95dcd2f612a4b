"""Which end of its bar an intraday stamp marks, found from each day's own session."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE
from pipelines.domain.market_calendar import hours_of_bars, session_on, trades_on
from pipelines.domain.session_grid import opens_of_ends

_RARELY, _MOSTLY = 0.1, 0.5  #: shares of the days: stray rows decide nothing
_ONE_SECOND = pd.Timedelta(seconds=1)


@dataclass(frozen=True)
class Placed:
    """Stamps at their bars' opens."""

    times: pd.Series
    note: str = ""  #: why they were moved; empty: they were not


def at_their_open(times: pd.Series, minutes: int, marks: str = "auto") -> Placed:
    """Stamps of bars of so many minutes, moved to their opens where they mark the ends.

    Parameters
    ----------
    times : Series of `TIME_DTYPE`, shape (n,), intraday, without NaT, in any order
    marks : "start", "end", or "auto": found out

    Returns
    -------
    Placed. A short last bar, as from 15:15 to 15:30 of an hour's bars, opens where the one before it ends.
    """
    ends = times + _ONE_SECOND if (times.dt.second == 59).mean() > _MOSTLY else times  # 09:19:59 ends a bar, too
    if marks == "start" or (marks == "auto" and not stamped_at_end(ends, minutes)):
        return Placed(times)
    why = "as told" if marks == "end" else _first_and_last(times)
    return Placed(opens_of_ends(ends, minutes), f"stamps mark the end of bars ({why}); moved back by {minutes} min")


def stamped_at_end(times: pd.Series, minutes: int) -> bool:
    """Whether stamps mark the ends of their bars.

    Bars stamped at their start have the session's open as a stamp, and nothing at its end. Those stamped at their end
    begin one bar after the open and have the end: 09:20 to 15:30 of bars of five minutes, since the closing auction of
    2026-08-03 to 15:15, of stocks without one still to 15:30. Both must hold on most days, each by its own session.
    """
    numbers, days = pd.factorize(times.dt.normalize())
    moments = times.astype(TIME_DTYPE).astype("int64").to_numpy()
    known = np.array([_has_hours(day.date()) for day in days])
    if not known.any():
        return False
    hours = pd.DataFrame([hours_of_bars(day.date()) for day in days]).astype(TIME_DTYPE).astype("int64").to_numpy()
    opened, closed, ended = hours[numbers].T
    first_end = np.minimum(opened + minutes * 60_000_000, closed)

    def share(hit: npt.NDArray[np.bool_]) -> float:
        return float(len(np.unique(numbers[hit & known[numbers]])) / known.sum())

    last_end = (moments == closed) | (moments == ended)
    return share(moments == opened) < _RARELY and share(moments == first_end) > _MOSTLY and share(last_end) > _MOSTLY


def _has_hours(day: date) -> bool:
    """Whether a day tells anything: it has a known session, or no table knows it: then the regular hours count."""
    return session_on(day) is not None or trades_on(day) is None


def _first_and_last(times: pd.Series) -> str:
    """The commonest first and last clock time of a day, in the latest sessions."""
    days = times.groupby(times.dt.normalize())
    first, last = (ends.tail(20).dt.strftime("%H:%M").mode().iloc[-1] for ends in (days.min(), days.max()))
    return f"first {first}, last {last}"
