from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.exits import ExitSchedule
from pipelines.domain.orders import Product
from pipelines.domain.outcomes import ExitReason
from pipelines.evaluation.engine import run_backtest
from pipelines.evaluation.tape import Tape, TapeFrame, TapeTick
from tests.unit.evaluation.test_engine import RULES, a_flat_panel, decisions_at

CHASE = ExitSchedule(10.0, 15.0, 2, timedelta(seconds=15), timedelta(seconds=5))
ANYWHERE = (Decimal(0), Decimal("Infinity"))
DECIDED = 2  #: row whose close is decided on; its bar closes at 10:00
STOP, TARGET = Decimal("99.00"), Decimal("102.00")


def tick(price, quantity=1_000_000):
    return TapeTick(Decimal(str(price)), quantity, *ANYWHERE, None, None)


def played(ticks, panel=None, exits=CHASE, most_resizes=15):
    """Ticks of (seconds after the decision, price[, shares]), with a clock frame at each bar's close."""
    panel = panel or a_flat_panel()
    start = panel.table["close_time"][DECIDED].to_pydatetime()
    frames = [TapeFrame(close.to_pydatetime(), {}) for close in panel.table["close_time"]]
    frames += [TapeFrame(start + timedelta(seconds=after), {"S0": tick(*told)}) for after, *told in ticks]
    frames.sort(key=lambda frame: (frame.at, len(frame.ticks)))
    tape = Tape(frames, exits, most_resizes)
    first, last = int(panel.times[0]), int(panel.times[-1])
    return run_backtest(panel, decisions_at([DECIDED]), RULES, first, last, tape), start


def seconds(outcome, start):
    return [(at - start).total_seconds() for at in (outcome.entered_at, outcome.exited_at)]


def test_an_exit_decided_on_a_tick_meets_the_next_one():
    result, start = played([(1, 100), (5, 102.0), (6, 102.5), (7, 90)])

    [trade] = result.trades
    assert trade.outcome.exit_reason is ExitReason.TARGET
    assert seconds(trade.outcome, start) == [1, 6]
    assert trade.outcome.exit_price == Decimal("102.4500")  # the next tick, half a spread below


def test_a_limit_that_is_left_behind_chases_the_price_by_the_schedule():
    result, start = played([(1, 100), (5, 102.0), (6, 101.0), (19, 100.0), (20, 100.0), (21, 99.9), (22, 99.9)])

    [trade] = result.trades
    assert trade.outcome.exit_reason is ExitReason.TARGET
    assert seconds(trade.outcome, start) == [1, 21], "a new limit after 15 s, further from the price"
    assert trade.outcome.exit_price == Decimal("99.8500")


def test_a_stop_on_a_tape_fills_at_the_tick_that_jumps_over_it():
    result, start = played([(1, 100), (5, 98.0), (6, 105)])

    [trade] = result.trades
    assert (trade.outcome.exit_reason, trade.outcome.exit_price) == (ExitReason.STOP, Decimal("97.9500"))
    assert seconds(trade.outcome, start) == [1, 5], "it rests at the exchange: no frame is lost"


def test_an_entry_takes_its_share_of_each_tick_until_its_bar_closes():
    result, _ = played([(1, 100, 2000), (2, 100, 4000), (14 * 60, 100, 2000), (901, 100, 10**6), (5000, 100)])

    [trade] = result.trades
    assert trade.outcome.quantity == 100 + 200 + 100
    assert trade.outcome.exit_reason is ExitReason.TIME


def test_an_entry_is_taken_back_when_its_stop_cannot_follow_it_any_more():
    result, _ = played([(k, 100, 2000) for k in range(1, 9)] + [(5000, 100)], most_resizes=3)

    [trade] = result.trades
    assert trade.outcome.quantity == 400, "a stop after the first fill, three changes, then no more"


def test_what_is_open_when_the_tape_ends_is_closed_by_the_broker_for_its_fee():
    result, _ = played([(1, 100), (30, 100.5)])

    [trade] = result.trades
    outcome = trade.outcome
    assert outcome.exit_price == Decimal("100.5000")
    assert outcome.charges["brokerage"] == Decimal("90.00")  # 20 for each order, 50 for the square-off
    assert result.cash == RULES.opening_equity_inr + outcome.net_inr


def test_no_tick_after_a_decision_is_no_trade():
    result, _ = played([])

    assert result.trades == ()
    assert result.cash == RULES.opening_equity_inr


def test_a_tape_is_for_intraday_trades_only():
    panel = a_flat_panel(days=9, interval=Interval.DAY)
    assert panel.product is Product.CNC

    with pytest.raises(BadInput, match="intraday"):
        played([], panel)
