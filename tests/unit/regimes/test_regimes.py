import json
import math
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.features.catalogue import MARKET_NAMES, REGIME_COLUMNS
from pipelines.params import RegimeParams
from pipelines.regimes.filter import OBSERVATIONS, REGIMES, Fit, OnlineRegimes, RegimeFilter, most_probable
from pipelines.regimes.fit import DegenerateFit, fit_history, fit_past, regime_order
from pipelines.regimes.history import daily_means, find_regimes
from tests.unit.regimes.markets import known_market

PARAMS = RegimeParams(states=4, seed=11, min_bars=400, refits=6)
START = datetime(2026, 1, 5, 9, 20, tzinfo=IST)
QUICK = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def observations_of(table):
    return np.column_stack([table["market_trend_72"], np.log(table["market_activity_72"])])


@pytest.fixture(scope="module")
def market_and_truth():
    return known_market(bars=2_500, seed=1)


@pytest.fixture(scope="module")
def found(market_and_truth):
    return find_regimes(market_and_truth[0], PARAMS)


def test_regimes_that_are_known_are_found(market_and_truth, found):
    _, truth = market_and_truth
    late = slice(800, None)  # after the second fit

    right = (found.table["regime"][late] == truth[late]).groupby(truth[late]).mean()

    assert right.mean() > 0.8
    assert right.min() > 0.6  # by chance: 0.25


def test_probabilities_sum_to_one_from_the_first_fit_on_and_are_unknown_before(found):
    probabilities = found.table[list(REGIMES)]

    assert probabilities[:400].isna().all().all()
    assert (found.table["regime"][:400] == "unknown").all()
    np.testing.assert_allclose(probabilities[400:].sum(axis=1), 1.0, atol=1e-12)
    assert (probabilities[400:] >= 0).all().all()


def test_each_fit_is_used_only_after_the_closes_it_saw(market_and_truth, found):
    times = market_and_truth[0]["close_time"]

    fits = [Fit.from_dict(fit) for fit in found.model["fits"]]

    assert [fit.bars for fit in fits] == [400, 800, 1600]
    for fit in fits:
        assert times[fit.bars - 1] < fit.valid_from == times[fit.bars]


@QUICK
@given(seed=st.integers(0, 10_000), cut=st.integers(250, 690))
def test_regimes_of_the_past_stay_when_later_bars_arrive(seed, cut):
    market, _ = known_market(bars=700, seed=seed)
    params = PARAMS.model_copy(update={"min_bars": 200})
    then = find_regimes(market[:cut], params)

    now = find_regimes(market, params)

    assert_frame_equal(now.table[:cut], then.table, check_exact=True)


def test_online_regimes_equal_those_of_the_batch_to_the_bit(market_and_truth, found):
    market, _ = market_and_truth
    online = OnlineRegimes(json.loads(json.dumps(found.model)))

    rows = [online.update(row["close_time"], row) for row in market.to_dict("records")]

    table = pd.DataFrame(rows)
    assert table.to_numpy().tobytes() == found.table[list(REGIMES)].to_numpy().tobytes()


def test_after_all_fits_the_last_one_filters():
    market, _ = known_market(bars=1_200, seed=3)
    model = find_regimes(market, PARAMS).model
    later = market.iloc[-100:]
    last_only = OnlineRegimes(model | {"fits": model["fits"][-1:]})

    rows = [
        [online.update(row["close_time"], row) for row in later.to_dict("records")]
        for online in (OnlineRegimes(model), last_only)
    ]

    assert rows[0] == rows[1]


def test_the_filter_equals_the_forward_pass_of_hmmlearn(market_and_truth):
    from hmmlearn.hmm import GaussianHMM

    observations = observations_of(market_and_truth[0])[:1_000]
    fit = fit_past(observations, START, seed=11)
    theirs = GaussianHMM(4, covariance_type="full")
    theirs.startprob_, theirs.transmat_, theirs.means_ = fit.start, fit.transition, fit.means
    theirs.covars_ = fit.covariances
    ours = RegimeFilter([fit])

    filtered = [ours.update(START + timedelta(minutes=i), row) for i, row in enumerate(observations)]

    for last in (0, 1, 10, 250, 999):
        standard = fit.standardise(observations[: last + 1])
        np.testing.assert_allclose(filtered[last], theirs.predict_proba(standard)[-1], atol=1e-9)


def test_a_fit_is_the_same_each_time(market_and_truth):
    observations = observations_of(market_and_truth[0])[:600]

    one, two = (fit_past(observations, START, seed=11).as_dict() for _ in range(2))

    assert one == two


def test_states_are_named_by_volatility_and_return():
    means = np.array([[0.1, 0.0], [2.0, 3.0], [-1.0, 0.5], [1.0, -0.5]])

    assert regime_order(means).tolist() == [3, 2, 0, 1]  # bull, bear, range, high_volatility


def test_a_short_history_is_fitted_earlier_and_says_so():
    market, _ = known_market(bars=300, seed=2)

    found = find_regimes(market, PARAMS)

    assert found.model["fits"][0]["bars"] == 200
    assert any("short of 400" in note for note in found.notes)
    assert found.table["regime"][200:].ne("unknown").all()


@pytest.mark.parametrize("bars", [0, 1, 40])
def test_too_short_a_history_stays_unknown_and_says_so(bars):
    market = known_market(bars=60, seed=2)[0][:bars]

    found = find_regimes(market, PARAMS)

    assert found.model["fits"] == []
    assert found.table["regime"].eq("unknown").all()
    assert "regimes stay unknown" in found.notes[0]
    assert daily_means(found.table).empty


def test_a_market_that_never_moves_stays_unknown_and_says_so():
    market, _ = known_market(bars=600, seed=2)
    market[["market_trend_72", "market_activity_72"]] = 0.001

    found = find_regimes(market, PARAMS)

    assert found.model["fits"] == []
    assert "did not move" in found.notes[0]


def test_a_degenerate_history_is_refused():
    constant = np.tile([0.0, -7.0], (200, 1))

    with pytest.raises(DegenerateFit, match="did not move"):
        fit_past(constant, START, seed=1)


def test_two_points_only_still_give_sound_states():
    few = np.tile(np.array([[0.0, -7.0], [1.0, -6.0]]), (100, 1))

    fit = fit_past(few, START, seed=1)

    assert np.isfinite(fit.means).all()
    assert (np.linalg.eigvalsh(fit.covariances) > 0).all()


def test_a_crash_far_from_everything_seen_does_not_break_the_filter(found):
    online = OnlineRegimes(found.model)
    late = datetime(2027, 1, 4, 9, 20, tzinfo=IST)

    crash = online.update(late, {"market_trend_72": -1e6, "market_activity_72": 1e6})
    storm = online.update(late + timedelta(minutes=5), {"market_trend_72": 0.0, "market_activity_72": 0.003})

    assert sum(crash.values()) == pytest.approx(1.0)
    assert most_probable(storm) == "high_volatility"


def test_unknown_observations_give_nan_and_keep_what_was_known(found):
    late = datetime(2027, 1, 4, 9, 20, tzinfo=IST)
    calm = {"market_trend_72": 0.0, "market_activity_72": 0.0003}
    with_gap, without = OnlineRegimes(found.model), OnlineRegimes(found.model)
    with_gap.update(late, calm)
    without.update(late, calm)

    unknown = with_gap.update(late + timedelta(minutes=5), {"market_trend_72": math.nan, "market_activity_72": 0.0003})
    nothing = with_gap.update(late + timedelta(minutes=10), {})
    after = with_gap.update(late + timedelta(minutes=15), calm)

    assert all(math.isnan(value) for value in [*unknown.values(), *nothing.values()])
    assert most_probable(unknown) == "unknown"
    assert after == without.update(late + timedelta(minutes=15), calm)


def test_a_model_of_another_release_or_a_damaged_one_is_refused(found):
    without_means = [{name: value for name, value in fit.items() if name != "means"} for fit in found.model["fits"]]

    with pytest.raises(BadInput, match="run the stage regimes again"):
        OnlineRegimes(found.model | {"observations": ["volume"]})
    with pytest.raises(BadInput, match="damaged"):
        OnlineRegimes(found.model | {"fits": without_means})


def test_refits_limits_the_number_of_fits():
    market, _ = known_market(bars=1_000, seed=4)
    observations = observations_of(market)

    fits = fit_history(list(market["close_time"]), observations, min_bars=100, refits=2, seed=1).fits

    assert [fit.bars for fit in fits] == [100, 200]


def test_daily_means_are_one_row_a_day(found):
    days = daily_means(found.table)

    assert list(days.columns) == ["day", *REGIMES]
    assert days["day"].is_unique
    np.testing.assert_allclose(days[list(REGIMES)].sum(axis=1), 1.0)


def test_regimes_rest_on_market_features_and_are_named_as_the_catalogue_says():
    assert {name.removeprefix("log_") for name in OBSERVATIONS} <= set(MARKET_NAMES)
    assert tuple(f"regime_{name}" for name in REGIMES) == REGIME_COLUMNS
