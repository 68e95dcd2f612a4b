"""The way of a call to the exchange and back: what it shows meanwhile, and when it takes effect."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from serving.exchange.book import TERMINAL, Order, OrderBook, Status


@dataclass(frozen=True, slots=True)
class _Call:
    order_id: str
    path: tuple[Status, ...]  #: what the order shows on the way
    sent_at: datetime
    effect: Callable[[Order], Order]


@dataclass
class Transit:
    """Calls under way. Each takes `latency` of market time; without one it takes effect at once."""

    latency: timedelta
    _calls: list[_Call] = field(default_factory=list)

    def send(
        self,
        book: OrderBook,
        order: Order,
        path: tuple[Status, ...],
        at: datetime,
        effect: Callable[[Order], Order],
    ) -> Order:
        """Send a call off; gives the order as it stands after that."""
        if not self.latency:
            return effect(order)
        if order.status is not path[0]:
            order = book.advance(order, path[0], at)
        self._calls.append(_Call(order.order_id, path, at, effect))
        return order

    def arrive(self, book: OrderBook, now: datetime | None) -> None:
        """Bring every call as far as it is by now, in the order they were sent; None: to its end."""
        under_way, self._calls = self._calls, []
        for call in under_way:
            order = book.find(call.order_id)
            if order.status in TERMINAL:
                continue
            if now is None or now - call.sent_at >= self.latency:
                call.effect(order)
            else:
                self._show(book, order, call, now)
                self._calls.append(call)

    def _show(self, book: OrderBook, order: Order, call: _Call, now: datetime) -> None:
        """The statuses of the way share the latency evenly."""
        reached = int((now - call.sent_at) / self.latency * len(call.path))
        for status in call.path[call.path.index(order.status) + 1 : reached + 1]:
            order = book.advance(order, status, now)
