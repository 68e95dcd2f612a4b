from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.bars import IST
from pipelines.domain.correlation import FEWEST_RETURNS, Correlations

NINE = datetime(2026, 10, 30, 9, 20, tzinfo=IST)


def filled(window: int, **closes) -> Correlations:
    found = Correlations(window)
    for symbol, prices in closes.items():
        found.add_history(symbol, ((NINE + timedelta(minutes=5 * n), price) for n, price in enumerate(prices)))
    return found


def walk(seed: int, bars: int = 61) -> np.ndarray:
    return 100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, bars)))


def test_it_is_pearsons_correlation_of_log_returns():
    one, other = walk(1), np.sqrt(walk(1) * walk(2))

    found = filled(60, one=one, other=other).between("one", "other")

    assert found == pytest.approx(np.corrcoef(np.diff(np.log(one)), np.diff(np.log(other)))[0, 1])


@given(seed=st.integers(0, 10_000))
def test_it_lies_between_minus_one_and_one_and_is_symmetric(seed):
    found = filled(60, one=walk(seed), other=walk(seed + 1))

    between = found.between("one", "other")

    assert between is not None
    assert -1.0 <= between <= 1.0
    assert found.between("other", "one") == pytest.approx(between)


def test_only_the_last_closes_count():
    ups = list(walk(3, 30))
    then_apart = filled(25, one=ups + list(walk(4, 26)), other=ups + list(1 / walk(4, 26)))

    assert then_apart.between("one", "other") == pytest.approx(-1.0)


def test_too_few_common_closes_are_unknown():
    few = filled(60, one=walk(1, FEWEST_RETURNS), other=walk(2, FEWEST_RETURNS))

    assert few.between("one", "other") is None
    assert few.between("one", "nowhere") is None


def test_an_instrument_that_does_not_move_has_no_correlation():
    assert filled(60, one=walk(1), other=np.full(61, 100.0)).between("one", "other") is None


def test_a_bar_counts_once():
    found = filled(60, one=walk(1), other=walk(2))
    before = found.between("one", "other")

    found.add("one", NINE, 500.0)

    assert found.between("one", "other") == before
