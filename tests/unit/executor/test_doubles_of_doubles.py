"""Orders and their corrections that are taken twice and shown late: in the end no share is too many or too few."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.domain.errors import BooksDiffer
from pipelines.domain.orders import Intent, OrderStatus, OrderType
from pipelines.domain.signals import Side
from serving.executor.broker import Refused
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market

ASKED = 50
CALM = 32  #: frames in which nothing new goes wrong


@dataclass(frozen=True)
class Fate:
    """What becomes of one request to place an order."""

    copies: int = 0  #: further orders that the broker makes of it
    shown_after: int = 0  #: frames until those are in its books
    answered: bool = True  #: if not, the first one is shown late, too


@dataclass(frozen=True)
class Turn:
    """One trade in the market."""

    price: str
    volume: int | None = None
    seconds: int = 10


@dataclass
class Story:
    fates: list[Fate]  #: of the orders in the order in which they are placed; later ones are taken once
    turns: list[Turn]
    side: Side = Side.BUY
    dies_before: list[int] = field(default_factory=list)  #: turns before which the session is started anew


class Doubling(MemoryBroker):
    """Takes orders as often as their fates say and shows the copies late; its positions are always true."""

    def __init__(self, fates: list[Fate]):
        super().__init__(CASH, OPEN)
        self.fates, self.frame = list(fates), 0
        self.shown_from: dict[str, int] = {}  # frame by order

    def place(self, intent: Intent):
        first = super().place(intent)
        if isinstance(first, Refused) or not self.fates:
            return first
        fate = self.fates.pop(0)
        for _ in range(fate.copies):
            copy = f"{next(self._ids):06d}"
            self.book[copy] = replace(self.book[first], order_id=copy)
            self.shown_from[copy] = self.frame + fate.shown_after
        if fate.answered:
            return first
        self.shown_from[first] = self.frame + fate.shown_after
        return Refused("no answer", unclear=True)

    def shows(self, order_id: str) -> bool:
        return self.frame >= self.shown_from.get(order_id, 0)

    def orders(self):
        return [order for order in super().orders() if self.shows(order.order_id)]

    def fills(self):
        return [fill for fill in super().fills() if self.shows(fill.order_id)]


class LateMarket(Market):
    """Each turn is a frame; updates come of what the broker shows."""

    def plays(self, turn: Turn) -> None:
        self.broker.frame += 1
        self.trades(turn.price, turn.seconds, turn.volume)

    @property
    def held(self) -> int:
        return self.broker.shares().get("TCS", 0)

    @property
    def works(self) -> list:
        return [order for order in self.broker.book.values() if order.status is OrderStatus.WORKING]


def lived(story: Story) -> LateMarket:
    """The story to where nothing new goes wrong and all that was hidden is shown."""
    market = LateMarket(broker=Doubling(story.fates))
    sign = story.side.sign
    market.decides(
        quantity=ASKED, side=story.side, stop=Decimal(100 - 2 * sign), target=Decimal(100 + 5 * sign), hold_bars=1000
    )
    for number, turn in enumerate(story.turns):
        market = restarted(market) if number in story.dies_before else market
        market.plays(turn)
    market.broker.fates.clear()
    for _ in range(CALM):
        market.plays(Turn("100.00"))
    return market


def restarted(market: LateMarket) -> LateMarket:
    """After a death; a start that is refused, since the books do not tell all yet, is tried again a turn later."""
    while True:
        try:
            again = LateMarket(journal=market.journal, broker=market.broker, at=market.at)
        except BooksDiffer:
            market.broker.frame += 1
            market.at += timedelta(seconds=10)
            market.broker.trade("TCS", Decimal("100.00"), market.at)
            continue
        again.total = market.total
        return again


def must_be_in_order(market: LateMarket, side: Side) -> None:
    """What is held is what was asked for or less, covered by one order; or nothing is held and nothing works."""
    shares = market.held * side.sign
    assert 0 <= shares <= ASKED
    trade = market.session.trades.get("TCS")
    assert shares == (trade.held if trade is not None else 0)
    assert [(order.order_type, order.quantity - order.filled_quantity) for order in market.works] == (
        [(OrderType.SL_M, shares)] if shares else []
    )


def must_end_in_order(market: LateMarket) -> None:
    market.clock(OPEN.replace(hour=14, minute=56))
    for _ in range(8):
        market.plays(Turn("100.00"))
    assert market.broker.shares() == {}
    assert market.works == []
    assert market.session.trades == {}
    assert market.session.reconcile() == []
    outcomes = market.journal.outcomes("T1")
    assert len(outcomes) <= 1
    assert sum((outcome.net_inr for outcome in outcomes), Decimal(0)) == market.broker.ledger - CASH


#: Entries, exits and their corrections, all but one taken more than once
CHAIN = Story(
    [Fate(2, 5, answered=False), Fate(2, 1), Fate(1, 2), Fate(1, 2)],
    [
        Turn("105.00"),
        Turn("97.50", 7),
        Turn("102.00", 7, 60),
        Turn("98.00", None, 60),
        Turn("102.00", None, 1),
        Turn("100.05", None, 60),
        Turn("102.50", None, 1),
    ],
    Side.SELL,
)
#: The copies of entry and stop show together, and after a death
TOGETHER = Story(
    [Fate(1, 5), Fate(1, 4)],
    [Turn("100.05"), Turn("98.00"), Turn("98.00"), Turn("98.00"), Turn("98.00"), Turn("98.00"), Turn("98.00")],
    dies_before=[4],
)
FATES = st.builds(Fate, st.sampled_from([1, 1, 1, 2, 0]), st.integers(0, 5), st.sampled_from([True, True, True, False]))
PRICES = st.sampled_from(["100.00", "100.05", "98.00", "97.50", "102.00", "102.50", "105.00", "95.00"])
TURNS = st.builds(Turn, PRICES, st.sampled_from([None, None, 7, 20, 60]), st.sampled_from([1, 10, 60]))
STORIES = st.builds(
    Story,
    st.lists(FATES, min_size=1, max_size=9),
    st.lists(TURNS, min_size=1, max_size=12),
    st.sampled_from(Side),
    st.lists(st.integers(0, 11), max_size=2),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STORIES)
@example(CHAIN)
@example(TOGETHER)
def test_doubles_of_doubles_shown_late_leave_no_share_too_many_or_too_few(story):
    market = lived(story)

    must_be_in_order(market, story.side)
    must_end_in_order(market)
