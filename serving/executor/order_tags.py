"""The tags of our orders: how the broker's book is matched with our intents, and what tells ours where one is lost."""

import re
import uuid
from collections.abc import Iterable

from pipelines.domain.orders import BookedOrder, Intent, IntentStatus, OrderType, Purpose

_FORM = re.compile(r"TS[0-9a-f]{18}")


def new_tag() -> str:
    """Unique, twenty letters and digits: what Kite takes."""
    return f"TS{uuid.uuid4().hex[:18]}"


def is_of_our_form(tag: str | None) -> bool:
    return tag is not None and _FORM.fullmatch(tag) is not None


def intent_again(order: BookedOrder, intents: Iterable[Intent]) -> Intent | None:
    """The intent of an order of ours whose record is lost; None if the order is of nothing that we entered.

    An entry is never sent without its record, so it is an order behind one: a stop if it waits for a trigger, else an
    exit; on the entry's own side it buys back what was taken back too much.
    """
    entries = [
        intent
        for intent in intents
        if intent.purpose is Purpose.ENTRY
        and intent.decision_id is not None
        and (intent.symbol, intent.product) == (order.symbol, order.product)
        and intent.created_at <= order.placed_at
    ]
    if not is_of_our_form(order.tag) or not entries:
        return None
    entry = max(entries, key=lambda intent: intent.created_at)
    behind = Purpose.STOP if order.order_type in (OrderType.SL, OrderType.SL_M) else Purpose.EXIT
    return Intent(
        intent_id=uuid.uuid4().hex,
        tag=str(order.tag),
        decision_id=entry.decision_id,
        purpose=Purpose.CORRECTION if order.side is entry.side else behind,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        order_type=order.order_type,
        product=order.product,
        limit_price=order.limit_price,
        trigger_price=order.trigger_price,
        status=IntentStatus.PLANNED,
        created_at=order.placed_at,
    )
