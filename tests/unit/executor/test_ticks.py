"""Which ticks are believed."""

from datetime import timedelta

import pytest

from serving.executor.bar_builder import Tick
from serving.executor.ticks import KnownPrices, TickFilter
from tests.unit.journal.records import NOON

SECOND = timedelta(seconds=1)


def believed(ticks: TickFilter, price: float, at=NOON, now=None) -> list[tuple[float, bool]]:
    found = ticks.believe([Tick("TCS", price, 100, at)], now or at)
    return [(tick.price, is_news) for tick, is_news in found]


def a_filter() -> TickFilter:
    ticks = TickFilter(late_after=5 * SECOND, most_jump=0.1)
    assert believed(ticks, 100.0) == [(100.0, True)]
    return ticks


def test_a_price_that_jumps_away_alone_is_not_believed():
    ticks = a_filter()

    assert believed(ticks, 125.0, NOON + SECOND) == []
    assert believed(ticks, 100.5, NOON + 2 * SECOND) == [(100.5, True)]
    assert believed(ticks, 125.0, NOON + 3 * SECOND) == [], "the first one was forgotten"


def test_a_price_that_is_seen_twice_is_believed_with_the_one_before():
    ticks = a_filter()
    believed(ticks, 125.0, NOON + SECOND)

    assert believed(ticks, 125.5, NOON + 2 * SECOND) == [(125.0, False), (125.5, True)]
    assert believed(ticks, 126.0, NOON + 3 * SECOND) == [(126.0, True)]


def test_late_and_disordered_ticks_go_into_their_bar_and_tell_no_price():
    ticks = a_filter()

    assert believed(ticks, 101.0, NOON + SECOND, NOON + 10 * SECOND) == [(101.0, False)]
    believed(ticks, 102.0, NOON + 20 * SECOND)
    assert believed(ticks, 101.5, NOON + 19 * SECOND, NOON + 20 * SECOND) == [(101.5, False)]


def test_a_tick_of_another_day_or_without_a_price_is_left_out():
    ticks = a_filter()

    assert believed(ticks, 100.0, NOON - timedelta(days=1), NOON) == []
    assert believed(ticks, 0.0, NOON + SECOND) == []


def a_fresh_filter(**told) -> TickFilter:
    return TickFilter(late_after=5 * SECOND, most_jump=0.1, known=KnownPrices(**told))


@pytest.mark.parametrize("wild", [300.0, 33.0, 119.0, 1.0])
def test_a_first_price_far_from_what_others_tell_is_not_believed_alone(wild):
    ticks = a_fresh_filter(marks={"TCS": [100.0]})

    assert believed(ticks, wild) == []
    assert believed(ticks, 101.0, NOON + SECOND) == [(101.0, True)]


@pytest.mark.parametrize("gap", [120.0, 80.0, 20.0])
def test_a_real_gap_is_believed_with_its_second_packet(gap):
    ticks = a_fresh_filter(marks={"TCS": [100.0, 102.0]})
    believed(ticks, gap)

    assert believed(ticks, gap * 1.01, NOON + SECOND) == [(gap, False), (gap * 1.01, True)]


def test_a_first_price_outside_the_days_band_is_doubted_however_near_the_close():
    ticks = a_fresh_filter(marks={"TCS": [100.0]}, bands={"TCS": (95.0, 105.0)})

    assert believed(ticks, 108.0) == []
    assert believed(ticks, 104.0, NOON + SECOND) == [(104.0, True)]


def test_the_packets_own_previous_close_doubts_its_price():
    ticks = a_fresh_filter()

    assert ticks.believe([Tick("TCS", 300.0, 1, NOON, previous_close=100.0)], NOON) == []
    assert [one.tick.price for one in ticks.believe([Tick("TCS", 99.0, 2, NOON, previous_close=100.0)], NOON)] == [99]


def test_the_morning_is_held_against_the_evening_before():
    known = KnownPrices(bands={"TCS": (95.0, 105.0)})
    known.next_day({"TCS": 100.0})
    ticks = TickFilter(5 * SECOND, 0.1, known)

    assert believed(ticks, 300.0) == []
    assert believed(ticks, 108.0, NOON + SECOND) == [(108.0, True)]


def test_a_late_first_price_that_is_wild_goes_into_no_bar():
    ticks = a_fresh_filter(marks={"TCS": [100.0]})

    assert believed(ticks, 300.0, NOON, NOON + 60 * SECOND) == []
    assert believed(ticks, 100.0, NOON, NOON + 60 * SECOND) == [(100.0, False)]
