"""Orders that the broker took twice: one tag, two orders. All are the intent's; what is too much is taken back."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.orders import IntentStatus, OrderStatus, OrderType, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from serving.executor.broker import Refused
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market


class Twice(MemoryBroker):
    """Takes every order of some purposes twice; the answer tells of the first."""

    def __init__(self, *purposes: Purpose):
        super().__init__(CASH, OPEN)
        self.purposes = purposes

    def place(self, intent):
        first = super().place(intent)
        if intent.purpose in self.purposes and not isinstance(first, Refused):
            self.calls.pop()
            self.calls.append(("twice", intent.purpose.value, intent.quantity))
            second = f"{next(self._ids):06d}"
            self.book[second] = replace(self.book[first], order_id=second)
        return first


def held_twice() -> Market:
    """An entry of 50 that was taken twice and has filled twice."""
    market = Market(broker=Twice(Purpose.ENTRY))
    market.decides(quantity=50)
    market.broker.purposes = ()
    book = market.broker.book
    late = [order for order in book.values() if order.status is OrderStatus.CANCELLED]
    for order in late:  # the cancellation of the second came too late
        book[order.order_id] = replace(order, status=OrderStatus.WORKING)
    market.trades("100.00")
    return market


def shares_of(market: Market) -> int:
    return market.broker.shares().get("TCS", 0)


def told_of_a_double(market: Market) -> bool:
    return any("which we sent once" in alarm for alarm in market.session.alarms)


def test_a_second_order_of_an_entry_is_cancelled_while_it_works():
    market = Market(broker=Twice(Purpose.ENTRY))

    market.decides(quantity=50)
    market.trades("100.00")

    assert shares_of(market) == 50
    assert market.working == [(OrderType.SL_M, 50)]
    assert told_of_a_double(market)


def test_the_surplus_of_a_doubled_entry_is_sold_and_the_rest_protected():
    market = held_twice()
    market.trades("100.00")

    assert shares_of(market) == 50
    assert market.working == [(OrderType.SL_M, 50)]
    assert told_of_a_double(market)
    market.trades("105.00")
    market.trades("105.10")
    assert market.outcome().exit_reason is ExitReason.TARGET


def test_no_share_of_a_doubled_entry_is_bare_while_its_surplus_is_sold():
    market = held_twice()

    trade = market.session.trades["TCS"]

    assert (trade.held, trade.uncovered) == (100, 0)
    assert sorted(market.working) == [(OrderType.MARKET, 50), (OrderType.SL_M, 50)]


def test_a_surplus_that_cannot_be_sold_is_covered_by_the_stop():
    market = Market(broker=Twice(Purpose.ENTRY))
    market.decides(quantity=50)
    market.broker.purposes = ()
    for order in list(market.broker.book.values()):
        market.broker.book[order.order_id] = replace(order, status=OrderStatus.WORKING)
    place = market.broker.place
    market.broker.place = lambda i: Refused("no") if i.purpose is Purpose.CORRECTION else place(i)

    market.trades("100.00")

    assert market.session.trades["TCS"].uncovered == 0
    assert market.working == [(OrderType.SL_M, 100)]


def test_a_double_of_a_short_is_bought_back():
    market = Market(broker=Twice(Purpose.ENTRY))
    market.decides(quantity=50, side=Side.SELL, stop=Decimal("102.00"), target=Decimal("95.00"))
    for order in list(market.broker.book.values()):
        market.broker.book[order.order_id] = replace(order, status=OrderStatus.WORKING)
    market.broker.purposes = ()
    market.trades("100.00")
    market.trades("100.00")

    assert shares_of(market) == -50
    assert market.working == [(OrderType.SL_M, 50)]


def test_a_stop_that_was_taken_twice_rests_once():
    market = Market(broker=Twice(Purpose.STOP))
    market.decides(quantity=50)

    market.trades("100.00")

    assert market.working == [(OrderType.SL_M, 50)]
    assert told_of_a_double(market)
    market.trades("97.00")
    market.trades("97.00")
    assert shares_of(market) == 0
    assert market.outcome().exit_reason is ExitReason.STOP


def test_two_orders_of_a_stop_that_both_filled_are_bought_back():
    market = Market(broker=MemoryBroker(CASH, OPEN))
    market.decides(quantity=50)
    market.trades("100.00")
    stop = market.broker.orders()[-1]
    market.broker.book["999999"] = replace(stop, order_id="999999")

    market.trades("97.00")
    market.trades("97.00")
    market.trades("97.00")

    assert shares_of(market) == 0
    assert market.outcome().quantity == 50
    assert told_of_a_double(market)


def test_an_exit_that_was_taken_twice_sells_nothing_twice():
    market = Market(broker=Twice(Purpose.EXIT))
    market.decides(quantity=50)
    market.broker.refuses.append("trigger price is beyond the last price")

    market.trades("100.00")  # the stop is refused: it is left at once
    for _ in range(3):
        market.trades("99.90")

    assert shares_of(market) == 0
    assert market.outcome().exit_reason is ExitReason.EMERGENCY
    assert told_of_a_double(market)


@pytest.mark.parametrize("fills", [True, False])
def test_a_double_that_shows_after_its_trade_was_over_is_closed(fills):
    market = Market()
    market.decides(quantity=50)
    market.trades("100.00")
    market.trades("97.00")
    assert market.session.trades == {}
    entry = market.broker.orders()[0]
    late = replace(entry, order_id="999999", status=OrderStatus.WORKING, filled_quantity=0)
    market.broker.book["999999"] = late
    if fills:
        market.broker.trade("TCS", Decimal("97.00"), market.at)
    market.session.on_connection_lost()

    for _ in range(3):
        market.trades("97.50")

    assert shares_of(market) == 0
    assert market.working == []
    assert market.session.reconcile() == []
    assert told_of_a_double(market)


@pytest.mark.parametrize("moment", ["before it was seen", "while its surplus is sold"])
def test_a_double_outlives_a_death(moment):
    if moment == "before it was seen":
        first = Market()
        first.decides(quantity=50)
        entry = first.broker.orders()[0]
        first.broker.book["999999"] = replace(entry, order_id="999999")
        first.broker.trade("TCS", Decimal("100.00"), first.at)
    else:
        first = held_twice()

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    second.trades("100.00")
    second.trades("100.00")

    assert shares_of(second) == 50
    assert second.working == [(OrderType.SL_M, 50)]
    second.trades("97.00")
    assert second.outcome().quantity == 100


def test_the_journal_holds_each_order_of_a_tag_with_its_fills():
    market = held_twice()
    market.trades("100.00")

    entry = next(i for i in market.journal.intents("T1") if i.purpose is Purpose.ENTRY)
    orders = [order for order in market.journal.orders("T1") if order.tag == entry.tag]

    assert [order.filled_quantity for order in orders] == [50, 50]
    assert Counter(fill.order_id for fill in market.journal.fills("T1") if fill.side is Side.BUY).total() == 2
    assert entry.status is IntentStatus.DONE
    assert market.session.reconcile() == []


def test_a_second_entry_that_fills_in_part_before_it_is_cancelled_leaves_what_was_asked_for():
    market = Market(broker=Twice(Purpose.ENTRY))
    cancel = market.broker.cancel
    market.broker.cancel = lambda order_id: Refused("the order is being processed", unclear=True)
    market.decides(quantity=50)
    market.broker.purposes = ()
    market.trades("100.00", volume=20)
    market.broker.cancel = cancel
    for _ in range(6):
        market.at += timedelta(seconds=1)
        market.trades("100.00", volume=20)

    assert shares_of(market) == 50
    assert market.working == [(OrderType.SL_M, 50)]
