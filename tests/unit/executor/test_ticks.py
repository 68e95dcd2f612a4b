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
    ticks = a_fresh_filter(marks={"TCS": [100.0]})
    assert believed(ticks, 100.0) == [(100.0, True)]
    return ticks


def test_a_price_that_jumps_away_alone_is_not_believed():
    ticks = a_filter()

    assert believed(ticks, 125.0, NOON + SECOND) == []
    assert believed(ticks, 100.5, NOON + 2 * SECOND) == [(100.5, True)]
    assert believed(ticks, 125.0, NOON + 3 * SECOND) == [], "the first one was forgotten"


def test_a_price_that_four_packets_tell_is_believed_with_those_before():
    ticks = a_filter()
    for second, price in enumerate((125.0, 125.5, 124.5), start=1):
        assert believed(ticks, price, NOON + second * SECOND) == []

    fourth = believed(ticks, 126.0, NOON + 4 * SECOND)

    assert fourth == [(125.0, False), (125.5, False), (124.5, False), (126.0, True)]
    assert believed(ticks, 127.0, NOON + 5 * SECOND) == [(127.0, True)]


@pytest.mark.parametrize(
    "wild", [(300.0, 300.0, 300.0), (33.0, 33.2, 33.4), (1.0, 1e6, 21_474_836.47), (0.0, 300.0, 0.0)]
)
@pytest.mark.parametrize("known", [True, False])
def test_three_wild_prices_in_a_row_leave_no_trace(wild, known):
    ticks = a_filter() if known else a_fresh_filter(marks={"TCS": [100.0]})

    told = [believed(ticks, price, NOON + second * SECOND) for second, price in enumerate(wild, start=1)]

    assert told == [[], [], []]
    assert believed(ticks, 100.5, NOON + 4 * SECOND) == [(100.5, True)]
    assert [tick.price for tick in ticks.take_dropped()] == list(wild)


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
def test_a_real_gap_is_believed_with_its_fourth_packet(gap):
    ticks = a_fresh_filter(marks={"TCS": [100.0, 102.0]})
    before = [believed(ticks, gap * factor, NOON + n * SECOND) for n, factor in enumerate((1.0, 1.01, 1.0))]

    fourth = believed(ticks, gap * 1.01, NOON + 3 * SECOND)

    assert before == [[], [], []]
    assert fourth[-1] == (gap * 1.01, True)
    assert [is_news for _, is_news in fourth] == [False, False, False, True]


def test_a_first_price_outside_the_days_band_is_doubted_however_near_the_close():
    ticks = a_fresh_filter(marks={"TCS": [100.0]}, bands={"TCS": (95.0, 105.0)})

    assert believed(ticks, 108.0) == []
    assert believed(ticks, 104.0, NOON + SECOND) == [(104.0, True)]


@pytest.mark.parametrize("own_close", [300.0, 0.0, 2**31 / 100])
def test_a_packet_does_not_vouch_for_itself_by_its_own_close(own_close):
    wild = Tick("TCS", 300.0, 1, NOON, previous_close=own_close)

    assert a_fresh_filter(marks={"TCS": [100.0]}).believe([wild], NOON) == []
    assert a_fresh_filter().believe([wild], NOON) == []


def test_where_nobody_else_tells_a_price_four_packets_do():
    ticks = a_fresh_filter()

    told = [believed(ticks, price, NOON + n * SECOND) for n, price in enumerate((300.0, 99.0, 99.5, 99.0, 99.2))]

    assert told[:4] == [[]] * 4
    assert [price for price, _ in told[4]] == [99.0, 99.5, 99.0, 99.2]


def test_the_morning_is_held_against_the_evening_before():
    known = KnownPrices(bands={"TCS": (95.0, 105.0)})
    known.next_day({"TCS": 120.0})
    ticks = TickFilter(5 * SECOND, 0.1, known)

    assert believed(ticks, 300.0) == []
    assert believed(ticks, 127.0, NOON + SECOND) == [], "the band is as wide as the day before"
    assert believed(ticks, 125.0, NOON + 2 * SECOND) == [(125.0, True)]


@pytest.mark.parametrize("ratio", [2.0, 10.0, 0.1])
def test_a_split_that_was_announced_is_not_doubted(ratio):
    known = KnownPrices(marks={"TCS": [100.0, 101.0]}, bands={"TCS": (90.0, 110.0)})
    known.take_action("TCS", ratio)
    ticks = TickFilter(5 * SECOND, 0.1, known)

    assert believed(ticks, 100.0 / ratio) == [(100.0 / ratio, True)]


def test_a_late_first_price_that_is_wild_goes_into_no_bar():
    ticks = a_fresh_filter(marks={"TCS": [100.0]})

    assert believed(ticks, 300.0, NOON, NOON + 60 * SECOND) == []
    assert believed(ticks, 100.0, NOON, NOON + 60 * SECOND) == [(100.0, False)]
