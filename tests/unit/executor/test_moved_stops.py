"""A stop of ours that a person changes in the broker's app."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipelines.domain.orders import OrderStatus, OrderType, Product
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from tests.unit.executor.test_session import Market

LONG = {"stop": Decimal("98.00"), "target": Decimal("110.00")}
SHORT = {"side": Side.SELL, "stop": Decimal("102.00"), "target": Decimal("90.00"), "signal": -0.5}


def held(decided=None, **terms) -> Market:
    """Ten shares at 100, or ten short."""
    market = Market(**terms)
    market.decides(quantity=10, **(decided or LONG))
    market.trades("100.00")
    market.trades("100.00")
    return market


def stop_of(market: Market):
    return [order for order in market.broker.orders() if order.status is OrderStatus.WORKING][-1]


def changed(market: Market, **changes) -> str:
    """By hand, told over the ticker as Kite does; a moment later our session has worked it off."""
    order = stop_of(market)
    market.broker.book[order.order_id] = replace(order, **changes)
    market.session.on_order_update({"order_id": order.order_id, "status": "UPDATE"})
    market.session.on_books_changed()
    return order.order_id


@pytest.mark.parametrize(
    ("decided", "moved"),
    [(LONG, "90.00"), (LONG, "97.95"), (SHORT, "110.00"), (SHORT, "102.05")],
)
def test_a_stop_moved_towards_more_risk_is_put_back_and_told(decided, moved):
    market = held(decided)

    order_id = changed(market, trigger_price=Decimal(moved))

    assert market.broker.book[order_id].trigger_price == decided["stop"]
    assert market.working == [(OrderType.SL_M, 10)]
    assert any(moved in alarm and "put back" in alarm for alarm in market.session.alarms)


@pytest.mark.parametrize(("decided", "moved"), [(LONG, "99.50"), (SHORT, "100.50")])
def test_a_tighter_stop_is_left_and_told(decided, moved):
    market = held(decided)

    order_id = changed(market, trigger_price=Decimal(moved))
    market.trades("100.00", seconds=20)

    assert market.broker.book[order_id].trigger_price == Decimal(moved)
    assert any(moved in alarm and "it stays" in alarm for alarm in market.session.alarms)


@pytest.mark.parametrize(("decided", "limit"), [(LONG, "130.00"), (SHORT, "70.00")])
def test_a_stop_that_became_a_limit_is_made_a_stop_again(decided, limit):
    market = held(decided)

    order_id = changed(market, order_type=OrderType.LIMIT, limit_price=Decimal(limit), trigger_price=None)

    order = market.broker.book[order_id]
    assert (order.order_type, order.trigger_price) == (OrderType.SL_M, decided["stop"])
    assert any("put back" in alarm for alarm in market.session.alarms)


@pytest.mark.parametrize("quantity", [1, 9, 11, 500])
def test_a_stop_of_another_quantity_follows_what_is_held_and_is_told(quantity):
    market = held()

    changed(market, quantity=quantity)

    assert market.working == [(OrderType.SL_M, 10)]
    assert any(f"quantity {quantity} by somebody else" in alarm for alarm in market.session.alarms)


def test_a_stop_that_a_person_cancels_is_placed_anew_and_told():
    market = held()
    market.trades("100.00", seconds=20)
    order_id = stop_of(market).order_id
    market.broker.cancel(order_id)
    market.session.on_order_update({"order_id": order_id, "status": "CANCELLED"})

    market.session.on_books_changed()

    assert market.working == [(OrderType.SL_M, 10)]
    assert any("cancelled, and not by us" in alarm for alarm in market.session.alarms)


def test_where_the_price_has_passed_our_stop_the_position_is_left():
    market = held()
    order = stop_of(market)
    market.broker.book[order.order_id] = replace(order, trigger_price=Decimal("90.00"))
    market.session.books.stale = True  # its update comes with the price

    market.trades("97.00")
    market.trades("97.00")

    assert market.outcome().exit_reason is ExitReason.STOP


def test_a_stop_moved_while_nobody_lived_is_put_back_by_the_next_start():
    first = held()
    order = stop_of(first)
    first.broker.book[order.order_id] = replace(order, trigger_price=Decimal("80.00"))

    second = Market(journal=first.journal, broker=first.broker, at=first.at)

    assert second.broker.book[order.order_id].trigger_price == Decimal("98.00")
    assert any("80.00" in alarm for alarm in second.session.alarms)


def test_who_moves_it_again_and_again_leaves_no_share_without_a_stop():
    market = held()

    for number in range(40):
        market.trades("100.00", seconds=2)
        changed(market, trigger_price=Decimal("90.00") + number % 3)
        market.trades("100.00", seconds=2)
        assert not any(trade.uncovered for trade in market.session.trades.values())

    assert stop_of(market).trigger_price == Decimal("98.00")


def test_a_quiet_day_tells_of_no_hands():
    market = held(product=Product.CNC)
    market.trades("101.00", seconds=60)

    assert not any("somebody else" in alarm or "not by us" in alarm for alarm in market.session.alarms)
