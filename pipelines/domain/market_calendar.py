"""When NSE's cash market trades: sessions, their hours and the bars they hold, from dated tables with sources.

Three tables in `facts/`: `session_hours.csv` (regular hours by the day from which they hold), `market_closures.csv`
(weekdays without trading) and `special_sessions.csv` (weekends that trade, Muhurat evenings, short and broken days).
A day that they do not cover has no session that anybody knows: neither open nor closed, see `trades_on`. Nor has one
that trades in hours nobody found: it stands in the table without them.

A session's `close` is the end of continuous trading of stocks with derivatives, which are those worth trading: 15:15
since the closing auction of 2026-08-03, 15:30 before. The auction itself (15:15 to 15:35) is no part of a bar: our
orders must be out before it.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.fact_tables import fact_rows, known_until

KNOWN_FROM = date(2000, 1, 1)  #: first day the tables cover
KNOWN_TO = known_until("market_closures.csv")  #: last day the tables cover: the last of the latest year with a list

_SATURDAY = 5
_WIDEST = time(9, 0), time(20, 0)  #: within which every session has lain whose hours are known


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
class Hours:
    """Regular hours from a day on, of Asia/Kolkata."""

    effective_from: date
    open: time
    close: time
    last_close: time  #: of the stocks without a closing auction


def is_known(day: date) -> bool:
    """Whether it is known if the market trades that day, and if it does, when."""
    return KNOWN_FROM <= day <= KNOWN_TO and day not in _without_hours()


def trades_on(day: date) -> bool | None:
    """Whether the market trades that day, be its hours known or not; None where the tables do not say."""
    if day in _special_sessions() or day in _without_hours():
        return True
    if not KNOWN_FROM <= day <= KNOWN_TO:
        return None
    return day.weekday() < _SATURDAY and day not in _closures()


def may_trade(day: date) -> bool:
    """Whether somebody may trade that day: it has a session, or it is a weekday of which nothing is known."""
    trades = trades_on(day)
    return day.weekday() < _SATURDAY if trades is None else trades


@lru_cache(maxsize=20_000)
def session_on(day: date) -> Session | None:
    """The session of a day; None if the market stays closed, or nobody knows that it trades or when."""
    special = _special_sessions().get(day)
    if special is not None:
        return special
    if day in _without_hours() or not trades_on(day):
        return None
    hours = regular_hours(day)
    last = _at(day, hours.last_close) if hours.last_close > hours.close else None
    return Session(day, _at(day, hours.open), _at(day, hours.close), "regular", last)


def why_no_session(day: date) -> str:
    """In words, for a day without a session that is known."""
    if day in _without_hours():
        return f"{day} has a session whose hours our calendar does not know"
    if trades_on(day) is None:
        return f"{day} is not in our calendar, which covers {KNOWN_FROM} to {KNOWN_TO}"
    return f"{day} is no trading day in our calendar"


def regular_hours(day: date) -> Hours:
    """The hours of a regular session on a day, be it one or not."""
    table = _session_hours()
    return table[max(bisect_right([hours.effective_from for hours in table], day) - 1, 0)]


def hours_of_bars(day: date) -> tuple[datetime, datetime, datetime]:
    """Open, close and end that bars of a day are measured against, be it in the calendar or not.

    Those of its session; where there is none that is known the regular ones of then; the widest of a day that trades
    nobody knows when, for only its bars can tell.
    """
    session = session_on(day)
    if session is not None:
        return session.open, session.close, session.end
    if day in _without_hours():
        return _at(day, _WIDEST[0]), _at(day, _WIDEST[1]), _at(day, _WIDEST[1])
    hours = regular_hours(day)
    return _at(day, hours.open), _at(day, hours.close), _at(day, hours.last_close)


def sessions_between(first: date, last: date) -> list[Session]:
    """Known sessions from `first` to `last`, both included, in order of time."""
    return [session for day in _days(first, last) if (session := session_on(day)) is not None]


def days_that_may_trade(first: date, last: date) -> list[date]:
    """Days from `first` to `last`, both included, of which `may_trade` holds."""
    return [day for day in _days(first, last) if may_trade(day)]


def trading_days_before(last: date, count: int) -> list[Session]:
    """The last `count` known sessions up to `last`, which is included if it trades, in order of time.

    Fewer where the tables begin.
    """
    found: list[Session] = []
    for session in _backwards(last):
        if len(found) == count:
            break
        found.append(session)
    return found[::-1]


def trading_day_after(day: date) -> date | None:
    """The first later day that trades; None if a day comes before it of which nobody knows."""
    return _next_that_trades(day, 1)


def trading_day_before(day: date) -> date | None:
    """The last earlier day that trades; None if a day comes after it of which nobody knows."""
    return _next_that_trades(day, -1)


def count_trading_days(first: date, last: date) -> int | None:
    """How many days from `first` to `last`, both included, trade; None if of one of them nobody knows."""
    trades = [trades_on(day) for day in _days(first, last)]
    return None if None in trades else sum(map(bool, trades))


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


@lru_cache(maxsize=20_000)
def regular_bars(day: date, interval: Interval) -> int:
    """How many bars a regular session of stocks with derivatives holds on a day, be it one or not."""
    if not interval.intraday:
        return 1
    hours = regular_hours(day)
    return -((_at(day, hours.open) - _at(day, hours.close)) // timedelta(minutes=interval.minutes))


def _stretches(session: Session) -> list[tuple[datetime, datetime]]:
    if session.pause is None:
        return [(session.open, session.close)]
    return [(session.open, session.pause[0]), (session.pause[1], session.close)]


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=n) for n in range((last - first).days + 1))


def _next_that_trades(day: date, step: int) -> date | None:
    while True:
        day += timedelta(days=step)
        trades = trades_on(day)
        if trades or trades is None:
            return day if trades else None


def _backwards(day: date) -> Iterator[Session]:
    day = min(day, KNOWN_TO)
    while day >= KNOWN_FROM:
        session = session_on(day)
        if session is not None:
            yield session
        day -= timedelta(days=1)


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=IST)


@cache
def _session_hours() -> tuple[Hours, ...]:
    rows = (
        Hours(
            date.fromisoformat(row["effective_from"]),
            time.fromisoformat(row["open"]),
            time.fromisoformat(row["close"]),
            time.fromisoformat(row["last_close"]),
        )
        for row in fact_rows("session_hours.csv")
    )
    return tuple(sorted(rows, key=lambda hours: hours.effective_from))


@cache
def _closures() -> frozenset[date]:
    return frozenset(date.fromisoformat(row["day"]) for row in fact_rows("market_closures.csv"))


@cache
def _special_sessions() -> dict[date, Session]:
    rows = (row for row in fact_rows("special_sessions.csv") if row["open"])
    return {session.day: session for session in map(_special_session, rows)}


@cache
def _without_hours() -> frozenset[date]:
    """Days that trade, nobody knows when."""
    return frozenset(date.fromisoformat(row["day"]) for row in fact_rows("special_sessions.csv") if not row["open"])


def _special_session(row: dict[str, str]) -> Session:
    day = date.fromisoformat(row["day"])
    clock = {name: _at(day, time.fromisoformat(row[name])) for name in ("open", "close")}
    pause = None
    if row["pause_from"]:
        pause = (_at(day, time.fromisoformat(row["pause_from"])), _at(day, time.fromisoformat(row["pause_to"])))
    if not clock["open"] < clock["close"]:
        raise BadInput(f"special_sessions.csv: {day} closes before it opens; correct the table")
    return Session(day, clock["open"], clock["close"], row["kind"], pause=pause)
