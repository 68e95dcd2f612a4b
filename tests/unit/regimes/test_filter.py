from datetime import datetime, timedelta

import numpy as np
import pytest

from pipelines.domain.bars import IST
from pipelines.regimes.filter import REGIMES, Filter, RegimeFilter, StatedRegime
from pipelines.regimes.fit import DegenerateFit, fit_history, fit_moments, fit_past
from pipelines.regimes.labels import EXPECTED_COVARIANCE, EXPECTED_MEANS, name_states, renamed

START = datetime(2026, 1, 5, 9, 20, tzinfo=IST)


def observations(bars=1_000, seed=1):
    """Trend and activity of four Gaussian states that change now and then."""
    random = np.random.default_rng(seed)
    state = random.integers(0, 4, bars // 50 + 1).repeat(50)[:bars]
    means = np.array([[1.5, -0.3], [-1.5, 0.3], [0.0, -0.8], [0.0, 1.0]])
    return means[state] + random.normal(0, [0.5, 0.2], (bars, 2)) + [0.0, -7.0]


def test_the_filter_equals_the_forward_pass_of_hmmlearn():
    from hmmlearn.hmm import GaussianHMM

    seen = observations()
    fit = fit_past(seen, START)
    theirs = GaussianHMM(4, covariance_type="full")
    theirs.startprob_, theirs.transmat_, theirs.means_ = fit.start, fit.transition, fit.means
    theirs.covars_ = fit.covariances
    ours = RegimeFilter([fit])

    filtered = [ours.update(START + timedelta(minutes=i), row) for i, row in enumerate(seen)]

    for last in (0, 1, 10, 250, 999):
        np.testing.assert_allclose(filtered[last], theirs.predict_proba(fit.centred(seen[: last + 1]))[-1], atol=1e-9)


def test_a_fit_is_the_same_each_time():
    one, two = (fit_past(observations(600), START).as_dict() for _ in range(2))

    assert one == two


def test_a_regime_that_the_past_never_visited_is_entered_within_bars():
    random = np.random.default_rng(4)
    calm = np.array([0.8, -0.1]) + random.normal(0, [1.0, 0.2], (400, 2))
    storm = np.array([0.0, 0.8]) + random.normal(0, [1.0, 0.2], (5, 2))
    ready, probabilities = Filter(fit_past(calm, START)), None
    for row in calm:
        probabilities = ready.step(probabilities, row)
    assert probabilities[REGIMES.index("high_volatility")] < 0.01

    for row in storm:
        probabilities = ready.step(probabilities, row)

    assert probabilities[REGIMES.index("high_volatility")] > 0.9


def test_an_observation_far_from_everything_seen_does_not_break_the_filter():
    ready = Filter(fit_past(observations(), START))

    crash = ready.step(None, np.array([-1e6, 1e6]))
    calm = ready.step(crash, np.array([0.0, -7.8]))

    assert crash.sum() == pytest.approx(1.0)
    assert REGIMES[int(np.argmax(crash))] in ("bear", "high_volatility")
    assert calm.sum() == pytest.approx(1.0)


def test_an_unknown_observation_gives_nan_and_keeps_what_was_known():
    fit = fit_past(observations(), START)
    with_gap, without = RegimeFilter([fit]), RegimeFilter([fit])
    for running in (with_gap, without):
        running.update(START, np.array([1.0, -7.0]))

    unknown = with_gap.update(START + timedelta(minutes=5), np.array([np.nan, -7.0]))

    assert np.isnan(unknown).all()
    after = [running.update(START + timedelta(minutes=10), np.array([1.0, -7.0])) for running in (with_gap, without)]
    assert after[0].tolist() == after[1].tolist()


def test_a_refit_takes_over_what_the_fit_before_believed():
    seen = observations(2_000)
    first = fit_past(seen[:1_000], START)
    second = fit_past(seen, START + timedelta(minutes=100), first)
    both = RegimeFilter([first, second])
    row = np.array([0.0, -6.0])
    for i in range(100):
        both.update(START + timedelta(minutes=i), row)

    after = both.update(START + timedelta(minutes=100), row)

    assert REGIMES[int(np.argmax(after))] == "high_volatility"
    assert after.max() > 0.9  # a start anew would know less


@pytest.mark.parametrize(
    ("first", "window", "refits", "available", "expected"),
    [
        (400, 10_000, 50, 3_300, [400, 800, 1600, 3200]),
        (400, 1_000, 50, 2_500, [400, 800, 1300, 1800, 2300]),
        (100, 10_000, 2, 5_000, [100, 200]),
        (400, 1_000, 50, 400, []),
        (0, 1_000, 50, 400, []),
    ],
)
def test_fits_come_after_twice_the_bars_and_then_every_half_window(first, window, refits, available, expected):
    assert fit_moments(first, window, refits, available) == expected


def test_a_fit_sees_its_window_only():
    seen = observations(2_000)
    times = [START + timedelta(minutes=i) for i in range(2_000)]
    other = seen.copy()
    other[:700] += [3.0, 2.0]

    fits, others = (fit_history(times, row, 400, 1_000, 50).fits for row in (seen, other))

    assert [fit.bars for fit in fits] == [400, 800, 1000, 1000]
    assert fits[3].means == pytest.approx(others[3].means)
    assert fits[1].centre.tolist() != others[1].centre.tolist()


def test_a_past_without_movement_is_refused():
    with pytest.raises(DegenerateFit, match="did not move"):
        fit_past(np.tile([0.0, -7.0], (200, 1)), START)


def test_two_points_only_still_give_sound_states():
    few = np.tile(np.array([[0.0, -7.0], [1.0, -6.0]]), (100, 1))

    fit = fit_past(few, START)

    assert np.isfinite(fit.means).all()
    assert (np.linalg.eigvalsh(fit.covariances) > 0).all()


def test_a_state_that_the_past_never_visited_stays_where_its_regime_is_expected():
    calm = np.random.default_rng(3).normal([0.3, -7.0], [0.8, 0.15], (400, 2))

    fit = fit_past(calm, START)

    loud = REGIMES.index("high_volatility")
    assert fit.means[loud] == pytest.approx(EXPECTED_MEANS[loud], abs=0.1)


def shuffled(means, order):
    return means[order], np.tile(EXPECTED_COVARIANCE, (4, 1, 1))


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 0, 1], [1, 0, 3, 2]])
def test_states_of_a_first_fit_are_named_by_economics_in_whatever_order_they_were_found(order):
    means, covariances = shuffled(EXPECTED_MEANS + 0.1, order)

    names = name_states(means, covariances, np.zeros(2), None)

    assert means[names].tolist() == (EXPECTED_MEANS + 0.1).tolist()


def a_fit(means, centre=(0.0, -7.0)):
    fit = fit_past(observations(200), START)
    return type(fit)(**{**vars(fit), "means": np.array(means), "centre": np.array(centre)})


def test_a_refit_keeps_the_names_of_the_states_that_lie_nearest():
    before = a_fit([[0.4, 0.0], [-0.1, 0.1], [0.2, -0.3], [0.1, 0.5]])
    found = np.array([[0.1, 0.6], [0.22, -0.32], [0.0, 0.05], [0.35, 0.02]])

    names = name_states(found, before.covariances, before.centre, before)

    assert names.tolist() == [3, 2, 1, 0]


def test_names_go_with_the_states_when_the_centre_moves():
    before = a_fit(EXPECTED_MEANS)
    centre = before.centre + np.array([0.0, 0.4])  # louder times: every state lies lower against the new centre

    names = name_states(EXPECTED_MEANS - [0.0, 0.4], before.covariances, centre, before)

    assert names.tolist() == [0, 1, 2, 3]


def test_names_that_would_say_the_opposite_of_the_figures_are_given_anew_and_told():
    before = a_fit([[-2.0, -0.1], [2.0, 0.1], [0.0, -0.5], [0.0, 0.6]])  # the bull falls: as if the market had turned
    found = np.array([[-1.9, -0.1], [1.9, 0.1], [0.0, -0.5], [0.0, 0.6]])

    names = name_states(found, before.covariances, before.centre, before)
    after = a_fit(found[names])

    assert found[names][0, 0] > found[names][1, 0]
    assert "bull was bear, bear was bull" in renamed([before, after])[0]
    assert renamed([before, before]) == []


def told(probabilities, confidence=0.6, bars=3):
    stated = StatedRegime(confidence, bars)
    return [stated.update(np.array(row)) for row in probabilities]


BULL, BEAR = [0.9, 0.05, 0.03, 0.02], [0.05, 0.9, 0.03, 0.02]
MAYBE_BEAR, NOTHING = [0.45, 0.55, 0.0, 0.0], [np.nan] * 4


def test_the_stated_regime_changes_only_when_another_was_sure_for_long_enough():
    assert told([BULL, BEAR, BEAR, BULL, BEAR, BEAR, BEAR]) == ["bull"] * 6 + ["bear"]


def test_a_rival_that_is_likeliest_but_not_sure_starts_to_count_anew():
    assert told([BULL, BEAR, BEAR, MAYBE_BEAR, BEAR, BEAR, BEAR])[-2:] == ["bull", "bear"]


def test_two_rivals_do_not_count_for_each_other():
    loud = [0.05, 0.05, 0.0, 0.9]

    assert told([BULL, BEAR, loud, BEAR, loud, BEAR, loud]) == ["bull"] * 7


def test_an_unknown_close_states_nothing_and_interrupts_nothing():
    assert told([BULL, BEAR, BEAR, NOTHING, BEAR]) == ["bull", "bull", "bull", "unknown", "bear"]


def test_a_stay_of_one_bar_states_the_likeliest():
    assert told([BULL, BEAR, MAYBE_BEAR, BULL], confidence=0.25, bars=1) == ["bull", "bear", "bear", "bull"]
