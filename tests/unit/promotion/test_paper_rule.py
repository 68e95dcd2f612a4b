"""Which candidate takes paper by itself, and when."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pipelines.domain.bars import IST
from pipelines.params import load_params
from pipelines.promotion.paper_rule import judge_candidate, judged_otherwise, market_is_busy
from pipelines.promotion.registration import Registration
from tests.conftest import ROOT, params_content

AT = datetime(2026, 11, 20, 18, 0, tzinfo=IST)


def a_registration(version: str = "3", **changes) -> Registration:
    fields = {
        "version": version,
        "at": AT + timedelta(minutes=int(version)),
        "registered_by": "airflow",
        "run": f"run-{version}",
        "content": f"content-{version}",
        "fingerprint": f"print-{version}",
        "policy_version": f"policy-{version}",
        "artifact": "file:///a",
        "commit": "c0ffee",
        "source": "lake",
        "bars": "bars of kite from the lake",
        "planted_edge": None,
        "interval": "5min",
        "params": "p",
        "metrics": {"sharpe": 1.2, "deflated_sharpe": 0.97},
        "verdicts": (),
    }
    return Registration(**fields | changes)


def better(version: str = "4", **changes) -> Registration:
    return a_registration(version, metrics={"sharpe": 1.3, "deflated_sharpe": 0.98}, **changes)


def failing(candidate, standing, differing=(), before=None, gain=0.0) -> list[str]:
    stood = [standing] if before is None and standing else before or []
    return [v.gate for v in judge_candidate(candidate, standing, stood, differing, gain) if not v.passed]


def test_a_newer_and_better_policy_takes_paper():
    assert failing(better(), a_registration()) == []


def test_free_paper_is_taken_by_what_a_training_run_made_from_a_commit():
    assert failing(a_registration(metrics={}), None) == []


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"run": None}, "registered by a training run"),
        ({"commit": None}, "made from a commit"),
        ({"at": AT}, "newer than what has stood at paper"),
        ({"source": "simulated", "planted_edge": "momentum"}, "judged on the same market"),
        ({"interval": "day"}, "judged on the same market"),
    ],
)
def test_each_condition_is_refused_by_its_name(change, gate):
    assert failing(replace(better(), **change), a_registration()) == [gate]


@pytest.mark.parametrize(
    ("figures", "gates"),
    [
        ({"sharpe": 1.2, "deflated_sharpe": 0.97}, ["Sharpe ratio above what stands at paper"]),
        ({"sharpe": 1.3, "deflated_sharpe": 0.96}, ["deflated Sharpe ratio of what stands at paper"]),
        ({}, ["Sharpe ratio above what stands at paper", "deflated Sharpe ratio of what stands at paper"]),
    ],
)
def test_not_better_by_the_registered_figures_is_refused(figures, gates):
    assert failing(a_registration("4", metrics=figures), a_registration()) == gates


def test_the_gain_that_is_asked_for_counts():
    assert failing(better(), a_registration(), gain=0.05) == []
    assert failing(better(), a_registration(), gain=0.15) == ["Sharpe ratio above what stands at paper"]


def test_what_was_judged_by_softer_numbers_is_refused():
    assert failing(better(), a_registration(), ["evaluation.slippage_bps: 2.0 here, 0 in the run"]) == [
        "judging numbers that are not the checkout's"
    ]


def test_older_than_anything_that_stood_there_before_is_refused():
    standing, newer = a_registration("2"), a_registration("9")

    assert failing(better("4"), standing, before=[standing, newer]) == ["newer than what has stood at paper"]


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"policy.trees": 30, "policy.seed": 77}, []),
        ({"ingest.as_of": "2026-11-01 18:00"}, []),
        ({"evaluation.slippage_bps": 0.0}, ["evaluation.slippage_bps"]),
        ({"gates.min_sharpe": -9.0}, ["gates.min_sharpe"]),
        ({"ingest.simulated.edge_strength": 3.0}, ["ingest.simulated.edge_strength"]),
        ({"ingest.source": "files", "ingest.folder": "/tmp/mine"}, ["ingest.folder", "ingest.source"]),
        ({"ingest.columns.names": {"open": "O"}}, ["ingest.columns.names", "ingest.columns.names.open"]),
        ({"validate.max_quarantined": 0.5}, ["validate.max_quarantined"]),
    ],
)
def test_overrides_of_judging_numbers_are_named(overrides, named):
    differing = judged_otherwise(params_content({}), params_content(overrides))

    assert [each.partition(":")[0] for each in differing] == named


@pytest.mark.parametrize(
    ("moment", "busy"),
    [
        (datetime(2026, 11, 27, 8, 59), False),  # a Friday
        (datetime(2026, 11, 27, 9, 0), True),  # the pre-open
        (datetime(2026, 11, 27, 12, 0), True),
        (datetime(2026, 11, 27, 15, 30), True),  # the closing auction
        (datetime(2026, 11, 27, 16, 30), False),
        (datetime(2026, 11, 28, 12, 0), False),  # a Saturday
        (datetime(2026, 1, 26, 12, 0), False),  # Republic Day
        (datetime(2027, 3, 1, 12, 0), True),  # a Monday that the calendar does not know
    ],
)
def test_nothing_moves_while_the_markets_day_is_on(moment, busy):
    assert bool(market_is_busy(moment.replace(tzinfo=IST))) is busy


def test_the_moment_may_be_told_in_any_zone():
    assert market_is_busy(datetime.fromisoformat("2026-11-27T06:30:00+00:00"))
    assert not market_is_busy(datetime.fromisoformat("2026-11-27T12:00:00+00:00"))


def test_the_shipped_gain_is_a_number_at_or_above_zero():
    assert load_params(ROOT / "params.yaml").promotion.min_sharpe_gain >= 0.0


@pytest.mark.parametrize(
    ("changes", "differs"), [({"commit": None}, ()), ({}, ("evaluation.slippage_bps: 5 here, 0 in the run",))]
)
def test_figures_of_another_judgement_are_no_limit(changes, differs):
    standing = a_registration(metrics={"sharpe": 9.9, "deflated_sharpe": 0.999}, **changes)

    verdicts = judge_candidate(better(), standing, [standing], (), 0.0, differs)

    assert [verdict.gate for verdict in verdicts if not verdict.passed] == []
