"""What a policy's days and trades at a stage say of the next one, with figures, limits and reasons."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.journal.ladder_records import StageTrade
from pipelines.journal.memory import MemoryJournal
from pipelines.params import EvaluationParams, PromotionParams, load_params
from pipelines.promotion.stages import Stage
from pipelines.promotion.track_record import TrackRecord, judge_track, track_record
from tests.conftest import ROOT
from tests.unit.journal.records import a_decision, an_outcome

SHIPPED = load_params(ROOT / "params.yaml")
LIMITS: PromotionParams = SHIPPED.promotion
ASSUMED: EvaluationParams = SHIPPED.evaluation
MONDAY = datetime(2026, 11, 2, 10, 0, tzinfo=IST)


def a_trade(number: int = 0, *, net: str = "20", slippage: str = "0.50", expected: float | None = 0.002) -> StageTrade:
    """Ten shares of 100 rupees; by default 200 bps earned, 2.5 bps slippage on both legs, 20 bps expected."""
    return StageTrade(
        symbol=f"S{number}",
        decided_at=MONDAY + timedelta(days=number // 10),
        quantity=10,
        entry_price=Decimal("100"),
        exit_price=Decimal("100"),
        net_inr=Decimal(net),
        slippage_inr=Decimal(slippage),
        expected_return=expected,
    )


def a_record(trades: list[StageTrade], days: int = 20, version: str = "3") -> TrackRecord:
    decided = tuple((MONDAY + timedelta(days=n)).date() for n in range(days))
    return TrackRecord(version, Stage.PAPER, decided, tuple(trades))


def uneven(mean: float, spread: float = 1.0, count: int = 60) -> list[StageTrade]:
    """Trades whose net results alternate around a mean of rupees, so that chance has a size."""
    return [a_trade(n, net=f"{mean + (spread if n % 2 else -spread):.4f}") for n in range(count)]


def failing(record: TrackRecord, incumbent: TrackRecord | None = None) -> dict[str, tuple]:
    verdicts = judge_track(Stage.CANARY, record, incumbent, LIMITS, ASSUMED)
    return {v.gate: (v.measured, v.limit) for v in verdicts if not v.passed}


def test_a_month_of_good_trades_passes_and_protects_the_stage_asked_for():
    verdicts = judge_track(Stage.CANARY, a_record(uneven(3.0)), None, LIMITS, ASSUMED)

    assert all(verdict.passed for verdict in verdicts)
    assert {verdict.protects for verdict in verdicts} == {("canary",)}


def test_without_a_single_trade_every_figure_is_missing():
    refused = failing(a_record([], days=0))

    assert refused == {
        "trading days at paper": (0.0, 20.0),
        "trades at paper": (0.0, 50.0),
        "slippage at paper": (None, 6.0),
        "net return at paper against expected": (None, -2.0),
    }


@pytest.mark.parametrize(("days", "trades", "gate"), [(19, 60, "trading days at paper"), (20, 49, "trades at paper")])
def test_one_day_or_trade_too_few_is_refused(days, trades, gate):
    assert list(failing(a_record(uneven(3.0, count=trades), days))) == [gate]


def test_slippage_above_twice_what_was_assumed_is_refused():
    within = [replace(trade, slippage_inr=Decimal("1.20")) for trade in uneven(3.0)]  # 6 bps of 2,000 rupees
    above = [replace(trade, slippage_inr=Decimal("1.21")) for trade in uneven(3.0)]

    assert failing(a_record(within)) == {}
    assert failing(a_record(above)) == {"slippage at paper": (pytest.approx(6.05), 6.0)}


def test_a_return_below_expectation_by_more_than_chance_is_refused():
    expected_net = 2.0  # 20 bps of 1,000 rupees

    unlucky = failing(a_record(uneven(expected_net - 0.2)))
    wrong = failing(a_record(uneven(expected_net - 0.5)))

    assert unlucky == {}
    [(measured, limit)] = wrong.values()
    assert (list(wrong), limit) == (["net return at paper against expected"], -2.0)
    assert measured == pytest.approx(-0.5 / (1.0085 / 60**0.5), rel=0.01)


def test_equal_trades_without_spread_are_judged_by_their_sign():
    assert failing(a_record([a_trade(n, net="2.00") for n in range(60)])) == {}
    assert list(failing(a_record([a_trade(n, net="1.99") for n in range(60)]))) == [
        "net return at paper against expected"
    ]


def test_a_policy_worse_than_the_incumbent_is_refused_with_both_figures():
    ours, theirs = a_record(uneven(3.0)), replace(a_record(uneven(5.0), version="2"), stage=Stage.CHAMPION)

    verdict = judge_track(Stage.CANARY, ours, theirs, LIMITS, ASSUMED)[-1]

    assert not verdict.passed
    assert verdict.measured < -2.0
    assert "version 3 at paper: 20 days, 60 trades, +30.0 bps a trade" in verdict.evidence
    assert "version 2 at champion: 20 days, 60 trades, +50.0 bps a trade" in verdict.evidence


def test_an_incumbent_that_does_not_trade_is_no_hurdle():
    idle = replace(a_record([], version="2"), stage=Stage.CHAMPION)

    assert failing(a_record(uneven(3.0)), idle) == {}


def test_only_bars_after_the_entry_and_of_the_stage_are_counted():
    journal = MemoryJournal()
    entered = MONDAY - timedelta(minutes=1)
    for stage, symbol, close in (
        ("paper", "BEFORE", MONDAY - timedelta(days=3)),
        ("paper", "COUNTED", MONDAY),
        ("canary", "ELSEWHERE", MONDAY),
    ):
        decision = a_decision(symbol=symbol, close_time=close, policy_version="p1")
        decision_id = journal.record_decision("A", decision, 1.0, stage=stage)
        journal.record_outcome("A", decision_id, an_outcome(symbol=symbol, decision_id=decision_id))

    record = track_record(journal, "3", "p1", Stage.PAPER, entered)

    assert record.days == (MONDAY.date(),)
    assert [trade.symbol for trade in record.trades] == ["COUNTED"]
    assert track_record(journal, "3", "p1", Stage.PAPER, None).days == ()


def test_a_day_of_the_past_played_at_paper_is_no_day_at_paper():
    journal = MemoryJournal()
    for day in range(20):
        played = MONDAY - timedelta(days=day)
        journal.record_decision("A", a_decision(close_time=played, policy_version="p1"), 1.0, stage="paper")

    record = track_record(journal, "3", "p1", Stage.PAPER, datetime.now(IST))

    assert failing(record)["trading days at paper"] == (0.0, 20.0)
