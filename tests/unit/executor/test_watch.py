from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.equity import first_day
from pipelines.domain.halts import Cause, Mode
from pipelines.domain.verdicts import Verdict
from pipelines.journal.memory import MemoryJournal
from serving.executor.trading_state import Trading
from serving.executor.watch import (
    Triggers,
    Watch,
    drawdown,
    equal_books,
    losses_in_a_row,
    skewed_clock,
    slow_decisions,
    stale_feed,
)

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)
TRIGGERS = Triggers(
    max_drawdown=0.10,
    losses_in_a_row=3,
    slow_decision_ms=100.0,
    slow_decisions=3,
    feed_silence=timedelta(seconds=15),
    clock_skew=timedelta(seconds=5),
    skewed_frames=3,
    calm=timedelta(seconds=60),
)


def fallen_to(equity: str):
    return first_day(Decimal(100), NOON).marked(Decimal(equity), NOON)


def rupees(*results: int) -> list[Decimal]:
    return [Decimal(result) for result in results]


@pytest.mark.parametrize(
    ("fine", "bad", "told"),
    [
        (drawdown(fallen_to("90"), TRIGGERS), drawdown(fallen_to("89.99"), TRIGGERS), "10.01% below its peak 100.00"),
        (
            losses_in_a_row(rupees(-1, -1, 1, -1, -1), TRIGGERS),
            losses_in_a_row(rupees(1, -1, -2, -3), TRIGGERS),
            "3 losses in a row, -6.00 rupees",
        ),
        (
            slow_decisions([500.0, 500.0, 100.0, 500.0, 500.0], TRIGGERS),
            slow_decisions([1.0, 101.0, 102.0, 103.0], TRIGGERS),
            "fastest of the last 3 decisions took 101 ms",
        ),
        (slow_decisions([500.0, 500.0], TRIGGERS), slow_decisions([500.0] * 3, TRIGGERS), "500 ms"),
        (stale_feed(15.0, TRIGGERS), stale_feed(15.1, TRIGGERS), "no packet for 15 s"),
        (
            skewed_clock([-9.0, -5.0, -9.0], TRIGGERS),
            skewed_clock([0.0, -6.0, -7.0, 8.0], TRIGGERS),
            "at least 6.0 s apart",
        ),
        (equal_books([]), equal_books(["cash: 1 is missing"]), "cash: 1 is missing"),
    ],
)
def test_a_trigger_passes_just_inside_and_refuses_just_outside_with_its_figures(fine, bad, told):
    assert fine.passed
    assert not bad.passed
    assert told in bad.evidence


def judged(cause: Cause) -> tuple[Trading, Watch]:
    trading = Trading("T1", MemoryJournal())
    watch = Watch(trading, TRIGGERS.calm)
    assert watch.judge(cause, Verdict("it", False, 1.0, 0.0, "too much"), NOON)
    assert not watch.judge(cause, Verdict("it", False, 1.0, 0.0, "too much"), NOON)
    return trading, watch


@pytest.mark.parametrize("cause", [Cause.STALE_FEED, Cause.SLOW_DECISIONS, Cause.RECONCILIATION, Cause.CLOCK_SKEW])
def test_a_cause_that_has_been_gone_for_long_enough_is_lifted(cause):
    trading, watch = judged(cause)
    fine = Verdict("it", True, 0.0, 0.0)

    watch.judge(cause, fine, NOON + timedelta(seconds=1))
    watch.judge(cause, fine, NOON + timedelta(seconds=60))
    assert trading.mode is Mode.HALTED

    watch.judge(cause, fine, NOON + timedelta(seconds=61))
    assert trading.mode is Mode.TRADING


def test_a_cause_that_comes_back_has_to_be_gone_anew():
    trading, watch = judged(Cause.STALE_FEED)
    fine, bad = Verdict("it", True, 0.0, 0.0), Verdict("it", False, 1.0, 0.0, "again")

    for second, verdict in ((1, fine), (30, bad), (40, fine), (99, fine)):
        watch.judge(Cause.STALE_FEED, verdict, NOON + timedelta(seconds=second))

    assert trading.mode is Mode.HALTED


@pytest.mark.parametrize("cause", [Cause.DRAWDOWN, Cause.LOSSES])
def test_what_only_a_person_may_lift_stays(cause):
    trading, watch = judged(cause)

    for minutes in (1, 60, 600):
        watch.judge(cause, Verdict("it", True, 0.0, 0.0), NOON + timedelta(minutes=minutes))

    assert trading.mode is Mode.HALTED
