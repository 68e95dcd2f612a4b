"""A trade built again from the journal and the order book, as after a death."""

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace

from pipelines.domain.errors import NotFound
from pipelines.domain.orders import BookedOrder, Intent, Product, Purpose
from pipelines.domain.positions import Position
from pipelines.domain.signals import Decision
from pipelines.journal.memory import AnyJournal
from serving.executor.legs import Leg, leg_of
from serving.executor.next_steps import RETRY_AFTER, Do
from serving.executor.trade import Trade

ASKED = "we "  #: begins the order events that tell what we asked of an order


OwnOrder = tuple[Intent, BookedOrder | None, bool]  #: an intent, an order of it, whether another came before that


@dataclass(frozen=True, slots=True)
class Record:
    """What the journal alone knows of a trade."""

    decision: Decision
    features_hash: str
    position: Position | None
    asked: Mapping[str, Mapping[str, int]]  #: how often we asked what, by order


def read_records(journal: AnyJournal, account: str, by_decision: Mapping[str, Iterable[OwnOrder]]) -> dict[str, Record]:
    """The journal's records of some decisions, by three reads however many they are.

    Raises
    ------
    NotFound : if a decision is not there. JournalAway : if the journal does not answer.
    """
    if not by_decision:
        return {}
    ids = [order.order_id for orders in by_decision.values() for _, order, _ in orders if order is not None]
    decisions, positions = journal.decisions(by_decision), journal.positions(by_decision)
    lacking = by_decision.keys() - decisions.keys()
    if lacking:
        raise NotFound(f"decisions {', '.join(sorted(lacking)[:3])} are not in the journal, which has intents of them")
    asked = journal.changes_asked(account, ids)
    return {
        name: Record(decision, features_hash, positions.get(name), asked)
        for name, (decision, features_hash) in decisions.items()
    }


def ended_trade_of(decision_id: str, orders: Iterable[OwnOrder], record: Record, product: Product) -> Trade | None:
    """A trade that is over; None if it was to have no entry.

    One that came to nothing since its entry had no answer is a trade all the same: the order may show yet.
    """
    orders = list(orders)
    without = {intent.tag for intent, order, _ in orders if order is None and intent.purpose is Purpose.ENTRY}
    trade = trade_of(decision_id, orders, without, record, product)
    return trade and replace(trade, entry=replace(trade.entry, unresolved=False))


def trade_of(
    decision_id: str, orders: Iterable[OwnOrder], lost: Container[str], record: Record, product: Product
) -> Trade | None:
    """What a decision led to; None if its entry never reached the broker. Pure.

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
    exits = tuple(_as_changed(leg, record.asked.get(leg.order_id or "", {})) for leg in legs if leg is not entry)
    return Trade(
        trade_id=decision_id,
        decision=record.decision,
        product=product,
        entry=entry,
        exits=exits,
        position=record.position,
        features_hash=record.features_hash,
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
