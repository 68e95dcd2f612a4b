"""Shares wait for no answer of the journal: what a session needs to protect them it has at hand."""

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.errors import JournalAway
from pipelines.domain.orders import OrderStatus, OrderType, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from pipelines.journal.memory import MemoryJournal
from tests.unit.executor.test_overnight import YESTERDAY, held_over_night, split_on
from tests.unit.executor.test_session import OPEN, Market, Slow
from tests.unit.executor.test_trades_beside_us import by_hand, seen
from tests.unit.executor.test_unseen_orders import ends_without_a_fill, fills_after_all, ticking

READS = (
    "accounts",
    "changes_asked",
    "decision",
    "decisions",
    "fills",
    "finished",
    "halt_events",
    "intents",
    "last_decided",
    "last_equity",
    "open_positions",
    "opening_shares",
    "orders",
    "outcomes",
    "positions",
    "unsent_decisions",
)


class Unreadable(MemoryJournal):
    """Takes notes, as one whose notes wait in a file, and answers none of the questions in `silent_about`."""

    silent_about: tuple[str, ...] = ()

    def __getattribute__(self, name):
        if name in READS and name in object.__getattribute__(self, "silent_about"):
            return self._no_answer
        return object.__getattribute__(self, name)

    def _no_answer(self, *arguments, **named):
        raise JournalAway("the journal does not answer")


def after_a_death(first: Market) -> Market:
    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    return second


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("status", [OrderStatus.CANCELLED, OrderStatus.REJECTED])
def test_a_fill_shown_after_its_entry_had_ended_gets_its_stop(status, restarted):
    market = Market(journal=Unreadable())
    ends_without_a_fill(market, status)
    market = after_a_death(market) if restarted else market
    market.journal.silent_about = READS

    fills_after_all(market, 10, in_order_book=True)
    ticking(market, "100.00", 2)

    assert market.working == [(OrderType.SL_M, 10)]
    market.journal.silent_about = ()
    market.trades("97.00")
    assert market.outcome().exit_reason is ExitReason.STOP


@pytest.mark.parametrize("restarted", [False, True])
def test_a_late_fill_after_its_trade_was_over_is_taken_back(restarted):
    market = Market(journal=Unreadable())
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    market.broker.cancel(market.broker.orders()[0].order_id)
    market.trades("97.00", seconds=1)
    assert market.session.trades == {}
    market = after_a_death(market) if restarted else market
    market.journal.silent_about = READS

    fills_after_all(market, 6, in_order_book=True)
    ticking(market, "97.00", 4)

    assert market.broker.shares() == {}
    market.journal.silent_about = ()
    assert market.outcome().quantity == 10


@pytest.mark.parametrize("restarted", [False, True])
def test_a_lost_entry_that_arrives_after_it_was_given_up_gets_its_stop(restarted):
    market = Market(journal=Unreadable(), broker=Slow(Purpose.ENTRY))
    market.decides(quantity=10)
    market.clock(OPEN + timedelta(minutes=2))
    assert market.session.trades == {}
    market = after_a_death(market) if restarted else market
    market.journal.silent_about = READS

    market.broker.arrives()
    market.session.on_connection_lost()
    market.trades("100.00", seconds=1)

    assert market.working == [(OrderType.SL_M, 10)]


@pytest.mark.parametrize("restarted", [False, True])
def test_a_lost_stop_that_fills_after_its_trade_was_over_is_bought_back(restarted):
    market = Market(journal=Unreadable(), broker=Slow(Purpose.STOP))
    market.decides(quantity=10)
    market.trades("100.00")
    market.clock(OPEN + timedelta(minutes=2))
    market.trades("97.00")
    assert market.session.trades == {}
    market = after_a_death(market) if restarted else market
    market.journal.silent_about = READS

    market.broker.arrives()
    market.session.on_connection_lost()
    market.trades("96.50")
    market.trades("96.60")

    assert market.broker.shares() == {}
    assert market.session.trades == {}


def test_a_trade_that_others_ended_is_closed_and_the_next_fill_protected():
    market = Market(journal=Unreadable())
    market.decides(quantity=10, hold_bars=100)
    market.trades("100.00")
    market.journal.silent_about = READS

    by_hand(market.broker, Side.SELL, 30, "100.00")
    seen(market)
    assert market.session.trades == {}
    by_hand(market.broker, Side.BUY, 30, "100.00")
    seen(market)

    assert market.working == [(OrderType.SL_M, 10)]


def test_what_is_held_overnight_gets_its_stop_where_added_shares_cannot_be_counted():
    market = held_over_night(split_on(YESTERDAY.date()), journal=Unreadable())
    market.journal.silent_about = READS

    market.at = OPEN
    market.trades("101.00")

    assert market.working == [(OrderType.SL_M, 10)]
    assert any("cannot be counted" in alarm for alarm in market.session.alarms.on())


@pytest.mark.parametrize("unread", ["unsent_decisions", "last_equity", "halt_events"])
def test_a_start_protects_before_it_asks_for_what_entries_need(unread):
    first = Market(journal=Unreadable())
    first.decides(quantity=10)
    first.broker.trade("TCS", Decimal("100.00"), first.at)
    first.journal.silent_about = (unread,)

    with suppress(JournalAway):
        after_a_death(first)

    assert first.working == [(OrderType.SL_M, 10)]


def test_what_ended_is_let_go_with_its_day():
    market = Market(journal=Unreadable(), final=False)
    ends_without_a_fill(market, OrderStatus.CANCELLED)
    assert len(market.session.desk.ended) == 1

    market.clock(OPEN + timedelta(days=3))

    assert market.session.desk.ended == {}
