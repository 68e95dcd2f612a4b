"""What stops a session's entries, and that everything else goes on."""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import PRICE_COLUMNS, Bar
from pipelines.domain.equity import first_day
from pipelines.domain.halts import Cause, HaltEvent, Mode, Word
from pipelines.domain.orders import OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.restrictions import Restriction
from pipelines.journal.memory import MemoryJournal
from serving.executor.bar_builder import ClosedBars, Tick
from serving.executor.desk import Frame
from tests.unit.executor.test_session import CASH, OPEN, Market
from tests.unit.executor.test_watch import TRIGGERS


def a_market(**terms) -> Market:
    return Market(triggers=TRIGGERS, **terms)


def says(market: Market, word: Word, *, forced: bool = False) -> None:
    market.journal.record_halt("T1", HaltEvent(word, Cause.BY_HAND, "news", "asha@desk", market.at, forced))


def rules_that_refused(market: Market) -> list[str]:
    return [event["rule"] for event in market.journal.risk_events("T1")]


def entries(market: Market) -> int:
    return sum(intent.purpose is Purpose.ENTRY for intent in market.journal.intents("T1"))


def test_a_halt_by_hand_takes_back_the_entry_that_works_and_refuses_the_next():
    market = a_market()
    market.decides(quantity=10)
    market.trades("100.00", volume=4)
    says(market, Word.HALT)

    market.trades("100.00", volume=0)
    market.decides(quantity=10)

    assert market.working == [(OrderType.SL_M, 4)], "the stop protects what was filled, the entry's rest is gone"
    assert market.session.pending == []
    assert rules_that_refused(market) == ["trading halted"]


def test_stops_and_targets_work_through_a_halt():
    market = a_market()
    market.decides(quantity=10)
    market.trades("100.00")
    says(market, Word.HALT)

    market.trades("105.00")
    market.trades("105.10")
    market.trades("105.10")

    assert market.journal.outcomes("T1")[0].exit_reason is ExitReason.TARGET


def test_flatten_leaves_everything_and_enters_nothing_after_it():
    market = a_market(product=Product.CNC)
    market.decides(quantity=10)
    market.trades("100.00")
    says(market, Word.FLATTEN)

    for _ in range(4):
        market.trades("100.00")
    market.decides(quantity=10)

    assert market.journal.outcomes("T1")[0].exit_reason is ExitReason.FLATTEN
    assert market.broker.shares() == {}
    assert market.working == []
    assert entries(market) == 1


def test_a_resume_lets_entries_in_again():
    market = a_market()
    says(market, Word.HALT)
    market.trades("100.00")
    says(market, Word.RESUME)

    market.decides(quantity=10)

    assert entries(market) == 1


def test_a_drawdown_from_the_peak_of_earlier_days_halts_until_force_accepts_it():
    journal = MemoryJournal()
    journal.record_equity("T1", first_day(CASH * 2, OPEN - timedelta(days=1)).marked(CASH, OPEN - timedelta(days=1)))
    market = a_market(journal=journal)
    market.trades("100.00")
    assert (market.session.desk.trading.mode, set(market.session.desk.trading.state.standing)) == (
        Mode.HALTED,
        {Cause.DRAWDOWN},
    )
    assert market.session.risk.told()["standing"][0]["still"]
    says(market, Word.RESUME)
    market.trades("100.00")
    assert market.session.desk.trading.mode is Mode.HALTED, "it still stands, so it halts again at once"

    says(market, Word.RESUME, forced=True)
    market.trades("100.00")
    market.trades("100.00")

    assert market.session.desk.trading.mode is Mode.TRADING
    found = journal.last_equity("T1")
    assert found is not None
    assert found.peak == CASH


def lose(market: Market) -> None:
    market.decides(quantity=10)
    market.trades("100.00")
    market.trades("97.00")
    market.trades("100.00")


def test_losses_in_a_row_halt_and_a_resume_by_hand_counts_anew():
    market = a_market()
    for _ in range(3):
        lose(market)
    assert set(market.session.desk.trading.state.standing) == {Cause.LOSSES}
    assert any("3 losses in a row" in alarm for alarm in market.session.alarms)

    says(market, Word.RESUME)
    market.trades("100.00")
    lose(market)

    assert market.session.desk.trading.mode is Mode.TRADING


def test_a_halt_for_losses_outlives_the_daemon():
    market = a_market()
    for _ in range(3):
        lose(market)

    after = Market(journal=market.journal, broker=market.broker, at=market.at, triggers=TRIGGERS)
    after.decides(quantity=10)

    assert after.session.desk.trading.mode is Mode.HALTED
    assert entries(after) == 3


def test_slow_decisions_halt_and_quick_ones_let_go_on_after_a_while():
    market = a_market()
    market.session.latencies_ms.extend([150.0] * 3)
    market.trades("100.00")
    assert set(market.session.desk.trading.state.standing) == {Cause.SLOW_DECISIONS}

    market.session.latencies_ms.append(5.0)
    market.trades("100.00")
    market.trades("100.00", seconds=61)

    assert market.session.desk.trading.mode is Mode.TRADING


def test_unequal_books_halt_and_equal_ones_let_go_on_after_a_while():
    market = a_market()
    market.trades("100.00")
    market.broker.ledger += 1
    market.session.reconcile()
    assert set(market.session.desk.trading.state.standing) == {Cause.RECONCILIATION}

    market.broker.ledger -= 1
    market.session.reconcile()
    market.trades("100.00", seconds=61)
    market.session.reconcile()

    assert market.session.desk.trading.mode is Mode.TRADING
    assert [event.word for _, event in market.journal.halt_events("T1")] == [Word.HALT, Word.RESUME]


def test_a_feed_that_falls_silent_in_market_hours_halts_until_it_is_back_for_a_while():
    market = a_market()
    market.trades("100.00")
    market.session.on_silence(14.0)
    assert market.session.desk.trading.mode is Mode.TRADING
    market.session.on_silence(16.0)
    assert set(market.session.desk.trading.state.standing) == {Cause.STALE_FEED}

    market.trades("100.00", seconds=30)
    market.trades("100.00", seconds=61)

    assert market.session.desk.trading.mode is Mode.TRADING


def test_a_clock_that_is_not_the_markets_halts_where_the_market_is_live():
    market = a_market(market_is_now=True)
    market.session.risk._wall = lambda: market.at + timedelta(seconds=6)

    market.trades("100.00")
    market.trades("100.00")
    assert market.session.desk.trading.mode is Mode.TRADING, "one late packet is no skew"
    market.trades("100.00")

    assert set(market.session.desk.trading.state.standing) == {Cause.CLOCK_SKEW}


def test_a_fall_of_the_index_stops_entries_for_as_long_as_the_market_is_halted():
    market = a_market()
    market.trades("100.00")
    market.session.on_frame(Frame(market.at, (), index_move=-0.101))

    market.decides(quantity=10)
    market.at += timedelta(minutes=61)
    market.trades("100.00", seconds=1)
    market.decides(quantity=10)

    assert rules_that_refused(market) == ["market-wide halt"]
    assert entries(market) == 1


def test_what_is_on_the_restricted_list_is_not_entered():
    market = a_market(restrictions=lambda: (Restriction("TCS", "ASM stage 4"),))

    market.decides(quantity=10)

    [event] = market.journal.risk_events("T1")
    assert (event["rule"], event["evidence"]) == ("restricted list", "ASM stage 4")


@pytest.mark.parametrize(("margins", "sent"), [([Decimal(1)], 0), ([Decimal(1), CASH], 1)])
def test_a_margin_that_is_short_is_read_once_more_before_an_entry_is_refused(margins, sent):
    market = a_market()
    market.broker.margin = lambda: margins.pop(0) if len(margins) > 1 else margins[0]
    market.trades("100.00")
    market.session.risk._margin_available()

    market.trades("100.00")
    market.decides(quantity=10)

    assert entries(market) == sent
    assert rules_that_refused(market) == ([] if sent else ["margin"])


def test_exits_are_sent_though_entries_have_used_their_rate():
    market = a_market()
    market.decides(quantity=10)
    for _ in range(10):
        market.session.desk.order_calls.note(market.at)

    market.trades("100.00", seconds=0)

    assert (OrderType.SL_M, 10) in market.working


def test_the_price_rule_never_stops_an_exit():
    market = a_market()
    market.decides(quantity=10)
    market.trades("100.00")

    for price in ("70.00", "70.00", "70.00"):  # nearly a third below: believed when it is seen again
        market.trades(price)

    assert market.broker.shares() == {}
    assert all(order.status is not OrderStatus.WORKING for order in market.broker.orders())


def test_a_day_begun_anew_remembers_what_it_opened_with():
    journal = MemoryJournal()
    journal.record_equity("T1", first_day(CASH * Decimal("1.05"), OPEN))
    market = a_market(journal=journal)

    market.decides(quantity=10)

    assert rules_that_refused(market) == ["daily loss"]


def test_a_tick_of_nothing_held_marks_no_equity_before_it_is_priced():
    market = a_market(product=Product.CNC)
    market.decides(quantity=10)
    market.trades("100.00")
    market.trades("104.00")
    before = market.session.risk.equity_day

    market.session.on_frame(Frame(market.at + timedelta(seconds=1), (Tick("TCS", 104.0, 9000, market.at),)))

    assert before is not None
    assert market.session.risk.equity_day is not None
    assert market.session.risk.equity_day.peak == before.peak


def test_a_split_in_history_or_in_live_bars_moves_no_correlation():
    def told(ratio: float) -> Market:
        market, random = a_market(), np.random.default_rng(5)
        closes = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (60, 2)), axis=0))
        times = [OPEN - timedelta(days=1) + timedelta(minutes=5 * n) for n in range(60)]
        factors = np.where(np.arange(60) >= 30, ratio, 1.0)
        frames = {
            "TCS": pd.DataFrame({"close_time": times, "close": closes[:, 0] / factors, "adjustment": factors}),
            "INFY": pd.DataFrame({"close_time": times, "close": closes[:, 1], "adjustment": 1.0}),
        }
        prices = dict.fromkeys(PRICE_COLUMNS, 1.0)
        frames = {
            symbol: frame.assign(**prices | {"close": frame["close"]}, volume=1) for symbol, frame in frames.items()
        }
        market.session.risk.warm_up({symbol: frame[:50] for symbol, frame in frames.items()})
        for row in range(50, 60):
            bars = {s: a_bar(s, times[row], frame.iloc[row]) for s, frame in frames.items()}
            market.session.risk.take_bars(ClosedBars(times[row], times[row], bars))
        return market

    plain, split = (told(ratio).session.risk.correlations.between("TCS", "INFY") for ratio in (1.0, 10.0))

    assert plain is not None
    assert split == pytest.approx(plain)


def a_bar(symbol: str, at, row) -> Bar:
    close = float(row["close"])
    return Bar(symbol, at, at, close, close, close, close, 1, float(row["adjustment"]))
