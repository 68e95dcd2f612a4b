"""A night that nobody explains costs its session and nothing else, and what was sound stays sound."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.validate.nights import unexplained_nights

MOST = 0.15


def sessions(closes: list[float], bars_a_day: int = 2) -> pd.DataFrame:
    """Days of equal bars: the open of each is its close."""
    days = pd.date_range("2023-01-02 09:15", periods=len(closes), freq="D", tz="Asia/Kolkata")
    times = [day + pd.Timedelta(minutes=5 * bar) for day in days for bar in range(bars_a_day)]
    prices = np.repeat(closes, bars_a_day)
    columns = dict.fromkeys(("open", "high", "low", "close"), prices)
    return pd.DataFrame({"symbol": "ABC", "open_time": times, **columns, "volume": 100, "adjustment": 1.0})


def found(closes: list[float], explained: tuple[int, ...] = ()):
    """Days set aside, and the factor of each day."""
    bars = sessions(closes)
    nights = unexplained_nights(bars, MOST, lambda row: row.name // 2 in explained)
    return [int(night.rows[0]) // 2 for night in nights.aside], nights.factors.to_numpy()[::2].tolist()


def test_a_lasting_step_costs_one_session_and_goes_into_the_factor():
    assert found([100, 101, 50, 51, 50]) == ([2], [1, 1, 1, 2.02, 2.02])


def test_a_wild_session_leaves_the_factor_as_it_was():
    assert found([100, 101, 150, 102, 101]) == ([2], [1, 1, 1, 1, 1])


def test_sessions_go_on_being_set_aside_until_two_agree():
    assert found([100, 50, 80, 30, 31, 32]) == ([1, 2, 3], [1, 1, 1, 1, 100 / 30, 100 / 30])


def test_a_night_that_a_person_explained_is_traded_as_it_was():
    assert found([100, 101, 50, 51, 50], explained=(2,)) == ([], [1, 1, 1, 1, 1])


def test_every_step_of_a_series_is_taken_up():
    days, factors = found([100, 50, 50, 10, 10, 10])

    assert days == [1, 3]
    assert factors[-1] == 10


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([40.0, 49.0, 50.0, 55.0, 98.0, 100.0, 104.0, 300.0]), min_size=2, max_size=14), st.data()
)
def test_what_was_thought_of_a_session_stays_whatever_follows(closes, data):
    known = data.draw(st.integers(1, len(closes)))

    whole, whole_factors = found(closes)
    early, early_factors = found(closes[:known])

    assert early == [day for day in whole if day < known]
    assert early_factors == whole_factors[:known]
