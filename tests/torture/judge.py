"""What is left of a tortured day, judged from outside: by the exchange's own books and the journal's."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Findings:
    duplicates: int  #: tags with more than one order, decisions with more than one entry
    lost_fills: int  #: our trades at the exchange that the journal does not hold as they were
    orphans: int  #: shares, working orders or positions that nobody looks after at the end
    naked_seconds: float  #: longest time, by the market, of open shares without an order that would take them back
    naked_dead_seconds: float  #: the same while no daemon lived, told apart
    cash_mismatches: int
    orders: int
    fills: int
    outcomes: int
    sentences: list[str] = field(default_factory=list)


class NakedWatch:
    """Follows the exchange's book step by step: which open shares have no resting order against them, since when."""

    def __init__(self) -> None:
        self._since: dict[str, datetime] = {}
        self._unattended: set[str] = set()  # symbols that were naked while no daemon lived
        self._turn = False  # whether a daemon asked for the next step: it had its chance
        self.longest = timedelta(0)
        self.longest_dead = timedelta(0)
        self.when = ""

    def follow(self, conductor: Any) -> None:
        """Look at the book just before every further step: what a daemon left then, it left on purpose."""
        self._venue = conductor.venue
        advance, go_on = conductor.venue.advance, conductor.go_on

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._look(attended=self._turn)
            return advance(*args, **kwargs)

        async def asked() -> Any:
            self._turn = True
            try:
                return await go_on()
            finally:
                self._turn = False

        conductor.venue.advance, conductor.go_on = watched, asked

    def _look(self, *, attended: bool) -> None:
        now, naked = self._venue.clock, self._naked()
        for symbol in [symbol for symbol in self._since if symbol not in naked]:
            del self._since[symbol]
            self._unattended.discard(symbol)
        for symbol in naked:
            lasted = now - self._since.setdefault(symbol, now)
            if not attended:
                self._unattended.add(symbol)
            if symbol in self._unattended:
                self.longest_dead = max(self.longest_dead, lasted)
            elif lasted > self.longest:
                self.longest, self.when = lasted, f"{symbol} at {now:%H:%M:%S}"

    def _naked(self) -> list[str]:
        taking_back: dict[tuple[str, int], int] = defaultdict(int)
        for order in self._venue.book.working():
            taking_back[order.symbol, order.request.side.sign] += order.pending_quantity
        held = {symbol: position.quantity for (symbol, _), position in self._venue.account.positions.items()}
        return [
            symbol
            for symbol, quantity in held.items()
            if quantity and taking_back[symbol, -1 if quantity > 0 else 1] < abs(quantity)
        ]


def judge(venue: Any, database: str, account: str, watch: NakedWatch) -> Findings:
    """Hold the journal against the exchange."""
    from pipelines.journal.journal import Journal

    journal = Journal(database)
    try:
        intents, fills, outcomes = journal.intents(account), journal.fills(account), journal.outcomes(account)
        orders, positions = journal.orders(account), journal.open_positions(account)
        opening = journal.open_account(account, venue.account.opening_cash, venue.clock)
    finally:
        journal.close()
    said: list[str] = []
    placed = [order for order in _all_orders(venue) if order.placed_by == "PAPER1"]
    ours = {order.order_id for order in placed}
    tags = Counter(order.request.tag for order in placed)
    duplicates = [f"tag {tag} has {count} orders" for tag, count in tags.items() if count > 1]
    order_of = {order.request.tag: order for order in placed}
    entries = Counter(i.decision_id for i in intents if i.purpose.value == "entry" and i.tag in order_of)
    duplicates += [f"decision {decision} was entered {count} times" for decision, count in entries.items() if count > 1]
    known = {(fill.order_id, fill.trade_id): (fill.quantity, fill.price) for fill in fills}
    theirs = {(t.order.order_id, t.trade_id): (t.quantity, t.price) for t in venue.book.trades}
    lost = [f"trade {key} {what} is not in the journal" for key, what in theirs.items() if known.get(key) != what]
    lost += [f"the journal's fill {key} is not at the exchange" for key in known if key not in theirs]
    orphans = [
        f"{position.quantity} {symbol} are left" for (symbol, _), position in venue.account.positions.items()
        if position.quantity
    ]  # fmt: skip
    orphans += [f"order {order.order_id} still works" for order in venue.book.working()]
    orphans += [f"position {p.symbol} {p.position_id} was never closed in the journal" for p in positions]
    orphans += [f"order {o} is not in the journal" for o in ours - {order.order_id for order in orders}]
    charges = sum((charge.total for charge in venue.charges_of.values()), Decimal(0))
    moved = sum((-fill.side.sign * fill.price * fill.quantity for fill in fills), Decimal(0))
    cash = []
    if opening + moved - charges != venue.account.cash:
        cash.append(
            f"cash: the journal's fills leave {opening + moved - charges}, the exchange has {venue.account.cash}"
        )
    net = sum((outcome.net_inr for outcome in outcomes), Decimal(0))
    if not orphans and net != venue.account.cash - opening:
        cash.append(f"outcomes sum to {net}, the cash changed by {venue.account.cash - opening}")
    said += duplicates + lost + orphans + cash
    return Findings(
        len(duplicates), len(lost), len(orphans), watch.longest.total_seconds(), watch.longest_dead.total_seconds(),
        len(cash), len(placed), len(theirs), len(outcomes), said,
    )  # fmt: skip


def _all_orders(venue: Any) -> list[Any]:
    return [states[-1] for states in venue.book._states.values()]
