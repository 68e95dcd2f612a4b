"""When NSE's cash market trades: sessions, their hours and the bars they hold, from dated tables with sources.

Three tables in `facts/`: `session_hours.csv` (regular hours by the day from which they hold), `market_closures.csv`
(weekdays without trading) and `special_sessions.csv` (weekends that trade, Muhurat evenings, short and broken days).
A session's `close` is the end of continuous trading of stocks with derivatives, which are those worth trading: 15:15
since the closing auction of 2026-08-03, 15:30 before. The auction itself (15:15 to 15:35) is no part of a bar: our
orders must be out before it.
"""

import csv
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from pathlib import Path

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BadInput

KNOWN_FROM = date(2000, 1, 1)  #: first day the tables cover
KNOWN_TO = date(2026, 12, 31)  #: last day the tables cover; the list of 2027 was not out

_FACTS = Path(__file__).with_name("facts")
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Session:
    """One day's trading, times in Asia/Kolkata."""

    day: date
    open: datetime  #: start of continuous trading
    close: datetime  #: end of continuous trading of stocks with derivatives
    kind: str  #: regular | special (other day or broken hours) | muhurat | short
    last_close: datetime | None = None  #: end of continuous trading of the other stocks where it is later
    pause: tuple[datetime, datetime] | None = None  #: no trading in between

    @property
    def end(self) -> datetime:
        """After this no stock trades continuously: bars that close later belong to no session."""
        return self.last_close or self.close


@dataclass(frozen=True, slots=True)
class _Hours:
    effective_from: date
    open: time
    close: time
    last_close: time


def is_known(day: date) -> bool:
    """Whether the tables cover the day; outside them every weekday counts as a session."""
    return KNOWN_FROM <= day <= KNOWN_TO


@lru_cache(maxsize=20_000)
def session_on(day: date) -> Session | None:
    """The session of a day, None if the market stays closed."""
    special = _special_sessions().get(day)
    if special is not None:
        return special
    if day.weekday() >= _SATURDAY or day in _closures():
        return None
    hours = _hours_on(day)
    last = _at(day, hours.last_close) if hours.last_close > hours.close else None
    return Session(day, _at(day, hours.open), _at(day, hours.close), "regular", last)


def sessions_between(first: date, last: date) -> list[Session]:
    """Sessions from `first` to `last`, both included, in order of time."""
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [session for day in days if (session := session_on(day)) is not None]


def trading_days_before(last: date, count: int) -> list[Session]:
    """The last `count` sessions up to `last`, which is included if it trades, in order of time."""
    found: list[Session] = []
    for session in _backwards(last):
        if len(found) == count:
            break
        found.append(session)
    return found[::-1]


def session_after(day: date) -> Session:
    """The first session of a later day."""
    while True:
        day += timedelta(days=1)
        session = session_on(day)
        if session is not None:
            return session


def bar_times(session: Session, interval: Interval) -> list[tuple[datetime, datetime]]:
    """Open and close times of a session's bars.

    Bars are counted from the session's open; the last one is cut at the close (60min: from 15:15 to 15:30), as is the
    last one before a pause, after which counting starts again. A daily bar spans the session.
    """
    if interval is Interval.DAY:
        return [(session.open, session.close)]
    step = timedelta(minutes=interval.minutes)
    times = []
    for start, end in _stretches(session):
        while start < end:
            times.append((start, min(start + step, end)))
            start += step
    return times


def _stretches(session: Session) -> list[tuple[datetime, datetime]]:
    if session.pause is None:
        return [(session.open, session.close)]
    return [(session.open, session.pause[0]), (session.pause[1], session.close)]


def _backwards(day: date) -> Iterator[Session]:
    while True:
        session = session_on(day)
        if session is not None:
            yield session
        day -= timedelta(days=1)


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=IST)


def _hours_on(day: date) -> _Hours:
    table = _session_hours()
    return table[max(bisect_right([hours.effective_from for hours in table], day) - 1, 0)]


@cache
def _session_hours() -> tuple[_Hours, ...]:
    rows = (
        _Hours(
            date.fromisoformat(row["effective_from"]),
            time.fromisoformat(row["open"]),
            time.fromisoformat(row["close"]),
            time.fromisoformat(row["last_close"]),
        )
        for row in _rows("session_hours.csv")
    )
    return tuple(sorted(rows, key=lambda hours: hours.effective_from))


@cache
def _closures() -> frozenset[date]:
    return frozenset(date.fromisoformat(row["day"]) for row in _rows("market_closures.csv"))


@cache
def _special_sessions() -> dict[date, Session]:
    return {session.day: session for session in map(_special_session, _rows("special_sessions.csv"))}


def _special_session(row: dict[str, str]) -> Session:
    day = date.fromisoformat(row["day"])
    clock = {name: _at(day, time.fromisoformat(row[name])) for name in ("open", "close")}
    pause = None
    if row["pause_from"]:
        pause = (_at(day, time.fromisoformat(row["pause_from"])), _at(day, time.fromisoformat(row["pause_to"])))
    if not clock["open"] < clock["close"]:
        raise BadInput(f"special_sessions.csv: {day} closes before it opens; correct the table")
    return Session(day, clock["open"], clock["close"], row["kind"], pause=pause)


def _rows(name: str) -> list[dict[str, str]]:
    with (_FACTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
