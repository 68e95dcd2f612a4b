"""Which ticks are believed."""

from datetime import timedelta

from serving.executor.bar_builder import Tick
from serving.executor.ticks import TickFilter
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
