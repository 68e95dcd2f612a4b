"""Compares our books with the broker's. What differs is said in sentences; nothing is entered until there are none."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from pipelines.domain.orders import BookedOrder, Intent, IntentStatus, OrderStatus


def share_differences(ours: Mapping[str, int], at_broker: Mapping[str, int]) -> dict[str, str]:
    """By symbol, in sentences, where our fills leave another number of shares than the broker holds."""
    return {
        symbol: f"{symbol}: our fills leave {ours.get(symbol, 0)} shares, the broker holds {at_broker.get(symbol, 0)}"
        for symbol in sorted(set(ours) | set(at_broker))
        if ours.get(symbol, 0) != at_broker.get(symbol, 0)
    }


def fill_differences(orders: Iterable[BookedOrder], filled: Mapping[str, int]) -> list[str]:
    """Orders whose fills (shares by order) do not add up to the filled quantity that the order book shows."""
    return [
        f"order {order.order_id}: the order book shows {order.filled_quantity} filled, the fills add up to "
        f"{filled.get(order.order_id, 0)}"
        for order in orders
        if order.filled_quantity != filled.get(order.order_id, 0)
    ]


def cash_difference(ours: Decimal, at_broker: Decimal) -> list[str]:
    if ours == at_broker:
        return []
    return [f"cash: our books say {ours}, the broker says {at_broker}, a difference of {at_broker - ours}"]


def status_of(order: BookedOrder) -> IntentStatus:
    """Where an intent stands when its order stands there."""
    return {
        OrderStatus.WORKING: IntentStatus.OPEN,
        OrderStatus.COMPLETE: IntentStatus.DONE,
        OrderStatus.CANCELLED: IntentStatus.CANCELLED,
        OrderStatus.REJECTED: IntentStatus.REJECTED,
    }[order.status]


def unsent(intents: Iterable[Intent], orders: Iterable[BookedOrder]) -> list[Intent]:
    """Intents that were not ended and are in no order book: planned and never sent, or sent and never arrived."""
    arrived = {order.tag for order in orders}
    waiting = (IntentStatus.PLANNED, IntentStatus.SENT)
    return [intent for intent in intents if intent.status in waiting and intent.tag not in arrived]
