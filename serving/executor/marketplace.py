"""Where the daemon trades: the paper exchange that waits for it, or Kite, whose day goes by the clock.

The daemon knows the protocol only. What is Kite's works at a paper exchange, too, which is then used without a route
of its own, at a pace of its own: that is how it is tested.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadParams, NotAllowed
from pipelines.domain.market_calendar import KNOWN_FROM, KNOWN_TO, Session, session_on, trades_on, why_no_session
from pipelines.domain.origin import REAL_SOURCES
from serving.executor.kite_client import KITE
from serving.executor.paper import PaperMarket
from serving.executor.policy_client import Served
from serving.packet_time import PacketTime

Tell = Callable[[str], None]
BEFORE_OPEN = timedelta(minutes=15)  #: the pre-open session begins so early; we are warm by its end
AFTER_CLOSE = timedelta(minutes=2)  #: last fills and square-offs are in the books by then
LOOK_EVERY_S = 5.0
QUOTE_EVERY_S = 2.0  #: of the wall clock, between two looks at an index's quote for the time
INDEX = "NSE:NIFTY 50"
#: Stages at which a policy may trade with money; below them it is on trial
WITH_MONEY = ("canary", "champion")


class MarketPlace(Protocol):
    """Where and when the daemon trades."""

    root: str
    lockstep: bool  #: the market waits for `go_on`
    cash_is_a_ledger: bool  #: whether the broker's cash can be compared to the paisa at any time

    def await_session(self, tell: Tell) -> bool:
        """Wait until a session is to be taken up; False when there is none any more."""
        ...

    def now(self) -> datetime:
        """Market time."""
        ...

    def is_last_day(self, day: date) -> bool: ...

    def go_on(self) -> bool:
        """In lockstep: we are done with the last frame; whether the market is over after the next."""
        ...

    def is_over(self, last: datetime | None, *, quiet: bool) -> bool:
        """Whether nothing more comes in this session: by the last frame's stamp, or if it is quiet by the clock."""
        ...


@dataclass
class PaperPlace:
    """The paper exchange with its own routes: it plays its days in one go and says when they are over."""

    root: str
    paper: PaperMarket
    cash_is_a_ledger: bool = True
    _taken_up: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        status = self.paper.status()
        self.run, self.lockstep = status["run"], status["pace"] == "lockstep"

    def await_session(self, tell: Tell) -> bool:
        first, self._taken_up = not self._taken_up, True
        return first

    def now(self) -> datetime:
        return datetime.fromisoformat(self.paper.status()["clock"])

    def is_last_day(self, day: date) -> bool:
        return bool(self.paper.status()["last_day"])

    def go_on(self) -> bool:
        return self.paper.go_on()

    def is_over(self, last: datetime | None, *, quiet: bool) -> bool:
        return bool(self.paper.status()["state"] == "finished")


@dataclass
class KitePlace:
    """Kite: sessions come by the calendar, day after day.

    Parameters
    ----------
    clock : function that tells market time
    days : sessions to trade, None for all to come
    """

    root: str
    clock: Callable[[], datetime]
    cash_is_a_ledger: bool
    days: int | None = None
    lockstep: bool = field(default=False, init=False)
    _traded: date | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def await_session(self, tell: Tell) -> bool:
        """Wait for the next day of the calendar, up to its pre-open session."""
        if self._count == self.days:
            return False
        told: date | None = None
        while (coming := self._coming(now := self.clock())).open - BEFORE_OPEN > now:
            if told != coming.day:
                told = coming.day
                for day in _passed_over(now.date(), coming.day):
                    tell(f"{why_no_session(day)}: nothing is traded that day")
                tell(f"waiting for the session of {coming.day}")
            time.sleep(min(LOOK_EVERY_S, (coming.open - BEFORE_OPEN - now).total_seconds()))
        self._traded, self._count = coming.day, self._count + 1
        return True

    def now(self) -> datetime:
        return self.clock()

    def is_last_day(self, day: date) -> bool:
        return self._count == self.days

    def go_on(self) -> bool:
        return False

    def is_over(self, last: datetime | None, *, quiet: bool) -> bool:
        assert self._traded is not None, "await a session first"
        session = session_on(self._traded)
        assert session is not None
        if last is not None and last >= session.end:
            return True
        now = self.clock() if quiet else None
        # a paper exchange that has played its day stands still; Kite's clock goes on
        return now is not None and now >= (session.end + AFTER_CLOSE if self.root == KITE else session.close)

    def _coming(self, now: datetime) -> Session:
        """The session that is on or next, not one that was traded already.

        Raises
        ------
        BadParams : if the calendar does not know the day: no order is sent on a guess.
        """
        day = now.date()
        while True:
            if trades_on(day) is None:
                raise BadParams(
                    f"the market calendar does not know {day}, it covers {KNOWN_FROM} to {KNOWN_TO}; add the year's "
                    "holidays to pipelines/domain/facts, then start again"
                )
            session = session_on(day)
            if session is not None and session.end > now and (self._traded is None or day > self._traded):
                return session
            day += timedelta(days=1)


def _passed_over(first: date, until: date) -> list[date]:
    """Days before another one that trade, nobody knows when: no order is sent on a guess."""
    days = (first + timedelta(days=n) for n in range((until - first).days))
    return [day for day in days if trades_on(day) and session_on(day) is None]


def time_of_packets(place: MarketPlace) -> PacketTime:
    """How the stamps of a place's feed are judged: by this machine's clock at Kite, else by the exchange's own."""
    if place.root == KITE:
        return PacketTime(place.now(), wall=machine_clock)
    quoted = isinstance(place, KitePlace)  # its clock is a quote, of which there is one a second
    return PacketTime(place.now(), ask=place.now, ask_every_s=QUOTE_EVERY_S if quoted else 0.0)


def machine_clock() -> datetime:
    """The time of this machine, in India: market time at Kite."""
    return datetime.now(IST)


def exchange_clock(read: Callable[..., Any]) -> Callable[[], datetime]:
    """Market time at an exchange whose day is not ours: that of its index's quote.

    Parameters
    ----------
    read : function of a key to quotes by key, as `KiteConnect.quote`
    """

    def now() -> datetime:
        from serving.executor.kite_rows import market_time

        return market_time(read(INDEX)[INDEX]["timestamp"])

    return now


def refuse_money(root: str, served: Served, allowed: bool) -> None:
    """Raises NotAllowed, in one line, if the policy may not trade at `root`."""
    reason = why_not_live(root, served, allowed)
    if reason:
        raise NotAllowed(reason)


def why_not_live(root: str, served: Served, allowed: bool) -> str | None:
    """Why a policy may not trade at `root`, None if it may: money needs a switch, a stage and a real market."""
    if root != KITE:
        return None
    if not allowed:
        return "executor.live is false in params.yaml: nothing is traded with money until a person sets it to true"
    if served.stage not in WITH_MONEY:
        return (
            f"policy {served.policy_version} stands at {served.stage or 'no stage'}; money needs "
            f"{' or '.join(WITH_MONEY)}: promote it, and serve that alias (serving.alias)"
        )
    if served.source not in REAL_SOURCES:
        return (
            f"policy {served.policy_version} was made on {served.source or 'an unknown'} market data; "
            "only one that was trained and judged on real bars may trade with money"
        )
    return None
