"""Orders and what becomes of them: every state an order was in stays in the book, as Kite's order history shows it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pipelines.domain.fills import WorkingOrder
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.refusals import order_error

MAX_MODIFICATIONS = 25  #: per order, as at Kite
TAKERS = (OrderType.MARKET, OrderType.SL_M)


class Validity(StrEnum):
    DAY = "DAY"
    IOC = "IOC"


class Status(StrEnum):
    RECEIVED = "PUT ORDER REQ RECEIVED"
    VALIDATION_PENDING = "VALIDATION PENDING"
    OPEN_PENDING = "OPEN PENDING"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER PENDING"
    MODIFY_VALIDATION_PENDING = "MODIFY VALIDATION PENDING"
    MODIFY_PENDING = "MODIFY PENDING"
    MODIFIED = "MODIFIED"
    CANCEL_PENDING = "CANCEL PENDING"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


WORKING = frozenset({Status.OPEN, Status.TRIGGER_PENDING})
TERMINAL = frozenset({Status.COMPLETE, Status.CANCELLED, Status.REJECTED})
NEXT: dict[Status, frozenset[Status]] = {
    Status.RECEIVED: frozenset({Status.VALIDATION_PENDING}),
    Status.VALIDATION_PENDING: frozenset({Status.OPEN_PENDING, Status.REJECTED}),
    Status.OPEN_PENDING: frozenset({Status.OPEN, Status.TRIGGER_PENDING, Status.REJECTED}),
    Status.TRIGGER_PENDING: frozenset(
        {Status.OPEN, Status.COMPLETE, Status.CANCEL_PENDING, Status.CANCELLED, Status.MODIFY_VALIDATION_PENDING}
    ),
    Status.OPEN: frozenset(
        {Status.OPEN, Status.COMPLETE, Status.CANCEL_PENDING, Status.CANCELLED, Status.MODIFY_VALIDATION_PENDING}
    ),
    Status.MODIFY_VALIDATION_PENDING: frozenset({Status.MODIFY_PENDING}),
    Status.MODIFY_PENDING: frozenset({Status.MODIFIED}),
    Status.MODIFIED: frozenset({Status.OPEN, Status.TRIGGER_PENDING}),
    Status.CANCEL_PENDING: frozenset({Status.CANCELLED}),
    Status.COMPLETE: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for; checked for form, not yet against the market or the account."""

    instrument: Instrument
    side: Side
    quantity: int
    product: Product
    order_type: OrderType
    validity: Validity
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    market_protection: Decimal = Decimal(0)
    disclosed_quantity: int = 0
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One state of an order; the book holds them all."""

    order_id: str
    request: OrderRequest
    status: Status
    placed_at: datetime
    changed_at: datetime
    day: date  #: of the session it is good for
    placed_by: str
    exchange_order_id: str | None = None
    exchange_at: datetime | None = None
    filled_quantity: int = 0
    filled_value: Decimal = Decimal(0)
    cancelled_quantity: int = 0
    triggered: bool = False
    modifications: int = 0
    status_message: str | None = None

    @property
    def symbol(self) -> str:
        return self.request.instrument.symbol

    @property
    def pending_quantity(self) -> int:
        return 0 if self.status in TERMINAL else self.request.quantity - self.filled_quantity

    @property
    def average_price(self) -> Decimal:
        return self.filled_value / self.filled_quantity if self.filled_quantity else Decimal(0)

    @property
    def working(self) -> WorkingOrder:
        """As the matching rule sees it."""
        request = self.request
        return WorkingOrder(
            request.side,
            self.pending_quantity,
            request.order_type,
            request.price,
            request.trigger_price,
            self.triggered,
        )


@dataclass(frozen=True, slots=True)
class Trade:
    trade_id: str
    order: Order  #: as it was just before
    quantity: int
    price: Decimal
    at: datetime


class OrderBook:
    """All orders by id, each as the list of its states, and all trades."""

    def __init__(self) -> None:
        self._states: dict[str, list[Order]] = {}
        self._working: dict[str, None] = {}  # ids in the order of their acceptance: time priority
        self.trades: list[Trade] = []

    def add(self, request: OrderRequest, at: datetime, day: date, placed_by: str) -> Order:
        """Receive an order and take it to validation; nothing has been checked yet."""
        number = len(self._states) + 1
        order = Order(
            order_id=f"{day:%y%m%d}{number:09d}",
            request=request,
            status=Status.RECEIVED,
            placed_at=at,
            changed_at=at,
            day=day,
            placed_by=placed_by,
        )
        self._states[order.order_id] = [order]
        return self.advance(order, Status.VALIDATION_PENDING, at)

    def accept(self, order: Order, at: datetime) -> Order:
        """The exchange takes the order: it works from now on."""
        order = self.advance(order, Status.OPEN_PENDING, at)
        number = f"13{int(order.order_id):014d}"[:16]
        return self.advance(order, _resting(order), at, exchange_order_id=number, exchange_at=at)

    def reject(self, order: Order, at: datetime, message: str) -> Order:
        return self.advance(order, Status.REJECTED, at, status_message=message)

    def modify(self, order: Order, request: OrderRequest, at: datetime, day: date) -> Order:
        """Change a working order; it goes to the end of the queue."""
        if order.modifications >= MAX_MODIFICATIONS:
            raise order_error("Maximum allowed order modifications exceeded.")
        order = self.advance(order, Status.MODIFY_VALIDATION_PENDING, at)
        order = self.advance(order, Status.MODIFY_PENDING, at)
        order = self.advance(order, Status.MODIFIED, at, exchange_at=at)
        stop_remains = request.order_type in (OrderType.SL, OrderType.SL_M)
        changed = replace(order, request=request, triggered=order.triggered and stop_remains)
        return self.advance(
            order,
            _resting(changed),
            at,
            request=request,
            triggered=changed.triggered,
            modifications=order.modifications + 1,
            day=day,
        )

    def cancel(self, order: Order, at: datetime, message: str | None = None) -> Order:
        order = self.advance(order, Status.CANCEL_PENDING, at)
        return self.advance(
            order,
            Status.CANCELLED,
            at,
            exchange_at=at,
            cancelled_quantity=order.request.quantity - order.filled_quantity,
            status_message=message,
        )

    def trigger(self, order: Order, at: datetime) -> Order:
        return self.advance(order, Status.OPEN, at, triggered=True, exchange_at=at)

    def fill(self, order: Order, quantity: int, price: Decimal, at: datetime) -> tuple[Order, Trade]:
        trade = Trade(f"{10_000_000 + len(self.trades)}", order, quantity, price, at)
        self.trades.append(trade)
        filled = order.filled_quantity + quantity
        order = self.advance(
            order,
            Status.COMPLETE if filled == order.request.quantity else Status.OPEN,
            at,
            filled_quantity=filled,
            filled_value=order.filled_value + price * quantity,
            triggered=order.triggered or order.request.trigger_price is not None,
            exchange_at=at,
        )
        return order, trade

    def advance(self, order: Order, status: Status, at: datetime, **changes: Any) -> Order:
        if status not in NEXT[order.status]:
            raise AssertionError(f"order {order.order_id}: no way from {order.status} to {status}")
        changed = replace(order, status=status, changed_at=at, **changes)
        self._states[order.order_id].append(changed)
        if status in WORKING and (order.status not in WORKING):
            self._working.pop(order.order_id, None)
            self._working[order.order_id] = None
        elif status in TERMINAL:
            self._working.pop(order.order_id, None)
        return changed

    def find(self, order_id: str) -> Order:
        if order_id not in self._states:
            raise order_error("Couldn't find that `order_id`.")
        return self._states[order_id][-1]

    def history(self, order_id: str) -> list[Order]:
        self.find(order_id)
        return list(self._states[order_id])

    def working(self) -> list[Order]:
        return [self._states[order_id][-1] for order_id in self._working]

    def of_day(self, day: date) -> Iterator[Order]:
        """The book of a day, with what was already ordered for the next."""
        return (states[-1] for states in self._states.values() if states[-1].day >= day)

    def trades_of(self, day: date) -> list[Trade]:
        return [trade for trade in self.trades if trade.order.day >= day]


def changed_request(request: OrderRequest, changes: Mapping[str, Any]) -> OrderRequest:
    """A request with some terms changed; prices that the new order type does not know fall away."""
    changed = replace(request, **changes)
    return replace(
        changed,
        price=changed.price if changed.order_type in (OrderType.LIMIT, OrderType.SL) else None,
        trigger_price=changed.trigger_price if changed.order_type in (OrderType.SL, OrderType.SL_M) else None,
    )


def _resting(order: Order) -> Status:
    stop = order.request.order_type in (OrderType.SL, OrderType.SL_M)
    return Status.TRIGGER_PENDING if stop and not order.triggered else Status.OPEN
