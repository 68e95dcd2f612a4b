import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import TooFewBars
from pipelines.evaluation.assessment import assess
from pipelines.evaluation.baselines import buy_and_hold
from pipelines.evaluation.importance import importance_over_time, selection_summary
from pipelines.evaluation.report import evaluation_report, headline
from pipelines.evaluation.stage import reloads_identically, write_assessment
from pipelines.evaluation.walk_forward import walk_forward, windows_over
from pipelines.gates.rules import judge_gates
from pipelines.paths import Paths
from pipelines.policy.fit import fit_policy
from pipelines.tables import read_json
from tests.unit.evaluation.test_engine import RULES
from tests.unit.policy.builders import COSTS, HEADS, PARAMS, SMALL, a_panel

EVALUATION = PARAMS.evaluation.model_copy(update={"folds": 2, "bootstraps": 300, "turns": 40})


def assessed(panel, policy=SMALL):
    walked = walk_forward(panel, HEADS, policy, EVALUATION, COSTS, {})
    rules = replace(RULES, hold_bars=policy.label.hold_bars if panel.interval.intraday else policy.label.hold_days)
    return assess(panel, walked, rules, COSTS, policy, EVALUATION)


@pytest.fixture(scope="module")
def skilled():
    return assessed(a_panel(days=40, edge=0.6, instruments=4))


def gates_failed(result):
    figures = result.figures | {"policy_version": "v", "policy_reloads": True}
    return {verdict.gate for verdict in judge_gates(figures, PARAMS.gates) if not verdict.passed}


def test_a_strong_edge_is_found_and_passes_every_gate(skilled):
    assert skilled.figures["trades"] > 100
    assert gates_failed(skilled) == set()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_without_an_edge_the_gates_refuse_money(seed):
    result = assessed(a_panel(days=30, edge=0.0, instruments=3, seed=seed))

    assert gates_failed(result)
    assert result.figures["books_agree"]


def test_an_edge_smaller_than_the_charges_is_refused():
    assert gates_failed(assessed(a_panel(days=30, edge=0.03, instruments=3)))


def test_figures_are_json_without_nan_and_agree_with_the_trades(skilled):
    figures = skilled.figures

    json.dumps(figures, allow_nan=False)
    assert figures["net_inr"] == pytest.approx(skilled.trades["net_inr"].sum(), abs=0.01)
    assert figures["net_inr"] == pytest.approx(figures["gross_inr"] - figures["charges_inr"], abs=0.01)
    assert figures["sharpe_ci"][0] < figures["sharpe"] < figures["sharpe_ci"][1]
    assert figures["double_friction_sharpe"] < figures["double_cost_sharpe"] < figures["sharpe"]
    assert figures["trials"] == EVALUATION.prior_trials + 1
    assert figures["max_position_share"] <= 0.11


def test_no_window_is_judged_by_a_policy_that_saw_it():
    panel = a_panel(days=24)
    for window in windows_over(panel, EVALUATION, SMALL.embargo_bars):
        position = np.searchsorted(panel.times, [window.trained_until, window.first])
        assert position[1] - position[0] > SMALL.embargo_bars


def test_judgements_of_early_windows_do_not_move_when_the_later_market_changes():
    panel = a_panel(days=24, edge=0.5)
    windows = windows_over(panel, EVALUATION, SMALL.embargo_bars)
    changed = panel.table.copy()
    later = panel.closes > windows[0].last
    changed.loc[later, ["open", "high", "low", "close"]] *= 2
    changed.loc[later, "noise"] += 5

    one, other = (
        walk_forward(p, HEADS, SMALL, EVALUATION, COSTS, {}).judged for p in (panel, replace(panel, table=changed))
    )

    first = one["fold"] == 0
    pd.testing.assert_frame_equal(one[first], other[first])


def test_a_leaked_future_looks_too_good():
    """A feature that knows the next bars gives ratios no market gives: the sign by which a leak is found."""
    panel = a_panel(days=24, edge=0.0, seed=5)
    table = panel.table.copy()
    for rows in panel.symbol_slices.values():
        ahead = np.log(table["close"].iloc[rows]).diff().shift(-1).to_numpy() / 0.002
        for name in ("return_12", "return_24", "return_48", "relative_strength_48"):
            table.loc[table.index[rows], name] = np.nan_to_num(ahead)
    quick = SMALL.model_copy(update={"label": SMALL.label.model_copy(update={"hold_bars": 5})})

    leaked, honest = assessed(replace(panel, table=table), quick), assessed(panel, quick)

    assert leaked.figures["sharpe"] > 10
    assert gates_failed(honest)


def test_holding_everything_pays_delivery_charges():
    panel = a_panel(days=10, instruments=2)
    panel.table[["open", "high", "low", "close"]] = 100.0

    path = buy_and_hold(panel, int(panel.times[0]), int(panel.times[-1]), 1_000_000.0)["equity"]

    lost = 1_000_000 - path.iloc[-1]
    assert lost == pytest.approx(2 * (500_000 * 222.48e-5 + 15.34), rel=0.03)


@pytest.mark.parametrize(
    ("days", "instruments", "interval"), [(60, 1, Interval.MIN_15), (40, 4, Interval.MIN_60), (300, 4, Interval.DAY)]
)
def test_short_histories_work_or_say_what_is_missing(days, instruments, interval):
    result = assessed(a_panel(days=days, instruments=instruments, interval=interval, regimes=False))

    json.dumps(result.figures, allow_nan=False)


def test_two_days_are_too_few():
    with pytest.raises(TooFewBars, match="trading days"):
        assessed(a_panel(days=2))


def test_the_report_is_one_file_that_says_the_market_is_simulated(tmp_path, skilled):
    paths = Paths(tmp_path)
    skilled.figures.update({"policy_version": "0123456789ab", "policy_reloads": True})
    from pipelines.tables import write_json

    write_json({"source": "simulated", "interval": "15min", "simulated": {"edge": "momentum"}}, paths.snapshot)
    importance = importance_over_time([], {"features": []})
    summary = selection_summary(importance, [])
    write_assessment(skilled, importance, summary, paths)

    counts = dict.fromkeys(("decisions", "intents", "orders", "fills", "outcomes", "open_positions"), 5)
    evaluation_report(paths, tmp_path / "report.html", counts | {"cash_exchange": "1000.00", "cash_journal": "999.95"})

    text = (tmp_path / "report.html").read_text()
    assert "simulated market with a planted momentum edge" in text
    assert "Paper session" in text
    assert "cash differs: exchange Rs 1,000.00, journal Rs 999.95" in text
    assert "cdn.plot.ly/plotly" not in text
    first = (paths.evaluation / "evaluation.html").read_bytes()
    write_assessment(skilled, importance, summary, paths)
    assert (paths.evaluation / "evaluation.html").read_bytes() == first
    assert read_json(paths.reports / "evaluation.json")["trades"] == len(skilled.trades)


def test_the_headline_does_not_hide_what_was_simulated():
    assert "without an edge" in headline({"source": "simulated", "simulated": {"edge": "none"}})
    assert headline({"source": "files", "folder": "nse/daily"}) == "Source: real bars from nse/daily"
    pinned = {"learnt_until": "2026-10-30T20:31:07+05:30", "bars_of": ["kite"]}
    lake = {"source": "lake", "folder": None, "lake": pinned}
    assert headline(lake) == "Source: real bars of Kite's history from the lake, as it was on 2026-10-30 20:31"


def test_a_policy_reloads_identically():
    panel = a_panel(days=16, edge=0.4)

    assert reloads_identically(fit_policy(panel, HEADS, SMALL, COSTS, {}).bundle, panel.table.tail(100))
