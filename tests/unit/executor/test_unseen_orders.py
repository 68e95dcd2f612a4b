"""Books that deny what happened: a fill after its order had ended, an order book that is empty or short for a while."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.orders import OrderStatus, OrderType, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from serving.executor.broker import Refused
from tests.unit.executor.memory_broker import MemoryBroker
from tests.unit.executor.test_session import CASH, OPEN, Market


class Denying(MemoryBroker):
    """Shows an order book, a trade book and positions with what is in `denied` left out."""

    def __init__(self):
        super().__init__(CASH, OPEN)
        self.denied: set[str] = set()  #: of: orders, trades, positions

    def orders(self):
        return [] if "orders" in self.denied else super().orders()

    def fills(self):
        return [] if "trades" in self.denied else super().fills()

    def shares(self):
        return {} if "positions" in self.denied else super().shares()


def ticking(market: Market, price: str, seconds: int) -> None:
    """A trade in the market at a price each second."""
    for _ in range(seconds):
        market.trades(price, seconds=1)


def ends_without_a_fill(market: Market, status: OrderStatus) -> None:
    market.decides(quantity=10)
    entry = market.broker.orders()[0]
    market.broker.book[entry.order_id] = replace(entry, status=status)
    market.session.on_connection_lost()
    market.clock(market.at + timedelta(seconds=1))
    assert market.session.trades == {}


def fills_after_all(market: Market, quantity: int, *, in_order_book: bool) -> None:
    """The entry has traded; the order book may never tell. Its charges are taken of the whole then."""
    entry = market.broker.orders()[0]
    before = market.broker.ledger
    market.broker._charge(entry)
    market.broker.ledger = before + (before - market.broker.ledger)
    market.broker._fill(replace(entry, status=OrderStatus.WORKING), quantity, Decimal("100.00"))
    if not in_order_book:
        market.broker.book[entry.order_id] = entry


@pytest.mark.parametrize("in_order_book", [True, False])
@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.REJECTED])
def test_a_fill_shown_after_its_entry_had_ended_is_protected_within_a_second(status, in_order_book):
    market = Market()
    ends_without_a_fill(market, status)

    fills_after_all(market, 10, in_order_book=in_order_book)
    ticking(market, "100.00", 2)

    assert market.working == [(OrderType.SL_M, 10)]
    assert any("after it had ended" in alarm for alarm in market.session.alarms)


def test_a_late_fill_becomes_an_outcome_like_any_other():
    market = Market()
    ends_without_a_fill(market, OrderStatus.CANCELLED)
    fills_after_all(market, 10, in_order_book=True)
    ticking(market, "100.00", 2)

    market.trades("97.00")

    assert market.outcome().exit_reason is ExitReason.STOP


def test_a_late_fill_of_an_entry_that_filled_in_part_grows_its_trade():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    entry = market.broker.orders()[0]
    market.broker.cancel(entry.order_id)
    market.session.on_connection_lost()
    market.trades("100.00", seconds=1)
    assert market.working == [(OrderType.SL_M, 4)]

    fills_after_all(market, 6, in_order_book=False)
    ticking(market, "100.00", 2)

    assert market.working == [(OrderType.SL_M, 10)]


def test_a_late_fill_after_its_trade_was_over_is_taken_back():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    market.broker.cancel(market.broker.orders()[0].order_id)
    market.trades("97.00", seconds=1)
    assert market.session.trades == {}

    fills_after_all(market, 6, in_order_book=True)
    ticking(market, "97.00", 4)

    assert market.broker.shares() == {}
    assert market.outcome().quantity == 10


def test_a_late_fill_after_its_trade_was_over_is_found_by_the_next_daemon():
    first = Market()
    first.decides(quantity=10)
    first.trades("100.00", volume=4)
    first.broker.cancel(first.broker.orders()[0].order_id)
    first.trades("97.00", seconds=1)
    fills_after_all(first, 6, in_order_book=True)

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    ticking(second, "97.00", 4)

    assert second.broker.shares() == {}
    assert second.outcome().quantity == 10


def test_what_only_the_positions_tell_later_is_looked_for_in_the_trade_book():
    market = Market()
    ends_without_a_fill(market, OrderStatus.CANCELLED)
    market.clock(market.at + timedelta(minutes=3))  # nobody watches any more
    fills_after_all(market, 10, in_order_book=False)

    market.session.reconcile()
    ticking(market, "100.00", 2)

    assert market.working == [(OrderType.SL_M, 10)]


# --- an order book that is empty ---


def test_an_entry_that_only_the_order_book_tells_of_is_protected_at_once():
    market = Market(broker=Denying())
    market.decides(quantity=10)
    market.broker.denied = {"trades"}

    market.trades("100.00", seconds=1)

    assert market.working == [(OrderType.SL_M, 10)]
    market.trades("97.00", seconds=1)
    market.broker.denied = set()
    ticking(market, "97.00", 2)
    assert market.outcome().exit_reason is ExitReason.STOP


@pytest.mark.parametrize("denied", [{"orders"}, {"orders", "positions"}, {"orders", "trades"}])
def test_an_entry_that_the_order_book_denies_is_protected_and_told(denied):
    market = Market(broker=Denying())
    market.broker.denied = denied
    market.decides(quantity=10)

    market.trades("100.00", seconds=1)
    ticking(market, "100.00", 2)

    stops = [order for order in market.broker.book.values() if order.order_type is OrderType.SL_M]
    assert [(order.quantity, order.status) for order in stops] == [(10, OrderStatus.WORKING)]
    assert any("does not show our entry" in alarm for alarm in market.session.alarms)


@pytest.mark.parametrize("denied", [{"orders"}, {"orders", "trades"}])
def test_a_trade_goes_on_when_the_order_book_is_back(denied):
    market = Market(broker=Denying())
    market.broker.denied = denied
    market.decides(quantity=10)
    ticking(market, "100.00", 90)

    market.broker.denied = set()
    ticking(market, "100.00", 2)

    assert market.working == [(OrderType.SL_M, 10)]
    assert market.session.trades["TCS"].position.quantity == 10
    market.trades("97.00")
    assert market.outcome().exit_reason is ExitReason.STOP


def test_where_no_book_tells_anything_nothing_is_sent_and_a_person_is_told():
    market = Market(broker=Denying())
    market.broker.denied = {"orders", "trades", "positions"}
    market.decides(quantity=10)

    ticking(market, "100.00", 3)

    assert [call[1] for call in market.broker.calls] == ["entry"]
    assert any("does not show our entry" in alarm for alarm in market.session.alarms)


def test_a_stop_that_the_order_book_leaves_out_is_told_and_not_sent_again():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    stop = market.broker.orders()[-1]
    shown = market.broker.orders
    market.broker.orders = lambda: [order for order in shown() if order.order_id != stop.order_id]

    for _ in range(3):
        market.session.on_connection_lost()
        market.clock(market.at + timedelta(seconds=1))

    assert len(market.broker.book) == 2
    assert any("does not show our stop" in alarm for alarm in market.session.alarms)


def test_a_stop_that_filled_behind_an_empty_order_book_ends_its_trade():
    market = Market(broker=Denying())
    market.decides(quantity=10)
    market.trades("100.00")
    market.broker.denied = {"orders"}

    market.session.on_connection_lost()
    ticking(market, "97.00", 1)
    for _ in range(3):
        market.session.on_connection_lost()
        ticking(market, "97.00", 1)

    assert market.session.trades == {}
    assert len(market.broker.book) == 2


def test_an_entry_without_an_answer_is_protected_as_soon_as_the_positions_show_it():
    market = Market(broker=Denying())
    place = market.broker.place

    def without_an_answer(intent):
        place(intent)
        return Refused("no answer", unclear=True)

    market.broker.place = without_an_answer
    market.broker.denied = {"orders", "trades"}
    market.decides(quantity=10)
    market.broker.place = place
    market.trades("100.00", seconds=1)
    ticking(market, "100.00", 1)

    stops = [order for order in market.broker.book.values() if order.order_type is OrderType.SL_M]
    assert [order.quantity for order in stops] == [10]
    ticking(market, "100.00", 90)
    market.broker.denied = set()
    ticking(market, "97.00", 2)
    assert market.outcome().exit_reason is ExitReason.STOP


def test_shares_that_somebody_holds_beside_a_denied_entry_are_not_protected_beyond_it():
    market = Market(broker=Denying())
    own = market.broker.shares
    market.broker.denied = {"orders", "trades"}
    market.decides(quantity=10)
    market.broker.shares = lambda: {"TCS": own().get("TCS", 0) + 300}

    ticking(market, "100.00", 3)

    stops = [order for order in market.broker.book.values() if order.order_type is OrderType.SL_M]
    assert [order.quantity for order in stops] == [10]
    assert Purpose.STOP in {intent.purpose for intent in market.journal.intents("T1")}


def test_a_fill_that_only_the_order_itself_tells_is_protected_within_a_third_of_a_second():
    broker = Denying()
    market = Market(broker=broker, order_state=lambda order_id: broker.book.get(order_id))
    broker.denied = {"orders", "trades", "positions"}
    market.decides(quantity=10)
    market.clock(market.at + timedelta(seconds=0.1))  # it is missed, asked for, and has not filled yet
    broker.trade("TCS", Decimal("100.00"), market.at)

    market.session.on_connection_lost()
    market.clock(market.at + timedelta(seconds=0.3))

    broker.denied.clear()
    assert market.working == [(OrderType.SL_M, 10)]


# --- what was asked for and no book confirms ---


def stop_fills_twice_behind_an_empty_order_book() -> Market:
    """A part of the entry has filled, its stop was taken twice and both fill: too much is taken back."""
    broker = Denying()
    market = Market(broker=broker, order_state=lambda order_id: broker.book.get(order_id))
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    stop = next(order for order in broker.orders() if order.order_type is OrderType.SL_M)
    copy = broker.book["copy"] = replace(stop, order_id="copy")
    for order in (stop, copy):
        broker._fill(order, 4, Decimal("100.00"))
    broker.denied = {"orders"}
    look(market)
    return market


def look(market: Market) -> None:
    market.session.on_connection_lost()
    market.clock(market.at + timedelta(seconds=1))


def working_beyond(market: Market, order_ids: set[str]) -> list[tuple[Side, int]]:
    return [
        (o.side, o.quantity) for o in market.broker.book.values() if not o.status.ended and o.order_id not in order_ids
    ]


def test_shares_wait_for_no_cancellation_that_the_broker_shows_late():
    market = Market()
    market.decides(quantity=10)
    market.broker.cancel = lambda order_id: None  # accepted, and not carried out yet

    market.trades("105.00", volume=4)  # the target: the rest of the entry is taken back first

    assert market.working == [(OrderType.MARKET, 10), (OrderType.LIMIT, 4)]


def test_what_is_taken_back_too_much_waits_for_no_order_book():
    market = stop_fills_twice_behind_an_empty_order_book()

    assert market.broker.book["000001"].status is OrderStatus.CANCELLED
    assert working_beyond(market, set()) == [(Side.BUY, 4)]


def test_shares_wait_for_no_cancelled_correction_that_the_order_book_denies():
    market = stop_fills_twice_behind_an_empty_order_book()
    look(market)
    corrections = {order.order_id for order in market.broker.book.values() if not order.status.ended}
    market.broker.denied = set()
    fills_after_all(market, 6, in_order_book=False)
    market.broker.denied = {"orders"}

    look(market)

    assert working_beyond(market, corrections) == [(Side.SELL, 2)]
