"""An order of ours whose intent is lost, e.g. as a line of the spool that could not be read: it stays ours."""

from dataclasses import replace
from decimal import Decimal

import pytest

from pipelines.domain.orders import OrderStatus, OrderType, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from serving.executor.order_tags import is_of_our_form, new_tag
from tests.unit.executor.test_session import Market


def held(side: Side = Side.BUY) -> Market:
    market = Market()
    market.decides(
        quantity=10, side=side, stop=Decimal(100 - 2 * side.sign), target=Decimal(100 + 5 * side.sign), hold_bars=100
    )
    market.trades("100.00")
    return market


def next_life(market: Market, *, lose: Purpose, with_order: bool) -> Market:
    """After a death in which an intent was lost, and perhaps what was noted of its order."""
    journal = market.journal
    [lost] = [intent for _, intent in journal._intents.values() if intent.purpose is lose]
    del journal._intents[next(key for key, (_, intent) in journal._intents.items() if intent is lost)]
    if with_order:
        for key in [key for key, order in journal._orders.items() if order.tag == lost.tag]:
            del journal._orders[key]
    second = Market(journal=journal, broker=market.broker, at=market.at)
    second.total = market.total
    return second


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("with_order", [True, False])
def test_a_stop_whose_record_is_lost_is_ours_and_stays_alone(side, with_order):
    second = next_life(held(side), lose=Purpose.STOP, with_order=with_order)
    second.trades("100.00")

    assert second.working == [(OrderType.SL_M, 10)]
    assert any("counts as our stop" in alarm for alarm in second.session.alarms)
    assert [intent.purpose for intent in second.journal.intents("T1")] == [Purpose.ENTRY, Purpose.STOP]


@pytest.mark.parametrize("with_order", [True, False])
def test_a_stop_without_its_record_that_fills_is_our_stop(with_order):
    second = next_life(held(), lose=Purpose.STOP, with_order=with_order)

    second.trades("97.00")
    second.trades("97.00")

    assert second.outcome().exit_reason is ExitReason.STOP
    assert second.broker.shares() == {}


def test_a_stop_that_filled_while_nobody_lived_is_our_stop_without_its_record():
    first = held()
    first.broker.trade("TCS", Decimal("97.00"), first.at)

    second = next_life(first, lose=Purpose.STOP, with_order=True)
    second.trades("97.00")

    assert second.outcome().exit_reason is ExitReason.STOP


def test_an_order_of_our_form_that_shows_in_mid_session_joins_its_trade():
    market = held()
    stop = market.broker.orders()[-1]
    stranger = replace(stop, order_id="999999", tag=new_tag())
    market.broker.book["999999"] = stranger

    market.session.books.stale = True
    market.trades("100.00", seconds=20)
    market.trades("100.00", seconds=20)

    assert market.working == [(OrderType.SL_M, 10)], "one of the two was cancelled"


@pytest.mark.parametrize("tag", [None, "", "TS", "mine", "TS" + "g" * 18, "TS" + "a" * 17, "rmssquareoff"])
def test_an_order_of_another_form_is_not_ours(tag):
    market = held()
    stop = market.broker.orders()[-1]
    market.broker.book["999999"] = replace(stop, order_id="999999", tag=tag)

    market.session.books.stale = True
    market.trades("100.00", seconds=20)

    assert market.broker.book["999999"].status is OrderStatus.WORKING, "it is never touched"
    assert not is_of_our_form(tag)


def test_a_tag_of_ours_has_our_form_and_fits_kite():
    tag = new_tag()

    assert is_of_our_form(tag)
    assert len(tag) <= 20
    assert tag.isalnum()
