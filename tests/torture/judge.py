"""What is left of a tortured day, judged from outside: the exchange's own books against the journal."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

from pipelines.domain.orders import Purpose
from pipelines.journal.journal import Journal
from serving.exchange.book import Order, Status
from serving.exchange.venue import Venue
from serving.executor.ledger import Ledger
from tests.torture.hand_trades import PERSON

CLIENT = "PAPER1"  #: who places our orders at the exchange; the broker's own have another name


@dataclass(frozen=True)
class Findings:
    """Sentences, each one thing that must not be."""

    duplicates: tuple[str, ...]  #: more than one order of an intent, more than one entry of a decision
    lost_fills: tuple[str, ...]  #: trades at the exchange that the journal does not hold as they were, and the reverse
    orphans: tuple[str, ...]  #: shares, working orders, positions and intents that nobody looks after at the end
    cash_mismatches: tuple[str, ...]
    orders: int
    fills: int
    outcomes: int

    @property
    def sentences(self) -> list[str]:
        return [*self.duplicates, *self.lost_fills, *self.orphans, *self.cash_mismatches]


def judge(venue: Venue, journal: Journal, account: str) -> Findings:
    """Hold a finished day's journal against the exchange that played it."""
    placed = [order for order in venue.book.of_day(venue.session.day) if order.placed_by == CLIENT]
    asked_for = [
        order for order in placed if order.order_id not in venue.doubles
    ]  # the broker's own doubles are closed
    return Findings(
        tuple(_duplicates(asked_for, journal, account)),
        tuple(_lost_fills(venue, journal, account)),
        tuple(_orphans(placed, venue, journal, account)),
        tuple(_cash_mismatches(venue, journal, account)),
        len(placed),
        len(venue.book.trades),
        len(journal.outcomes(account)),
    )


def _duplicates(placed: list[Order], journal: Journal, account: str) -> list[str]:
    intents = {intent.tag: intent for intent in journal.intents(account)}
    tags = Counter(order.request.tag for order in placed)
    found = [f"tag {tag} has {count} orders" for tag, count in tags.items() if count > 1]
    found += [f"an order has the tag {tag}, which no intent has" for tag in tags if tag not in intents]
    entered = Counter(
        intents[order.request.tag].decision_id
        for order in placed
        if order.request.tag in intents
        and intents[order.request.tag].purpose is Purpose.ENTRY
        and order.status is not Status.REJECTED
    )
    return found + [
        f"decision {decision} was entered {count} times" for decision, count in entered.items() if count > 1
    ]


def _lost_fills(venue: Venue, journal: Journal, account: str) -> list[str]:
    ours = {
        (fill.order_id, fill.trade_id): (fill.symbol, fill.side, fill.quantity, fill.price)
        for fill in journal.fills(account)
    }
    theirs = {
        (trade.order.order_id, trade.trade_id): (
            trade.order.symbol,
            trade.order.request.side,
            trade.quantity,
            trade.price,
        )
        for trade in venue.book.trades
    }
    found = [
        f"trade {key} is {ours.get(key)} in the journal, {what} at the exchange"
        for key, what in theirs.items()
        if ours.get(key) != what
    ]
    return found + [f"the exchange does not know the journal's fill {key}" for key in ours.keys() - theirs.keys()]


def _orphans(placed: list[Order], venue: Venue, journal: Journal, account: str) -> list[str]:
    held = {symbol: position.quantity for (symbol, _), position in venue.account.positions.items()}
    known = {order.order_id for order in journal.orders(account)}
    found = [f"{shares} {symbol} are left at the exchange" for symbol, shares in held.items() if shares]
    found += [f"order {order.order_id} on {order.symbol} still works" for order in venue.book.working()]
    found += [f"order {order.order_id} is not in the journal" for order in placed if order.order_id not in known]
    for position in journal.open_positions(account):
        found.append(f"position {position.symbol} of {position.entered_at:%H:%M:%S} was never closed in the journal")
    for intent in journal.intents(account, living=True):
        found.append(f"the {intent.purpose} intent on {intent.symbol} is {intent.status} for ever")
    return found


def _cash_mismatches(venue: Venue, journal: Journal, account: str) -> list[str]:
    opening, cash = venue.account.opening_cash, venue.account.cash
    ledger = Ledger(opening)
    for order in journal.orders(account):
        ledger.note_order(order)
    for fill in journal.fills(account):
        ledger.note_fill(fill)
    net = sum((outcome.net_inr for outcome in journal.outcomes(account)), Decimal(0))
    found = [] if ledger.cash == cash else [f"cash: {ledger.cash} by the journal, {cash} at the exchange"]
    lowest, highest = _made_by_us(venue)
    if lowest <= net <= highest:
        return found
    return [*found, f"outcomes: {net} in sum, our orders made between {lowest} and {highest}"]


def _made_by_us(venue: Venue) -> tuple[Decimal, Decimal]:
    """Rupees that our orders made after charges. Shares of ours that others took back are worth what those got for
    them, which lies between two bounds if a person has traded beside us; otherwise both are the same.
    """
    ours = {order.order_id for order in venue.book.of_day(venue.session.day) if order.placed_by == CLIENT}
    cash, left = Decimal(0), Counter[str]()
    theirs: dict[str, list[tuple[Decimal, Decimal]]] = {}
    for trade in venue.book.trades:
        sign, symbol = trade.order.request.side.sign, trade.order.symbol
        if trade.order.order_id in ours:
            cash -= sign * trade.price * trade.quantity
            left[symbol] += sign * trade.quantity
        else:
            charged = (
                venue.charges_of[trade.order.order_id].total / venue.book.find(trade.order.order_id).filled_quantity
            )
            theirs.setdefault(symbol, []).append((trade.price, charged))
    cash -= sum((charges.total for name, charges in venue.charges_of.items() if name in ours), Decimal(0))
    if not any(order.placed_by == PERSON for order in venue.book.of_day(venue.session.day)):
        moved = venue.account.cash - venue.account.opening_cash
        return moved, moved
    lowest = highest = cash
    for symbol, shares in left.items():
        if shares:
            worth = [shares * price for price, _ in theirs[symbol]]
            lowest += min(worth) - abs(shares) * max(charged for _, charged in theirs[symbol]) - 1
            highest += max(worth) + 1  # a part of charges is rounded by item
    return lowest, highest
