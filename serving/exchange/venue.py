"""The exchange itself: plays the market frame by frame, takes orders, matches them, keeps the account. No network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pipelines.domain.charges import Charges
from pipelines.domain.fills import FillModel, match
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.acceptance import (
    LPP_CANCELLED,
    MarketView,
    above_freeze_quantity,
    outside_circuit,
    outside_lpp,
    protected,
    refused_at_the_exchange,
)
from serving.exchange.account import Account
from serving.exchange.book import (
    MAX_MODIFICATIONS,
    TERMINAL,
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
from serving.exchange.faults import FaultKind, Faults, order_purpose
from serving.exchange.legs import cover_request, first_leg, next_leg
from serving.exchange.market import Frame, FrameKind, SessionDay, Tick, clock_instrument, frames
from serving.exchange.matching import VolumeShare, by_symbol, met_by, rests_after
from serving.exchange.order_forms import AUTO_PROTECTION, checked
from serving.exchange.quotes import QuoteBoard
from serving.exchange.refusals import holding_error, input_error, margin_error, order_error
from serving.exchange.transit import Transit

USER_ID = "PAPER1"
RMS_USER = "ADMINSQF"  #: who places the broker's own square-off orders, as at Zerodha
RMS_TAG = "rmssquareoff"
STOP_BLOCKED = "RMS: Trigger price orders are blocked for this scrip at the moment."
EXCHANGE_CANCELLED = "Order cancelled by the exchange."
PRE_OPEN = timedelta(minutes=15)  #: the clock stands this long before the first session until the market is started


@dataclass(frozen=True)
class Rules:
    """What the exchange plays by; from `params.yaml` where it is the user's to choose."""

    opening_cash_inr: Decimal
    fills: FillModel
    ticks_per_bar: int
    seed: int
    circuit: Decimal = Decimal("0.20")  #: daily price band around the previous close
    square_off: timedelta = timedelta(minutes=10)  #: before the close the broker ends intraday positions
    latency: timedelta = timedelta(0)  #: market time from a call to the exchange's word on it


class State(StrEnum):
    WAITING = "waiting"
    PLAYING = "playing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what became of orders, then the frame that is sent after it."""

    updates: tuple[tuple[Order, str], ...]  #: an order and the event that is told of it: a status, or UPDATE
    frame: Frame


class Venue:
    """A paper exchange and broker over recorded days.

    Parameters
    ----------
    instruments : Sequence of Instrument
        What may be traded and quoted; the index that is the clock is added if missing.
    days : Sequence of SessionDay, in time
    previous_closes : Mapping of symbol to rupees
        Last close before the first day; a symbol without one takes its first trade.
    rules : Rules
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        days: Sequence[SessionDay],
        previous_closes: Mapping[str, Decimal],
        rules: Rules,
    ):
        self.rules = rules
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.days = list(days)
        clock = next((i for i in instruments if i.token == clock_instrument().token), clock_instrument())
        self.listed = self.instruments | {clock.symbol: clock}
        self.board = QuoteBoard(instruments, previous_closes, clock)
        self.book = OrderBook()
        self.account = Account(rules.opening_cash_inr)
        self.charges_of: dict[str, Charges] = {}
        self.state = State.WAITING
        self.steps = 0
        self.clock = self.days[0].open - PRE_OPEN
        self._frames = frames(self.days, self.instruments, rules.ticks_per_bar, rules.seed)
        self._place = 0  # of the present day in `days`
        self._squared_off = False
        self.phase = FrameKind.OPENING
        self.faults = Faults()
        self._updates: list[tuple[Order, str]] = []
        self._volumes = VolumeShare()
        self._transit = Transit(rules.latency)

    @property
    def session(self) -> SessionDay:
        return self.days[self._place]

    @property
    def last_day(self) -> bool:
        return self._place == len(self.days) - 1

    # the market's side

    def advance(self) -> Step:
        """Play the next frame: match what is working against its ticks and say what happened.

        Orders placed since the last frame meet this frame's prices at the earliest. After the last frame nothing
        happens any more: the last clock frame is given again.
        """
        if self.state is State.FINISHED:
            return Step((), Frame(self.phase, self.clock))
        self.state = State.PLAYING
        frame = next(self._frames)
        self.steps += 1
        if frame.kind is FrameKind.OPENING:
            self._open_day(frame.at)
        self.clock, self.phase = frame.at, frame.kind
        self._transit.arrive(self.book, self.clock)
        if frame.kind is FrameKind.OPENING:
            self._send_after_market_orders()
        self.board.trade(frame.ticks, frame.at)
        if frame.kind is FrameKind.TICKS:
            self._square_off_in_time()
            self._match_all(frame.ticks)
        else:
            self._volumes.next_bar()
        self._end_in_time()
        if frame.kind is FrameKind.CLOSING:
            self._finish_square_off()
        elif frame.kind is FrameKind.POST_CLOSE:
            self._post_close()
        told = tuple(self._updates)
        self._updates.clear()
        return Step(told, frame)

    def view(self, symbol: str) -> MarketView:
        return MarketView(self.board.quotes[symbol], self.session.day, self.rules.circuit)

    # the client's side

    def place(self, request: OrderRequest, placed_by: str = USER_ID, **facts: Any) -> Order:
        """Take an order, or refuse it with the error Kite gives; a refusal for want of money stays in the book."""
        self._must_take(request)
        request = first_leg(request)
        too_much = above_freeze_quantity(request, self.view(request.instrument.symbol))
        if too_much:
            raise input_error(too_much)
        self._check_holdings(request)
        after_market = request.variety is Variety.AMO
        order = self.book.add(request, self.clock, self._good_for(after_market), placed_by, **facts)
        missing = self._missing_margin(self._as_sent(request)[0])
        if missing:
            self._tell(self.book.reject(order, self.clock, missing))
            raise margin_error(missing)
        if after_market:
            return self._tell(self.book.advance(order, Status.AMO_RECEIVED, self.clock))
        return self._send(order)

    def modify(self, order_id: str, changes: Mapping[str, Any]) -> Order:
        """Change a working order's quantity, type, prices or validity; its filled part stays."""
        order = self._changeable_order(order_id)
        if order.modifications >= MAX_MODIFICATIONS:
            raise order_error("Maximum allowed order modifications exceeded.")
        request = checked(changed_request(order.request, changes))
        if request.quantity <= order.filled_quantity:
            raise input_error(f"Quantity should be more than the {order.filled_quantity} already filled.")
        view = self.view(order.symbol)
        too_much = above_freeze_quantity(request, view)
        if too_much:
            raise input_error(too_much)
        self._check_holdings(request, replacing=order)
        missing = self._missing_margin(self._as_sent(request)[0], replacing=order)
        if missing:
            raise margin_error(missing)
        wrong = outside_circuit(request, view) or outside_lpp(request, view)
        if wrong:
            raise order_error(wrong)
        if order.status is Status.AMO_RECEIVED:
            return self._tell(self.book.note(order, request=request, modifications=order.modifications + 1))
        terms_stay = not {"order_type", "price"} & set(changes)
        return self._transit.send(
            self.book,
            order,
            (Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING),
            self.clock,
            lambda now: self._change(now, request, still_protected=order.protected and terms_stay),
        )

    def cancel(self, order_id: str) -> Order:
        """Take an order back; the stop of a cover order is not taken back but sent to the market: that ends both."""
        order = self._changeable_order(order_id)
        if order.status is Status.AMO_RECEIVED:
            return self._end(self.book.cancel(order, self.clock))
        if order.request.variety is Variety.CO and order.parent_order_id is not None:
            leave = {"order_type": OrderType.MARKET, "market_protection": AUTO_PROTECTION}
            return self.modify(order_id, leave)
        return self._transit.send(
            self.book,
            order,
            (Status.CANCEL_PENDING,),
            self.clock,
            lambda now: self._end(self.book.cancel(now, self.clock)),
        )

    # placing

    def _must_take(self, request: OrderRequest) -> None:
        if request.variety is Variety.AUCTION:
            raise order_error(f"There is no auction of {request.instrument.symbol} to take part in.")
        if request.variety is not Variety.AMO:
            self._must_be_open()
        elif self._in_session() and not (self.phase is FrameKind.CLOSING and not self.last_day):
            raise order_error(
                "After market orders (AMO) are not taken while the market is open: place a regular order."
            )
        elif self.state is State.FINISHED or (self.state is State.PLAYING and self.last_day):
            raise order_error("No further session is recorded that an after market order (AMO) could be sent to.")

    def _in_session(self) -> bool:
        return self.state is State.PLAYING and self.session.open <= self.clock <= self.session.close

    def _must_be_open(self) -> None:
        if not self._in_session():
            raise order_error(f"Markets are closed right now: the market's clock says {self.clock:%Y-%m-%d %H:%M:%S}.")

    def _good_for(self, after_market: bool = False) -> date:
        """The session an order belongs to: after a close the next one, on the last day its post-close session."""
        if after_market and self.state is State.WAITING:
            return self.session.day
        next_day = self.phase is FrameKind.CLOSING and not self.last_day
        return self.days[self._place + 1].day if next_day else self.session.day

    def _changeable_order(self, order_id: str) -> Order:
        order = self.book.find(order_id)
        if order.status is Status.AMO_RECEIVED:
            return order
        self._must_be_open()
        if order.status in TERMINAL:
            raise order_error(f"Order cannot be changed: it is {order.status.value}.")
        if order.status not in WORKING:
            raise order_error("Order cannot be changed as it is being processed. Try later.")
        return order

    def _send(self, order: Order) -> Order:
        """On its way to the exchange; without latency it is there at once."""
        path: tuple[Status, ...] = (Status.VALIDATION_PENDING, Status.OPEN_PENDING)
        if order.status is Status.RECEIVED:
            path = (Status.RECEIVED, *path)
        return self._transit.send(self.book, order, path, self.clock, self._arrive)

    def _arrive(self, order: Order) -> Order:
        wrong = refused_at_the_exchange(order.request, self.view(order.symbol))
        if not wrong and order.request.trigger_price is not None and self._unlucky(FaultKind.STOP_REJECTED, order):
            wrong = STOP_BLOCKED
        if wrong:
            return self._tell(self.book.reject(order, self.clock, wrong))
        request, facts = self._as_sent(order.request, order.day)
        return self._tell(self.book.accept(order, self.clock, request=request, **facts))

    def _change(self, order: Order, request: OrderRequest, *, still_protected: bool) -> Order:
        """A modification arrives; the order may have been filled in the meantime."""
        if order.status in TERMINAL:
            return order
        if request.quantity <= order.filled_quantity:
            return self._tell(self.book.resume(order, self.clock), event="UPDATE")
        day = self._good_for()
        sent, facts = self._as_sent(request, day)
        if still_protected:
            facts = {"protected": True, "band": None, "protection": order.protection}
        return self._tell(self.book.modify(order, sent, self.clock, day, **facts), event="UPDATE")

    def _as_sent(self, request: OrderRequest, day: date | None = None) -> tuple[OrderRequest, dict[str, Any]]:
        """The order as the broker sends it on: protected by the day's last price; before there is one, later."""
        view = self.view(request.instrument.symbol)
        price_known = view.quote.traded and (day or self._good_for()) == self.session.day
        last_session = self.phase in (FrameKind.CLOSING, FrameKind.POST_CLOSE)
        return protected(request, view, view.quote.last_price if price_known and not last_session else Decimal(0))

    def _send_after_market_orders(self) -> None:
        for order in self.book.held_for(self.session.day):
            missing = self._missing_margin(order.request)
            if missing:
                self._tell(self.book.reject(order, self.clock, missing))
            else:
                self._send(order)

    def _check_holdings(self, request: OrderRequest, replacing: Order | None = None) -> None:
        symbol = request.instrument.symbol
        others = [o for o in self.book.working() if replacing is None or o.order_id != replacing.order_id]
        filled = replacing.filled_quantity if replacing else 0
        if request.product is Product.CNC:
            if request.side is Side.SELL and self.account.sellable(symbol, others) < request.quantity - filled:
                free = self.account.sellable(symbol, others)
                raise holding_error(f"Insufficient holdings: {free} of {symbol} can be sold, short only with MIS.")
            return
        held = self.account.net_quantity(symbol, Product.MIS)
        reduces = held * request.side.sign < 0 and request.quantity - filled <= abs(held)
        if self._squared_off and not reduces:
            raise order_error("Intraday (MIS) orders are not taken after the square-off time; use CNC.")

    def _missing_margin(self, request: OrderRequest, replacing: Order | None = None) -> str | None:
        """The broker's sentence if the account cannot carry the order beside all others."""
        others = [o for o in self.book.working() if replacing is None or o.order_id != replacing.order_id]
        probe = Order("", request, Status.OPEN, self.clock, self.clock, self.session.day, "")
        if replacing:
            probe = replace(probe, filled_quantity=replacing.filled_quantity)
        quotes = self.board.quotes
        before = self.account.blocked_by_orders(others, quotes)
        required = self.account.blocked_by_orders([*others, probe], quotes) - before
        available = self.account.margin_available(others, quotes)
        if required <= 0 or required <= available:
            return None
        return (
            f"Insufficient funds. Required margin is {required:.2f} but available margin is {available:.2f}. "
            "Check the orderbook for open orders."
        )

    # matching

    def _match_all(self, ticks: Sequence[Tick]) -> None:
        self._volumes.next_frame()
        working = self.book.working()
        if not working:
            return
        met = by_symbol(ticks, working)
        for order in working:
            tick = met.get(order.symbol)
            now = self.book.find(order.order_id)  # an order before it may have changed this one
            if tick is not None and order.day == self.session.day and now.status not in TERMINAL:
                self._meet(now, tick, unlimited=order.placed_by == RMS_USER)

    def _meet(self, order: Order, tick: Tick, *, unlimited: bool) -> None:
        """Match one order with one tick."""
        if order.request.order_type is OrderType.MARKET and order.request.market_protection:
            order = self._protect_now(order, tick.price)
        bar = met_by(order, tick, self._volumes.taken(tick), unlimited=unlimited)
        found = match(order.working, bar, tick.instrument, self.rules.fills)
        if found is not None and order.waits_for_trigger:
            order = self._tell(self.book.trigger(order, self.clock))
            if outside_lpp(_released(order), self.view(order.symbol)):
                self._end(self.book.cancel(order, self.clock, LPP_CANCELLED))
                return
        if found is not None and found.quantity:
            if not unlimited:
                self._volumes.take(tick, found.quantity)
            if order.pending_quantity > 1 and self._unlucky(FaultKind.FILL_THEN_CANCEL, order):
                order = self._fill(order, min(found.quantity, order.pending_quantity // 2), found.price)
                self._end(self.book.cancel(order, self.clock, EXCHANGE_CANCELLED))
                return
            order = self._fill(order, found.quantity, found.price)
        if order.status in TERMINAL:
            return
        if rests_after(order, tick) and not order.rested:
            order = self.book.note(order, rested=True)
        if order.request.validity is Validity.IOC:
            self._end(self.book.cancel(order, self.clock))

    def _protect_now(self, order: Order, price: Decimal) -> Order:
        """The first price of its day: an order that came before it gets its market protection now."""
        request, facts = protected(order.request, self.view(order.symbol), price)
        return self.book.note(order, request=request, **facts)

    def _fill(self, order: Order, quantity: int, price: Decimal) -> Order:
        order, trade = self.book.fill(order, quantity, price, self.clock)
        self.account.fill(trade)
        if order.status not in TERMINAL:
            self._tell(order, event="UPDATE")
        else:
            self._end(order)
            self._place_next_leg(order)
        if order.request.stop_price is not None:
            self._cover(order)
        return order

    def _end(self, order: Order) -> Order:
        """An order has ended: its charges are taken on the whole filled value."""
        self.charges_of[order.order_id] = self.account.charge(order, self.session.day)
        return self._tell(order)

    def _tell(self, order: Order, event: str | None = None) -> Order:
        self._updates.append((order, event or order.status.value))
        return order

    def _unlucky(self, kind: FaultKind, order: Order) -> bool:
        """Whether a fault that was asked for befalls this order now."""
        if not self.faults.active or order.placed_by == RMS_USER:
            return False
        held = self.account.net_quantity(order.symbol, order.request.product)
        about = {"step": self.steps, "clock": self.clock.isoformat(), "order_id": order.order_id}
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

    def _follow(self, request: OrderRequest, order: Order, **facts: Any) -> None:
        follower = self.book.add(request, self.clock, order.day, order.placed_by, **facts)
        missing = self._missing_margin(request)
        if missing:
            self._tell(self.book.reject(follower, self.clock, missing))
        else:
            self._send(follower)

    # the day's course

    def _open_day(self, at: datetime) -> None:
        if self.steps == 1:
            return
        self.clock = self.session.close
        self._expire(up_to=self.session)
        self.account.settle_day()
        self.board.start_day()
        self._place += 1
        self._squared_off = False

    def _expire(self, up_to: SessionDay) -> None:
        self._transit.arrive(self.book, None)
        for order in self.book.working():
            if order.day <= up_to.day:
                self._end(self.book.cancel(order, self.clock, "Order expired at the end of its session (DAY)."))

    def _end_in_time(self) -> None:
        """Orders that were good for some minutes (TTL) expire."""
        for order in self.book.working():
            if order.expires_at is not None and order.expires_at <= self.clock:
                self._end(self.book.cancel(order, self.clock, "Order expired: its minutes (TTL) are over."))

    def _square_off_in_time(self) -> None:
        if not self._squared_off and self.clock >= self.session.close - self.rules.square_off:
            self._square_off()

    def _square_off(self) -> None:
        """The broker's risk management ends the day's intraday trading: orders cancelled, positions sent to market."""
        self._squared_off = True
        self._transit.arrive(self.book, None)
        for order in self.book.working():
            if order.request.product is Product.MIS:
                self._end(self.book.cancel(order, self.clock, "Cancelled by RMS: intraday square-off."))
        for position in list(self.account.positions.values()):
            if position.product is Product.MIS and position.quantity:
                side = Side.SELL if position.quantity > 0 else Side.BUY
                request = OrderRequest(
                    position.instrument,
                    side,
                    abs(position.quantity),
                    Product.MIS,
                    OrderType.MARKET,
                    Validity.DAY,
                    tag=RMS_TAG,
                )
                order = self.book.add(request, self.clock, self.session.day, RMS_USER)
                self._tell(self.book.accept(order, self.clock))

    def _finish_square_off(self) -> None:
        """What no tick has reached by the close, the broker ends at the last price."""
        if not self._squared_off:
            self._square_off()
        for order in self.book.working():
            if order.placed_by == RMS_USER:
                self._fill(order, order.pending_quantity, self.board.quotes[order.symbol].last_price)

    def _post_close(self) -> None:
        """Orders given at the last close trade at the closing price or expire: no next opening is recorded."""
        for order in self.book.working():
            if order.changed_at < self.session.close:
                continue
            price = self.board.quotes[order.symbol].last_price
            self._meet(order, Tick(order.request.instrument, price, 0, price, price), unlimited=True)
        self._expire(up_to=self.session)
        self.state = State.FINISHED

    # for the account's reader

    def trades(self) -> list[Trade]:
        return self.book.trades_of(self.session.day)

    def orders(self) -> list[Order]:
        return list(self.book.of_day(self.session.day))


def _released(order: Order) -> OrderRequest:
    """A triggered stop as it goes into the order book: a limit."""
    return replace(order.request, order_type=OrderType.LIMIT)
