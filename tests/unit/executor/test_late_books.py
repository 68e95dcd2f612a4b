"""Books that tell late: a trade book behind the order book, an order that comes when nobody waits for it any more."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from pipelines.domain.orders import OrderType, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market, Slow


class Lagging(MemoryBroker):
    """Its trade book shows the fills of a trade in the market only after it was read a few times."""

    def __init__(self, looks: int):
        super().__init__(CASH, OPEN)
        self.looks, self.behind, self.shown = looks, 0, 0

    def trade(self, symbol, price, at, volume=None):
        self.behind, self.shown = self.looks, len(self.trade_book)
        super().trade(symbol, price, at, volume)

    def fills(self):
        if self.behind:
            self.behind -= 1
            return self.trade_book[: self.shown]
        return super().fills()


def test_an_entry_whose_fills_are_told_late_is_still_protected():
    market = Market(broker=Lagging(looks=2))
    market.decides(quantity=10)

    market.trades("100.00")
    market.clock(market.at + timedelta(seconds=2))
    market.clock(market.at + timedelta(seconds=2))

    assert market.working == [(OrderType.SL_M, 10)]


def test_a_stop_whose_fills_are_told_late_is_no_reason_for_a_second_order():
    market = Market(broker=Lagging(looks=0))
    market.decides(quantity=10)
    market.trades("100.00")
    market.broker.looks = 3

    market.trades("97.00")
    equity = market.session.equity
    for _ in range(3):
        market.clock(market.at + timedelta(seconds=2))

    assert [call[:2] for call in market.broker.calls] == [("place", "entry"), ("place", "stop")]
    assert equity > CASH - 100, "shares that are sold and not paid yet are no loss"
    assert market.outcome().mae_inr == Decimal("-30.00")


def test_a_lost_entry_that_arrives_while_no_daemon_lives_gets_its_stop():
    broker = Slow(Purpose.ENTRY)
    first = Market(broker=broker)
    first.decides(quantity=10)
    first.clock(OPEN + timedelta(minutes=2))
    broker.arrives()

    second = Market(journal=first.journal, broker=broker, at=first.at)
    second.trades("100.00")

    assert second.working == [(OrderType.SL_M, 10)]


def test_a_lost_stop_that_arrives_after_its_trade_was_over_while_no_daemon_lives_is_taken_back():
    broker = Slow(Purpose.STOP)
    first = Market(broker=broker)
    first.decides(quantity=10)
    first.trades("100.00")
    first.clock(OPEN + timedelta(minutes=2))
    first.trades("97.00")
    assert first.session.trades == {}
    broker.arrives()

    second = Market(journal=first.journal, broker=broker, at=first.at)

    assert second.working == []
    second.trades("97.00")
    assert second.outcome().exit_reason is ExitReason.STOP


def test_a_lost_stop_that_fills_after_its_trade_was_over_while_no_daemon_lives_is_bought_back():
    broker = Slow(Purpose.STOP)
    first = Market(broker=broker)
    first.decides(quantity=10)
    first.trades("100.00")
    first.clock(OPEN + timedelta(minutes=2))
    first.trades("97.00")
    broker.arrives()
    broker.trade("TCS", Decimal("96.50"), first.at)
    assert broker.shares() == {"TCS": -10}

    second = Market(journal=first.journal, broker=broker, at=first.at)
    second.trades("96.60")

    assert broker.shares() == {}
    assert second.outcome().gross_inr == broker_gross(broker)
    third = Market(journal=first.journal, broker=broker, at=second.at)
    assert third.session.trades == {}
    assert len(broker.orders()) == 4, "an entry, two stops and one correction"


def broker_gross(broker: MemoryBroker) -> Decimal:
    return sum((-fill.side.sign * fill.price * fill.quantity for fill in broker.trade_book), Decimal(0))


def with_a_late_entry_in_another_trade() -> Market:
    """An entry that is held to be lost arrives when another decision's trade is open in its symbol."""
    market = Market(broker=Slow(Purpose.ENTRY))
    market.decides(quantity=10)
    market.clock(OPEN + timedelta(minutes=2))
    market.decides(quantity=10)
    market.trades("100.00")
    assert market.working == [(OrderType.SL_M, 10)]
    market.broker.arrives()
    market.trades("100.00")
    assert market.working == [(OrderType.SL_M, 20)]
    return market


def test_a_late_entry_stays_with_the_trade_it_joined_after_a_death():
    first = with_a_late_entry_in_another_trade()

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    assert second.working == [(OrderType.SL_M, 20)]
    second.trades("97.00")

    assert second.outcome().quantity == 20
    assert first.journal.open_positions("T1") == []


def test_a_late_entry_makes_no_trade_of_its_own_once_the_trade_it_joined_is_over():
    first = with_a_late_entry_in_another_trade()
    first.trades("97.00")
    assert first.outcome().quantity == 20

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.trades("97.00")

    assert second.session.trades == {}
    assert second.working == []
    assert second.broker.shares() == {}


def test_a_resting_order_of_a_person_does_not_keep_a_trade_open():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    stop = market.broker.orders()[-1]
    market.broker.place_foreign("TCS", Side.SELL, 10, stop)
    theirs = market.broker.orders()[-1]
    limit = replace(theirs, order_type=OrderType.LIMIT, limit_price=Decimal("110.00"))
    market.broker.book[theirs.order_id] = limit
    market.session.on_connection_lost()

    market.trades("97.00")

    assert market.outcome().exit_reason is ExitReason.STOP
    assert market.broker.book[theirs.order_id] == limit, "never touched"
