"""Bars in which an instrument has no trade: they count as the market's, in the backtest, on the tape and in labels."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.bars import Interval
from pipelines.domain.exits import ExitSchedule
from pipelines.domain.market_calendar import bar_times, session_on
from pipelines.domain.outcomes import ExitReason
from pipelines.evaluation.engine import run_backtest
from pipelines.evaluation.tape import Tape
from pipelines.evaluation.walk_forward import windows_over
from pipelines.policy.labels import BY_BROKER, SQUARED, TIMED, Costs, barrier_labels
from pipelines.policy.panel import Panel
from serving.exchange.market import BarMarket, session_days
from serving.exchange.tape import tape_of
from tests.unit.evaluation.test_assessment import EVALUATION
from tests.unit.evaluation.test_engine import RULES, a_flat_panel, decisions_at, traded
from tests.unit.policy.builders import SMALL, a_panel, an_instrument

CHASE = ExitSchedule(10.0, 15.0, 2, timedelta(seconds=15), timedelta(seconds=5))
FREE = Costs(slippage_bps=0.0, position_inr=100_000.0)
FAR = SMALL.label.model_copy(update={"stop_atr": 500.0, "target_atr": 500.0, "hold_bars": 5})


def without(panel: Panel, *rows: int) -> tuple[Panel, dict[int, int]]:
    """The panel in which nobody traded in some rows, and the new number of each row that stays."""
    kept = [row for row in range(len(panel.table)) if row not in rows]
    table = panel.table.iloc[kept].reset_index(drop=True)
    return Panel(table, panel.instruments, panel.interval, panel.catalogue), {row: i for i, row in enumerate(kept)}


def the_trade(panel: Panel, row: int, **rules):
    result = traded(panel, decisions_at([row], stop=0.05, target=0.05), **rules)
    return result.trades[0].outcome if result.trades else None


@pytest.mark.parametrize("missing", [(4,), (4, 5, 6), (3 + 4,)])
def test_a_bar_without_a_trade_counts_towards_the_holding_time(missing):
    whole = the_trade(a_flat_panel(), 2)
    panel, row = without(a_flat_panel(), *missing)

    outcome = the_trade(panel, row[2])

    assert (outcome.exit_reason, outcome.hold_bars, outcome.exited_at) == (ExitReason.TIME, 5, whole.exited_at)


def test_what_expires_in_bars_without_a_trade_is_left_at_the_next_one():
    panel, row = without(a_flat_panel(), 8, 9, 10)

    outcome = the_trade(panel, row[2])

    assert (outcome.exit_reason, outcome.hold_bars) == (ExitReason.TIME, 8)
    assert outcome.exited_at == panel.table["close_time"][row[11]].to_pydatetime()


@pytest.mark.parametrize("interval", [Interval.MIN_15, Interval.DAY])
def test_a_decision_is_good_for_the_markets_next_bar_and_no_later_one(interval):
    days = 1 if interval.intraday else 12
    panel, row = without(a_flat_panel(days=days, interval=interval), 3)

    assert the_trade(panel, row[2]) is None
    assert barrier_labels(panel, FAR, FREE)["long_how"][row[2]] == 0


def test_an_entry_that_found_no_trade_takes_no_room_from_the_next():
    panel, row = without(a_flat_panel(instruments=2), 3)

    result = traded(panel, decisions_at([row[2], row[25 + 3]], stop=0.05, target=0.05), max_gross=0.15)

    assert [trade.outcome.symbol for trade in result.trades] == ["S1"]


def test_what_nothing_trades_any_more_is_the_brokers_at_the_last_price_for_its_fee():
    panel, row = without(a_flat_panel(bars={19: (100, 101, 100, 101)}), *range(20, 25))

    outcome = the_trade(panel, row[16], hold_bars=50)

    assert outcome.exit_price == Decimal("101.00")
    assert outcome.charges["brokerage"] == Decimal("90.00")  # 20 for each order, 50 for the square-off
    assert outcome.exited_at == panel.table["session_end"][0].to_pydatetime()
    assert (outcome.exit_reason, outcome.hold_bars) == (ExitReason.SQUARE_OFF, 24 - 17)


def test_other_decisions_do_not_know_that_an_instrument_will_not_trade_again():
    panel, row = without(a_flat_panel(instruments=2), *range(10, 25))
    decisions = decisions_at([row[4], row[25 + 12]], stop=0.05, target=0.05)

    result = traded(panel, decisions, max_gross=0.15, hold_bars=50)

    assert [trade.outcome.symbol for trade in result.trades] == ["S0"]  # it is held until the end: no room for S1


def test_labels_tell_of_gaps_what_the_engine_does():
    panel, row = without(a_flat_panel(days=2), 6, 11, 12, 13, *range(22, 25), 25 + 20)
    panel.table["atr_pct_14"] = 0.0001
    labels = barrier_labels(panel, FAR, FREE)
    late = {ExitReason.TIME, ExitReason.SQUARE_OFF}
    reasons = {TIMED: {ExitReason.TIME}, SQUARED: {ExitReason.SQUARE_OFF}, BY_BROKER: late}

    for old, new in row.items():
        outcome, how = the_trade(panel, new), labels["long_how"][new]
        assert (outcome is None) == (how == 0), old
        if outcome is None:
            continue
        assert outcome.exit_reason in reasons[how], old
        assert outcome.exited_at == labels["long_end"][new].to_pydatetime(), old
        rate = float(outcome.net_inr / (outcome.entry_price * outcome.quantity))
        assert rate == pytest.approx(labels["long_net"][new], abs=3e-5), old


def test_the_embargo_is_of_the_markets_bars():
    panel = a_panel(days=30)
    first = _time(windows_over(panel, EVALUATION, 12)[0].first)
    days = panel.table["close_time"].dt.normalize()
    before = days[days < first.normalize()].max()
    thinned = panel.table[(days != before) | (np.arange(len(panel.table)) % 3 == 0)].reset_index(drop=True)

    window = windows_over(Panel(thinned, panel.instruments, panel.interval, panel.catalogue), EVALUATION, 12)[0]

    until = _time(window.trained_until)  # the day before has 25 bars: what closes after the 13th is left out
    assert before + pd.Timedelta(hours=11, minutes=45) < until <= before + pd.Timedelta(hours=12, minutes=30)


def _time(microseconds: int) -> pd.Timestamp:
    return pd.Timestamp(microseconds, unit="us", tz="UTC").tz_convert("Asia/Kolkata")


DAY = session_on(pd.Timestamp("2023-04-20").date())
assert DAY is not None
SLOTS = bar_times(DAY, Interval.MIN_15)


@st.composite
def days_with_gaps(draw):
    """Fifteen-minute bars of three instruments, each of one price a tick or none from the one before, some missing."""
    bars = {}
    for symbol in ("S0", "S1", "S2"):
        steps = draw(st.lists(st.integers(-1, 1), min_size=len(SLOTS), max_size=len(SLOTS)))
        kept = draw(st.lists(st.booleans(), min_size=len(SLOTS), max_size=len(SLOTS)))
        prices = [1000 + 0.05 * step for step in np.cumsum(steps)]
        rows = [
            (*slot, *[price] * 4, 10_000_000) for slot, price, there in zip(SLOTS, prices, kept, strict=True) if there
        ]
        bars[symbol] = pd.DataFrame(rows, columns=["open_time", "close_time", "open", "high", "low", "close", "volume"])
    decided = draw(st.sets(st.tuples(st.sampled_from(sorted(bars)), st.integers(0, len(SLOTS) - 1)), max_size=20))
    return bars, decided, draw(st.integers(1, 30))


@settings(max_examples=60, deadline=None)
@given(days_with_gaps())
def test_whatever_is_missing_bars_and_tape_trade_the_same_to_the_paisa(drawn):
    bars, decided, hold_bars = drawn
    bars = {symbol: frame for symbol, frame in bars.items() if len(frame)}
    if not bars:
        return
    instruments = {symbol: an_instrument(symbol) for symbol in bars}
    table = pd.concat([frame.assign(symbol=symbol) for symbol, frame in bars.items()], ignore_index=True)
    table["session_end"] = pd.Timestamp(DAY.close)
    panel = Panel(table, instruments, Interval.MIN_15, {"hash": "none", "interval": "15min", "features": []})
    opens = {slot[0]: place for place, slot in enumerate(SLOTS)}
    rows = [
        row
        for row, (symbol, opened) in enumerate(zip(table["symbol"], table["open_time"], strict=True))
        if (symbol, opens[opened]) in decided
    ]
    decisions = decisions_at(rows, side=[1 if row % 2 else -1 for row in rows], stop=0.08, target=0.08)
    market = BarMarket(session_days(bars, whole=True), instruments, 4, 1)
    rules = (replace(RULES, hold_bars=hold_bars), int(panel.times[0]), int(panel.times[-1]))

    on_bars = run_backtest(panel, decisions, *rules)
    on_tape = run_backtest(panel, decisions, *rules, Tape(tape_of(market), CHASE, 15))

    assert sorted(map(told, on_bars.trades)) == sorted(map(told, on_tape.trades))
    assert on_bars.cash == on_tape.cash


def told(trade) -> tuple:
    o = trade.outcome
    quarter = o.entered_at.replace(minute=o.entered_at.minute // 15 * 15, second=0)
    return (o.symbol, quarter, o.side.value, o.quantity, o.entry_price, o.exit_price.quantize(Decimal("0.01")),
            o.exit_reason.value, o.hold_bars, tuple(o.charges.values()), o.net_inr)  # fmt: skip
