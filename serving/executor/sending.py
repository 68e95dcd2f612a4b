"""From the will to trade to an order: an intent is on disk before its order is sent, and it is sent once."""

import time
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from pipelines.domain.orders import Intent, IntentStatus, OrderStatus, OrderType, Purpose
from pipelines.domain.signals import Side
from pipelines.domain.verdicts import Verdict
from serving.executor.books import Books
from serving.executor.broker import Refused
from serving.executor.desk import LOG, Desk
from serving.executor.legs import Leg, leg_of
from serving.executor.order_tags import new_tag
from serving.executor.resume import ASKED


class Sender:
    """The one place from which orders, changes and cancellations leave."""

    def __init__(self, desk: Desk, books: Books):
        self._desk, self._books = desk, books

    def commit(
        self,
        decision_id: str | None,
        purpose: Purpose,
        symbol: str,
        side: Side,
        quantity: int,
        order_type: OrderType,
        *,
        limit_price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> Intent:
        """Put the will to trade on disk."""
        intent = Intent(
            intent_id=uuid.uuid4().hex,
            tag=new_tag(),
            decision_id=decision_id,
            purpose=purpose,
            symbol=symbol,
            side=side,
            quantity=quantity,
            order_type=order_type,
            product=self._desk.terms.product,
            limit_price=limit_price,
            trigger_price=trigger_price,
            status=IntentStatus.PLANNED,
            created_at=self._desk.now,
        )
        self._desk.journal.commit_intent(self._desk.account, intent)
        self._books.intents[intent.tag] = intent
        return intent

    def send(self, intent: Intent) -> Leg:
        """Send an intent's order, once."""
        self._books.move(intent, IntentStatus.SENT)
        if intent.purpose is Purpose.ENTRY and self._desk.journal.away is not None:
            return self._held_back(intent)
        began = time.perf_counter()
        self._desk.order_calls.note(self._desk.now)
        self._books.stale = True
        answer = self._desk.broker.place(intent)
        refused = isinstance(answer, Refused)
        LOG.info(
            "order",
            tag=intent.tag,
            decision_id=intent.decision_id,
            purpose=intent.purpose.value,
            symbol=intent.symbol,
            side=intent.side.value,
            quantity=intent.quantity,
            answer=answer.message if isinstance(answer, Refused) else answer,
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        if isinstance(answer, Refused):
            if answer.unclear:  # it stays sent: it may arrive yet
                self._books.lost[intent.tag] = self._books.intents[intent.tag]
            else:
                self._books.move(self._books.intents[intent.tag], IntentStatus.REJECTED, answer.message)
            self._note_refusal(intent, answer)
        return Leg(
            purpose=intent.purpose,
            intent_id=intent.intent_id,
            order_id=None if refused else str(answer),
            side=intent.side,
            quantity=intent.quantity,
            order_type=intent.order_type,
            status=OrderStatus.REJECTED if refused else OrderStatus.WORKING,
            changed_at=intent.created_at,
            trigger_price=intent.trigger_price,
            limit_price=intent.limit_price,
            asked=intent.quantity,
            unresolved=isinstance(answer, Refused) and answer.unclear,
            tries=1 if intent.purpose is Purpose.EXIT else 0,
        )

    def change(
        self, order_id: str, what: str, detail: Mapping[str, Any], send: Callable[[str], Refused | None]
    ) -> Refused | None:
        """Change or cancel an order of ours; that we ask is on disk before we do.

        After an unclear answer nothing is repeated: the book, which is read next, shows whether it was carried out.
        """
        self._desk.journal.record_order_event(self._desk.account, order_id, ASKED + what, detail, self._desk.now)
        self._books.stale = True
        self._desk.order_calls.note(self._desk.now)
        return send(order_id)

    def _held_back(self, intent: Intent) -> Leg:
        """An entry whose journal went away after it was planned is no risk to take."""
        self._books.move(self._books.intents[intent.tag], IntentStatus.ABANDONED, "the journal went away")
        return leg_of(self._books.intents[intent.tag], None)

    def _note_refusal(self, intent: Intent, answer: Refused) -> None:
        verdict = Verdict("the broker", False, None, None, answer.message)
        self._desk.refuse(verdict, intent.symbol, intent.decision_id)
