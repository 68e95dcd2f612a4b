"""The account's books in our hands: orders, fills and intents as the broker shows them, and the trades they make up."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from pipelines.domain.charges import Charges
from pipelines.domain.orders import BookedOrder, Fill, Intent, IntentStatus, OrderStatus, Purpose, may_move
from serving.executor.desk import Desk
from serving.executor.ledger import cash_after, charges_by_order
from serving.executor.reconcile import (
    cash_difference,
    fill_differences,
    foreign_orders,
    share_differences,
    status_of,
    unsent,
)
from serving.executor.trade import Leg, Trade


class Books:
    """Reads the broker's books, notes what is new in the journal, and keeps the desk's trades true to both."""

    def __init__(self, desk: Desk):
        self._desk = desk
        self.stale = False  #: whether the broker has, or may have, something new
        self.read_at: datetime | None = None  #: market time
        self.intents: dict[str, Intent] = {}  #: by tag
        self.charges: dict[str, Charges] = {}  #: of each ended order
        self.lost: dict[str, Intent] = {}  #: by tag: sent without an answer, and not in the book when we looked
        self._orders: dict[str, BookedOrder] = {}  # all of the account, by id
        self._fills: dict[tuple[str, str], Fill] = {}
        self._ended = 0  # orders that had ended when the charges were reckoned
        self._opening_cash = Decimal(0)

    @property
    def cash(self) -> Decimal:
        """Cash by our own books."""
        return cash_after(self._opening_cash, self._our_fills(), self.charges)

    def take_up(self, at: datetime) -> None:
        """After a start: read journal and broker, end what was never sent, and build the open trades again."""
        journal, account = self._desk.journal, self._desk.account
        self._opening_cash = journal.open_account(account, self._desk.broker.cash(), at)
        self._orders = {order.order_id: order for order in journal.orders(account)}
        self._fills = {(fill.order_id, fill.trade_id): fill for fill in journal.fills(account)}
        self.intents = {intent.tag: intent for intent in journal.intents(account)}
        self.read()
        for intent in unsent(self.intents.values(), self._orders.values()):
            if intent.status is IntentStatus.SENT:
                self.lost[intent.tag] = intent
            self.move(intent, IntentStatus.ABANDONED, "not in the broker's order book at the start")
        self._take_up_trades()

    def read(self) -> None:
        """Take over the order book, then the trade book: of an order seen as ended, all fills are there then.

        The trade book is only asked for if the order book shows shares filled that we do not know yet.
        """
        desk = self._desk
        self.stale, self.read_at = False, desk.clock
        orders = desk.broker.orders()
        fills = desk.broker.fills() if fill_differences(orders, self._our_fills()) else []
        late = [order for order in orders if order.tag in self.lost and order.order_id not in self._orders]
        with desk.journal.together():
            for fill in fills:
                key = (fill.order_id, fill.trade_id)
                if key not in self._fills:
                    desk.journal.record_fill(desk.account, fill)
                    self._fills[key] = fill
            for order in orders:
                if self._orders.get(order.order_id) != order:
                    self._note_order(order)
            for order in late:
                self._take_up_late(order)
            self._refresh_trades()

    def differences(self) -> list[str]:
        """Where our books, read anew, are not the broker's, in sentences."""
        desk = self._desk
        self.read()
        ours = self._our_fills()
        todays = [order for order in desk.broker.orders() if order.order_id in self._orders]
        cash = cash_difference(self.cash, desk.broker.cash()) if desk.terms.cash_is_a_ledger else []
        return [*share_differences(ours, desk.broker.shares()), *fill_differences(todays, ours), *cash]

    def foreign(self) -> list[BookedOrder]:
        """Orders that none of our intents asked for."""
        return foreign_orders(self._orders.values(), self.intents)

    def expire_orders(self) -> None:
        """Orders are good for a day. What still worked yesterday and is not in today's book has expired."""
        todays = {order.order_id for order in self._desk.broker.orders()}
        for order in list(self._orders.values()):
            if order.status is OrderStatus.WORKING and order.order_id not in todays:
                self._note_order(replace(order, status=OrderStatus.CANCELLED, message="expired with its day"))
        self._refresh_trades()

    def move(self, intent: Intent, to: IntentStatus, reason: str = "") -> None:
        """Move an intent along, in the journal first."""
        self._desk.journal.advance_intent(intent.intent_id, to, self._desk.now, reason)
        self.intents[intent.tag] = replace(intent, status=to)

    def charges_of(self, trade: Trade) -> Charges:
        """Of all orders of a trade."""
        return sum((self.charges[leg.order_id] for leg in trade.legs if leg.order_id in self.charges), Charges())

    # --- orders and trades ---

    def _take_up_late(self, order: BookedOrder) -> None:
        """An order that we held to be lost has arrived after all: its shares are looked after, or it is taken back."""
        desk = self._desk
        intent = self.lost.pop(order.tag or "")
        desk.alarm(f"{order.symbol}: order {order.order_id} ({intent.purpose}) arrived after it was held to be lost")
        trade = desk.trades.get(order.symbol)
        if trade is not None and trade.trade_id == intent.decision_id:
            desk.trades[order.symbol] = trade.with_leg(_leg_of(intent, order))
        elif trade is None and intent.purpose is Purpose.ENTRY and intent.decision_id is not None:
            decision = desk.journal.decision(intent.decision_id)
            desk.trades[order.symbol] = Trade(intent.decision_id, decision, desk.terms.product, _leg_of(intent, order))
        elif not order.status.ended:
            desk.broker.cancel(order.order_id)

    def _note_order(self, order: BookedOrder) -> None:
        self._desk.journal.record_order(self._desk.account, order)
        self._orders[order.order_id] = order
        intent = self.intents.get(order.tag or "")
        if intent is None:
            self._adopt(order)
            return
        if intent.status is IntentStatus.PLANNED:
            self.move(intent, IntentStatus.SENT, "found in the order book")
            intent = self.intents[intent.tag]
        if may_move(intent.status, status_of(order)):
            self.move(intent, status_of(order), order.message)

    def _adopt(self, order: BookedOrder) -> None:
        """An order that is not ours takes our position back, e.g. the broker's square-off: its fills count."""
        trade = self._desk.trades.get(order.symbol)
        if trade is None or order.side is trade.side or order.product is not trade.product:
            return
        if not any(leg.order_id == order.order_id for leg in trade.exits):
            self._desk.alarm(f"{order.symbol}: the broker closes the position by its own order {order.order_id}")
            self._desk.trades[order.symbol] = trade.with_leg(_foreign_leg(order))

    def _refresh_trades(self) -> None:
        desk = self._desk
        ended = sum(order.status.ended for order in self._orders.values())
        if ended != self._ended:  # charges are taken when an order ends
            self._ended, self.charges = ended, charges_by_order(self._orders.values(), self._our_fills())
        by_order: dict[str, list[Fill]] = {}
        for fill in self._fills.values():
            by_order.setdefault(fill.order_id, []).append(fill)
        for symbol, trade in desk.trades.items():
            before = trade.position
            for leg in trade.legs:
                if leg.order_id is not None:
                    read = leg.with_books(self._orders.get(leg.order_id), by_order.get(leg.order_id, ()))
                    trade = trade.with_leg(read)
            trade = trade.with_position()
            desk.trades[symbol] = trade
            if trade.held < 0:
                desk.alarm(f"{symbol}: {-trade.held} shares more were taken back than were held; close them by hand")
            if trade.position is not None and trade.position != before:
                desk.journal.record_position(desk.account, trade.position)

    def _our_fills(self) -> Iterable[Fill]:
        return list(self._fills.values())

    def _take_up_trades(self) -> None:
        """Build the open trades again from the journal: an entry's intent, its orders, its position."""
        desk = self._desk
        positions = {position.position_id: position for position in desk.journal.open_positions(desk.account)}
        finished = {outcome.decision_id for outcome in desk.journal.outcomes(desk.account)}
        order_of = {order.tag: order for order in self._orders.values() if order.tag}
        by_decision: dict[str, list[Intent]] = {}
        for intent in self.intents.values():
            if intent.decision_id is not None and intent.decision_id not in finished:
                by_decision.setdefault(intent.decision_id, []).append(intent)
        for decision_id, intents in by_decision.items():
            legs = [_leg_of(intent, order_of.get(intent.tag)) for intent in intents]
            entry = next((leg for leg in legs if leg.purpose is Purpose.ENTRY and leg.order_id), None)
            if entry is None:
                continue
            exits = tuple(leg for leg in legs if leg.purpose is not Purpose.ENTRY and leg.order_id)
            decision = desk.journal.decision(decision_id)
            trade = Trade(decision_id, decision, desk.terms.product, entry, exits, positions.get(decision_id))
            desk.trades[decision.symbol] = trade
            self._refresh_trades()
            if desk.trades[decision.symbol].over and desk.trades[decision.symbol].position is None:
                del desk.trades[decision.symbol]


def _leg_of(intent: Intent, order: BookedOrder | None) -> Leg:
    """A leg after a restart. How often it was modified is not known any more; the broker counts for itself."""
    return Leg(
        purpose=intent.purpose,
        intent_id=intent.intent_id,
        order_id=order.order_id if order else None,
        side=intent.side,
        quantity=order.quantity if order else intent.quantity,
        order_type=order.order_type if order else intent.order_type,
        status=order.status if order else OrderStatus.REJECTED,
        changed_at=intent.created_at,
    )


def _foreign_leg(order: BookedOrder) -> Leg:
    return Leg(
        purpose=Purpose.EXIT,
        intent_id=None,
        order_id=order.order_id,
        side=order.side,
        quantity=order.quantity,
        order_type=order.order_type,
        status=order.status,
        changed_at=order.placed_at,
    )
