"""What others do in our account, by hand or by another program: counted in its cash and shares, and never touched.

Their orders stand beside ours in the trade of their instrument, so that it is known what of our shares they took back.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.domain.orders import SQUARE_OFF_TAG, BookedOrder
from pipelines.domain.outcomes import Outcome
from serving.executor.desk import Desk
from serving.executor.legs import foreign_leg
from serving.executor.others import shares_at
from serving.executor.reconcile import share_differences
from serving.executor.resume import ASKED
from serving.executor.share_counts import as_credited
from serving.executor.trade import Trade

if TYPE_CHECKING:
    from serving.executor.books import Books

UNTOLD = ASKED + "compare its cash no more: others trade what we do not read"
ACCOUNT = "account"  #: stands for an order's id in the event that tells of the account as a whole


class BesideUs:
    """The orders of others.

    Parameters
    ----------
    desk, books : of the session
    """

    def __init__(self, desk: Desk, books: "Books"):
        self._desk, self._books = desk, books
        self._by_symbol: dict[str, set[str]] = defaultdict(set)  # ids of their orders
        self._told: dict[str, int] = {}  # shares taken back when it was told last, by trade
        self._may_be_given_back: dict[str, Trade] = {}  # by symbol: over, since others sold more than our shares
        self._untold = False
        desk.others_hold, desk.others_owe = self.held, self.owe

    def held(self, symbol: str) -> int:
        """Shares in the account that are not ours, below zero when short."""
        trade = self._desk.trades.get(symbol)
        ours = sum(leg.filled * leg.side.sign for leg in trade.legs if leg.ours) if trade is not None else 0
        return self._books.ledger.shares.get(symbol, 0) - ours

    def owe(self, symbol: str) -> bool:
        """Whether others sold shares of an ended trade of ours that they may buy back."""
        return symbol in self._may_be_given_back

    # --- their orders ---

    def adopt(self, order: BookedOrder, *, new: bool) -> None:
        """An order that is not ours: its fills count in the account's books, and it is never touched."""
        desk = self._desk
        self._by_symbol[order.symbol].add(order.order_id)
        if new:
            desk.journal.record_order_event(
                desk.account, order.order_id, "adopted as external", {"tag": order.tag}, desk.now
            )
            desk.alarm(f"order {order.order_id} on {order.symbol} is not ours (tag {order.tag})")

    def with_others(self, trade: Trade) -> Trade:
        """A trade with the orders of others that may have traded in its instrument since its first fill."""
        began = min((leg.first_fill_at for leg in trade.entries if leg.first_fill_at is not None), default=None)
        if began is None and trade.position is not None:
            began = trade.position.entered_at
        if began is None:
            return trade
        known = {leg.order_id for leg in trade.exits if not leg.ours}
        for order_id in sorted(self._by_symbol.get(trade.symbol, ())):
            order = self._books.ledger.orders.get(order_id)
            if order is None:
                self._by_symbol[trade.symbol].discard(order_id)  # of an earlier day
            elif order.product is trade.product and order_id not in known:
                leg = foreign_leg(order, began)
                leg = leg.with_books(order, self._books.ledger.fills_of(order_id), self._desk.now)
                if leg.done or leg.works:
                    trade = trade.with_leg(leg)
        return trade

    def measured(self, trade: Trade) -> Trade:
        """A trade with what others held beside it when it began; what they took of it since is told."""
        trade = self.with_others(trade)
        if all(leg.ours for leg in trade.legs):
            return trade
        net = self._books.ledger.shares.get(trade.symbol, 0)
        since = sum(leg.filled * leg.side.sign for leg in trade.legs)
        trade = replace(trade, others_before=(net - since) * trade.side.sign)
        self._tell(trade)
        return trade

    def _tell(self, trade: Trade) -> None:
        taken, before = trade.taken_by_fills, self._told.get(trade.trade_id, 0)
        if taken == before:
            return
        self._told[trade.trade_id] = taken
        by = [self._books.ledger.orders.get(order_id) for order_id in trade.taken().by_order]
        if by and all(order is not None and order.tag == SQUARE_OFF_TAG for order in by):
            return  # the broker's own square-off: its order is told of, and no owner's hand has sold anything
        what = "took back" if taken > before else "gave back what they took, but for"
        left = max(trade.held, 0)
        self._desk.alarm(
            f"{trade.symbol}: orders that are not ours {what} {taken} shares of our trade; {left} are left to us"
        )

    # --- a round trip of theirs that was bigger than our shares ---

    def note_closed(self, trade: Trade, outcome: Outcome | None) -> None:
        """A trade is over. If others sold more than was ours they may buy it back, and our shares with it."""
        self._told.pop(trade.trade_id, None)
        self._may_be_given_back.pop(trade.symbol, None)
        if trade.taken_by_fills and not self.was_closed_by_them(trade, outcome):
            self._may_be_given_back[trade.symbol] = trade

    def was_closed_by_them(self, trade: Trade, outcome: Outcome | None) -> bool:
        """Whether they sold just our shares: then nothing of the instrument was left, and what they buy is theirs.

        Where we have sold a part of it ourselves, theirs may be the first half of a round trip: what they buy back is
        looked after.
        """
        if any(leg.ours and leg.filled for leg in trade.exits if leg not in trade.entries):
            return False
        if outcome is None or all(leg.ours for leg in trade.legs):
            return False
        own, others = shares_at(trade.legs, trade.side, trade.others_before, outcome.exited_at)
        return own + others == 0

    @property
    def may_give_back(self) -> bool:
        """Whether others have shares of ours that they may buy back: those are bare until we know."""
        open_ = (self._told.get(trade.trade_id) for trade in self._desk.trades.values())
        return bool(self._may_be_given_back) or any(open_)

    def turn_day(self) -> None:
        """What they bought back yesterday, they did."""
        self._may_be_given_back.clear()

    def look(self, symbols: set[str]) -> None:
        """After orders have changed: whether shares of a trade that they had closed are ours again."""
        for symbol in symbols & self._may_be_given_back.keys():
            closed = self._may_be_given_back[symbol]
            if symbol not in self._desk.trades:
                trade = self._books.brought_up_to_date(closed)
                if trade.held > 0:
                    del self._may_be_given_back[symbol]
                    self._books.open_again(trade)

    # --- comparing ---

    def unequal(self, at_broker: Mapping[str, int]) -> dict[str, str]:
        """By symbol how our count of shares differs, where we trade or have traded; the rest is left to its owner."""
        desk, ledger = self._desk, self._books.ledger
        ours = set(desk.terms.instruments) | {intent.symbol for intent in self._books.intents.values()}
        differences = share_differences(as_credited(ledger.shares, desk.added_shares, at_broker), at_broker)
        return {symbol: told for symbol, told in differences.items() if symbol in ours}

    @property
    def cash_is_untold(self) -> bool:
        """Whether the account's cash moves by what we do not read: futures, options, another exchange.

        It stays so for good: what they leave in the cash is not known when they are gone.
        """
        desk = self._desk
        why = desk.terms.untold()
        if why and not self._untold:
            self._untold = True
            desk.journal.record_order_event(desk.account, ACCOUNT, UNTOLD, {"why": why}, desk.now)
            desk.alarm(f"the account's cash is not compared any more: {why}")
        return self._untold

    def take_up(self) -> None:
        """After a start."""
        asked = self._desk.journal.changes_asked(self._desk.account, [ACCOUNT])
        self._untold = UNTOLD in asked.get(ACCOUNT, {})
