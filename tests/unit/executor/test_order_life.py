"""Turns of an order's life that are rare: overshoots, chases, lost answers, ticks that lie, nights."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.errors import JournalAway
from pipelines.domain.orders import IntentStatus, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from pipelines.journal.memory import MemoryJournal
from serving.executor.bar_builder import Tick
from serving.executor.broker import Refused
from serving.executor.legs import MOST_MODIFICATIONS
from serving.executor.session import Frame
from tests.unit.executor.test_session import OPEN, TCS, Market, Slow
from tests.unit.journal.records import a_decision


def held(market: Market) -> Market:
    """With ten shares bought at 100."""
    market.decides(quantity=10)
    market.trades("100.00")
    return market


def resting(market: Market) -> list[tuple[OrderType, Decimal | None]]:
    return [(o.order_type, o.limit_price) for o in market.broker.orders() if o.status is OrderStatus.WORKING]


# --- the chase ---


def test_an_exit_goes_further_each_time_and_then_to_the_market():
    market = held(Market())
    market.trades("105.00")
    seen = resting(market)
    for price in ("104.00", "103.00", "102.00"):  # each below the limit that stands: nothing fills
        market.broker.trade = lambda *_: None
        market.trades(price, seconds=20)
        seen += resting(market)

    assert seen == [
        (OrderType.LIMIT, Decimal("104.85")),
        (OrderType.LIMIT, Decimal("103.70")),
        (OrderType.LIMIT, Decimal("102.55")),
        (OrderType.MARKET, None),
    ]
    assert len(market.broker.orders()) == 2, "one order all the way"


def test_a_chase_is_counted_over_a_restart_and_ends_in_a_new_order():
    first = held(Market())
    first.trades("105.00")
    stop = first.broker.orders()[-1].order_id
    for _ in range(MOST_MODIFICATIONS):
        first.journal.record_order_event("T1", stop, "we resize stop", {}, first.at)

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    second.broker.trade = lambda *_: None
    second.trades("104.00", seconds=20)
    second.trades("104.00", seconds=20)

    assert second.broker.book[stop].status is OrderStatus.CANCELLED
    assert len(second.working) == 1


def test_a_triggered_stop_that_rests_unfilled_is_chased():
    market = held(Market())
    stop = market.broker.orders()[-1]
    market.broker.book[stop.order_id] = replace(
        stop, order_type=OrderType.LIMIT, limit_price=Decimal("97.00"), triggered=True
    )
    market.session.books.stale = True
    market.broker.trade = lambda *_: None

    market.trades("96.00")
    market.trades("96.00", seconds=20)

    assert resting(market) == [(OrderType.MARKET, None)]


# --- never naked ---


def test_a_stop_that_the_exchange_cancels_is_replaced():
    market = held(Market())
    market.trades("100.50", seconds=30)
    market.broker.cancel(market.broker.orders()[-1].order_id)
    market.session.on_order_update({"order_id": "x", "status": "CANCELLED"})

    market.session.on_books_changed()

    assert market.working == [(OrderType.SL_M, 10)]


def test_the_gap_between_fill_and_stop_is_measured():
    market = held(Market())

    assert 0 <= market.session.naked_seconds_max < 1


# --- too much taken back ---


def overshot() -> Market:
    """A stop and an exit without an answer have both filled: ten shares too many were sold."""
    broker = Slow(Purpose.STOP)
    market = Market(broker=broker)
    market.decides(quantity=10)
    market.trades("100.00")
    broker.arrives()
    market.broker.trade("TCS", Decimal("97.00"), market.at)  # both stops fill before anybody looks
    assert broker.shares() == {"TCS": -10}
    return market


def test_what_was_taken_back_too_much_is_bought_back_and_accounted_for():
    market = overshot()

    market.trades("97.00")
    market.trades("97.50")

    assert market.broker.shares() == {}
    outcome = market.outcome()
    assert outcome.gross_inr == Decimal("-35.00"), "thirty lost by the stop, five by buying back"
    assert [i.quantity for i in market.journal.intents("T1") if i.purpose is Purpose.CORRECTION] == [10]
    assert any("bought back" in alarm for alarm in market.session.alarms)


def test_an_overshoot_is_found_by_the_next_daemon_too():
    first = overshot()

    second = Market(journal=first.journal, broker=first.broker, at=first.at)
    second.total = first.total
    second.trades("97.00")
    second.trades("97.00")

    assert second.broker.shares() == {}
    assert second.session.trades == {}


def test_an_exit_that_arrives_after_its_trade_was_over_opens_it_again():
    broker = Slow(Purpose.STOP)
    market = Market(broker=broker)
    market.decides(quantity=10)
    market.trades("100.00")
    market.trades("97.00", seconds=61)  # the second stop fills, the first is given up
    market.trades("97.00")
    assert market.session.trades == {}

    broker.arrives()
    broker.trade("TCS", Decimal("97.00"), market.at)
    market.session.books.stale = True
    market.trades("97.00")
    market.trades("97.00")

    assert broker.shares() == {}
    assert market.outcome().quantity == 10


# --- lost answers ---


def test_a_lost_entry_is_given_up_before_its_symbol_is_traded_again():
    broker = Slow(Purpose.ENTRY)
    market = Market(broker=broker)
    market.decides(quantity=10)

    market.trades("100.00", seconds=61)
    market.decides(quantity=10, close_time=market.at)

    assert market.journal.intents("T1")[0].status is IntentStatus.ABANDONED
    assert len(broker.orders()) == 1


def test_a_modification_without_an_answer_is_judged_by_the_book_and_not_repeated_at_once():
    market = held(Market())
    leave = market.broker.leave

    def carried_out_without_an_answer(*what):
        leave(*what)
        return Refused("no answer", unclear=True)

    market.broker.leave = carried_out_without_an_answer
    market.trades("105.00")

    assert resting(market) == [(OrderType.LIMIT, Decimal("104.85"))]
    assert [call[0] for call in market.broker.calls].count("leave") == 1


# --- somebody trades beside us ---


def test_a_persons_sale_beyond_our_shares_is_not_ours():
    market = held(Market())
    stop = market.broker.orders()[-1]
    market.broker.place_foreign("TCS", Side.SELL, 30, stop)

    market.trades("101.00")
    market.trades("101.00")

    assert market.broker.shares() == {"TCS": -20}
    [outcome] = market.journal.outcomes("T1")
    assert (outcome.exit_reason, outcome.gross_inr) == (ExitReason.EXTERNAL, Decimal("10.00"))
    assert not any(i.purpose is Purpose.CORRECTION for i in market.journal.intents("T1"))


def test_what_a_square_off_closed_while_nobody_lived_is_an_outcome_of_the_next_start():
    first = held(Market())
    stop = first.broker.orders()[-1]
    first.broker.cancel(stop.order_id)
    first.broker.place_foreign("TCS", Side.SELL, 10, stop)
    first.broker.trade("TCS", Decimal("99.00"), first.at)

    second = Market(journal=first.journal, broker=first.broker, at=first.at)

    assert second.outcome().exit_reason is ExitReason.EXTERNAL


def test_shares_that_were_there_before_us_are_not_ours_to_close():
    market = Market()
    shares = market.broker.shares
    market.broker.shares = lambda: {**shares(), "INFY": 7}

    again = Market(journal=MemoryJournal(), broker=market.broker)

    assert again.session.reconcile() == []


# --- ticks ---


def test_a_price_far_off_that_is_seen_once_does_not_make_us_leave():
    market = held(Market())

    market.at += timedelta(seconds=10)
    market.session.on_frame(Frame(market.at, (Tick("TCS", 130.0, 9000, market.at),)))

    assert market.working == [(OrderType.SL_M, 10)]
    assert market.session.trades["TCS"].position.mfe_inr == 0


def test_a_late_tick_does_not_make_us_leave():
    market = held(Market())

    market.at += timedelta(seconds=30)
    late = market.at - timedelta(seconds=8)
    market.session.on_frame(Frame(market.at, (Tick("TCS", 106.0, 9000, late),)))

    assert market.working == [(OrderType.SL_M, 10)]


# --- nights ---


def test_a_delivery_entry_that_was_decided_and_not_sent_survives_a_death_overnight():
    evening = OPEN.replace(day=29, hour=15, minute=20)
    journal = MemoryJournal()
    journal.record_decision("T1", a_decision(**TCS | {"close_time": evening}), 1.0, "f00d")

    morning = Market(journal=journal, product=Product.CNC, final=False)
    morning.trades("100.00")

    assert [order.quantity for order in morning.broker.orders()] == [10]


def test_a_decision_of_a_day_before_the_last_is_not_entered_any_more():
    journal = MemoryJournal()
    journal.record_decision("T1", a_decision(**TCS | {"close_time": OPEN.replace(day=28, hour=15)}), 1.0)

    market = Market(journal=journal, product=Product.CNC, final=False)
    market.trades("100.00")

    assert market.broker.orders() == []


def test_what_is_kept_in_memory_does_not_grow_with_the_days():
    market = Market(product=Product.MIS)
    sizes = []
    for day in (26, 27, 28, 29, 30):
        market.at = OPEN.replace(day=day)
        for _ in range(3):
            market.decides(quantity=10, close_time=market.at)
            market.trades("100.00")
            market.trades("97.00")
        sizes.append((len(market.session.books._ledger.orders), len(market.session.books.intents)))
        market.broker.book.clear()  # the broker's books are of the day
        market.broker.trade_book.clear()
        market.broker.shares = dict

    assert sizes[1:] == [sizes[1]] * 4
    assert market.session.cash == market.broker.ledger


# --- the journal away ---


class Away(MemoryJournal):
    """Refuses every new risk, as a journal does whose PostgreSQL is gone."""

    def commit_intent(self, account, intent):
        if intent.purpose is Purpose.ENTRY:
            raise JournalAway("PostgreSQL does not answer")
        super().commit_intent(account, intent)


def test_an_entry_that_cannot_be_noted_is_not_sent():
    market = Market(journal=Away())

    market.decides(quantity=10)

    assert market.broker.orders() == []
    assert any("not entered" in alarm for alarm in market.session.alarms)


# --- outcomes ---


def test_an_outcome_tells_what_both_sides_cost_beyond_the_prices_decided_on():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.10")
    market.trades("97.50", seconds=50)

    outcome = market.outcome()
    assert outcome.entry_slippage_inr == Decimal("1.00")
    assert (outcome.exit_decision_price, outcome.exit_slippage_inr) == (Decimal("98.00"), Decimal("5.00"))
    assert outcome.holding_seconds == 50.0


@pytest.mark.parametrize("price", ["101.00", "99.00"])
def test_the_best_and_worst_gain_are_on_disk_after_each_frame(price):
    market = held(Market())

    market.trades(price)

    [position] = market.journal.open_positions("T1")
    gain = Decimal(price) * 10 - 1000
    assert (position.mfe_inr, position.mae_inr) == (max(gain, 0), min(gain, 0))
