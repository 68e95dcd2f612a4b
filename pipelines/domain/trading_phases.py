"""What an instrument's market does at a moment: pre-open, continuous trading, closing auction, post-close.

Dated phases stand in `facts/session_phases.csv`, the broker's windows in `facts/after_market.csv` and its intraday
square-off in `facts/square_off.csv`. They hold for regular days and for special days of regular hours; on every other
day (Muhurat, short and broken sessions) the calendar's hours are continuous trading and nothing else is known.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from random import Random

from pipelines.domain.bars import IST
from pipelines.domain.fact_tables import fact_rows
from pipelines.domain.market_calendar import Session, may_trade, session_on, trades_on

_WHOLE_DAY = timedelta(hours=6)
BEFORE_THE_CLOSE = timedelta(minutes=10)  #: of a day with hours of its own the broker squares off


class Phase(StrEnum):
    CLOSED = "closed"
    PRE_OPEN = "pre-open"  #: limit and market orders are collected
    PRE_OPEN_LIMIT = "pre-open limit"  #: limit orders are collected, market orders stay as they are
    PRE_OPEN_MATCH = "pre-open match"  #: they are matched at one price; no entry
    PRE_OPEN_BUFFER = "pre-open buffer"  #: between match and opening; no entry
    CONTINUOUS = "continuous"
    AUCTION_REFERENCE = "auction reference"  #: the reference price is reckoned; no entry
    AUCTION = "auction"  #: limit and market orders are collected
    AUCTION_LIMIT = "auction limit"  #: limit orders are collected, market orders stay as they are
    AUCTION_MATCH = "auction match"
    POST_CLOSE = "post-close"  #: trades at the closing price

    @property
    def takes_orders(self) -> bool:
        return self in (
            Phase.PRE_OPEN,
            Phase.PRE_OPEN_LIMIT,
            Phase.CONTINUOUS,
            Phase.AUCTION,
            Phase.AUCTION_LIMIT,
            Phase.POST_CLOSE,
        )

    @property
    def collects(self) -> bool:
        """Whether orders are only collected now, for one price at the end."""
        return self in (
            Phase.PRE_OPEN,
            Phase.PRE_OPEN_LIMIT,
            Phase.AUCTION,
            Phase.AUCTION_LIMIT,
            Phase.AUCTION_REFERENCE,
        )

    @property
    def limit_only(self) -> bool:
        """Whether only limit orders are taken, and market orders are neither changed nor cancelled any more."""
        return self in (Phase.PRE_OPEN_LIMIT, Phase.AUCTION_LIMIT)

    @property
    def one_price(self) -> bool:
        """Whether what trades now trades at one price: an auction's, or the closing price."""
        return self in (Phase.PRE_OPEN_MATCH, Phase.AUCTION_MATCH, Phase.POST_CLOSE)

    @property
    def in_closing_auction(self) -> bool:
        return self in (Phase.AUCTION_REFERENCE, Phase.AUCTION, Phase.AUCTION_LIMIT, Phase.AUCTION_MATCH)


class Group(StrEnum):
    """Instruments that keep the same hours."""

    STOCK = "stock"  #: without derivatives
    AUCTION_STOCK = "auction stock"  #: with derivatives: closes by auction since 2026-08-03
    DERIVATIVE = "derivative"
    NEAR_FUTURE = "near future"  #: derivatives with a pre-open since 2025-12-08: futures of the current month

    @property
    def at_the_broker(self) -> "Group":
        """The group whose hours at the broker hold for it."""
        return Group.DERIVATIVE if self is Group.NEAR_FUTURE else self


@dataclass(frozen=True, slots=True)
class Span:
    phase: Phase
    start: datetime
    end: datetime  #: not included; of a phase with a random end the latest
    random_seconds: int = 0  #: the phase ends at some moment of its last seconds


@dataclass(frozen=True, slots=True)
class SquareOff:
    at: datetime
    fee_inr: Decimal  #: of each order, without tax
    gst: Decimal  #: share


@dataclass(frozen=True, slots=True)
class AfterMarket:
    """The broker's window for after market orders and when it sends them to the exchange."""

    start: time  #: in the evening
    end: time  #: of the morning after
    market_and_limit: time
    others: time  #: stops, IOC, partly disclosed


@lru_cache(maxsize=512)
def phases_on(group: Group, day: date) -> tuple[Span, ...]:
    """The phases of a day in order of time; none if the market stays closed."""
    session = session_on(day)
    if session is None:
        return ()
    rows = _rows_on("session_phases.csv", group, day)
    if not _regular(session) or date.fromisoformat(rows[0]["effective_from"]) > day:
        return _own_hours(session)
    return _spans(rows, day)


def market_day(day: date) -> tuple[datetime, datetime] | None:
    """From when to when any market is on; None if all stay closed.

    A weekday that the calendar does not know counts as one of regular hours, a day that trades nobody knows when is
    on all of it: for who stays away while the market is on.
    """
    if not may_trade(day):
        return None
    spans = [span for group in Group for span in phases_on(group, day)]
    if not spans and trades_on(day):
        midnight = datetime.combine(day, time(), tzinfo=IST)
        return midnight, midnight + timedelta(days=1)
    spans = spans or [span for group in Group for span in _spans(_rows_on("session_phases.csv", group, day), day)]
    return min(span.start for span in spans), max(span.end for span in spans)


def opening_auction_before(day: date) -> timedelta:
    """How long before continuous trading the pre-open auction of stocks matches; nothing on days without one."""
    spans = {span.phase: span.start for span in phases_on(Group.AUCTION_STOCK, day)}
    if Phase.PRE_OPEN_MATCH not in spans:
        return timedelta(0)
    return spans[Phase.CONTINUOUS] - spans[Phase.PRE_OPEN_MATCH]


def post_close_on(day: date) -> datetime | None:
    """When the post-close session of stocks begins; None on days without one."""
    spans = phases_on(Group.AUCTION_STOCK, day)
    return next((span.start for span in spans if span.phase is Phase.POST_CLOSE), None)


def _spans(rows: list[dict[str, str]], day: date) -> tuple[Span, ...]:
    return tuple(
        Span(
            Phase(row["phase"]),
            _at(day, row["from"]),
            _at(day, row["to"]),
            int(row["random_seconds"] or 0),
        )
        for row in rows
    )


def phase_at(group: Group, moment: datetime, seed: int = 0) -> Phase:
    """The phase at a moment; the seed fixes where a random end falls."""
    for span in phases_on(group, moment.date()):
        if span.start <= moment < span.end:
            late = span.random_seconds and moment >= _random_end(span, group, seed)
            return _following(group, span) if late else span.phase
    return Phase.CLOSED


def square_off_on(group: Group, day: date) -> SquareOff | None:
    """When the broker ends intraday positions, and its fee; None if the market stays closed."""
    session = session_on(day)
    rows = _rows_on("square_off.csv", group.at_the_broker, day)
    if session is None or not rows:
        return None
    at = _at(day, rows[0]["at"]) if _regular(session) else session.end - BEFORE_THE_CLOSE
    return SquareOff(at, Decimal(rows[0]["fee_inr"]), Decimal(rows[0]["gst"]))


def broker_ends_intraday(
    group: Group, opened: datetime, close: datetime, before_close: timedelta = BEFORE_THE_CLOSE
) -> datetime:
    """When the broker ends what is intraday, of a day that opens and closes then: at its dated time, some minutes
    before the close at the latest.
    """
    dated, latest = square_off_on(group, opened.date()), close - before_close
    return min(dated.at, latest) if dated is not None and dated.at > opened else latest


def square_off_fee(day: date) -> tuple[Decimal, Decimal]:
    """Fee (rupees) and tax (share of it) for an order by which the broker squares off; all groups pay the same."""
    row = _rows_on("square_off.csv", Group.STOCK, day)[0]
    return Decimal(row["fee_inr"]), Decimal(row["gst"])


def after_market_on(group: Group, day: date) -> AfterMarket:
    kind = Group.DERIVATIVE if group.at_the_broker is Group.DERIVATIVE else Group.STOCK
    row = _rows_on("after_market.csv", kind, day)[0]
    return AfterMarket(*(time.fromisoformat(row[name]) for name in ("from", "to", "market_and_limit", "others")))


def takes_after_market(group: Group, moment: datetime) -> bool:
    """Whether the broker takes after market orders: in the evening, the morning, and whole days without a session."""
    day = moment.date()
    if not may_trade(day):
        return True
    window = after_market_on(group, day)
    return not window.end <= moment.time() < window.start


def _regular(session: Session) -> bool:
    """Whether the day keeps the dated hours: a regular one, or a special one like the Budget's of the same length."""
    special = session.kind == "special" and session.pause is None
    return session.kind == "regular" or (special and session.end - session.open >= _WHOLE_DAY)


def _own_hours(session: Session) -> tuple[Span, ...]:
    if session.pause is None:
        return (Span(Phase.CONTINUOUS, session.open, session.end),)
    first, second = session.pause
    return Span(Phase.CONTINUOUS, session.open, first), Span(Phase.CONTINUOUS, second, session.end)


def _random_end(span: Span, group: Group, seed: int) -> datetime:
    drawn = Random(f"{seed} {group} {span.start.isoformat()}").random()
    return span.end - timedelta(seconds=span.random_seconds * drawn)


def _following(group: Group, span: Span) -> Phase:
    spans = phases_on(group, span.start.date())
    after = [other for other in spans if other.start == span.end]
    return after[0].phase if after else Phase.CLOSED


def _at(day: date, clock: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), tzinfo=IST)


def _rows_on(table: str, group: Group, day: date) -> list[dict[str, str]]:
    """The rows of a group that hold on a day; days before the first get the first."""
    rows = [row for row in fact_rows(table) if row["group"] == group]
    dates = sorted({row["effective_from"] for row in rows})
    known = [text for text in dates if date.fromisoformat(text) <= day]
    latest = known[-1] if known else dates[0]
    return [row for row in rows if row["effective_from"] == latest]
