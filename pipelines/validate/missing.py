"""Bars that are not there: minutes in which nobody traded, told apart from minutes that nobody recorded.

A session's bar without a row is **missing** if

- fewer than half as many instruments have a row for it as usually have one for a bar (the recorder stopped); asked only
  where at least `CROWD` instruments have bars that day, or
- its instrument's source writes rows of volume 0 for still bars, so that stillness would have been told, or
- it is an index, or its instrument had a row in at least `LIVELY` of the recorded bars of the `LOOK_BACK` sessions
  before (of its first session: in that session): such an instrument trades in every bar.

Otherwise nobody **traded**. A session of which an instrument has no bar at all is missing wholly. What is said of a
session rests on it and on sessions before it, so it can be known at its end and does not change afterwards.
"""

from collections.abc import Mapping, Set

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.market_calendar import Session, bar_times, sessions_between

CROWD = 3  #: instruments with bars on a day from which on their absence together tells of the recorder
LIVELY = 0.95
LOOK_BACK = 20  #: sessions
#: expected: bars that the session holds; held: those with a row; still: nobody traded; missing: nobody recorded
COUNT_COLUMNS = ("symbol", "day", "expected", "held", "still", "missing")


def count_absent(bars: Mapping[str, pd.DataFrame], interval: Interval, indices: Set[str]) -> pd.DataFrame:
    """What each session lacks of each instrument, from its first to its last day.

    Parameters
    ----------
    bars : by symbol, with `open_time` and `volume`; rows off the sessions' grid are passed over
    interval : Interval
    indices : symbols that have a level in every bar and no volume

    Returns
    -------
    DataFrame of COUNT_COLUMNS, sorted by symbol and day; `day` is the midnight that begins it.
    """
    present = {symbol: frame for symbol, frame in sorted(bars.items()) if len(frame)}
    if not present:
        return _counts([])
    first = min(frame["open_time"].min() for frame in present.values()).date()
    last = max(frame["open_time"].max() for frame in present.values()).date()
    sessions = sessions_between(first, last)
    opens, starts = _grid(sessions, interval)
    if not sessions:
        return _counts([])
    rows = {symbol: _on_grid(frame, opens) for symbol, frame in present.items()}
    recorded = _recorded([row for row, _ in rows.values()], starts)
    parts = []
    for symbol, (row, told_still) in rows.items():
        counts = _by_session(row, told_still, recorded, starts, symbol in indices)
        held = np.flatnonzero(counts[:, 1])
        if not len(held):
            continue
        kept = slice(held[0], held[-1] + 1)
        days = [session.open.replace(hour=0, minute=0) for session in sessions[kept]]
        part = pd.DataFrame(counts[kept], columns=list(COUNT_COLUMNS[2:]))
        part.insert(0, "day", days)
        part.insert(0, "symbol", symbol)
        parts.append(part)
    return _counts(parts)


def _counts(parts: list[pd.DataFrame]) -> pd.DataFrame:
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COUNT_COLUMNS))
    return frame.astype({"symbol": "str", "day": TIME_DTYPE} | dict.fromkeys(COUNT_COLUMNS[2:], "int64"))


def _grid(sessions: list[Session], interval: Interval) -> tuple[np.ndarray, np.ndarray]:
    """Opens of all bars (microseconds since 1970), and the place at which each session begins, one more at the end."""
    times = [[opened for opened, _ in bar_times(session, interval)] for session in sessions]
    starts = np.r_[0, np.cumsum([len(own) for own in times])]
    opens = pd.Series([opened for own in times for opened in own], dtype=TIME_DTYPE)
    return opens.astype("int64").to_numpy(), starts


def _on_grid(frame: pd.DataFrame, opens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each bar of the grid whether there is a row, and whether that row has volume 0."""
    stamps = frame["open_time"].astype("int64").to_numpy()
    at = np.minimum(np.searchsorted(opens, stamps), len(opens) - 1)
    on = opens[at] == stamps
    there, still = np.zeros(len(opens), dtype=bool), np.zeros(len(opens), dtype=bool)
    there[at[on]] = True
    still[at[on]] = (frame["volume"].to_numpy() == 0)[on]
    return there, still


def _recorded(rows: list[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """For each bar of the grid whether the recorder ran, as far as the instruments of that day can tell."""
    holding, active, usual = np.zeros(starts[-1]), np.zeros(len(starts) - 1), np.zeros(len(starts) - 1)
    for row in rows:
        holding += row
        held = _summed(row, starts)
        active += held > 0
        usual += np.where(held > 0, _usual(held, np.diff(starts), held > 0), 0.0)
    asked, least = np.repeat(active, np.diff(starts)), np.repeat(usual / 2, np.diff(starts))
    return (asked < CROWD) | (holding >= least)


def _by_session(
    row: np.ndarray, told_still: np.ndarray, recorded: np.ndarray, starts: np.ndarray, index: bool
) -> np.ndarray:
    """Expected, held, still and missing bars of each session, shape (sessions, 4)."""
    expected = np.diff(starts)
    held, stopped = _summed(row, starts), _summed(~row & ~recorded, starts)
    usual = _usual(_summed(row & recorded, starts), _summed(recorded, starts), held > 0)
    tells = np.cumsum(_summed(told_still, starts)) > 0
    whole = (held == 0) | tells | index | (usual >= LIVELY)
    missing = np.where(whole, expected - held, stopped)
    return np.column_stack([expected, held, expected - held - missing, missing])


def _usual(did: np.ndarray, could: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Share of bars with a row in the `LOOK_BACK` counted sessions before each; without one, in the session itself."""
    with np.errstate(invalid="ignore", divide="ignore"):
        before = _past_sum(did, counted) / _past_sum(could, counted)
        return np.where(np.isnan(before), did / could, before)


def _summed(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values.astype(np.int64), starts[:-1])


def _past_sum(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Sum over the `LOOK_BACK` counted sessions before each, NaN where there is none."""
    own = pd.Series(values[counted], dtype="float64").shift().rolling(LOOK_BACK, min_periods=1).sum()
    found = np.full(len(values), np.nan)
    found[counted] = own.to_numpy()
    return found
