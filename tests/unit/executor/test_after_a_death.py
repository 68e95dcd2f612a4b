"""What a death or a night leaves: bars that nobody counted, stops of yesterday, books that end with the session."""

from datetime import timedelta

import pytest

from pipelines.domain.orders import OrderType, Product
from pipelines.domain.outcomes import ExitReason
from tests.unit.executor.test_session import OPEN, Market
from tests.unit.journal.records import a_decision

YESTERDAY = OPEN.replace(day=29)


def test_bars_that_closed_while_no_daemon_lived_count_for_the_time_barrier():
    first = Market()
    first.decides(quantity=10, hold_bars=2)
    first.trades("100.00", seconds=60)

    second = Market(journal=first.journal, broker=first.broker, at=OPEN + timedelta(minutes=15))
    second.total = first.total
    second.trades("100.10", seconds=1)
    second.trades("100.10")

    outcome = second.outcome()
    assert (outcome.exit_reason, outcome.hold_bars) == (ExitReason.TIME, 3)


def test_a_bar_that_was_counted_before_a_death_is_not_counted_again():
    first = Market()
    first.decides(quantity=10, hold_bars=2)
    first.trades("100.00", seconds=60)
    first.trades("100.10", seconds=241)
    assert first.session.trades["TCS"].position.bars_held == 1

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    second.trades("100.10", seconds=1)
    second.trades("100.10", seconds=1)

    assert second.session.trades["TCS"].position.bars_held == 1


def held_over_night() -> Market:
    market = Market(product=Product.CNC, at=YESTERDAY.replace(hour=14), final=False)
    market.decides(quantity=10, hold_bars=1000)
    market.trades("100.00")
    return market


def test_a_start_in_mid_session_does_not_take_a_stop_of_yesterday_for_a_protection():
    first = held_over_night()
    stop = first.broker.orders()[-1]
    del first.broker.book[stop.order_id]  # orders are for a day: today's book does not show it

    second = Market(
        product=Product.CNC, journal=first.journal, broker=first.broker, at=OPEN + timedelta(minutes=30), final=False
    )

    assert second.working == [(OrderType.SL_M, 10)], "before any frame"


def test_a_stop_that_ends_with_the_session_is_no_emergency():
    market = held_over_night()
    market.clock(YESTERDAY.replace(hour=15, minute=15))
    stop = market.broker.orders()[-1]
    market.broker.cancel(stop.order_id)
    market.broker.refuses += ["Markets are closed right now."] * 5
    market.session.on_order_update({"order_id": stop.order_id, "status": "CANCELLED"})

    market.session.on_books_changed()
    for _ in range(3):
        market.clock(market.at + timedelta(seconds=10))

    assert market.session.trades["TCS"].position.exit_reason is None
    assert market.broker.calls[-1][:2] == ("place", "stop")
    assert len(market.broker.refuses) == 4, "asked once"
    market.broker.refuses.clear()
    market.clock(OPEN)
    assert market.working == [(OrderType.SL_M, 10)]


def test_an_order_of_today_that_a_book_leaves_out_has_not_expired():
    first = Market()
    first.decides(quantity=10)
    first.trades("100.00")
    stop = first.broker.orders()[-1]
    del first.broker.book[stop.order_id]  # as a row that cannot be read

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.clock(second.at + timedelta(seconds=1))

    assert [call[1] for call in first.broker.calls if call[0] == "place"] == ["entry", "stop"]


@pytest.mark.parametrize(
    ("decided", "started", "waits"),
    [
        (OPEN.replace(hour=10), OPEN.replace(hour=10, minute=17), True),
        (OPEN.replace(hour=10), OPEN.replace(hour=14), False),
        (YESTERDAY.replace(hour=14), OPEN, False),
        (YESTERDAY.replace(hour=15, minute=15), OPEN, True),
    ],
)
def test_a_delivery_that_was_not_sent_before_a_death_waits_until_a_bar_closes_over_it(decided, started, waits):
    first = Market(product=Product.CNC, at=decided, final=False)
    first.journal.record_decision("T1", a_decision(symbol="TCS", close_time=decided, quantity=10), 1.0)

    second = Market(product=Product.CNC, journal=first.journal, broker=first.broker, at=started, final=False)

    assert bool(second.session.pending) is waits


def test_a_start_outlives_a_fill_whose_order_the_journal_lacks():
    before = Market()
    before.decides(quantity=10)
    before.trades("100.00")
    entry = before.broker.orders()[0]
    del before.journal._orders["T1", entry.order_id]  # its note was unreadable, that of its fill was not

    after = Market(journal=before.journal, broker=before.broker, at=before.at)

    assert after.session.trades["TCS"].held == 10
    assert [quantity for _, quantity in after.working] == [10]
