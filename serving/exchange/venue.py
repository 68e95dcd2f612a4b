"""The exchange itself: plays the market frame by frame, takes orders, matches them, keeps the account. No network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Any

from pipelines.domain.charges import Charges
from pipelines.domain.fills import FillModel, Match, PriceBar, match
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.account import Account
from serving.exchange.book import (
    TAKERS,
    TERMINAL,
    WORKING,
    Order,
    OrderBook,
    OrderRequest,
    Status,
    Trade,
    Validity,
    changed_request,
)
from serving.exchange.market import Frame, FrameKind, SessionDay, Tick, clock_instrument, frames
from serving.exchange.order_forms import checked
from serving.exchange.quotes import QuoteBoard
from serving.exchange.refusals import holding_error, input_error, margin_error, order_error

USER_ID = "PAPER1"
RMS_USER = "ADMINSQF"  #: who places the broker's own square-off orders, as at Zerodha
RMS_TAG = "rmssquareoff"
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
        self._updates: list[tuple[Order, str]] = []

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
        self.board.trade(frame.ticks, frame.at)
        if frame.kind is FrameKind.TICKS:
            self._square_off_in_time()
            self._match_all(frame.ticks)
        elif frame.kind is FrameKind.CLOSING:
            self._finish_square_off()
        elif frame.kind is FrameKind.POST_CLOSE:
            self._post_close()
        told = tuple(self._updates)
        self._updates.clear()
        return Step(told, frame)

    # the client's side

    def place(self, request: OrderRequest, placed_by: str = USER_ID) -> Order:
        """Take an order, or refuse it with the error Kite gives; a refusal for want of money stays in the book."""
        self._must_be_open()
        self._check_holdings(request)
        day = self._good_for()
        order = self.book.add(request, self.clock, day, placed_by)
        missing = self._missing_margin(request)
        if missing:
            self._tell(self.book.reject(order, self.clock, missing))
            raise margin_error(missing)
        wrong = self._outside_band(request) or self._stop_beyond_market(request)
        if wrong:
            return self._tell(self.book.reject(order, self.clock, wrong))
        return self._tell(self.book.accept(order, self.clock))

    def modify(self, order_id: str, changes: Mapping[str, Any]) -> Order:
        """Change a working order's quantity, type, prices or validity; its filled part stays."""
        self._must_be_open()
        order = self._working_order(order_id)
        request = checked(changed_request(order.request, changes))
        if request.quantity <= order.filled_quantity:
            raise input_error(f"Quantity should be more than the {order.filled_quantity} already filled.")
        self._check_holdings(request, replacing=order)
        missing = self._missing_margin(request, replacing=order) or self._outside_band(request)
        if missing:
            raise margin_error(missing) if "funds" in missing else order_error(missing)
        return self._tell(self.book.modify(order, request, self.clock, self._good_for()), event="UPDATE")

    def cancel(self, order_id: str) -> Order:
        return self._end(self.book.cancel(self._working_order(order_id), self.clock))

    # placing

    def _must_be_open(self) -> None:
        within = self.session.open <= self.clock <= self.session.close
        if self.state is not State.PLAYING or not within:
            raise order_error(f"Markets are closed right now: the market's clock says {self.clock:%Y-%m-%d %H:%M:%S}.")

    def _good_for(self) -> Any:
        """The session an order belongs to: after a close the next one, on the last day its post-close session."""
        next_day = self.phase is FrameKind.CLOSING and not self.last_day
        return self.days[self._place + 1].day if next_day else self.session.day

    def _working_order(self, order_id: str) -> Order:
        order = self.book.find(order_id)
        if order.status not in WORKING:
            raise order_error(f"Order cannot be changed: it is {order.status.value}.")
        return order

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

    def _outside_band(self, request: OrderRequest) -> str | None:
        lower, upper = self.board.quotes[request.instrument.symbol].circuit(self.rules.circuit)
        for price in (request.price, request.trigger_price):
            if price is None or not upper:
                continue
            if price > upper:
                return f"Your order price is higher than the current upper circuit limit of {upper}."
            if price < lower:
                return f"Your order price is lower than the current lower circuit limit of {lower}."
        return None

    def _stop_beyond_market(self, request: OrderRequest) -> str | None:
        """A stop whose trigger the market has passed already is not taken: it would protect nothing."""
        last = self.board.quotes[request.instrument.symbol].last_price
        if request.trigger_price is None or (request.trigger_price - last) * request.side.sign > 0:
            return None
        where = "higher" if request.side is Side.BUY else "lower"
        return f"Trigger price for stoploss {request.side.lower()} orders should be {where} than the last price {last}."

    # matching

    def _match_all(self, ticks: Sequence[Tick]) -> None:
        by_symbol = {tick.instrument.symbol: tick for tick in ticks}
        left = {symbol: tick.quantity for symbol, tick in by_symbol.items()}
        for order in self.book.working():
            tick = by_symbol.get(order.symbol)
            if tick is None or order.day != self.session.day:
                continue
            unlimited = order.placed_by == RMS_USER or not tick.instrument.has_volume
            volume = None if unlimited else left[order.symbol]
            filled = self._meet(order, tick, volume)
            if volume is not None:
                used = Decimal(filled) / Decimal(str(self.rules.fills.participation))
                left[order.symbol] = max(volume - int(used.to_integral_value(ROUND_CEILING)), 0)

    def _meet(self, order: Order, tick: Tick, volume: int | None) -> int:
        """Match one order with one tick; gives the shares filled."""
        found = self._matched(order, tick, volume)
        if found is not None and found.quantity:
            order = self._fill(order, found.quantity, found.price)
        elif found is not None and found.triggered and not order.triggered:
            order = self._tell(self.book.trigger(order, self.clock))
        if order.request.validity is Validity.IOC and order.status in WORKING:
            self._end(self.book.cancel(order, self.clock))
        return found.quantity if found else 0

    def _matched(self, order: Order, tick: Tick, volume: int | None) -> Match | None:
        """The common rule on the tick's price; a taker's slippage reaches as far as prices went in the tick's bar."""
        working, instrument, model = order.working, tick.instrument, self.rules.fills
        found = match(working, PriceBar.tick(tick.price, volume), instrument, model)
        if found is None or working.order_type not in TAKERS:
            return found
        return match(working, PriceBar(tick.price, tick.bar_high, tick.bar_low, tick.price, volume), instrument, model)

    def _fill(self, order: Order, quantity: int, price: Decimal) -> Order:
        order, trade = self.book.fill(order, quantity, price, self.clock)
        self.account.fill(trade)
        return self._end(order) if order.status in TERMINAL else self._tell(order, event="UPDATE")

    def _end(self, order: Order) -> Order:
        """An order has ended: its charges are taken on the whole filled value."""
        self.charges_of[order.order_id] = self.account.charge(order, self.session.day)
        return self._tell(order)

    def _tell(self, order: Order, event: str | None = None) -> Order:
        self._updates.append((order, event or order.status.value))
        return order

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
        for order in self.book.working():
            if order.day <= up_to.day:
                self._end(self.book.cancel(order, self.clock, "Order expired at the end of its session (DAY)."))

    def _square_off_in_time(self) -> None:
        if not self._squared_off and self.clock >= self.session.close - self.rules.square_off:
            self._square_off()

    def _square_off(self) -> None:
        """The broker's risk management ends the day's intraday trading: orders cancelled, positions sent to market."""
        self._squared_off = True
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
            self._meet(order, Tick(order.request.instrument, price, 0, price, price), volume=None)
        self._expire(up_to=self.session)
        self.state = State.FINISHED

    # for the account's reader

    def trades(self) -> list[Trade]:
        return self.book.trades_of(self.session.day)

    def orders(self) -> list[Order]:
        return list(self.book.of_day(self.session.day))
