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


def cash_after(opening: Decimal, fills: Iterable[Fill], charges: Mapping[str, Charges]) -> Decimal:
    """Opening cash less purchases, plus sales, less charges: exact rupees."""
    traded = sum((-fill.side.sign * fill.price * fill.quantity for fill in fills), Decimal(0))
    return opening + traded - sum((taken.total for taken in charges.values()), Decimal(0))


def shares_by_symbol(fills: Iterable[Fill]) -> dict[str, int]:
    """Shares that all fills leave open, below zero when short; symbols with none are left out."""
    held: dict[str, int] = defaultdict(int)
    for fill in fills:
        held[fill.symbol] += fill.side.sign * fill.quantity
    return {symbol: quantity for symbol, quantity in held.items() if quantity}
