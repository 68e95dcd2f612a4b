from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.orders import Fill
from pipelines.domain.signals import Side
from serving.executor.share_counts import added_shares, as_credited, steps_of
from tests.unit.domain.test_ex_dates import FRIDAY, MONDAY, WEDNESDAY, an_action, ex_dates

SPLIT, BONUS = (MONDAY, Fraction(5)), (WEDNESDAY, Fraction(3, 2))


def a_fill(day: date, quantity: int, side: Side = Side.BUY) -> Fill:
    return Fill("1", "1", "TCS", side, quantity, Decimal(100), datetime.combine(day, datetime.min.time(), tzinfo=IST))


@pytest.mark.parametrize(
    ("fills", "steps", "added"),
    [
        ([a_fill(FRIDAY, 10)], [SPLIT], 40),
        ([a_fill(MONDAY, 10)], [SPLIT], 0),
        ([a_fill(FRIDAY, 10), a_fill(FRIDAY, 10, Side.SELL)], [SPLIT], 0),
        ([a_fill(MONDAY, 50, Side.SELL), a_fill(FRIDAY, 10)], [SPLIT], 40),
        ([a_fill(FRIDAY, 11)], [BONUS], 5),  # of the half share the holder gets cash
        ([a_fill(FRIDAY, 3)], [SPLIT, BONUS], 12 + 7),
        ([a_fill(FRIDAY, 3), a_fill(MONDAY, 15, Side.SELL)], [SPLIT, BONUS], 12),
        ([a_fill(FRIDAY, 15)], [(MONDAY, Fraction(1, 10))], -14),
    ],
)
def test_a_step_multiplies_what_was_held_before_its_day(fills, steps, added):
    assert added_shares(fills, steps) == added


def test_only_splits_and_bonuses_of_small_numbers_that_have_taken_effect_change_the_count():
    known = ex_dates(
        an_action(FRIDAY, ratio=2.0),
        an_action(MONDAY, ratio=5.0),
        an_action(MONDAY, kind="rights", ratio=1.2),
        an_action(MONDAY, kind="bonus", ratio=1.23456789),
        an_action(WEDNESDAY, kind="bonus", ratio=1.5),
    )

    assert steps_of(known.of("TCS"), FRIDAY, MONDAY) == ((MONDAY, Fraction(5)),)


@pytest.mark.parametrize(("at_broker", "ours"), [({"TCS": 50}, 50), ({"TCS": 10}, 10), ({"TCS": 49}, 10), ({}, 10)])
def test_added_shares_count_once_the_broker_has_credited_them_all(at_broker, ours):
    assert as_credited({"TCS": 10}, {"TCS": 40}, at_broker) == {"TCS": ours}


def test_what_was_sold_after_a_credit_is_no_short_position():
    assert as_credited({"TCS": -40}, {"TCS": 40}, {}) == {}
