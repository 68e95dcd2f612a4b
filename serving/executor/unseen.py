"""Orders of ours that the broker's order book does not show, or shows wrongly, for a while.

What the order book denies the trade book may tell, by the ids that the broker gave us; and where neither tells it, the
positions do: shares that are held beyond our books, on the side of an entry that is under way, are protected. What
has just ended with less than its quantity is watched in the trade book, where a late fill shows first.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.domain.errors import BrokerSilent
from pipelines.domain.orders import BookedOrder, Fill, OrderStatus
from serving.executor.desk import Desk
from serving.executor.legs import Leg

if TYPE_CHECKING:
    from serving.executor.books import Books

MOST_ASKED = 4  #: orders that are asked for by their ids at one look
ASK_EACH_S = 0.25  #: between two such looks for each order that is asked for: four a second at most
WATCHED_FOR = timedelta(minutes=5)  #: market time after an order ended short of its quantity
LOOK_AFTER_S = 1.0  #: of the market's clock or of the wall clock: between two looks, and before an order is missed


class _Since:
    """A moment by both clocks."""

    def __init__(self, now: datetime):
        self.market, self.wall = now, time.monotonic()

    def is_over(self, now: datetime, seconds: float = LOOK_AFTER_S) -> bool:
        return now - self.market >= timedelta(seconds=seconds) or time.monotonic() - self.wall >= seconds


class Unseen:
    """Keeps an eye on such orders.

    Parameters
    ----------
    desk, books : of the session
    """

    def __init__(self, desk: Desk, books: "Books"):
        self._desk, self._books = desk, books
        self._missing: dict[str, _Since] = {}  # by order
        self._watched: dict[str, datetime] = {}  # by order: market time at which it ended
        self._asked_trades: _Since | None = None
        self._asked_shares: _Since | None = None
        self._asked_ids: _Since | None = None
        self._asked_by_id: set[str] = set()
        self._asked_strangers: dict[str, _Since] = {}  # by order
        self._ask_now = False

    # --- watching what has ended ---

    def watch(self, order: BookedOrder, before: BookedOrder | None) -> None:
        """An order of ours was read: if it has just ended short of its quantity, a fill may show yet."""
        if order.status.ended and order.filled_quantity < order.quantity and (before is None or before != order):
            self._watched[order.order_id] = self._desk.now

    @property
    def watches(self) -> bool:
        """Whether some order ended so lately that a fill of it may show yet."""
        now = self._desk.now
        self._watched = {name: at for name, at in self._watched.items() if now - at < WATCHED_FOR}
        return bool(self._watched)

    # --- one by one ---

    def told_by_ids(self, orders: list[BookedOrder]) -> list[BookedOrder]:
        """The order book, and what the broker tells of each order of ours that should stand in it and does not.

        Each is asked for at once when it is first missed or was changed by us, then again and again: it may fill, and
        its shares are bare.
        """
        missing = self._note_missing(orders)
        now, fresh = self._desk.now, missing.keys() - self._asked_by_id
        pause = ASK_EACH_S * min(len(missing), MOST_ASKED)
        if missing and (fresh or self._asked_ids is None or self._asked_ids.is_over(now, pause)):
            self._asked_ids, self._asked_by_id = _Since(now), set(missing)
            if fresh:
                self._asked_trades = self._asked_shares = None  # those are asked anew with it
            for leg in sorted(missing.values(), key=lambda leg: leg.order_id not in fresh)[:MOST_ASKED]:
                known, state = self._order_of(leg), self._desk.terms.order_state(str(leg.order_id))
                if known is not None and state is not None:
                    orders = [*orders, replace(state, placed_at=known.placed_at)]
        return orders

    def ask_again(self, order_id: str) -> None:
        """An order was changed by us: should the order book not show it, the next look asks for it by its id."""
        self._asked_by_id.discard(order_id)

    # --- the trade book ---

    def asks_trades(self) -> bool:
        """Whether the trade book is to be asked though the order book gives no cause; once a second at most."""
        now = self._desk.now
        wanted = self.watches or bool(self._missing)
        due = self._asked_trades is None or self._asked_trades.is_over(now)
        if self._ask_now or (wanted and due):
            self._ask_now, self._asked_trades = False, _Since(now)
            return True
        return False

    def ask_anew(self) -> None:
        """The next look asks the trade book in any case."""
        self._ask_now = True

    def told_by_trades(self, orders: Iterable[BookedOrder], fills: Iterable[Fill]) -> list[BookedOrder]:
        """Of our orders that the order book does not show those of which the trade book knows more than we did."""
        shown, fills = {order.order_id for order in orders}, list(fills)
        found = []
        for leg in self._legs():
            if leg.order_id is None or leg.order_id in shown:
                continue
            filled = sum(fill.quantity for fill in fills if fill.order_id == leg.order_id)
            order = self._order_of(leg)
            if order is not None and filled > order.filled_quantity:
                status = OrderStatus.COMPLETE if filled >= order.quantity else order.status
                found.append(replace(order, filled_quantity=filled, status=status))
        ended = {name for name, order in self._books.ledger.orders.items() if order.status.ended}
        ours = {leg.order_id for leg in self._legs()}
        known = shown | ended | ours
        return [*found, *self._told_of_strangers(fill.order_id for fill in fills if fill.order_id not in known)]

    def _told_of_strangers(self, order_ids: Iterable[str]) -> list[BookedOrder]:
        """Orders of which only the trade book tells: one that the broker made beside ours of the same tag may be ours,
        and one of others that has ended has its charges.

        Each is asked for by its id at once, then once a second.
        """
        asked, now = self._asked_strangers, self._desk.now
        due = [name for name in dict.fromkeys(order_ids) if name not in asked or asked[name].is_over(now)][:MOST_ASKED]
        asked.update({name: _Since(now) for name in due})
        told = (self._desk.terms.order_state(name) for name in due)
        return [order for order in told if order is not None]

    def _order_of(self, leg: Leg) -> BookedOrder | None:
        """As the book showed it last, or as we sent it."""
        known = self._books.ledger.orders.get(leg.order_id or "")
        if known is not None:
            return known
        intent = next((own for own in self._books.intents.values() if own.intent_id == leg.intent_id), None)
        if intent is None or leg.order_id is None:
            return None
        return BookedOrder(
            order_id=leg.order_id,
            tag=intent.tag,
            symbol=intent.symbol,
            side=intent.side,
            quantity=intent.quantity,
            filled_quantity=0,
            order_type=intent.order_type,
            product=intent.product,
            status=OrderStatus.WORKING,
            trigger_price=intent.trigger_price,
            placed_at=intent.created_at,
            limit_price=intent.limit_price,
        )

    # --- the positions ---

    def presume(self) -> None:
        """Count for an entry that no book shows what the positions hold beyond our books, up to its quantity."""
        desk = self._desk
        doubtful = [t for t in desk.trades.values() if t.entry.order_id in self._missing]
        doubtful += [t for t in desk.trades.values() if t.entry.unresolved and t not in doubtful]
        for trade in desk.trades.values():
            if trade.entry.presumed and trade not in doubtful:
                desk.trades[trade.symbol] = trade.with_leg(replace(trade.entry, presumed=0))
        due = self._asked_shares is None or self._asked_shares.is_over(desk.now)
        if not doubtful or not due:
            return
        self._asked_shares = _Since(desk.now)
        try:
            held = desk.broker.shares()
        except BrokerSilent:
            return  # it is told where the books are read
        for trade in doubtful:
            symbol, entry = trade.symbol, trade.entry
            beyond = (held.get(symbol, 0) - self._books.ledger.shares.get(symbol, 0)) * trade.side.sign
            presumed = min(max(beyond, 0), entry.quantity - entry.filled)
            if presumed != entry.presumed:
                desk.trades[symbol] = trade.with_leg(replace(entry, presumed=presumed))
                desk.alarm(
                    f"{symbol}: no book tells of our entry, the positions hold {presumed} shares more; protected"
                )

    # --- what is missing ---

    def _note_missing(self, orders: Iterable[BookedOrder]) -> dict[str, Leg]:
        """Note which orders should be in the order book and are not; one that has been missing for a second is told."""
        desk, shown = self._desk, {order.order_id for order in orders}
        present = {}
        for leg in self._legs():
            known = self._books.ledger.orders.get(leg.order_id or "")
            of_today = known is None or known.placed_at.date() == desk.now.date()
            if leg.works and leg.order_id is not None and leg.order_id not in shown and of_today:
                present[leg.order_id] = leg
        self._missing = {name: self._missing.get(name) or _Since(desk.now) for name in present}
        late = {name for name, since in self._missing.items() if since.is_over(desk.now)}
        for name in late:
            leg = present[name]
            desk.alarm(
                f"the broker's order book does not show our {leg.purpose} {leg.order_id}, which it has taken; "
                "its trade book and positions are asked instead"
            )
        return present

    def _legs(self) -> list[Leg]:
        return [leg for trade in self._desk.trades.values() for leg in trade.legs if leg.ours]
