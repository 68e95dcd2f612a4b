"""A trade built again from the journal and the order book, as after a death."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import replace

from pipelines.domain.orders import BookedOrder, Intent, Purpose
from serving.executor.desk import Desk
from serving.executor.legs import Leg, leg_of
from serving.executor.next_steps import RETRY_AFTER, Do
from serving.executor.trade import Trade

ASKED = "we "  #: begins the order events that tell what we asked of an order


def trade_of(
    decision_id: str,
    orders: Iterable[tuple[Intent, BookedOrder | None, bool]],
    lost: Container[str],
    desk: Desk,
) -> Trade | None:
    """What a decision led to; None if its entry never reached the broker.

    Parameters
    ----------
    orders : of the decision: each with its intent, in the order in which those were made, and whether another order of
        the intent came before it; None for an intent without one
    lost : tags of intents that were sent without an answer and may arrive yet
    """
    legs = [
        _leg_of(intent, order, doubled) for intent, order, doubled in orders if order is not None or intent.tag in lost
    ]
    entry = next((leg for leg in legs if leg.purpose is Purpose.ENTRY and not leg.doubled), None)
    entry = entry or next((leg for leg in legs if leg.purpose is Purpose.ENTRY), None)
    if entry is None:
        return None
    journal = desk.journal
    asked = journal.changes_asked(desk.account, [leg.order_id for leg in legs if leg.order_id])
    exits = tuple(_as_changed(leg, asked.get(leg.order_id or "", {})) for leg in legs if leg is not entry)
    return Trade(
        trade_id=decision_id,
        decision=journal.decision(decision_id),
        product=desk.terms.product,
        entry=entry,
        exits=exits,
        position=journal.position(decision_id),
        features_hash=journal.features_hash(decision_id),
    )


def _leg_of(intent: Intent, order: BookedOrder | None, doubled: bool) -> Leg:
    """A request of a life before ours is in the book by now or nowhere: no other order has to wait for it."""
    if order is not None:
        return leg_of(intent, order, doubled=doubled)
    leg = leg_of(intent, None, unresolved=True)
    return replace(leg, changed_at=leg.changed_at - RETRY_AFTER)


def _as_changed(leg: Leg, asked: Mapping[str, int]) -> Leg:
    """With the changes that were asked for; whether each was granted is not known, so all of them count."""
    turned = asked.get(ASKED + Do.TURN_STOP, 0) + asked.get(ASKED + Do.CHASE_CORRECTION, 0)
    resized = asked.get(ASKED + Do.RESIZE_STOP, 0) + asked.get(ASKED + Do.RESTORE_STOP, 0)
    recalled = asked.get(ASKED + Do.CANCEL_SPARE, 0) > 0
    return replace(leg, tries=leg.tries + turned, modifications=turned + resized, recalled=recalled)
