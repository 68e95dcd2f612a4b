"""Orders and what becomes of them: every state an order was in stays in the book, as Kite's order history shows it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import Any

from pipelines.domain.fills import WorkingOrder
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.refusals import order_error

USER_ID = "PAPER1"
RMS_USER = "ADMINSQF"  #: who places the broker's own square-off orders, as at Zerodha
MAX_MODIFICATIONS = 25  #: per order, as at Kite
TAKERS = (OrderType.MARKET, OrderType.SL_M)
STOPS = (OrderType.SL, OrderType.SL_M)


class Variety(StrEnum):
    REGULAR = "regular"
    AMO = "amo"  #: taken outside of market hours, sent to the exchange at the next opening
    CO = "co"  #: an entry that carries its stop
    ICEBERG = "iceberg"  #: one leg after the other
    AUCTION = "auction"


class Validity(StrEnum):
    DAY = "DAY"
    IOC = "IOC"
    TTL = "TTL"  #: some minutes


class Status(StrEnum):
    RECEIVED = "PUT ORDER REQ RECEIVED"
    AMO_RECEIVED = "AMO REQ RECEIVED"
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
ON_THE_WAY = frozenset({Status.RECEIVED, Status.VALIDATION_PENDING, Status.OPEN_PENDING})
TRANSIENT = frozenset({Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING, Status.CANCEL_PENDING})
_AWAY = frozenset({Status.COMPLETE, Status.CANCEL_PENDING, Status.CANCELLED, Status.MODIFY_VALIDATION_PENDING})
NEXT: dict[Status, frozenset[Status]] = {
    Status.RECEIVED: frozenset({Status.VALIDATION_PENDING, Status.AMO_RECEIVED}),
    Status.AMO_RECEIVED: frozenset({Status.AMO_RECEIVED, Status.VALIDATION_PENDING, Status.CANCELLED, Status.REJECTED}),
    Status.VALIDATION_PENDING: frozenset({Status.OPEN_PENDING, Status.REJECTED}),
    Status.OPEN_PENDING: frozenset({Status.OPEN, Status.TRIGGER_PENDING, Status.REJECTED}),
    Status.TRIGGER_PENDING: _AWAY | {Status.OPEN},
    Status.OPEN: _AWAY | {Status.OPEN},
    Status.MODIFY_VALIDATION_PENDING: _AWAY | {Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING},
    Status.MODIFY_PENDING: _AWAY | {Status.MODIFY_PENDING, Status.MODIFIED, Status.OPEN, Status.TRIGGER_PENDING},
    Status.MODIFIED: frozenset({Status.OPEN, Status.TRIGGER_PENDING}),
    Status.CANCEL_PENDING: frozenset({Status.CANCEL_PENDING, Status.CANCELLED, Status.COMPLETE}),
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
    variety: Variety = Variety.REGULAR
    validity_ttl: int = 0  #: minutes, of TTL
    iceberg_legs: int = 0
    iceberg_quantity: int = 0  #: of one leg
    iceberg_total: int = 0  #: of all legs
    stop_price: Decimal | None = None  #: of a cover order: the trigger of the stop that follows its entry


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
    parent_order_id: str | None = None
    marks: tuple[str, ...] = ()  #: tags of the broker's, beside the client's
    protection: Decimal | None = None  #: percentage of its market protection, once the broker has applied it
    protected: bool = False  #: was sent to the market and shows as LIMIT at the band of its protection
    band: Decimal | None = None  #: of a protected stop: the limit that it gets with its trigger
    rested: bool = False  #: waits at its limit: it has met the market before
    leg: int = 1  #: of an iceberg

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
        """As the matching rule sees it: who is protected takes what it finds inside of its band."""
        request = self.request
        return WorkingOrder(
            request.side,
            self.pending_quantity,
            OrderType.MARKET if self.protected else request.order_type,
            self.band if self.waits_for_trigger and self.band is not None else request.price,
            request.trigger_price,
            self.triggered,
            self.rested,
        )

    @property
    def tags(self) -> list[str]:
        """All tags as Kite lists them: the client's, the broker's, and how the order is protected."""
        shown = () if self.protection is None else ("mktp", f"mktp:{self.protection:.2f}")
        return [*filter(None, (self.request.tag,)), *self.marks, *shown]

    @property
    def waits_for_trigger(self) -> bool:
        return self.request.order_type in STOPS and not self.triggered


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
        self._held: dict[str, None] = {}  # ids of after market orders
        self._under_way: dict[str, None] = {}  # ids of new orders that have not reached the exchange
        self._numbers = count(1)
        self.trades: list[Trade] = []

    def new_id(self, day: date) -> str:
        return f"{day:%y%m%d}{next(self._numbers):09d}"

    def add(self, request: OrderRequest, at: datetime, day: date, placed_by: str, **facts: Any) -> Order:
        """Receive an order; nothing has been checked yet."""
        order = Order(self.new_id(day), request, Status.RECEIVED, at, at, day, placed_by, **facts)
        self._states[order.order_id] = [order]
        self._under_way[order.order_id] = None
        return order

    def accept(self, order: Order, at: datetime, **facts: Any) -> Order:
        """The exchange takes the order: it works from now on."""
        order = self._through(order, (Status.VALIDATION_PENDING, Status.OPEN_PENDING), at)
        number = f"13{int(order.order_id) % 10**14:014d}"
        return self.advance(order, _resting(order), at, exchange_order_id=number, exchange_at=at, **facts)

    def reject(self, order: Order, at: datetime, message: str) -> Order:
        order = self._through(order, (Status.VALIDATION_PENDING,), at)
        return self.advance(order, Status.REJECTED, at, status_message=message)

    def modify(self, order: Order, request: OrderRequest, at: datetime, day: date, **facts: Any) -> Order:
        """Change a working order; it goes to the end of the queue."""
        order = self._through(order, (Status.MODIFY_VALIDATION_PENDING, Status.MODIFY_PENDING), at)
        order = self.advance(order, Status.MODIFIED, at, exchange_at=at)
        still_triggered = order.triggered and request.order_type in STOPS
        changed = replace(
            order,
            request=request,
            triggered=still_triggered,
            modifications=order.modifications + 1,
            day=day,
            rested=False,
            **facts,
        )
        return self._put(changed, _resting(changed), at)

    def resume(self, order: Order, at: datetime) -> Order:
        """A modification came too late: the order works on as it was."""
        return self.advance(self._through(order, (Status.MODIFY_PENDING,), at), _resting(order), at)

    def cancel(self, order: Order, at: datetime, message: str | None = None) -> Order:
        if order.status is not Status.AMO_RECEIVED:  # the broker itself holds it: nothing to ask the exchange
            order = self._through(order, (Status.CANCEL_PENDING,), at)
        return self.advance(
            order,
            Status.CANCELLED,
            at,
            exchange_at=at,
            cancelled_quantity=order.request.quantity - order.filled_quantity,
            status_message=message,
        )

    def trigger(self, order: Order, at: datetime) -> Order:
        """A stop's trigger was touched; a protected one becomes a limit at its band."""
        limit = replace(order.request, order_type=OrderType.LIMIT, price=order.band)
        changes: dict[str, Any] = {} if order.band is None else {"request": limit, "protected": True}
        return self.advance(order, _in_the_market(order), at, triggered=True, exchange_at=at, **changes)

    def fill(self, order: Order, quantity: int, price: Decimal, at: datetime) -> tuple[Order, Trade]:
        trade = Trade(f"{10_000_000 + len(self.trades)}", order, quantity, price, at)
        self.trades.append(trade)
        filled = order.filled_quantity + quantity
        order = self.advance(
            order,
            Status.COMPLETE if filled == order.request.quantity else _in_the_market(order),
            at,
            filled_quantity=filled,
            filled_value=order.filled_value + price * quantity,
            triggered=order.triggered or order.request.trigger_price is not None,
            exchange_at=at,
        )
        return order, trade

    def fill_late(self, order: Order, price: Decimal, at: datetime) -> tuple[Order, Trade]:
        """What was cancelled of an order has traded all the same; it stays cancelled, with its shares filled."""
        quantity = order.request.quantity - order.filled_quantity
        trade = Trade(f"{10_000_000 + len(self.trades)}", order, quantity, price, at)
        self.trades.append(trade)
        filled = replace(
            order,
            filled_quantity=order.request.quantity,
            filled_value=order.filled_value + price * quantity,
            cancelled_quantity=0,
            changed_at=at,
            exchange_at=at,
        )
        self._states[order.order_id].append(filled)
        return filled, trade

    def note(self, order: Order, **facts: Any) -> Order:
        """Write down what is no state of its own, e.g. that an order has met the market."""
        noted = replace(order, **facts)
        self._states[order.order_id][-1] = noted
        return noted

    def advance(self, order: Order, status: Status, at: datetime, **changes: Any) -> Order:
        return self._put(replace(order, **changes) if changes else order, status, at)

    def _put(self, order: Order, status: Status, at: datetime) -> Order:
        if status not in NEXT[order.status]:
            raise AssertionError(f"order {order.order_id}: no way from {order.status} to {status}")
        changed = replace(order, status=status, changed_at=at)
        self._states[order.order_id].append(changed)
        if status in WORKING and order.status not in WORKING:
            self._working.pop(order.order_id, None)
            self._working[order.order_id] = None
        elif status in TERMINAL:
            self._working.pop(order.order_id, None)
        if status is Status.AMO_RECEIVED:
            self._held[order.order_id] = None
        else:
            self._held.pop(order.order_id, None)
        if status in ON_THE_WAY:
            self._under_way[order.order_id] = None
        else:
            self._under_way.pop(order.order_id, None)
        return changed

    def _through(self, order: Order, path: tuple[Status, ...], at: datetime) -> Order:
        """Along a path as far as the order has not come yet."""
        start = path.index(order.status) + 1 if order.status in path else 0
        for status in path[start:]:
            order = self.advance(order, status, at)
        return order

    def find(self, order_id: str) -> Order:
        if order_id not in self._states:
            raise order_error("Couldn't find that `order_id`.")
        return self._states[order_id][-1]

    def knows(self, order_id: str) -> bool:
        return order_id in self._states

    def history(self, order_id: str) -> list[Order]:
        self.find(order_id)
        return list(self._states[order_id])

    def working(self) -> list[Order]:
        return [self._states[order_id][-1] for order_id in self._working]

    def committed(self) -> list[Order]:
        """What the account has to be good for: the working orders, and new ones that are still on their way."""
        return [*self.working(), *(self._states[order_id][-1] for order_id in self._under_way)]

    def held(self) -> list[Order]:
        """After market orders that the broker has not sent on yet."""
        return [self._states[order_id][-1] for order_id in self._held]

    def child_of(self, order_id: str) -> Order | None:
        present = (states[-1] for states in self._states.values())
        return next((order for order in present if order.parent_order_id == order_id), None)

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
        trigger_price=changed.trigger_price if changed.order_type in STOPS else None,
    )


def _resting(order: Order) -> Status:
    return Status.TRIGGER_PENDING if order.waits_for_trigger else Status.OPEN


def _in_the_market(order: Order) -> Status:
    """The status of an order that goes on working; a change that is on its way stays to be seen."""
    return order.status if order.status in TRANSIENT else Status.OPEN
