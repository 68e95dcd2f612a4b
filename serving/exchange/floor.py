"""Where orders live: they reach the exchange, meet the market, are filled, end, and others follow them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pipelines.domain.charges import Charges
from pipelines.domain.fills import FillModel, Match, PriceBar, match
from pipelines.domain.orders import OrderType
from pipelines.domain.trading_phases import Phase
from serving.exchange.acceptance import LPP_CANCELLED, MarketView, outside_lpp, protected, refused_at_the_exchange
from serving.exchange.account import Account
from serving.exchange.book import (
    RMS_USER,
    TERMINAL,
    USER_ID,
    Order,
    OrderBook,
    OrderRequest,
    Status,
    Validity,
    Variety,
)
from serving.exchange.course import Course
from serving.exchange.faults import FaultKind, Faults, order_purpose
from serving.exchange.funds import Funds
from serving.exchange.hours import Hours
from serving.exchange.legs import cover_request, next_leg
from serving.exchange.market import Tick
from serving.exchange.matching import VolumeShare, by_symbol, met_by, model_at, rests_after, stood_before
from serving.exchange.quotes import QuoteBoard
from serving.exchange.transit import Transit

STOP_BLOCKED = "RMS: Trigger price orders are blocked for this scrip at the moment."
EXCHANGE_CANCELLED = "Order cancelled by the exchange."
LATE_BY = 2  #: frames of its instrument between a cancellation and a fill that shows after it
OUT_OF_MONEY = "RMS: cancelled, the account does not pay for more at this price."


@dataclass(frozen=True)
class Rules:
    """What the exchange plays by; from `params.yaml` where it is the user's to choose."""

    opening_cash_inr: Decimal
    fills: FillModel
    circuit: Decimal = Decimal("0.20")  #: daily price band around a stock's previous close
    circuits: Mapping[str, Decimal] = field(default_factory=dict)  #: of stocks in another band: 0.02, 0.05, 0.10
    square_off: timedelta = timedelta(minutes=10)  #: before the close the broker ends intraday positions at the latest
    latency: timedelta = timedelta(0)  #: market time from a call to the exchange's word on it
    hours: Hours | None = None  #: None: those of the recording


class Floor:
    """The orders of one account at the exchange, and what becomes of them.

    `updates` gathers what is told of them, in order: an order and the event, a status or UPDATE.
    """

    def __init__(self, rules: Rules, course: Course, board: QuoteBoard):
        self.rules, self.course, self.board = rules, course, board
        self.book = OrderBook()
        self.account = Account(rules.opening_cash_inr, course.session.day)
        self.funds = Funds(self.account, self.book, board, course)
        self.faults = Faults()
        self.charges_of: dict[str, Charges] = {}
        self.updates: list[tuple[Order, str]] = []
        self._late: dict[str, int] = {}  # frames until a cancelled order fills all the same, by order
        self._volumes = VolumeShare()
        self._transit = Transit(rules.latency)

    def view(self, symbol: str) -> MarketView:
        circuit = self.rules.circuits.get(symbol, self.rules.circuit)
        return MarketView(self.board.quotes[symbol], self.course.session.day, circuit)

    # to the exchange

    def send(self, order: Order) -> Order:
        """A new order on its way; without latency it is there at once."""
        path: tuple[Status, ...] = (Status.VALIDATION_PENDING, Status.OPEN_PENDING)
        if order.status is Status.RECEIVED:
            path = (Status.RECEIVED, *path)
        return self._transit.send(self.book, order, path, self.course.clock, self._arrive)

    def send_change(self, order: Order, request: OrderRequest, *, still_protected: bool) -> Order:
        """A modification on its way; until it arrives the order works as it was."""
        effect: Callable[[Order], Order] = lambda now: self._change(order, now, request, still_protected)  # noqa: E731
        path = (Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING)
        return self._transit.send(self.book, order, path, self.course.clock, effect)

    def send_cancel(self, order: Order) -> Order:
        return self._transit.send(self.book, order, (Status.CANCEL_PENDING,), self.course.clock, self.cancel)

    def arrivals(self, *, all_of_them: bool = False) -> None:
        """What has come to the exchange by now takes effect."""
        self._transit.arrive(self.book, None if all_of_them else self.course.clock)

    def as_sent(self, request: OrderRequest, day: date | None = None) -> tuple[OrderRequest, dict[str, Any]]:
        """The order as the broker sends it on: protected by the day's last price; before there is one, later."""
        view = self.view(request.instrument.symbol)
        today = (day or self.course.good_for()) == self.course.session.day and not self.course.ends_for_today
        auction = self.course.phase(request.instrument).collects
        known = today and view.quote.traded and not auction
        return protected(request, view, view.quote.last_price if known else Decimal(0))

    def _arrive(self, order: Order) -> Order:
        wrong = refused_at_the_exchange(order.request, self.view(order.symbol))
        wrong = wrong or self.funds.missing_shares(order.request, order)  # others may have sold them meanwhile
        if not wrong and order.request.trigger_price is not None and self.unlucky(FaultKind.STOP_REJECTED, order):
            wrong = STOP_BLOCKED
        if wrong:
            return self.tell(self.book.reject(order, self.course.clock, wrong))
        request, facts = self.as_sent(order.request, order.day)
        return self.tell(self.book.accept(order, self.course.clock, request=request, **facts))

    def _change(self, before: Order, order: Order, request: OrderRequest, still_protected: bool) -> Order:
        """A modification arrives; the order may have been filled or triggered since it stood as `before`."""
        late = request.quantity <= order.filled_quantity
        if late or self.funds.missing_shares(request, order) or self.funds.missing_margin(request, order):
            return self.tell(self.book.resume(order, self.course.clock), event="UPDATE")
        if before.waits_for_trigger and order.protected and request.order_type is OrderType.SL_M:
            request, still_protected = replace(order.request, quantity=request.quantity), True
        day = self.course.good_for()
        sent, facts = self.as_sent(request, day)
        if still_protected:
            facts = {"protected": True, "band": None, "protection": order.protection}
        return self.tell(self.book.modify(order, sent, self.course.clock, day, **facts), event="UPDATE")

    # in the market

    def next_bar(self) -> None:
        self._volumes.next_bar()

    def meet(self, ticks: Sequence[Tick]) -> None:
        """Match what works in the present session with a frame's ticks, who came first before the others."""
        self._volumes.next_frame()
        self._fill_late(ticks)
        working = self.book.working()
        if not working:
            return
        met = by_symbol(ticks, working)
        for order in working:
            tick = met.get(order.symbol)
            now = self.book.find(order.order_id)  # an order before it may have changed this one
            if tick is None or order.day != self.course.session.day or now.status in TERMINAL:
                continue
            phase = self.course.phase(tick.instrument)
            if phase is Phase.CONTINUOUS:
                self.meet_one(now, tick, unlimited=order.placed_by == RMS_USER)
            elif phase.one_price and not now.waits_for_trigger:
                self._meet_at_one_price(now, tick)

    def meet_one(self, order: Order, tick: Tick, *, unlimited: bool = False) -> None:
        """Match one order with one tick; `unlimited` asks for no volume."""
        if order.request.order_type is OrderType.MARKET and order.request.market_protection:
            order = self._protect_now(order, tick.price)
        if not unlimited and stood_before(order, tick, self.board.quotes[order.symbol].price_before):
            order = self.book.note(order, rested=True)
        bar = met_by(order, tick, self._volumes.taken(tick), unlimited=unlimited)
        self._take(
            order,
            tick,
            match(order.working, bar, tick.instrument, model_at(order, tick, self.rules.fills)),
            unlimited=unlimited,
        )

    def _meet_at_one_price(self, order: Order, tick: Tick) -> None:
        """A call auction's price, or after the close the closing price: one for all, without slippage."""
        if order.request.order_type is OrderType.MARKET:
            order = self._protect_now(order, tick.price)
        bar = PriceBar.tick(tick.price, tick.quantity)
        model = FillModel(0.0, self.rules.fills.participation)
        found = match(
            replace(order.working, rested=False), replace(bar, taken=self._volumes.taken(tick)), tick.instrument, model
        )
        self._take(order, tick, found)

    def _take(self, order: Order, tick: Tick, found: Match | None, *, unlimited: bool = False) -> None:
        """What a match means for the order: a trigger, fills, its place in the book."""
        if found is not None and order.waits_for_trigger:
            order = self.tell(self.book.trigger(order, self.course.clock))
            if outside_lpp(_released(order), self.view(order.symbol)):
                self.cancel(order, LPP_CANCELLED)
                return
        if found is not None and found.quantity:
            paid_for = self._paid_for(order, found)
            if paid_for < found.quantity:
                order = self.fill(order, paid_for, found.price) if paid_for else order
                self.cancel(order, OUT_OF_MONEY)
                return
            if not unlimited:
                self._volumes.take(tick, found.quantity)
            if order.pending_quantity > 1 and self.unlucky(FaultKind.FILL_THEN_CANCEL, order):
                order = self.fill(order, min(found.quantity, order.pending_quantity // 2), found.price)
                self.cancel(order, EXCHANGE_CANCELLED)
                return
            order = self.fill(order, found.quantity, found.price)
        if order.status in TERMINAL:
            return
        if rests_after(order, tick) and not order.rested:
            order = self.book.note(order, rested=True)
        if order.request.validity is Validity.IOC:
            self.cancel(order)

    def _paid_for(self, order: Order, found: Match) -> int:
        """A price above the one that an order was reckoned at, e.g. an opening, may be more than the account has."""
        others = [other for other in self.book.working() if other.order_id != order.order_id]
        return self.account.paid_for(order, found.quantity, found.price, others, self.board.quotes)

    def fill(self, order: Order, quantity: int, price: Decimal) -> Order:
        order, trade = self.book.fill(order, quantity, price, self.course.clock)
        self.account.fill(trade)
        if order.status not in TERMINAL:
            self.tell(order, event="UPDATE")
        else:
            self._end(order)
            self._place_next_leg(order)
            self._end_covered(order)
        if order.request.stop_price is not None:
            self._cover(order)
        return order

    def cancel(self, order: Order, message: str | None = None) -> Order:
        cancelled = self._end(self.book.cancel(order, self.course.clock, message))
        if not order.waits_for_trigger and self.unlucky(FaultKind.FILL_AFTER_CANCEL, order):
            self._late[order.order_id] = LATE_BY
        return cancelled

    def _fill_late(self, ticks: Sequence[Tick]) -> None:
        """Cancelled orders of which the exchange tells a fill after all; charges are taken of the whole then."""
        for tick in ticks:
            for order_id in [name for name in self._late if self.book.find(name).symbol == tick.instrument.symbol]:
                self._late[order_id] -= 1
                order = self.book.find(order_id)
                if self._late[order_id] > 0 or order.day != self.course.session.day:
                    continue
                del self._late[order_id]
                order, trade = self.book.fill_late(order, tick.price, self.course.clock)
                self.account.fill(trade)
                self.account.give_back(self.charges_of.pop(order_id, Charges()))
                self._end(order)

    def tell(self, order: Order, event: str | None = None) -> Order:
        self.updates.append((order, event or order.status.value))
        return order

    def _end(self, order: Order) -> Order:
        """An order has ended: its charges are taken on the whole filled value."""
        self.charges_of[order.order_id] = self.account.charge(order, self.course.session.day)
        return self.tell(order)

    def _protect_now(self, order: Order, price: Decimal) -> Order:
        """The first price of its day: an order that came before it gets its market protection now."""
        request, facts = protected(order.request, self.view(order.symbol), price)
        return self.book.note(order, request=request, **facts)

    def unlucky(self, kind: FaultKind, order: Order) -> bool:
        """Whether a fault that was asked for befalls this order now."""
        if not self.faults.active or order.placed_by != USER_ID:
            return False
        held = self.account.net_quantity(order.symbol, order.request.product)
        about = {"step": self.course.steps, "clock": self.course.clock.isoformat(), "order_id": order.order_id}
        purpose = order_purpose(order.request, held)
        return self.faults.decide((kind,), "order", purpose=purpose, symbol=order.symbol, about=about) is not None

    # orders that follow another

    def _place_next_leg(self, order: Order) -> None:
        """An iceberg shows its next leg when the one before is filled."""
        request = next_leg(self.book.history(order.order_id)[0].request, order)
        if request is not None:
            first = order.parent_order_id or order.order_id
            self._follow(request, order, parent_order_id=first, leg=order.leg + 1)

    def _cover(self, order: Order) -> None:
        """A cover order's stop follows the shares that its entry has bought or sold."""
        stop = self.book.child_of(order.order_id)
        if stop is None:
            self._follow(cover_request(order), order, parent_order_id=order.order_id)
        elif stop.status not in TERMINAL:
            self.book.note(stop, request=replace(stop.request, quantity=order.filled_quantity))

    def _end_covered(self, stop: Order) -> None:
        """When a cover order's stop has ended the position, the rest of its entry is taken back: nothing covers it."""
        if stop.request.variety is not Variety.CO or stop.parent_order_id is None:
            return
        entry = self.book.find(stop.parent_order_id)
        if entry.status not in TERMINAL:
            self.cancel(entry)

    def _follow(self, request: OrderRequest, order: Order, **facts: Any) -> None:
        follower = self.book.add(request, self.course.clock, order.day, order.placed_by, **facts)
        missing = self.funds.missing_margin(request, follower)
        if missing:
            self.tell(self.book.reject(follower, self.course.clock, missing))
        else:
            self.send(follower)


def _released(order: Order) -> OrderRequest:
    """A triggered stop as it goes into the order book: a limit."""
    return replace(order.request, order_type=OrderType.LIMIT)
