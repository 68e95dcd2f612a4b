import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.evaluation.other_days import OtherDays, Purse, on_other_days, timing_percentile
from pipelines.policy.labels import barrier_labels
from tests.unit.policy.builders import COSTS, SMALL, a_panel

PURSE = Purse(
    risk_per_trade=0.01, max_position=0.1, max_gross=1.0, hold_bars=SMALL.label.hold_bars, square_off_minutes=20
)
DENSITIES = (0.01, 0.03, 0.1, 0.3, 1.0)  #: shares of all closes at which an unskilled policy trades
CALM_LOSS, WILD_LOSS = np.array([-0.011, -0.009, -0.010, -0.010]), np.array([-0.06, 0.01, -0.05, 0.02])


def decided(panel, take, side, expected=None):
    """Decisions at every row; `take` of bool, `side` of 1 and -1."""
    return pd.DataFrame(
        {
            "action": np.where(take, "take", "skip"),
            "side": side,
            "expected_return": np.zeros(len(take)) if expected is None else expected,
            "stop_distance": 3 * panel.table["atr_pct_14"].to_numpy(),
        }
    )


def replayed(panel, decisions, turns=200, purse=PURSE):
    labels = barrier_labels(panel, SMALL.label, COSTS)
    first, last = int(panel.times[0]), int(panel.times[-1])
    return on_other_days(panel, decisions, labels, purse, first_us=first, last_us=last, turns=turns, seed=1)


def unskilled(panel, density, seed):
    """Entries by a coin, sides that stay for a while."""
    rng = np.random.default_rng([seed, int(100 * density)])
    rows = len(panel.table)
    sides = np.repeat(np.sign(rng.standard_normal(rows // 10 + 1)), 10)[:rows]
    return decided(panel, rng.random(rows) < density, sides, rng.random(rows))


@pytest.fixture(scope="module")
def percentiles():
    """Of unskilled policies, by density, in worlds without an edge."""
    found = {density: [] for density in DENSITIES}
    for seed in range(24):
        panel = a_panel(days=30, instruments=3, edge=0.0, seed=seed)
        for density in DENSITIES:
            found[density].append(timing_percentile(replayed(panel, unskilled(panel, density, seed))))
    return found


@pytest.mark.parametrize("density", DENSITIES)
def test_an_unskilled_policy_stands_anywhere_among_its_other_days(percentiles, density):
    found = np.sort(percentiles[density])

    uniform = np.arange(len(found)) / len(found)
    assert np.max(found - uniform) < 1.52 / np.sqrt(len(found))  # Kolmogorov and Smirnov, one side at one in a hundred
    assert 0.2 < np.median(found) < 0.8


def test_unskilled_policies_pass_about_once_in_twenty(percentiles):
    passed = np.array([each >= 0.95 for found in percentiles.values() for each in found])

    assert passed.mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / len(passed))


def test_a_policy_that_knows_what_comes_beats_its_other_days():
    panel = a_panel(days=30, instruments=3, edge=0.0, seed=3)
    labels = barrier_labels(panel, SMALL.label, COSTS)
    better = np.where(labels["long_net"] > labels["short_net"], 1, -1)
    knows = np.random.default_rng(1).random(len(panel.table)) < 0.3

    found = replayed(panel, decided(panel, knows, np.where(knows, better, 1)))

    assert timing_percentile(found) == len(found.turned) / (len(found.turned) + 1)


def test_its_own_days_are_the_trades_of_the_labels_one_at_a_time():
    panel = a_panel(days=12, instruments=1, edge=0.0, seed=4)
    labels = barrier_labels(panel, SMALL.label, COSTS)
    numbers, free_from, earned = panel.bar_numbers, -1, 0.0
    for row in range(len(panel.table)):
        if labels["long_end_row"][row] >= 0 and numbers[row] >= free_from:
            free_from, size = labels["long_end_bar"][row], 0.01 / (3 * panel.table["atr_pct_14"][row])
            earned += min(size, 0.1) * labels["long_net"][row]

    found = replayed(panel, decided(panel, np.ones(len(numbers), bool), np.ones(len(numbers))))

    assert found.own.sum() == pytest.approx(earned)


def test_gross_exposure_is_bounded_and_the_most_promising_comes_first():
    panel = a_panel(days=12, instruments=4, edge=0.0, seed=5)
    labels = barrier_labels(panel, SMALL.label, COSTS)
    at = int(panel.closes[30])
    now = panel.closes == at
    expected = np.where(panel.table["symbol"] == "S2", 2.0, 1.0)

    one = Purse(risk_per_trade=1.0, max_position=0.1, max_gross=0.1, hold_bars=12, square_off_minutes=20)
    found = replayed(panel, decided(panel, now, np.ones(len(now)), expected), purse=one)

    chosen = now & (panel.table["symbol"] == "S2").to_numpy()
    assert found.own.sum() == pytest.approx(0.1 * labels["long_net"][chosen].item())


def test_daily_decisions_are_not_turned_into_the_reach_of_their_own_trades():
    panel = a_panel(days=60, instruments=2, interval=Interval.DAY)
    rows = len(panel.table)

    found = replayed(panel, decided(panel, np.ones(rows, bool), np.ones(rows)))

    reach = SMALL.label.hold_bars + 1
    assert len(found.turned) == 60 - 2 * reach + 1


def test_a_period_too_short_for_any_turn_says_nothing():
    panel = a_panel(days=20, instruments=1, interval=Interval.DAY)
    rows = len(panel.table)

    found = replayed(panel, decided(panel, np.ones(rows, bool), np.ones(rows)))

    assert found.turned.shape == (0, 20)
    assert timing_percentile(found) is None


def test_of_two_losers_the_wilder_one_is_not_the_better():
    assert timing_percentile(OtherDays(WILD_LOSS, np.array([CALM_LOSS]))) == 0.0


@pytest.mark.parametrize("earned", [0.02, 0.001])
def test_the_share_is_of_those_beaten_in_ratio_and_sum(earned):
    own = CALM_LOSS + earned + 0.01

    assert timing_percentile(OtherDays(own, np.array([CALM_LOSS, WILD_LOSS, own, own + 0.01]))) == 2 / 5


def test_a_policy_that_never_trades_says_nothing():
    assert timing_percentile(OtherDays(np.zeros(4), np.array([CALM_LOSS]))) is None
