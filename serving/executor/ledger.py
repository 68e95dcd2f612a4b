"""Our own books: charges of every ended order and the cash that must be left, from orders and fills alone. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal

from pipelines.domain.charges import Charges, order_charges
from pipelines.domain.orders import SQUARE_OFF_TAG, BookedOrder, Fill, Product
from pipelines.domain.signals import Side


def charges_by_order(orders: Iterable[BookedOrder], fills: Iterable[Fill]) -> dict[str, Charges]:
    """Charges of each ended order that filled, by its id.

    The DP charge is taken once per scrip and day, when more was sold for delivery than was bought on that day: then
    shares of an earlier day leave. What an order bought counts from its fills on, also while the rest of it works.
    """
    orders, fills = list(orders), list(fills)
    delivery = {order.order_id for order in orders if order.product is Product.CNC}
    by_order: dict[str, list[Fill]] = defaultdict(list)
    for fill in fills:
        by_order[fill.order_id].append(fill)
    ended = [order for order in orders if order.status.ended and by_order[order.order_id]]
    ended.sort(key=lambda order: (max(fill.filled_at for fill in by_order[order.order_id]), order.order_id))
    charged: dict[str, Charges] = {}
    delivered: set[tuple[str, date]] = set()
    for order in ended:
        own = by_order[order.order_id]
        scrip_day = (order.symbol, own[-1].filled_at.date())
        first = False
        if order.order_id in delivery and order.side is Side.SELL and scrip_day not in delivered:
            until = max(fill.filled_at for fill in own)
            first = _bought_on(scrip_day, until, (fill for fill in fills if fill.order_id in delivery)) < 0
        value = sum((fill.price * fill.quantity for fill in own), Decimal(0))
        charged[order.order_id] = order_charges(
            product=order.product,
            side=order.side,
            value=value,
            day=scrip_day[1],
            first_delivery_sale=first,
            squared_off=order.tag == SQUARE_OFF_TAG,
        )
        if charged[order.order_id].dp:
            delivered.add(scrip_day)
    return charged


def _bought_on(scrip_day: tuple[str, date], until: datetime, fills: Iterable[Fill]) -> int:
    """Shares bought less shares sold of a scrip on one day up to a moment."""
    return sum(
        fill.side.sign * fill.quantity
        for fill in fills
        if (fill.symbol, fill.filled_at.date()) == scrip_day and fill.filled_at <= until
    )


class Ledger:
    """Orders, fills, charges, cash and shares of an account, kept up to date fill by fill.

    What it holds does not grow with the account's age: `forget` drops orders of earlier days and keeps what they came
    to. All money is exact.

    Parameters
    ----------
    cash : Decimal
        Rupees that the account began with.
    shares : Mapping
        Shares that it held then, by symbol.
    product : Product or None
        Of the shares that are counted, as the broker counts them; None: of all.
    """

    def __init__(
        self, cash: Decimal = Decimal(0), shares: Mapping[str, int] | None = None, product: Product | None = None
    ):
        self.orders: dict[str, BookedOrder] = {}
        self.charges: dict[str, Charges] = {}  #: of ended orders
        self._fills: dict[str, dict[str, Fill]] = {}  # by order, by trade
        self._filled: dict[str, int] = {}  # shares by order
        self._shares, self._product = defaultdict(int, shares or {}), product
        self._traded = cash  # with the opening cash, and without charges
        self._charged = Decimal(0)
        self._unreckoned: set[date] = set()  # days on which an order ended since charges were reckoned

    @property
    def cash(self) -> Decimal:
        """Opening cash less purchases, plus sales, less charges: exact rupees."""
        self._reckon()
        return self._traded - self._charged

    @property
    def shares(self) -> dict[str, int]:
        """Shares that are open, below zero when short; symbols with none are left out."""
        return {symbol: quantity for symbol, quantity in self._shares.items() if quantity}

    @property
    def filled(self) -> Mapping[str, int]:
        """Shares by order."""
        return self._filled

    @property
    def fill_count(self) -> int:
        return sum(len(fills) for fills in self._fills.values())

    def knows(self, fill: Fill) -> bool:
        return fill.trade_id in self._fills.get(fill.order_id, ())

    def note_fill(self, fill: Fill) -> None:
        """Count a fill of an order that was noted; one that is known counts no second time."""
        if self.knows(fill):
            return
        self._fills.setdefault(fill.order_id, {})[fill.trade_id] = fill
        self._filled[fill.order_id] = self._filled.get(fill.order_id, 0) + fill.quantity
        if self._product in (None, self.orders[fill.order_id].product):
            self._shares[fill.symbol] += fill.side.sign * fill.quantity
        self._traded -= fill.side.sign * fill.price * fill.quantity
        self._unreckoned.add(fill.filled_at.date())

    def note_order(self, order: BookedOrder) -> None:
        self.orders[order.order_id] = order
        if order.status.ended:
            self._unreckoned |= {fill.filled_at.date() for fill in self.fills_of(order.order_id)}

    def fills_of(self, order_id: str) -> list[Fill]:
        return list(self._fills.get(order_id, {}).values())

    def charges_of(self, order_ids: Iterable[str | None]) -> Charges:
        self._reckon()
        return sum((self.charges[name] for name in order_ids if name is not None and name in self.charges), Charges())

    def forget(self, before: date, keep: Iterable[str]) -> list[BookedOrder]:
        """Drop ended orders placed before a day, but for those in `keep`; returns what was dropped."""
        self._reckon()
        kept = set(keep)
        old = [
            order
            for order in self.orders.values()
            if order.status.ended and order.placed_at.date() < before and order.order_id not in kept
        ]
        for order in old:
            del self.orders[order.order_id]
            self._fills.pop(order.order_id, None)
            self._filled.pop(order.order_id, None)
            self.charges.pop(order.order_id, None)
        return old

    def _reckon(self) -> None:
        """Charges are taken when an order ends. Those of one day hang together, those of different days do not."""
        for day in self._unreckoned:
            fills = [fill for own in self._fills.values() for fill in own.values() if fill.filled_at.date() == day]
            ids = {fill.order_id for fill in fills}
            found = charges_by_order([order for name, order in self.orders.items() if name in ids], fills)
            for order_id, charges in found.items():
                before = self.charges.get(order_id)
                self._charged += charges.total - (before.total if before is not None else Decimal(0))
                self.charges[order_id] = charges
        self._unreckoned = set()
