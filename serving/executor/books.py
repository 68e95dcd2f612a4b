"""The account's books in our hands: orders, fills and intents as the broker shows them, and the trades they make up."""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from pipelines.domain.charges import Charges
from pipelines.domain.orders import ENDED, BookedOrder, Fill, Intent, IntentStatus, OrderStatus, may_move
from pipelines.domain.outcomes import Outcome
from serving.executor.arrivals import Arrivals
from serving.executor.beside_us import BesideUs
from serving.executor.desk import LOG, Desk
from serving.executor.ledger import Ledger
from serving.executor.opening import opening_of
from serving.executor.order_tags import intent_again
from serving.executor.own_cash import OwnCash
from serving.executor.reconcile import cash_difference, fill_differences, status_of, unsent
from serving.executor.resume import trade_of
from serving.executor.trade import Trade
from serving.executor.unseen import Unseen


class Books:
    """Reads the broker's books, notes what is new in the journal, and keeps the desk's trades true to both."""

    def __init__(self, desk: Desk):
        self._desk = desk
        self.stale = False  #: whether the broker has, or may have, something new
        self.read_at: datetime | None = None  #: market time
        self.looked_at = 0.0  #: monotonic seconds
        self.intents: dict[str, Intent] = {}  #: by tag
        self.lost: dict[str, Intent] = {}  #: by tag: sent without an answer, and not in the book when we looked
        self.unequal: dict[str, str] = {}  #: by symbol: how our shares and the broker's differed when last compared
        self._at_broker: dict[str, int] = {}  # shares when last compared
        self._ledger = Ledger()
        self.own = OwnCash(desk, self)
        self.beside_us = BesideUs(desk, self)
        self._unseen = Unseen(desk, self)
        self._arrivals = Arrivals(desk, self)
        self._day: date | None = None
        self._book: list[BookedOrder] = []  # the broker's order book as last read

    @property
    def ledger(self) -> Ledger:
        """Orders, fills, charges, cash and shares of the account."""
        return self._ledger

    @property
    def cash(self) -> Decimal:
        """Cash of the account by our own books, with what others trade in it."""
        return self._ledger.cash

    def charges_of(self, trade: Trade) -> Charges:
        """Of all our orders of a trade, and the part of others' that took it back."""
        charges = self._ledger.charges_of(leg.order_id for leg in trade.legs if leg.ours)
        for order_id, share in trade.taken().by_order.items():
            charges = charges + self._ledger.charges_of([order_id]).part(share)
        return charges

    # --- start ---

    @property
    def fill_count(self) -> int:
        """Fills of the account that are at hand: today's, and those of what is open."""
        return self._ledger.fill_count

    def take_up(self, at: datetime) -> None:
        """After a start: read journal and broker, end what was never sent, and build the open trades again."""
        journal, account, desk = self._desk.journal, self._desk.account, self._desk
        desk.trades.clear()  # of a try that the broker did not answer to its end
        desk.ended.clear()
        self.lost.clear()
        self._arrivals.waiting.clear()
        known = account in journal.accounts()
        cash, shares = (Decimal(0), {}) if known else opening_of(desk.broker, desk.terms)
        cash = journal.open_account(account, cash, at, shares)
        self._ledger = Ledger(cash, journal.opening_shares(account), desk.terms.product)
        for order in journal.orders(account):
            self._ledger.note_order(order)
        for fill in journal.fills(account):
            if (
                fill.order_id in self._ledger.orders
            ):  # else its order's note could not be read: the broker tells both anew
                self._ledger.note_fill(fill)
        self.intents = {intent.tag: intent for intent in journal.intents(account)}
        for order in self._ledger.orders.values():
            if order.tag not in self.intents and order.placed_at.date() == at.date():
                self._find_again(order)
        self._read(late=False)
        for intent in unsent(self.intents.values(), self._ledger.orders.values()):
            if intent.status is IntentStatus.SENT:
                self.lost[intent.tag] = intent  # it may be on its way still
            else:
                self.move(intent, IntentStatus.ABANDONED, "planned, and not sent before the last end")
        self.beside_us.take_up()
        self._take_up_trades()
        self.own.take_up(cash)
        self._unseen.presume()
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
        self.stale, clock, self.looked_at = True, desk.clock, time.monotonic()
        orders = self._unseen.told_by_ids(desk.broker.orders())
        asks_trades = bool(fill_differences(orders, ledger.filled)) or self._unseen.asks_trades()
        fills = desk.broker.fills() if asks_trades else []
        orders = [*orders, *self._unseen.told_by_trades(orders, fills)]
        self.stale, self.read_at, self._book = False, clock, orders
        changed = [order for order in orders if ledger.orders.get(order.order_id) != order]
        noted = ledger.orders.keys() | {order.order_id for order in changed}
        # the trade book was read later: fills of an order that is not in the order book yet wait for the next look
        new_fills = [fill for fill in fills if fill.order_id in noted and not ledger.knows(fill)]
        if late:
            self._arrivals.look(changed, new_fills)
        if changed or new_fills:
            self._take_over(changed, new_fills)
        self._arrivals.take_up()
        self._refresh({order.order_id for order in changed} | {fill.order_id for fill in new_fills})
        if late:
            self.beside_us.look({order.symbol for order in changed} | {fill.symbol for fill in new_fills})
            self._unseen.presume()

    def note_changed(self, order_id: str) -> None:
        """An order was changed or cancelled by us: if the order book does not show it, it is asked for at once."""
        self._unseen.ask_again(order_id)

    def _take_over(self, orders: list[BookedOrder], fills: list[Fill]) -> None:
        desk = self._desk
        with desk.journal.together():
            for order in orders:
                self._note_order(order)
            for fill in fills:
                desk.journal.record_fill(desk.account, fill)
                self._ledger.note_fill(fill)

    def differences(self) -> list[str]:
        """Where our books, read anew, are not the broker's, in sentences."""
        desk, ledger = self._desk, self._ledger
        self.read()
        self._at_broker = at_broker = desk.broker.shares()
        if self.beside_us.unequal(at_broker):  # perhaps a fill that the order book does not show
            self._unseen.ask_anew()
            self.read()
        compares_cash = desk.terms.cash_is_a_ledger and not self.beside_us.cash_is_untold
        cash = cash_difference(self.cash, desk.broker.cash()) if compares_cash else []
        self.unequal = self.beside_us.unequal(at_broker)
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
        if self._day is not None and self._day != day:
            self.beside_us.turn_day()
            self._desk.ended.clear()  # orders are good for a day
        self._day = day
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
            trade = self._desk.trades.get(intent.symbol)
            held = trade is not None and trade.entry.intent_id == intent.intent_id and trade.entry.presumed > 0
            if over or (self._desk.now - intent.created_at >= after and not held):
                self.give_up(tag, f"not in the order book within {after.total_seconds():.0f} s")

    def give_up(self, tag: str, reason: str) -> None:
        """An order without an answer is held to be lost for good."""
        intent = self.lost.pop(tag)
        if may_move(intent.status, IntentStatus.ABANDONED):
            self.move(intent, IntentStatus.ABANDONED, reason)
        trade = self._desk.trades.get(intent.symbol)
        for leg in trade.legs if trade is not None else ():
            if leg.unresolved and leg.intent_id == intent.intent_id:
                assert trade is not None
                self._desk.trades[intent.symbol] = trade.with_leg(replace(leg, unresolved=False))

    # --- orders and trades ---

    def _note_order(self, order: BookedOrder) -> None:
        before = self._ledger.orders.get(order.order_id)
        self._desk.journal.record_order(self._desk.account, order)
        self._ledger.note_order(order)
        intent = self.intents.get(order.tag or "") or self._find_again(order)
        if intent is None:
            self.beside_us.adopt(order, new=before is None)
            return
        self._unseen.watch(order, before)
        if self._arrivals.is_doubled(intent, order):
            return  # the first order of an intent tells how it stands
        self._advance(intent, order)

    def _find_again(self, order: BookedOrder) -> Intent | None:
        """The intent of an order that bears a tag of ours and fits a trade, but whose record is lost: written anew."""
        intent = intent_again(order, self.intents.values())
        if intent is None:
            return None
        desk = self._desk
        desk.alarm(
            f"order {order.order_id} on {order.symbol} bears our tag {order.tag}, whose record is lost; "
            f"it counts as our {intent.purpose}"
        )
        desk.journal.commit_intent(desk.account, intent)
        self.intents[intent.tag] = intent
        self._advance(intent, order)
        if self._day is not None:
            self._arrivals.waiting.append(order)  # it joins its trade, as what comes late does
        return self.intents[intent.tag]

    def _advance(self, intent: Intent, order: BookedOrder) -> None:
        """Move an intent to where its order stands."""
        if intent.status is IntentStatus.PLANNED:
            self.move(intent, IntentStatus.SENT, "found in the order book")
            intent = self.intents[intent.tag]
        if may_move(intent.status, status_of(order)):
            self.move(intent, status_of(order), order.message)

    def _refresh(self, touched: Iterable[str]) -> None:
        """Bring the trades up to date whose orders have changed."""
        desk, touched = self._desk, set(touched)
        with desk.journal.together():
            for symbol, trade in list(desk.trades.items()):
                before = trade.position
                trade = self.brought_up_to_date(trade, touched).with_position()
                desk.trades[symbol] = trade
                if trade.held < 0:
                    desk.alarm(
                        f"{symbol}: {-trade.held} shares more were taken back than were held; they are bought back"
                    )
                if trade.position is not None and trade.position != before:
                    desk.journal.record_position(desk.account, trade.position)

    def open_again(self, trade: Trade) -> None:
        """Take up a trade that was over."""
        self._arrivals.open(trade)

    def close(self, trade: Trade, outcome: Outcome | None) -> None:
        """A trade is over, and its outcome is noted; None if nothing of it was filled."""
        del self._desk.trades[trade.symbol]
        self._arrivals.keep(trade, outcome)
        if outcome is not None:
            self.own.close(trade.trade_id, outcome.net_inr)
            self.beside_us.note_closed(trade, outcome)

    @property
    def may_show_late(self) -> bool:
        """Whether a fill may show of an order that has ended, or others may give back what they took of ours."""
        return self._unseen.watches or self.beside_us.may_give_back

    def brought_up_to_date(self, trade: Trade, touched: set[str] | None = None) -> Trade:
        """A trade with its orders as the books show them; only those in `touched`, if it is given."""
        for leg in trade.legs:
            if leg.order_id is not None and (touched is None or leg.order_id in touched):
                order = self._ledger.orders.get(leg.order_id)
                trade = trade.with_leg(leg.with_books(order, self._ledger.fills_of(leg.order_id), self._desk.now))
        return self.beside_us.measured(trade)

    def _take_up_trades(self) -> None:
        """Build the open trades again from the journal: an entry's intent, its orders, its position."""
        desk = self._desk
        open_ = {position.position_id: position for position in desk.journal.open_positions(desk.account)}
        finished = desk.journal.finished(desk.account) - set(open_)
        by_decision = self._arrivals.read_owners()
        unfinished = {name: own for name, own in by_decision.items() if name not in finished}
        living = {
            name: orders
            for name, orders in unfinished.items()
            if name in open_ or not all(_came_to_nothing(intent, order) for intent, order, _ in orders)
        }
        records = self._arrivals.read_records(by_decision, living)
        for decision_id, orders in sorted(living.items(), key=lambda found: found[0] not in open_):
            trade = trade_of(decision_id, orders, self.lost, records[decision_id], desk.terms.product)
            if trade is None:
                continue
            if trade.symbol in desk.trades:
                LOG.error("two open trades of one symbol", symbol=trade.symbol, decision=decision_id)
                for intent, order, _ in orders:
                    if order is not None:
                        self._arrivals.join(desk.trades[trade.symbol], intent, order)
            else:
                desk.trades[trade.symbol] = trade
        for order in self._ledger.orders.values():
            if order.tag not in self.intents:
                self.beside_us.adopt(order, new=False)
        self._refresh(self._ledger.orders)
        for trade in list(desk.trades.values()):
            if trade.over and trade.position is None:
                self.close(trade, None)
        self._arrivals.look_at_finished(by_decision, finished)


def _came_to_nothing(intent: Intent, order: BookedOrder | None) -> bool:
    return intent.status in ENDED and (order is None or (order.status.ended and order.filled_quantity == 0))
