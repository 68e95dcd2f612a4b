"""The account's books in our hands: orders, fills and intents as the broker shows them, and the trades they make up."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from pipelines.domain.charges import Charges
from pipelines.domain.errors import ServiceUnavailable
from pipelines.domain.orders import ENDED, BookedOrder, Intent, IntentStatus, OrderStatus, may_move
from serving.executor.desk import LOG, Desk
from serving.executor.ledger import Ledger
from serving.executor.legs import foreign_leg, leg_of
from serving.executor.reconcile import cash_difference, fill_differences, share_differences, status_of, unsent
from serving.executor.resume import ASKED, trade_of
from serving.executor.share_counts import as_credited
from serving.executor.trade import Trade

JOINS = ASKED + "count it for "  #: and a decision: the order event that tells of a late order in another's trade


class Books:
    """Reads the broker's books, notes what is new in the journal, and keeps the desk's trades true to both."""

    def __init__(self, desk: Desk):
        self._desk = desk
        self.stale = False  #: whether the broker has, or may have, something new
        self.read_at: datetime | None = None  #: market time
        self.intents: dict[str, Intent] = {}  #: by tag
        self.lost: dict[str, Intent] = {}  #: by tag: sent without an answer, and not in the book when we looked
        self.unequal: dict[str, str] = {}  #: by symbol: how our shares and the broker's differed when last compared
        self._at_broker: dict[str, int] = {}  # shares when last compared
        self._opening_shares: dict[str, int] = {}
        self._ledger = Ledger()
        self._book: list[BookedOrder] = []  # the broker's order book as last read
        self._arrived: list[BookedOrder] = []  # late, and in no trade yet
        self._joined: dict[str, str] = {}  # decision by tag, of late orders that count for another's trade

    @property
    def cash(self) -> Decimal:
        """Cash by our own books."""
        return self._ledger.cash

    def charges_of(self, trade: Trade) -> Charges:
        """Of all our orders of a trade, and of those of others that closed it."""
        return self._ledger.charges_of(leg.order_id for leg in trade.legs)

    # --- start ---

    @property
    def fill_count(self) -> int:
        """Fills of the account that are at hand: today's, and those of what is open."""
        return self._ledger.fill_count

    def take_up(self, at: datetime) -> None:
        """After a start: read journal and broker, end what was never sent, and build the open trades again."""
        journal, broker, account = self._desk.journal, self._desk.broker, self._desk.account
        self._desk.trades.clear()  # of a try that the broker did not answer to its end
        self.lost.clear()
        self._arrived.clear()
        cash = journal.open_account(account, broker.cash(), at, broker.shares())
        self._opening_shares = journal.opening_shares(account)
        self._ledger = Ledger(cash, self._opening_shares, self._desk.terms.product)
        for order in journal.orders(account):
            self._ledger.note_order(order)
        for fill in journal.fills(account):
            self._ledger.note_fill(fill)
        self.intents = {intent.tag: intent for intent in journal.intents(account)}
        self._read(late=False)
        for intent in unsent(self.intents.values(), self._ledger.orders.values()):
            if intent.status is IntentStatus.SENT:
                self.lost[intent.tag] = intent  # it may be on its way still
            else:
                self.move(intent, IntentStatus.ABANDONED, "planned, and not sent before the last end")
        self._take_up_trades()
        self.turn_day(at.date())

    # --- reading ---

    def read(self) -> None:
        """Take over the order book, then the trade book: of an order seen as ended, all fills are there then.

        The trade book is only asked for if the order book shows shares filled that we do not know yet.

        Raises
        ------
        BrokerSilent : if the broker does not answer; the books stay stale.
        """
        self._read(late=True)

    def _read(self, *, late: bool) -> None:
        desk, ledger = self._desk, self._ledger
        self.stale, clock = True, desk.clock
        orders = desk.broker.orders()
        fills = desk.broker.fills() if fill_differences(orders, ledger.filled) else []
        self.stale, self.read_at, self._book = False, clock, orders
        changed = [order for order in orders if ledger.orders.get(order.order_id) != order]
        noted = ledger.orders.keys() | {order.order_id for order in changed}
        # the trade book was read later: fills of an order that is not in the order book yet wait for the next look
        new_fills = [fill for fill in fills if fill.order_id in noted and not ledger.knows(fill)]
        self._arrived += [order for order in changed if late and self._was_given_up(order)]
        if not (new_fills or changed or self._arrived):
            return
        with desk.journal.together():
            for order in changed:
                self._note_order(order)
            for fill in new_fills:
                desk.journal.record_fill(desk.account, fill)
                ledger.note_fill(fill)
        arrived, self._arrived = self._arrived, []
        for order in arrived:
            self._take_up_late(ledger.orders.get(order.order_id, order))
        self._refresh({order.order_id for order in changed} | {fill.order_id for fill in new_fills})

    def differences(self) -> list[str]:
        """Where our books, read anew, are not the broker's, in sentences."""
        desk, ledger = self._desk, self._ledger
        self.read()
        cash = cash_difference(self.cash, desk.broker.cash()) if desk.terms.cash_is_a_ledger else []
        self._at_broker = at_broker = desk.broker.shares()
        self.unequal = share_differences(as_credited(ledger.shares, desk.added_shares, at_broker), at_broker)
        return [*self.unequal.values(), *fill_differences(self._book, ledger.filled), *cash]

    @property
    def held_otherwise(self) -> dict[str, str]:
        """Of `unequal` what the broker does hold, in another number. No action takes all shares of a holder away: where
        it shows none they were sold, or are not shown yet, and an order for them is refused at worst.
        """
        return {symbol: told for symbol, told in self.unequal.items() if self._at_broker.get(symbol)}

    # --- the day ---

    def turn_day(self, day: date) -> None:
        """Orders are good for a day. What still worked yesterday and is not in today's book has expired."""
        for tag, intent in list(self.lost.items()):
            if intent.created_at.date() < day:
                self.give_up(tag, "not in the order book by the end of its day")
        todays = {order.order_id for order in self._book}
        expired = [
            replace(order, status=OrderStatus.CANCELLED, message="expired with its day")
            for order in self._ledger.orders.values()
            if order.status is OrderStatus.WORKING and order.order_id not in todays and order.placed_at.date() < day
        ]
        with self._desk.journal.together():
            for order in expired:
                self._note_order(order)
        self._refresh({order.order_id for order in expired})
        self.forget_before(day)

    def forget_before(self, day: date) -> None:
        """Keep in memory what today and the open trades need; the journal has the rest."""
        keep = {leg.order_id for trade in self._desk.trades.values() for leg in trade.legs if leg.order_id}
        for order in self._ledger.forget(day, keep):
            self.intents.pop(order.tag or "", None)
        for tag, intent in list(self.intents.items()):
            old = intent.status in (IntentStatus.ABANDONED, IntentStatus.REJECTED)
            if old and intent.created_at.date() < day:
                del self.intents[tag]

    # --- intents ---

    def move(self, intent: Intent, to: IntentStatus, reason: str = "") -> None:
        """Move an intent along, in the journal first."""
        self._desk.journal.advance_intent(intent.intent_id, to, self._desk.now, reason)
        self.intents[intent.tag] = replace(intent, status=to)

    def expire_lost(self, after: timedelta) -> None:
        """Give up what has been without an answer, and out of the book, for so long (market time), or to the end."""
        over = self._desk.day is not None and self._desk.now >= self._desk.day.end
        for tag, intent in list(self.lost.items()):
            if over or self._desk.now - intent.created_at >= after:
                self.give_up(tag, f"not in the order book within {after.total_seconds():.0f} s")

    def give_up(self, tag: str, reason: str) -> None:
        """An order without an answer is held to be lost for good."""
        intent = self.lost.pop(tag)
        if may_move(intent.status, IntentStatus.ABANDONED):
            self.move(intent, IntentStatus.ABANDONED, reason)
        trade = self._desk.trades.get(intent.symbol)
        for leg in trade.legs if trade is not None else ():
            if leg.intent_id == intent.intent_id:
                assert trade is not None
                self._desk.trades[intent.symbol] = trade.with_leg(replace(leg, unresolved=False))

    # --- orders and trades ---

    def _was_given_up(self, order: BookedOrder) -> bool:
        """Whether an order that we see for the first time is one of ours that we did not count on."""
        intent = self.intents.get(order.tag or "")
        if intent is None or order.order_id in self._ledger.orders:
            return False
        return intent.tag in self.lost or (intent.status in ENDED and order.status is not OrderStatus.REJECTED)

    def _take_up_late(self, order: BookedOrder) -> None:
        """An order that we held to be lost has arrived after all: it joins what is open in its symbol.

        There its shares are protected and left with the others, and what still works of it is cancelled if it is one
        too many. If its trade was over, the trade is opened again.
        """
        desk, intent = self._desk, self.intents[order.tag or ""]
        self.lost.pop(intent.tag, None)
        desk.alarm(f"{order.symbol}: order {order.order_id} ({intent.purpose}) arrived after it was held to be lost")
        trade = desk.trades.get(order.symbol)
        owner = self._owner(intent)
        if trade is not None:
            self._join(trade, intent, order)
        elif owner is not None:
            try:
                self._open_again(owner)
            except ServiceUnavailable as error:
                self.stale = True
                self._arrived.append(order)
                desk.alarm(f"{order.symbol}: order {order.order_id} cannot be looked after yet: {error}")

    def _owner(self, intent: Intent) -> str | None:
        """The decision for whose trade an intent's order counts."""
        return self._joined.get(intent.tag, intent.decision_id)

    def _join(self, trade: Trade, intent: Intent, order: BookedOrder) -> None:
        """Count an order for another decision's trade; that it does is on disk first, so that it stays there."""
        desk = self._desk
        if self._owner(intent) != trade.trade_id:
            desk.journal.record_order_event(desk.account, order.order_id, JOINS + trade.trade_id, {}, desk.now)
            self._joined[intent.tag] = trade.trade_id
        desk.trades[trade.symbol] = desk.trades[trade.symbol].with_leg(leg_of(intent, order))

    def _read_joined(self) -> dict[str, str]:
        journal, account = self._desk.journal, self._desk.account
        ours = {order.order_id: order.tag for order in self._ledger.orders.values() if order.tag in self.intents}
        return {
            str(ours[order_id]): event.removeprefix(JOINS)
            for order_id, events in journal.changes_asked(account, list(ours)).items()
            for event in events
            if event.startswith(JOINS)
        }

    def _by_owner(self) -> dict[str, list[Intent]]:
        """Intents by the decision they count for, those that joined it late behind its own."""
        found: dict[str, list[Intent]] = {}
        for intent in sorted(self.intents.values(), key=lambda intent: intent.tag in self._joined):
            owner = self._owner(intent)
            if owner is not None:
                found.setdefault(owner, []).append(intent)
        return found

    def _open_again(self, decision_id: str) -> None:
        own = self._by_owner().get(decision_id, [])
        trade = trade_of(decision_id, own, self._order_by_tag(), self.lost, self._desk)
        if trade is not None:
            self._desk.trades[trade.symbol] = trade
            self._refresh({leg.order_id for leg in trade.legs if leg.order_id})

    def _note_order(self, order: BookedOrder) -> None:
        new = order.order_id not in self._ledger.orders
        self._desk.journal.record_order(self._desk.account, order)
        self._ledger.note_order(order)
        intent = self.intents.get(order.tag or "")
        if intent is None:
            self._adopt(order, new=new)
            return
        if intent.status is IntentStatus.PLANNED:
            self.move(intent, IntentStatus.SENT, "found in the order book")
            intent = self.intents[intent.tag]
        if may_move(intent.status, status_of(order)):
            self.move(intent, status_of(order), order.message)

    def _adopt(self, order: BookedOrder, *, new: bool) -> None:
        """An order that is not ours: its fills count in the account's books, and it is never touched.

        Where it takes back what we hold, e.g. as the broker's square-off, its fills count for our trade, too.
        """
        desk = self._desk
        if new:
            desk.journal.record_order_event(
                desk.account, order.order_id, "adopted as external", {"tag": order.tag}, desk.now
            )
            desk.alarm(f"order {order.order_id} on {order.symbol} is not ours (tag {order.tag})")
        trade = desk.trades.get(order.symbol)
        if trade is None or order.side is trade.side or order.product is not trade.product:
            return
        if order.placed_at < trade.decision.close_time:
            return  # of before our time
        if not any(leg.order_id == order.order_id for leg in trade.exits):
            desk.trades[order.symbol] = trade.with_leg(foreign_leg(order))

    def _refresh(self, touched: Iterable[str]) -> None:
        """Bring the trades up to date whose orders have changed."""
        desk, touched = self._desk, set(touched)
        with desk.journal.together():
            for symbol, trade in desk.trades.items():
                before = trade.position
                for leg in trade.legs:
                    if leg.order_id in touched:
                        order = self._ledger.orders.get(leg.order_id)
                        trade = trade.with_leg(leg.with_books(order, self._ledger.fills_of(leg.order_id), desk.now))
                trade = trade.with_position()
                desk.trades[symbol] = trade
                if trade.held < 0:
                    desk.alarm(
                        f"{symbol}: {-trade.held} shares more were taken back than were held; they are bought back"
                    )
                if trade.position is not None and trade.position != before:
                    desk.journal.record_position(desk.account, trade.position)

    def _order_by_tag(self) -> dict[str, BookedOrder]:
        return {order.tag: order for order in self._ledger.orders.values() if order.tag}

    def _take_up_trades(self) -> None:
        """Build the open trades again from the journal: an entry's intent, its orders, its position."""
        desk = self._desk
        open_ = {position.position_id: position for position in desk.journal.open_positions(desk.account)}
        finished = desk.journal.finished(desk.account) - set(open_)
        orders = self._order_by_tag()
        self._joined = self._read_joined()
        by_decision = {name: own for name, own in self._by_owner().items() if name not in finished}
        for decision_id, intents in sorted(by_decision.items(), key=lambda found: found[0] not in open_):
            if decision_id not in open_ and all(_came_to_nothing(intent, orders) for intent in intents):
                continue
            trade = trade_of(decision_id, intents, orders, self.lost, desk)
            if trade is None:
                continue
            if trade.symbol in desk.trades:
                LOG.error("two open trades of one symbol", symbol=trade.symbol, decision=decision_id)
                for intent in intents:
                    if intent.tag in orders:
                        self._join(desk.trades[trade.symbol], intent, orders[intent.tag])
            else:
                desk.trades[trade.symbol] = trade
        for order in self._ledger.orders.values():
            if order.tag not in self.intents:
                self._adopt(order, new=False)
        self._refresh(self._ledger.orders)
        for symbol, trade in list(desk.trades.items()):
            if trade.over and trade.position is None:
                del desk.trades[symbol]
        for order in self._ledger.orders.values():
            own = self.intents.get(order.tag or "")
            if own is not None and self._owner(own) in finished and self._is_open_still(own, order):
                self._take_up_late(order)

    def _is_open_still(self, intent: Intent, order: BookedOrder) -> bool:
        """Whether an order of a trade that was over works, or left shares that belong to no trade."""
        if not order.status.ended:
            return True
        if intent.status not in (IntentStatus.ABANDONED, IntentStatus.REJECTED) or not order.filled_quantity:
            return False
        trade = self._desk.trades.get(order.symbol)
        known = trade.held * trade.side.sign if trade is not None else 0
        began_with = self._opening_shares.get(order.symbol, 0)
        unknown = self._ledger.shares.get(order.symbol, 0) - began_with - known
        return unknown * order.side.sign > 0


def _came_to_nothing(intent: Intent, orders: dict[str, BookedOrder]) -> bool:
    order = orders.get(intent.tag)
    return intent.status in ENDED and (order is None or (order.status.ended and order.filled_quantity == 0))
