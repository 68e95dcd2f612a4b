"""The exchange itself: plays the market frame by frame, takes orders, keeps the day's course. No network."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pipelines.domain.charges import Charges
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import SQUARE_OFF_TAG, OrderType, Product
from pipelines.domain.trading_phases import opening_auction_before
from serving.exchange.acceptance import MarketView, above_freeze_quantity, outside_circuit, outside_lpp
from serving.exchange.account import Account
from serving.exchange.alerts import Alerts
from serving.exchange.book import (
    MAX_MODIFICATIONS,
    RMS_USER,
    TERMINAL,
    USER_ID,
    WORKING,
    Order,
    OrderBook,
    OrderRequest,
    Status,
    Trade,
    Validity,
    Variety,
    changed_request,
)
from serving.exchange.closing_auction import ClosingAuction
from serving.exchange.course import Course, State
from serving.exchange.faults import FaultKind, Faults
from serving.exchange.floor import Floor, Rules
from serving.exchange.gtt import Triggers
from serving.exchange.hours import RecordedHours, refused_in
from serving.exchange.legs import first_leg
from serving.exchange.market import Frame, FrameKind, Market, SessionDay, Tick, clock_instrument
from serving.exchange.order_forms import AUTO_PROTECTION, EXPIRED, checked
from serving.exchange.quotes import QuoteBoard
from serving.exchange.refusals import KiteError, input_error, margin_error, order_error
from serving.exchange.square_off import SquareOff

RMS_TAG = SQUARE_OFF_TAG
IOC_PATIENCE = timedelta(
    seconds=1
)  #: market time without a trade of its instrument after which an IOC order has met none
__all__ = ["RMS_TAG", "RMS_USER", "USER_ID", "Rules", "State", "Step", "Venue"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what became of orders, then the frame that is sent after it."""

    updates: tuple[tuple[Order, str], ...]  #: an order and the event that is told of it: a status, or UPDATE
    frame: Frame


class Venue:
    """A paper exchange and broker over a market.

    Parameters
    ----------
    instruments : Sequence of Instrument
        What may be traded and quoted; the index that is the clock is added if missing.
    market : Market
        Whose days and frames are played.
    previous_closes : Mapping of symbol to rupees
        Last close before the first day; a symbol without one takes its first trade.
    rules : Rules
        Its hours say when which orders are taken; by default a recorded day is open from its first bar to its last.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        market: Market,
        previous_closes: Mapping[str, Decimal],
        rules: Rules,
    ):
        self.rules = rules
        self.market = market
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        clock = next((i for i in instruments if i.token == clock_instrument().token), clock_instrument())
        self.listed = self.instruments | {clock.symbol: clock}
        self.board = QuoteBoard(instruments, previous_closes, clock)
        self.course = Course(market.days, rules.hours or RecordedHours(rules.square_off))
        self.floor = Floor(rules, self.course, self.board)
        self.triggers = Triggers()
        self.doubles: set[str] = set()  #: ids of orders that a fault made of one call, beside the first
        self.alerts = Alerts()
        self._square_off = SquareOff(self.floor)
        self._auction = ClosingAuction(self.floor)

    @property
    def days(self) -> Sequence[SessionDay]:
        return self.course.days

    @property
    def session(self) -> SessionDay:
        return self.course.session

    @property
    def last_day(self) -> bool:
        return self.course.last_day

    @property
    def state(self) -> State:
        return self.course.state

    @property
    def clock(self) -> datetime:
        return self.course.clock

    @property
    def steps(self) -> int:
        return self.course.steps

    @property
    def faults(self) -> Faults:
        return self.floor.faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self.floor.faults = faults

    @property
    def phase(self) -> FrameKind:
        return self.course.frame

    @property
    def book(self) -> OrderBook:
        return self.floor.book

    @property
    def account(self) -> Account:
        return self.floor.account

    @property
    def charges_of(self) -> dict[str, Charges]:
        return self.floor.charges_of

    # the market's side

    def advance(self) -> Step:
        """Play the next frame: match what is working against its ticks and say what happened.

        Orders placed since the last frame meet this frame's prices at the earliest. After the last frame nothing
        happens any more: the last clock frame is given again.
        """
        course, floor = self.course, self.floor
        if course.state is State.FINISHED:
            return Step((), Frame(course.frame, course.clock))
        course.state = State.PLAYING
        frame = self.market.next_frame()
        course.steps += 1
        if frame.kind is FrameKind.OPENING:
            self._open_day()
        course.clock, course.frame = frame.at, frame.kind
        floor.arrivals()
        self._send_after_market_orders()
        if frame.kind is FrameKind.OPENING:
            self.board.next_bar(frame.at)  # the auction's trades are the first bar's
        opening = frame.kind is FrameKind.OPENING
        self.board.trade(frame.ticks, frame.at - opening_auction_before(frame.at.date()) if opening else frame.at)
        self._auction.watch()
        if frame.kind is FrameKind.TICKS:
            self._square_off.in_time()
            floor.meet(frame.ticks)
            self.triggers.meet(self.board.quotes, self.clock, self)
            self.alerts.meet(self.board.quotes, self.clock, self)
        else:
            floor.next_bar()
            if frame.kind is not FrameKind.OPENING:
                self.board.next_bar(frame.at)
        self._expire_in_time()
        if frame.kind is FrameKind.CLOSING:
            self._square_off.finish()
        elif frame.kind is FrameKind.POST_CLOSE:
            self._post_close()
        return Step(self.take_updates(), frame)

    def take_updates(self) -> tuple[tuple[Order, str], ...]:
        """What became of orders and has not been told yet; who takes it tells it."""
        told = tuple(self.floor.updates)
        self.floor.updates.clear()
        return told

    def view(self, symbol: str) -> MarketView:
        return self.floor.view(symbol)

    def intraday_is_over(self, instrument: Instrument) -> bool:
        return self._square_off.over_for(instrument)

    # the client's side

    def place(self, request: OrderRequest, placed_by: str = USER_ID, **facts: Any) -> Order:
        """Take an order, or refuse it with the error Kite gives; a refusal for want of money stays in the book."""
        order = self._place(request, placed_by, **facts)
        if placed_by == USER_ID and self.floor.unlucky(FaultKind.TAKEN_TWICE, order):
            with suppress(KiteError):  # the second may be refused, e.g. for want of money
                self.doubles.add(self._place(request, placed_by, **facts).order_id)
        return order

    def _place(self, request: OrderRequest, placed_by: str, **facts: Any) -> Order:
        self._must_take(request)
        request = first_leg(request)
        too_much = above_freeze_quantity(request, self.view(request.instrument.symbol))
        if too_much:
            raise input_error(too_much)
        self._check_shares(request)
        order = self.book.add(request, self.clock, self.course.good_for(), placed_by, **facts)
        missing = self.floor.funds.missing_margin(self.floor.as_sent(request)[0], order)
        if missing:
            self.floor.tell(self.book.reject(order, self.clock, missing))
            raise margin_error(missing)
        if request.variety is Variety.AMO:
            return self.floor.tell(self.book.advance(order, Status.AMO_RECEIVED, self.clock))
        return self.floor.send(order)

    def modify(self, order_id: str, changes: Mapping[str, Any]) -> Order:
        """Change a working order's quantity, type, prices or validity; its filled part stays."""
        order = self._changeable_order(order_id)
        if order.modifications >= MAX_MODIFICATIONS:
            raise order_error("Maximum allowed order modifications exceeded.")
        request = checked(changed_request(order.request, changes))
        if request.variety is Variety.ICEBERG and request.quantity > request.iceberg_quantity:
            raise input_error(f"A leg of this iceberg takes at most {request.iceberg_quantity}.")
        if request.quantity <= order.filled_quantity:
            raise input_error(f"Quantity should be more than the {order.filled_quantity} already filled.")
        self._check_change(order, request)
        if order.status is Status.AMO_RECEIVED:
            return self.floor.tell(self.book.note(order, request=request, modifications=order.modifications + 1))
        terms_stay = not {"order_type", "price"} & set(changes)
        return self.floor.send_change(order, request, still_protected=order.protected and terms_stay)

    def cancel(self, order_id: str) -> Order:
        """Take an order back; the stop of a cover order is not taken back but sent to the market: that ends both."""
        order = self._changeable_order(order_id)
        if order.status is Status.AMO_RECEIVED:
            return self.floor.cancel(order)
        if order.request.variety is Variety.CO and order.parent_order_id is not None:
            return self.modify(order_id, {"order_type": OrderType.MARKET, "market_protection": AUTO_PROTECTION})
        return self.floor.send_cancel(order)

    def _must_take(self, request: OrderRequest) -> None:
        """Whether an order of this kind is taken at this moment at all."""
        expiry = request.instrument.expiry
        if expiry is not None and expiry < self.course.good_for():
            raise input_error(EXPIRED)
        if request.variety is Variety.AUCTION:
            raise order_error(f"There is no auction of {request.instrument.symbol} to take part in.")
        if request.variety is not Variety.AMO:
            self._must_be_open(request)
        elif not self.course.takes_after_market(request.instrument):
            raise order_error(
                "After market orders (AMO) are not taken now: they are for the time outside of the session."
            )

    def _must_be_open(self, request: OrderRequest) -> None:
        phase = self.course.phase(request.instrument)
        if not phase.takes_orders:
            raise order_error(
                f"Markets are closed right now ({phase}): the market's clock says {self.clock:%Y-%m-%d %H:%M:%S}."
            )
        wrong = refused_in(phase, request)
        if wrong:
            raise order_error(wrong)

    def _check_shares(self, request: OrderRequest, replacing: Order | None = None) -> None:
        """Delivery sells what is held; after the square-off intraday orders only take back what is open."""
        funds = self.floor.funds
        funds.check_holdings(request, replacing)
        today = self.course.good_for() == self.session.day
        late = request.product is Product.MIS and today and self._square_off.over_for(request.instrument)
        if late and not funds.reduces_intraday(request, replacing):
            raise order_error("Intraday (MIS) orders are not taken after the square-off time; use CNC.")

    def _check_change(self, order: Order, request: OrderRequest) -> None:
        view = self.view(order.symbol)
        too_much = above_freeze_quantity(request, view)
        if too_much:
            raise input_error(too_much)
        self._check_shares(request, replacing=order)
        missing = self.floor.funds.missing_margin(self.floor.as_sent(request)[0], replacing=order)
        if missing:
            raise margin_error(missing)
        wrong = outside_circuit(request, view) or outside_lpp(request, view)
        if wrong:
            raise order_error(wrong)

    def _changeable_order(self, order_id: str) -> Order:
        order = self.book.find(order_id)
        if order.status is Status.AMO_RECEIVED:
            return order
        if order.status in TERMINAL:
            raise order_error(f"Order cannot be changed: it is {order.status.value}.")
        phase = self.course.phase(order.request.instrument)
        unprotected = order.request.order_type is OrderType.MARKET or order.protected
        if not phase.takes_orders or (phase.limit_only and unprotected):
            raise order_error(f"Orders cannot be changed now ({phase}).")
        if order.status not in WORKING:
            raise order_error("Order cannot be changed as it is being processed. Try later.")
        return order

    # the day's course

    def _open_day(self) -> None:
        if self.steps == 1:
            return
        self.course.clock = self.session.close
        self._expire()
        self.account.settle_day(self.board.quotes, self.days[self.course.place + 1].day)
        self.board.start_day()
        self.course.start_next_day()
        self._square_off.start_day()
        self._auction.start_day()

    def _send_after_market_orders(self) -> None:
        """What the broker has held since the evening goes to the exchange at its time, if the account carries it."""
        hours, session = self.course.hours, self.session
        for order in self.book.held():
            if order.day > session.day or not hours.sends_after_market(order.request, session, self.clock):
                continue
            missing = self.floor.funds.missing_margin(order.request)
            if missing:
                self.floor.tell(self.book.reject(order, self.clock, missing))
            else:
                self.floor.send(order)

    def _expire(self) -> None:
        self.floor.arrivals(all_of_them=True)
        for order in self.book.working():
            if order.day <= self.session.day:
                self.floor.cancel(order, "Order expired at the end of its session (DAY).")

    def _expire_in_time(self) -> None:
        """Orders that were good for some minutes (TTL) expire, and IOC ones that no price has met.

        What was given before the session, by night or in the evening, counts from its opening.
        """
        opened = self.session.open
        for order in self.book.working():
            validity, minutes = order.request.validity, timedelta(minutes=order.request.validity_ttl)
            if validity is Validity.TTL and max(order.placed_at, opened) + minutes <= self.clock:
                self.floor.cancel(order, "Order expired: its minutes (TTL) are over.")
            elif validity is Validity.IOC and max(order.changed_at, opened) + IOC_PATIENCE <= self.clock:
                self.floor.cancel(order)

    def _post_close(self) -> None:
        """Orders given at the last close trade at the closing price or expire: no next opening is recorded."""
        for order in self.book.working():
            if order.changed_at < self.session.close:
                continue
            price = self.board.quotes[order.symbol].last_price
            self.floor.meet_one(order, Tick(order.request.instrument, price, 0, price, price), unlimited=True)
        self._expire()
        self.account.settle_expired(self.board.quotes)
        self.course.state = State.FINISHED

    # for the account's reader

    def trades(self) -> list[Trade]:
        return self.book.trades_of(self.session.day)

    def orders(self) -> list[Order]:
        return list(self.book.of_day(self.session.day))
