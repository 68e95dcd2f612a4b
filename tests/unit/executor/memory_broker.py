"""A small honest broker in memory: it matches by the rule of the paper exchange and keeps books of its own."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import count

from pipelines.domain.charges import order_charges
from pipelines.domain.fills import FillModel, PriceBar, WorkingOrder, match
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import BookedOrder, Fill, Intent, OrderStatus, OrderType, Product
from pipelines.domain.signals import Side
from serving.executor.broker import Refused

MODEL = FillModel(slippage_bps=0.0, participation=1.0)


class MemoryBroker:
    def __init__(self, cash: Decimal, now: datetime):
        self.ledger, self.now = cash, now
        self.book: dict[str, BookedOrder] = {}
        self.trade_book: list[Fill] = []
        self.refuses: list[str] = []  #: messages with which the next calls are refused
        self.calls: list[tuple] = []
        self._ids = count(1)

    # what the session asks

    def place(self, intent: Intent) -> str | Refused:
        self.calls.append(("place", intent.purpose.value, intent.quantity))
        if self.refuses:
            return Refused(self.refuses.pop(0))
        order_id = f"{next(self._ids):06d}"
        self.book[order_id] = BookedOrder(
            order_id,
            intent.tag,
            intent.symbol,
            intent.side,
            intent.quantity,
            0,
            intent.order_type,
            intent.product,
            OrderStatus.WORKING,
            intent.trigger_price,
            self.now,
            limit_price=intent.limit_price,
        )
        return order_id

    def leave(self, order_id: str, quantity: int, limit_price: Decimal | None) -> Refused | None:
        kind = OrderType.MARKET if limit_price is None else OrderType.LIMIT
        changes = {"order_type": kind, "limit_price": limit_price, "trigger_price": None}
        return self._change("leave", order_id, quantity=quantity, **changes)

    def resize(self, order_id: str, quantity: int) -> Refused | None:
        return self._change("resize", order_id, quantity=quantity)

    def restore(self, order_id: str, quantity: int, trigger_price: Decimal | None) -> Refused | None:
        changes = {"order_type": OrderType.SL_M, "limit_price": None, "trigger_price": trigger_price}
        return self._change("restore", order_id, quantity=quantity, **changes)

    def cancel(self, order_id: str) -> Refused | None:
        refused = self._change("cancel", order_id, status=OrderStatus.CANCELLED)
        if refused is None:
            self._charge(self.book[order_id])
        return refused

    def orders(self) -> list[BookedOrder]:
        return list(self.book.values())

    def fills(self) -> list[Fill]:
        return list(self.trade_book)

    def shares(self) -> dict[str, int]:
        held: dict[str, int] = {}
        for fill in self.trade_book:
            held[fill.symbol] = held.get(fill.symbol, 0) + fill.side.sign * fill.quantity
        return {symbol: quantity for symbol, quantity in held.items() if quantity}

    def cash(self) -> Decimal:
        return self.ledger

    def margin(self) -> Decimal:
        """Cash, with what is held given back and a fifth of it blocked, as for intraday positions."""
        last = {fill.symbol: fill.price for fill in self.trade_book}
        worth = {symbol: quantity * last[symbol] for symbol, quantity in self.shares().items()}
        return self.ledger + sum(worth.values(), Decimal(0)) - sum(map(abs, worth.values()), Decimal(0)) / 5

    # the market

    def trade(self, symbol: str, price: Decimal, at: datetime, volume: int | None = None) -> None:
        """One trade in the market: what works and is met by it fills."""
        self.now = at
        for order in [order for order in self.book.values() if order.symbol == symbol and not order.status.ended]:
            working = WorkingOrder(
                order.side, order.pending_quantity, order.order_type, order.limit_price, order.trigger_price
            )
            found = match(working, PriceBar.tick(price, volume), instrument_named(symbol), MODEL)
            if found is not None and found.quantity:
                self._fill(order, found.quantity, found.price)

    def place_foreign(self, symbol: str, side: Side, quantity: int, like: BookedOrder) -> None:
        """An order of the broker's own, as its square-off places them."""
        order_id = f"{next(self._ids):06d}"
        self.book[order_id] = replace(
            like,
            order_id=order_id,
            tag="rms",
            symbol=symbol,
            side=side,
            quantity=quantity,
            filled_quantity=0,
            order_type=OrderType.MARKET,
            status=OrderStatus.WORKING,
            trigger_price=None,
        )

    def _change(self, call: str, order_id: str, **changes) -> Refused | None:
        self.calls.append((call, order_id, changes.get("quantity")))
        if self.refuses:
            return Refused(self.refuses.pop(0))
        order = self.book[order_id]
        if order.status.ended:
            return Refused("the order has ended")
        self.book[order_id] = replace(order, **changes)
        return None

    def _fill(self, order: BookedOrder, quantity: int, price: Decimal) -> None:
        self.trade_book.append(
            Fill(str(len(self.trade_book) + 1), order.order_id, order.symbol, order.side, quantity, price, self.now)
        )
        self.ledger -= order.side.sign * price * quantity
        filled = order.filled_quantity + quantity
        status = OrderStatus.COMPLETE if filled == order.quantity else OrderStatus.WORKING
        self.book[order.order_id] = replace(order, filled_quantity=filled, status=status)
        if status.ended:
            self._charge(self.book[order.order_id])

    def _charge(self, order: BookedOrder) -> None:
        value = sum((f.price * f.quantity for f in self.trade_book if f.order_id == order.order_id), Decimal(0))
        leaves = value > 0 and order.product is Product.CNC and order.side is Side.SELL and self._leaves(order)
        self.ledger -= order_charges(
            product=order.product, side=order.side, value=value, day=self.now.date(), first_delivery_sale=leaves
        ).total

    def _leaves(self, order: BookedOrder) -> bool:
        """Whether this is the day's first sale of shares that were held before the day."""
        today = [f for f in self.trade_book if f.symbol == order.symbol and f.filled_at.date() == self.now.date()]
        return all(f.order_id == order.order_id for f in today)


def instrument_named(symbol: str) -> Instrument:
    return Instrument(symbol, 1, Kind.STOCK, Decimal("0.05"), 1, "", True)
