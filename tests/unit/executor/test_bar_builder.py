from datetime import datetime, timedelta

import pytest

from pipelines.domain.bars import IST, Interval
from serving.executor.bar_builder import BarBuilder, ClosedBars, Tick, session_grid

OPEN = datetime(2026, 10, 30, 9, 15, tzinfo=IST)


def a_tick(seconds: float, price: float, total: int, symbol: str = "TCS") -> Tick:
    return Tick(symbol, price, total, OPEN + timedelta(seconds=seconds))


def a_builder(interval: Interval = Interval.MIN_5) -> BarBuilder:
    return BarBuilder(session_grid(interval))


def test_ticks_make_the_bar_they_came_from():
    builder = a_builder()
    for tick in (a_tick(1, 100.0, 10), a_tick(60, 103.0, 30), a_tick(120, 99.0, 35), a_tick(299, 101.0, 50)):
        builder.add(tick)

    [closed] = builder.advance(OPEN + timedelta(minutes=5))

    bar = closed.bars["TCS"]
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (100.0, 103.0, 99.0, 101.0, 50)
    assert (bar.open_time, bar.close_time) == (OPEN, OPEN + timedelta(minutes=5))


def test_a_bar_stays_open_until_a_packet_is_stamped_at_its_close():
    builder = a_builder()
    builder.add(a_tick(1, 100.0, 10))

    assert builder.advance(OPEN + timedelta(seconds=299)) == []
    assert len(builder.advance(OPEN + timedelta(seconds=300))) == 1
    assert builder.advance(OPEN + timedelta(seconds=300)) == []


def test_a_trade_at_the_close_time_belongs_to_the_next_bar():
    builder = a_builder()
    builder.add(a_tick(1, 100.0, 10))
    builder.add(a_tick(300, 105.0, 20))

    first, second = builder.advance(OPEN + timedelta(minutes=10))

    assert (first.bars["TCS"].close, second.bars["TCS"].open) == (100.0, 105.0)


def test_volume_is_what_the_days_total_grew_by():
    builder = a_builder()
    for tick in (a_tick(1, 100.0, 10), a_tick(301, 100.0, 25), a_tick(400, 100.0, 40)):
        builder.add(tick)

    volumes = [closed.bars["TCS"].volume for closed in builder.advance(OPEN + timedelta(minutes=10))]

    assert volumes == [10, 30]


def test_a_new_day_counts_volume_from_its_own_open():
    builder = a_builder()
    builder.add(a_tick(1, 100.0, 1000))
    builder.add(Tick("TCS", 101.0, 1200, OPEN + timedelta(days=3, seconds=1)))

    volumes = [closed.bars["TCS"].volume for closed in builder.advance(OPEN + timedelta(days=4))]

    assert volumes == [1000, 1200]


def test_who_begins_in_mid_session_counts_only_what_is_traded_from_then_on():
    builder = a_builder()
    builder.volume_seen("TCS", 1000, OPEN)
    builder.add(a_tick(1, 100.0, 1010))

    assert builder.advance(OPEN + timedelta(minutes=5))[0].bars["TCS"].volume == 10


def test_an_instrument_without_trades_has_no_bar():
    builder = a_builder()
    builder.add(a_tick(1, 100.0, 10))

    assert set(builder.advance(OPEN + timedelta(minutes=5))[0].bars) == {"TCS"}


@pytest.mark.parametrize(
    ("interval", "at", "minutes"),
    [(Interval.MIN_1, 0, 1), (Interval.MIN_15, 20, 15), (Interval.MIN_60, 200, 60), (Interval.DAY, 100, 360)],
)
def test_the_grid_knows_every_interval(interval, at, minutes):
    moment = OPEN + timedelta(minutes=at)

    opened, closed = session_grid(interval)(moment)

    assert opened <= moment < closed
    assert closed - opened == timedelta(minutes=minutes)


def test_stocks_that_trade_after_the_session_of_the_others_get_their_bars():
    opened, closed = session_grid(Interval.MIN_5)(OPEN.replace(hour=15, minute=17))

    assert (opened.minute, closed.minute) == (15, 20)
    assert session_grid(Interval.MIN_5)(OPEN.replace(hour=15, minute=30)) is None


def test_a_day_without_a_session_has_no_bars():
    builder = a_builder()
    builder.add(Tick("TCS", 100.0, 10, datetime(2026, 10, 31, 12, 0, tzinfo=IST)))

    assert builder.advance(datetime(2026, 11, 1, tzinfo=IST)) == []


def test_a_tick_that_comes_after_its_bar_was_closed_makes_no_second_bar():
    builder = BarBuilder(session_grid(Interval.MIN_5))
    opened = datetime(2026, 10, 30, 9, 15, tzinfo=IST)
    builder.add(Tick("TCS", 100.0, 10, opened))
    assert len(builder.advance(opened + timedelta(minutes=5))) == 1

    builder.add(Tick("TCS", 90.0, 12, opened + timedelta(minutes=4)))

    assert builder.advance(opened + timedelta(minutes=10)) == []


def test_an_older_tick_moves_a_bars_range_and_neither_its_close_nor_its_volume():
    builder = BarBuilder(session_grid(Interval.MIN_5))
    opened = datetime(2026, 10, 30, 9, 15, tzinfo=IST)
    builder.add(Tick("TCS", 100.0, 10, opened))
    builder.add(Tick("TCS", 102.0, 30, opened + timedelta(seconds=20)))

    builder.add(Tick("TCS", 99.0, 20, opened + timedelta(seconds=10)))

    [closed] = builder.advance(opened + timedelta(minutes=5))
    bar = closed.bars["TCS"]
    assert (bar.low, bar.close, bar.volume) == (99.0, 102.0, 30)


def an_opening(seconds: float, price: float, total: int, day_open: float) -> Tick:
    return Tick("TCS", price, total, OPEN + timedelta(seconds=seconds), day_open=day_open)


@pytest.mark.parametrize(("price", "day_open"), [(501.5, 500.0), (499.05, 500.0), (500.0, 500.0), (500.0, 512.25)])
def test_the_days_first_bar_opens_at_the_auctions_price(price, day_open):
    builder = a_builder()
    builder.add(an_opening(3, price, 1200, day_open))
    builder.add(an_opening(301, price, 1300, day_open))

    first, second = builder.advance(OPEN + timedelta(minutes=10))

    bar = first.bars["TCS"]
    assert (bar.open, bar.high, bar.low, bar.close) == (day_open, max(price, day_open), min(price, day_open), price)
    assert bar.volume == 1200, "the auction's shares are the first bar's"
    assert second.bars["TCS"].open == price


def test_the_auctions_own_packet_belongs_to_the_first_bar():
    builder = a_builder()
    builder.add(an_opening(-430, 500.0, 900, 500.0))
    builder.add(an_opening(3, 501.5, 1200, 500.0))

    [closed] = builder.advance(OPEN + timedelta(minutes=5))

    bar = closed.bars["TCS"]
    assert (bar.open, bar.high, bar.low, bar.volume) == (500.0, 501.5, 500.0, 1200)


def told_opens(*opens: float) -> ClosedBars:
    builder = a_builder()
    for second, day_open in enumerate(opens):
        builder.add(an_opening(second, 500.0 + second % 2, 10 * second, day_open))
    [closed] = builder.advance(OPEN + timedelta(minutes=5))
    return closed


def test_an_open_far_from_the_price_is_believed_when_four_packets_tell_it():
    closed = told_opens(1500.0, 580.0, 580.0, 580.0, 580.0)

    assert (closed.bars["TCS"].open, closed.bars["TCS"].high) == (580.0, 580.0)
    assert closed.doubtful == frozenset()


@pytest.mark.parametrize("wild", [520.0, 499.0, 1500.0, 0.05, 2**31 / 100])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_wild_open_leaves_no_trace_in_the_first_bar(wild, place):
    told = [500.5] * 7
    told[place : place + 3] = [wild] * 3

    closed = told_opens(*told)

    assert (closed.bars["TCS"].open, closed.bars["TCS"].high, closed.bars["TCS"].low) == (500.5, 501.0, 500.0)


@pytest.mark.parametrize("told", [(1500.0,), (1500.0, 1500.0, 1500.0), (510.0, 500.5)])
def test_an_open_that_nobody_settles_makes_the_bar_doubtful(told):
    assert told_opens(*told).doubtful == {"TCS"}


def test_a_total_that_falls_takes_back_what_was_counted_before():
    builder = a_builder()
    for tick in (a_tick(1, 100.0, 10), a_tick(2, 100.0, 910), a_tick(3, 100.0, 20)):
        builder.add(tick)

    [closed] = builder.advance(OPEN + timedelta(minutes=5))

    assert closed.bars["TCS"].volume == 20


def test_bars_that_the_feed_did_not_bring_whole_say_so_and_none_is_missing():
    builder = a_builder()
    builder.add(a_tick(1, 100.0, 10))
    builder.not_seen(OPEN + timedelta(minutes=4), OPEN + timedelta(minutes=11))
    builder.add(a_tick(12 * 60, 101.0, 50))
    builder.add(a_tick(16 * 60, 101.0, 60))

    closed = builder.advance(OPEN + timedelta(minutes=20))

    assert [(bars.complete, len(bars.bars)) for bars in closed] == [(False, 1), (False, 0), (False, 1), (True, 1)]
    assert builder.advance(OPEN + timedelta(minutes=30)) == []
