import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.validate.neighbours import deviations


def closes_as_bars(closes: list[float]) -> pd.DataFrame:
    times = pd.date_range("2026-10-26 09:15", periods=len(closes), freq="5min", tz="Asia/Kolkata")
    return pd.DataFrame({"symbol": "ABC", "open_time": times} | dict.fromkeys(("open", "high", "low", "close"), closes))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 1000), min_size=2, max_size=40), st.integers(1, 10))
def test_what_was_thought_of_a_row_stays_when_later_bars_arrive(closes, later):
    now = deviations(closes_as_bars(closes))

    then = deviations(closes_as_bars(closes[: max(1, len(closes) - later)]))

    assert np.array_equal(now[: len(then)], then, equal_nan=True)


def test_a_wild_bar_is_far_off_and_the_next_is_not():
    found = deviations(closes_as_bars([100, 101, 100, 900, 101, 100]))

    assert found[3] > 7
    assert found[4:].max() < 0.05


def test_a_lasting_step_is_far_off_once():
    found = deviations(closes_as_bars([100, 101, 100, 10, 10.1, 10]))

    assert list(np.flatnonzero(found > 0.5)) == [3]
