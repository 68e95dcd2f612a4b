"""Orders of ours that come when nobody counts on them: late ones, late fills of ended ones, and those taken twice.

Every order of a tag is one of its intent's. One that comes unexpectedly joins the trade that is open in its symbol, or
opens its own trade again; there its shares are protected, and what is too much of it is cancelled or closed. What
ended today is kept in memory for it, so that no shares wait for the journal.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.domain.errors import ServiceUnavailable
from pipelines.domain.orders import BookedOrder, Fill, Intent, OrderStatus
from pipelines.domain.outcomes import ExitReason, Outcome
from serving.executor.closing import outcome_of
from serving.executor.desk import LOG, Desk
from serving.executor.legs import leg_of
from serving.executor.resume import ASKED, OwnOrder, Record, ended_trade_of, read_records, trade_of
from serving.executor.trade import Trade

if TYPE_CHECKING:
    from serving.executor.books import Books

JOINS = ASKED + "count it for "  #: and a decision: the order event that tells of an order in another's trade


class Arrivals:
    """Finds such orders and gives them to a trade.

    Parameters
    ----------
    desk, books : of the session
    """

    def __init__(self, desk: Desk, books: "Books"):
        self._desk, self._books = desk, books
        self.waiting: list[BookedOrder] = []  #: in no trade yet
        self._ended_before: set[str] = set()  # ids of those that we had seen end
        self._joined: dict[str, str] = {}  # decision by order, of those that count for another's trade

    def look(self, changed: list[BookedOrder], fills: list[Fill]) -> None:
        """Before they are taken over: which of them nobody counts on."""
        filled = {fill.order_id for fill in fills}
        known = self._books.ledger.orders
        present = {order.order_id: order for order in changed}
        present |= {name: known[name] for name in filled if name in known and name not in present}
        counted = {leg.order_id for trade in self._desk.trades.values() for leg in trade.legs}
        self.waiting += [
            order for order in present.values() if order.order_id not in counted and self._comes_late(order, filled)
        ]

    def _comes_late(self, order: BookedOrder, filled: set[str]) -> bool:
        intent = self._books.intents.get(order.tag or "")
        if intent is None:
            return False
        before = self._books.ledger.orders.get(order.order_id)
        if before is None:
            return intent.tag in self._books.lost or order.status is not OrderStatus.REJECTED
        self._ended_before.add(order.order_id)
        more = order.filled_quantity > before.filled_quantity or order.order_id in filled
        return more or (before.status.ended and not order.status.ended)

    def take_up(self) -> None:
        """Give each to a trade; what cannot be looked after yet waits for the next look."""
        arrived, self.waiting = self.waiting, []
        for order in arrived:
            self._take_up(self._books.ledger.orders.get(order.order_id, order))

    def _take_up(self, order: BookedOrder) -> None:
        desk, intent = self._desk, self._books.intents[order.tag or ""]
        self._tell(order, intent)
        was_lost = self._books.lost.pop(intent.tag, None) is not None
        is_nothing = order.status.ended and not order.filled_quantity
        if is_nothing and not was_lost and not self._books.ledger.filled.get(order.order_id):
            return
        trade = desk.trades.get(order.symbol)
        owner = self._owner(intent, order)
        if trade is not None:
            self.join(trade, intent, order)
        elif owner is not None:
            self._open_again(owner, order)

    def _tell(self, order: BookedOrder, intent: Intent) -> None:
        which = f"{order.symbol}: order {order.order_id} ({intent.purpose})"
        first = self._first_of(intent)
        if first is not None and first.order_id != order.order_id:
            what = f"was taken beside order {first.order_id}, which we sent once; what is too much is closed"
        elif order.order_id in self._ended_before:
            self._ended_before.discard(order.order_id)
            what = f"shows more shares after it had ended ({intent.status}); they are looked after"
        else:
            what = "arrived after it was held to be lost"
        self._desk.alarm(f"{which} {what}")

    def join(self, trade: Trade, intent: Intent, order: BookedOrder) -> None:
        """Count an order for the trade that is open; if it is another decision's that is on disk first."""
        desk = self._desk
        if self._owner(intent, order) != trade.trade_id:
            desk.journal.record_order_event(desk.account, order.order_id, JOINS + trade.trade_id, {}, desk.now)
            self._joined[order.order_id] = trade.trade_id
        leg = leg_of(intent, order, doubled=self.is_doubled(intent, order))
        joined = desk.trades[trade.symbol].with_leg(leg)
        desk.trades[trade.symbol] = self._books.brought_up_to_date(joined, {order.order_id})

    def keep(self, trade: Trade, outcome: Outcome | None) -> None:
        """A trade is over: what opens it again stays at hand for the day, with the reason for which it was left."""
        if outcome is not None and trade.position is not None:
            trade = replace(trade, position=replace(trade.position, exit_reason=outcome.exit_reason))
        self._desk.ended[trade.trade_id] = trade

    def _open_again(self, decision_id: str, order: BookedOrder) -> None:
        desk = self._desk
        try:
            trade = self._ended_trade(decision_id)
        except ServiceUnavailable as error:  # it ended on an earlier day
            self._books.stale = True
            self.waiting.append(order)
            return desk.alarm(f"{order.symbol}: order {order.order_id} cannot be looked after yet: {error}")
        if trade is not None:
            self.open(self._books.beside_us.with_others(trade))

    def _ended_trade(self, decision_id: str) -> Trade | None:
        """A trade that is over, with all its orders: from memory; from the journal only if it ended before today.

        Raises
        ------
        JournalAway : if the journal is needed and does not answer.
        """
        desk, orders = self._desk, self._by_owner().get(decision_id, [])
        trade = desk.ended.get(decision_id)
        if trade is None:
            records = read_records(desk.journal, desk.account, {decision_id: orders})
            return trade_of(decision_id, orders, self._books.lost, records[decision_id], desk.terms.product)
        known = {leg.order_id for leg in trade.legs}
        for intent, order, doubled in orders:
            if order is not None and order.order_id not in known:
                trade = trade.with_leg(leg_of(intent, order, doubled=doubled))
        return trade

    def open(self, trade: Trade) -> None:
        """Take up a trade that was over."""
        desk = self._desk
        desk.ended.pop(trade.trade_id, None)
        position = trade.position
        if position is not None and position.exit_reason is ExitReason.EXTERNAL:
            position = replace(position, exit_reason=None, exit_decision_price=None)  # it was not taken back after all
        desk.trades[trade.symbol] = self._books.brought_up_to_date(replace(trade, position=position)).with_position()
        self._books.own.open_again(trade.trade_id)
        opened = desk.trades[trade.symbol].position
        if opened is not None:
            desk.journal.record_position(desk.account, opened)

    # --- whose an order is ---

    def read_owners(self) -> dict[str, list[OwnOrder]]:
        """After a start: orders by the decision they count for."""
        journal, account = self._desk.journal, self._desk.account
        ours = [order.order_id for order in self._books.ledger.orders.values() if order.tag in self._books.intents]
        self._joined = {
            order_id: event.removeprefix(JOINS)
            for order_id, events in journal.changes_asked(account, ours).items()
            for event in events
            if event.startswith(JOINS)
        }
        return self._by_owner()

    def _by_owner(self) -> dict[str, list[OwnOrder]]:
        """Those that joined a decision late stand behind its own."""
        by_tag = self._by_tag()
        own: list[tuple[bool, str, OwnOrder]] = []
        for intent in self._books.intents.values():
            orders = by_tag.get(intent.tag, [])
            if not orders and intent.decision_id is not None:
                own.append((False, intent.decision_id, (intent, None, False)))
            for place, order in enumerate(orders):
                owner = self._owner(intent, order)
                if owner is not None:
                    own.append((order.order_id in self._joined, owner, (intent, order, place > 0)))
        found: dict[str, list[OwnOrder]] = defaultdict(list)
        for _, owner, one in sorted(own, key=lambda entry: entry[0]):
            found[owner].append(one)
        return found

    def _owner(self, intent: Intent, order: BookedOrder) -> str | None:
        """The decision for whose trade an order counts."""
        return self._joined.get(order.order_id, intent.decision_id)

    def _by_tag(self) -> dict[str, list[BookedOrder]]:
        """All orders of each of our tags; of those taken more than once the first in front."""
        found: dict[str, list[BookedOrder]] = defaultdict(list)
        for order in self._books.ledger.orders.values():
            if order.tag in self._books.intents:
                found[order.tag].append(order)
        return {tag: sorted(orders, key=_first) for tag, orders in found.items()}

    def _first_of(self, intent: Intent) -> BookedOrder | None:
        return next(iter(self._by_tag().get(intent.tag, ())), None)

    def is_doubled(self, intent: Intent, order: BookedOrder) -> bool:
        first = self._first_of(intent)
        return first is not None and first.order_id != order.order_id

    # --- after a start ---

    def read_records(self, by_decision: Mapping[str, list[OwnOrder]], living: Iterable[str]) -> dict[str, Record]:
        """Of the trades that go on; and of those that ended today, which are kept as if we had lived then."""
        desk, today = self._desk, self._desk.now.date()
        wanted = {name: by_decision[name] for name in living}
        ended = {name: own for name, own in by_decision.items() if name not in wanted and _is_of(own, today)}
        records = read_records(desk.journal, desk.account, wanted | ended)
        for decision_id, orders in ended.items():
            trade = ended_trade_of(decision_id, orders, records[decision_id], desk.terms.product)
            if trade is not None:
                desk.ended[decision_id] = trade
        return records

    def look_at_finished(self, by_decision: dict[str, list[OwnOrder]], finished: set[str]) -> None:
        """Trades that were over, of which an order works still, or of which more was traded than was accounted for."""
        today, ended = self._desk.now.date(), finished & by_decision.keys()
        outcomes = {o.decision_id: o for o in self._desk.journal.outcomes(self._desk.account)} if ended else {}
        for decision_id in ended:
            orders = [order for _, order, _ in by_decision[decision_id] if order is not None]
            works = [order for order in orders if not order.status.ended]
            recent = any(order.placed_at.date() == today for order in orders)
            if works:
                self.waiting += works
            elif recent and not self._is_accounted_for(orders, outcomes.get(decision_id)):
                self._account_for(decision_id, orders, outcomes.get(decision_id))
        self.take_up()

    def _is_accounted_for(self, orders: list[BookedOrder], outcome: Outcome | None) -> bool:
        """Whether these orders hold nothing and made what the outcome says; not if others have a part in it."""
        fills = [fill for order in orders for fill in self._books.ledger.fills_of(order.order_id)]
        gross = sum((-fill.side.sign * fill.price * fill.quantity for fill in fills), Decimal(0))
        net = gross - self._books.ledger.charges_of(order.order_id for order in orders).total
        held = sum(fill.side.sign * fill.quantity for fill in fills)
        return not held and net == (outcome.net_inr if outcome is not None else 0)

    def _account_for(self, decision_id: str, orders: list[BookedOrder], outcome: Outcome | None) -> None:
        trade = self._ended_trade(decision_id)
        if trade is None:
            return
        trade = self._books.brought_up_to_date(self._books.beside_us.with_others(trade)).with_position()
        if not trade.held:
            self._books.beside_us.note_closed(trade, outcome)  # others may give back what they took
        if self._books.beside_us.was_closed_by_them(trade, outcome):
            return
        if trade.held:
            self._open_since_held(trade, orders)
        elif trade.over and trade.position is not None:
            self._write_anew(trade, outcome)

    def _open_since_held(self, trade: Trade, orders: list[BookedOrder]) -> None:
        symbol = trade.symbol
        self._desk.alarm(f"{symbol}: {trade.held} shares of a trade that was over are held; they are looked after")
        if symbol in self._desk.trades:
            LOG.error("two open trades of one symbol", symbol=symbol, decision=trade.trade_id)
            self.waiting += orders[-1:]
        else:
            self.open(trade)

    def _write_anew(self, trade: Trade, noted: Outcome | None) -> None:
        """While no daemon lived orders of it may have shown that took back what they brought."""
        desk = self._desk
        outcome = outcome_of(trade, self._books.charges_of(trade))
        if noted is not None and noted.net_inr == outcome.net_inr:
            return  # others had their part in it
        assert trade.position is not None
        with desk.journal.together():
            desk.journal.record_position(desk.account, trade.position)
            desk.journal.record_outcome(desk.account, trade.trade_id, outcome)
        desk.alarm(f"{trade.symbol}: more was traded than the outcome of {trade.trade_id} says; it is written anew")


def _first(order: BookedOrder) -> tuple[bool, object, str]:
    return order.status is OrderStatus.REJECTED and not order.filled_quantity, order.placed_at, order.order_id


def _is_of(orders: Iterable[OwnOrder], day: date) -> bool:
    """Whether something of a decision was sent on a day, or works still."""
    return any(
        intent.created_at.date() == day
        or (order is not None and (order.placed_at.date() == day or not order.status.ended))
        for intent, order, _ in orders
    )
