from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.policy.labels import SQUARED, STOPPED, TARGETED, TIMED, Costs, barrier_labels
from pipelines.policy.panel import microseconds
from tests.unit.policy.builders import COSTS, SMALL, a_panel

FREE = Costs(slippage_bps=0.0, position_inr=100_000.0)


def a_day_with(prices):
    """One session of 15-minute bars at 100 with the given (open, high, low, close) by bar number."""
    panel = a_panel(days=1, instruments=1)
    table = panel.table
    table[["open", "high", "low", "close"]] = 100.0
    table["atr_pct_14"] = 0.01
    for row, bar in prices.items():
        table.loc[row, ["open", "high", "low", "close"]] = bar
    return panel


def label_of(panel, row, side="long", costs=FREE, **label):
    params = SMALL.label.model_copy(update={"stop_atr": 1.0, "target_atr": 2.0, "hold_bars": 5, **label})
    return barrier_labels(panel, params, costs).loc[row, [f"{side}_gross", f"{side}_how", f"{side}_end_row"]].tolist()


def test_the_stop_comes_before_the_target_inside_a_bar():
    panel = a_day_with({4: (100, 103, 98.5, 100)})

    assert label_of(panel, 2) == pytest.approx([-0.01, STOPPED, 4])


def test_a_target_must_be_traded_through():
    touched, passed = a_day_with({4: (100, 102.0, 100, 100)}), a_day_with({4: (100, 102.1, 100, 100)})

    assert label_of(touched, 2)[1] == TIMED
    assert label_of(passed, 2) == pytest.approx([0.02, TARGETED, 4])


def test_a_gap_through_the_stop_is_paid_at_the_open():
    panel = a_day_with({4: (97, 97, 96, 97)})

    assert label_of(panel, 2) == pytest.approx([-0.03, STOPPED, 4])


def test_a_short_is_the_mirror_of_a_long():
    panel = a_day_with({4: (103, 104, 103, 103)})

    assert label_of(panel, 2, "short") == pytest.approx([-0.03, STOPPED, 4])


def test_time_runs_out_at_an_open():
    panel = a_day_with({8: (100.5, 100.5, 100.5, 100.5)})

    assert label_of(panel, 2) == pytest.approx([0.005, TIMED, 8])


def test_intraday_trades_end_with_the_session_and_none_begin_at_its_end():
    panel = a_panel(days=2, instruments=1)
    labels = barrier_labels(panel, SMALL.label.model_copy(update={"stop_atr": 50.0, "target_atr": 50.0}), FREE)

    assert labels["long_how"].iloc[22] == SQUARED  # enters at bar 23, leaves at the open of the last bar
    assert labels["long_end_row"].iloc[22] == 24
    assert np.isnan(labels["long_gross"].iloc[[23, 24]]).all()


def test_costs_are_charges_and_slippage_on_both_orders():
    panel = a_day_with({})

    labels = barrier_labels(panel, SMALL.label, Costs(slippage_bps=0.0, position_inr=100_000.0))

    assert labels["long_net"].iloc[2] == pytest.approx(-82.48e-5, abs=3e-6)


@pytest.mark.parametrize("interval", [Interval.MIN_15, Interval.DAY])
def test_labels_of_a_shorter_history_are_those_of_the_longer_or_missing(interval):
    panel = a_panel(days=30 if interval.intraday else 120, instruments=2, interval=interval)
    whole = barrier_labels(panel, SMALL.label, COSTS)
    for cut in panel.times[[200, 230, 333] if interval.intraday else [40, 77]]:
        known = panel.closed_by(int(cut))

        labels = barrier_labels(known, SMALL.label, COSTS)

        rows = np.flatnonzero(panel.closes <= cut)
        for name in ("long_gross", "short_net"):
            then, now = labels[name].to_numpy(), whole[name].to_numpy()[rows]
            assert np.array_equal(then[np.isfinite(then)], now[np.isfinite(then)])
        missing = np.isnan(labels["long_net"].to_numpy()) & np.isfinite(whole["long_net"].to_numpy()[rows])
        assert (microseconds(whole["long_end"])[rows][missing] > cut).all()


def test_without_a_true_range_there_is_no_label():
    labels = barrier_labels(a_panel(days=2, instruments=1), SMALL.label, COSTS)

    assert labels["long_gross"].iloc[:14].isna().all()
    assert pd.isna(labels["long_end"].iloc[0])


def test_labels_do_not_see_a_split():
    panel = a_panel(days=60, instruments=1, interval=Interval.DAY)
    table = panel.table.assign(adjustment=np.where(np.arange(60) < 30, 1.0, 2.0))
    table.loc[30:, ["open", "high", "low", "close"]] /= 2

    plain = barrier_labels(panel, SMALL.label, COSTS)
    split = barrier_labels(replace(panel, table=table), SMALL.label, COSTS)

    pd.testing.assert_frame_equal(split, plain, check_exact=True)
