"""Which orders are taken when: by the recording that is played, or by the market's own calendar."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Protocol

from pipelines.domain.expiries import in_last_days_of_month, next_monthly_expiry
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.trading_phases import (
    Group,
    Phase,
    after_market_on,
    broker_ends_intraday,
    phase_at,
    phases_on,
    square_off_on,
    takes_after_market,
)
from serving.exchange.book import STOPS, OrderRequest, Validity, Variety
from serving.exchange.market import SessionDay

ROLLOVER_DAYS = 5  #: before a month's expiry, in which the next month's futures have a pre-open, too: NSE FAOP71092


class Hours(Protocol):
    """What an instrument's market does at a moment, and what the broker does about it."""

    def phase(self, instrument: Instrument, session: SessionDay, at: datetime) -> Phase: ...

    def square_off_at(self, instrument: Instrument, session: SessionDay) -> datetime: ...

    def takes_after_market(self, instrument: Instrument, session: SessionDay, at: datetime) -> bool: ...

    def sends_after_market(self, request: OrderRequest, session: SessionDay, at: datetime) -> bool: ...

    def closing_auction_at(self, session: SessionDay) -> datetime | None:
        """When the closing auction of stocks with derivatives begins; None if there is none that day."""


@dataclass(frozen=True)
class RecordedHours:
    """Recorded bars open the market with the first and close it with the last of a day; no auction is invented.

    The broker squares off at its dated time, but some minutes before the last bar ends at the latest.
    """

    before_close: timedelta = timedelta(minutes=10)

    def phase(self, instrument: Instrument, session: SessionDay, at: datetime) -> Phase:
        return Phase.CONTINUOUS if session.open <= at <= session.close else Phase.CLOSED

    def square_off_at(self, instrument: Instrument, session: SessionDay) -> datetime:
        return broker_ends_intraday(group_of(instrument, session.day), session.open, session.close, self.before_close)

    def takes_after_market(self, instrument: Instrument, session: SessionDay, at: datetime) -> bool:
        return not session.open <= at < session.close

    def sends_after_market(self, request: OrderRequest, session: SessionDay, at: datetime) -> bool:
        return session.open <= at

    def closing_auction_at(self, session: SessionDay) -> datetime | None:
        return None


@dataclass(frozen=True)
class CalendarHours:
    """The phases of NSE's calendar: pre-open, continuous, closing auction, post-close, by instrument.

    A stock counts as one with derivatives, which close by auction, unless it is named.
    """

    plain_stocks: frozenset[str] = frozenset()  #: without derivatives
    seed: int = 0  #: of the random ends of call auctions

    def phase(self, instrument: Instrument, session: SessionDay, at: datetime) -> Phase:
        return phase_at(self._group(instrument, at.date()), at, self.seed)

    def square_off_at(self, instrument: Instrument, session: SessionDay) -> datetime:
        dated = square_off_on(self._group(instrument, session.day), session.day)
        return dated.at if dated is not None else session.close

    def takes_after_market(self, instrument: Instrument, session: SessionDay, at: datetime) -> bool:
        return takes_after_market(self._group(instrument, at.date()), at)

    def sends_after_market(self, request: OrderRequest, session: SessionDay, at: datetime) -> bool:
        if at.date() < session.day:
            return False
        window = after_market_on(self._group(request.instrument, session.day), session.day)
        quick = request.order_type not in STOPS and request.validity is not Validity.IOC
        plain = quick and request.disclosed_quantity in (0, request.quantity)
        return at.time() >= (window.market_and_limit if plain else window.others)

    def closing_auction_at(self, session: SessionDay) -> datetime | None:
        spans = phases_on(Group.AUCTION_STOCK, session.day)
        return next((span.start for span in spans if span.phase is Phase.AUCTION_REFERENCE), None)

    def _group(self, instrument: Instrument, day: date) -> Group:
        return group_of(instrument, day, self.plain_stocks)


def group_of(instrument: Instrument, day: date, plain_stocks: frozenset[str] = frozenset()) -> Group:
    """Whose hours an instrument keeps on a day."""
    if instrument.derivative:
        return Group.NEAR_FUTURE if _is_near_future(instrument, day) else Group.DERIVATIVE
    return Group.STOCK if instrument.symbol in plain_stocks else Group.AUCTION_STOCK


def _is_near_future(instrument: Instrument, day: date) -> bool:
    """A future of the current month, in the last days before its expiry also one of the next; no option."""
    current = next_monthly_expiry(day)
    if instrument.kind is not Kind.FUTURE or instrument.expiry is None or current is None:
        return False
    months = 12 * (instrument.expiry.year - current.year) + instrument.expiry.month - current.month
    return months == 0 or (months == 1 and in_last_days_of_month(day, ROLLOVER_DAYS))


def refused_in(phase: Phase, request: OrderRequest) -> str | None:
    """Why an order is not taken in a phase in which its market is open: call auctions know only plain orders."""
    if phase is Phase.CONTINUOUS or not phase.takes_orders:
        return None
    special = request.variety not in (Variety.REGULAR, Variety.AMO) or request.validity is Validity.IOC
    if request.order_type in STOPS or special or request.disclosed_quantity:
        return f"Only plain market and limit orders are taken in this session ({phase})."
    if phase.limit_only and request.order_type.value == "MARKET":
        return f"Only limit orders are taken in this session ({phase})."
    return None
