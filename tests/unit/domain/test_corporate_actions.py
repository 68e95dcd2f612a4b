"""Adjustment goes forward, looks at nothing later, and takes each action off a series once."""

from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.bars import TIME_DTYPE
from pipelines.domain.corporate_actions import (
    ACTION_COLUMNS,
    GoingOn,
    actions_table,
    adjust,
    adjusted,
    cash_for,
    price_after,
    ratios_by_day,
    share_ratio,
    shares_after,
)

DAYS = pd.bdate_range("2023-01-02", periods=10, tz="Asia/Kolkata")
EX_DATE = DAYS[5].date()


def action(
    ratio: float, day: date = EX_DATE, kind: str = "split", known_at: object = None, symbol: str = "ABC"
) -> dict:
    midnight = pd.Timestamp(day, tz="Asia/Kolkata")
    return dict(zip(ACTION_COLUMNS, (symbol, midnight, kind, ratio, None, known_at, "a test"), strict=True))


def daily(prices: list[float]) -> pd.DataFrame:
    opens = (DAYS + pd.Timedelta(hours=9, minutes=15)).as_unit("us")
    frame = pd.DataFrame({"symbol": "ABC", "open_time": opens[: len(prices)]})
    for name in ("open", "high", "low", "close"):
        frame[name] = prices
    return frame.assign(volume=1000)


def factors_of(prices: list[float], *actions: dict) -> list[float]:
    return adjust(daily(prices), actions_table(actions), "ABC").factors.tolist()


def test_rows_before_an_ex_date_keep_their_figures_and_later_ones_carry_the_ratio():
    assert factors_of([100.0] * 5 + [10.0] * 5, action(10)) == [1.0] * 5 + [10.0] * 5


def test_actions_of_one_day_are_taken_together_and_those_of_several_multiply():
    prices = [150.0] * 3 + [50.0] * 2 + [10.0] * 5
    several = [action(2, DAYS[3].date()), action(1.5, DAYS[3].date(), kind="bonus"), action(5)]

    assert factors_of(prices, *several) == [1.0] * 3 + [3.0] * 2 + [15.0] * 5


@pytest.mark.parametrize("ratio", [1.2, 2.0, 10.0])
def test_a_series_that_its_source_adjusted_is_not_adjusted_again(ratio):
    found = adjust(daily([100.0] * 10), actions_table([action(ratio)]), "ABC")

    assert found.factors.tolist() == [1.0] * 10
    assert [(step.known, step.applied) for step in found.steps] == [(ratio, 1.0)]


def test_of_two_actions_of_a_day_one_may_be_in_the_prices_already():
    assert factors_of([100.0] * 5 + [50.0] * 5, action(2, kind="bonus"), action(10))[5:] == [2.0] * 5


def test_an_action_that_two_sources_name_differently_is_applied_once():
    assert factors_of([100.0] * 5 + [50.0] * 5, action(2, kind="bonus"), action(2))[5:] == [2.0] * 5


def test_a_correction_learnt_later_replaces_what_was_told_first():
    first, later = (pd.Timestamp(day, tz="Asia/Kolkata") for day in ("2023-01-01", "2023-01-03"))

    table = actions_table([action(3, known_at=later), action(5, known_at=first), action(7, known_at=None)])

    assert ratios_by_day(table, "ABC") == [(EX_DATE, (3.0,))]


def test_dividends_and_other_symbols_change_nothing():
    dividend = action(float("nan"), kind="dividend") | {"amount_inr": 5.0}

    assert factors_of([100.0] * 5 + [50.0] * 5, dividend, action(2, symbol="XYZ")) == [1.0] * 10


@pytest.mark.parametrize("day", ["2022-12-01", "2023-01-02", "2023-03-01"])
def test_an_action_before_the_first_bar_or_after_the_last_changes_nothing(day):
    assert factors_of([100.0] * 10, action(2, date.fromisoformat(day))) == [1.0] * 10


def test_an_ex_date_without_a_bar_is_seen_at_the_next_bar():
    bars = daily([100.0] * 5 + [50.0] * 5).drop(index=[5, 6])

    found = adjust(bars, actions_table([action(2)]), "ABC")

    assert found.factors.tolist() == [1.0] * 5 + [2.0] * 3


def test_unreadable_rows_neither_decide_nor_disturb():
    bars = daily([100.0] * 5 + [50.0] * 5)
    bars.loc[4, "close"], bars.loc[5, "open"], bars.loc[8, "open_time"] = np.nan, -1.0, pd.NaT
    bars["open_time"] = bars["open_time"].astype(TIME_DTYPE)

    found = adjust(bars.iloc[::-1], actions_table([action(2)]), "ABC")

    assert found.factors[::-1].tolist() == [1.0] * 5 + [2.0] * 3 + [1.0] + [2.0]


@settings(deadline=None)  # a busy machine is no fault of the factor
@given(
    moves=st.lists(st.floats(-0.05, 0.05), min_size=9, max_size=9),
    ratio=st.sampled_from([1.5, 2.0, 5.0, 10.0]),
    cut=st.integers(1, 10),
)
def test_a_factor_depends_on_nothing_after_its_own_day(moves, ratio, cut):
    prices = 100.0 * np.cumprod([1.0, *(1 + move for move in moves)])
    prices[5:] /= ratio
    actions = actions_table([action(ratio)])

    whole = adjust(daily(prices.tolist()), actions, "ABC").factors
    early = adjust(daily(prices.tolist()[:cut]), actions, "ABC").factors

    assert early.tobytes() == whole[:cut].tobytes()


@given(
    moves=st.lists(st.floats(-0.05, 0.05), min_size=10, max_size=10),
    ratios=st.lists(st.sampled_from([0.1, 4 / 3, 1.5, 2.0, 10.0]), min_size=3, max_size=3),
    days=st.lists(st.integers(0, 14), min_size=3, max_size=3),
    told=st.booleans(),
    cut=st.integers(0, 10),
)
def test_bars_that_come_one_by_one_get_the_factors_of_the_whole_series(moves, ratios, days, told, cut):
    ex_dates = [DAYS[0] + pd.Timedelta(days=day) for day in days]
    prices = 100.0 * np.cumprod([1 + move for move in moves])
    for ratio, ex_date in zip(ratios, ex_dates, strict=True):
        prices[ex_date <= DAYS] /= ratio if told else 1.0
    kinds = ("split", "bonus", "rights")
    actions = actions_table(map(action, ratios, (ex_date.date() for ex_date in ex_dates), kinds))
    bars = daily(prices.tolist())

    early = adjust(bars[:cut], actions, "ABC").factors.tolist()
    last = (DAYS[cut - 1].date(), prices[cut - 1]) if cut else None
    going_on = GoingOn(actions, "ABC", early[-1] if cut else 1.0, last)
    taken = [going_on.take(bar.open_time.date(), bar.open, bar.close) for bar in bars[cut:].itertuples()]

    assert [*early, *taken] == adjust(bars, actions, "ABC").factors.tolist()


def test_a_day_that_has_begun_is_adjusted_for_once():
    going_on = GoingOn(actions_table([action(2.0)]), "ABC", 3.0, (DAYS[4].date(), 100.0))

    assert [going_on.take(EX_DATE, 50.0, 51.0), going_on.take(EX_DATE, 51.0, 51.0)] == [6.0, 6.0]


def test_adjusted_bars_are_on_one_scale():
    bars = daily([100.0] * 5 + [10.0] * 5).assign(adjustment=[1.0] * 5 + [10.0] * 5)

    found = adjusted(bars)

    assert found[["open", "high", "low", "close"]].to_numpy().tolist() == [[100.0] * 4] * 10
    assert found["volume"].tolist() == [1000.0] * 5 + [100.0] * 5
    assert adjusted(bars.assign(adjustment=1.0)) is not None


@pytest.mark.parametrize(
    ("ratio", "meant"),
    [(10.0, Fraction(10)), (4 / 3, Fraction(4, 3)), (2 / 3 * 7, Fraction(14, 3)), (1.0834, None), (2.0194, None)],
)
def test_a_ratio_of_shares_is_a_fraction_of_small_numbers_and_others_are_steps_in_price(ratio, meant):
    assert share_ratio(ratio) == meant


def test_shares_after_an_action_are_whole_and_the_fraction_is_worth_cash():
    whole, fraction = shares_after(100, Fraction(4, 3))

    assert (whole, fraction) == (133, Fraction(1, 3))
    assert cash_for(fraction, Decimal("300.10")) == Decimal("100.03")
    assert price_after(Decimal("400.00"), Fraction(4, 3)) == Decimal("300")
