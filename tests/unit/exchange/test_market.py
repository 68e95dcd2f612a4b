from decimal import Decimal

import pytest

from pipelines.domain.errors import NotFound
from serving.exchange.market import FrameKind, frames, session_days, tick_path, tick_times
from tests.unit.exchange.builders import (
    ALPHA,
    BETA,
    DAY,
    NEXT_DAY,
    a_frame,
    a_stock,
    at,
    bars_of,
    days_of,
    flat_bars,
    random_bars,
)


@pytest.mark.parametrize("count", [4, 8, 31])
def test_ticks_of_a_bar_touch_its_prices_and_sum_to_its_volume(count):
    for bar in random_bars("ALPHA", DAY, 1500.0, seed=1):
        path = tick_path(bar, ALPHA, count, seed=9)

        prices = [price for price, _ in path]
        assert (prices[0], max(prices), min(prices), prices[-1]) == tuple(
            Decimal(str(price)) for price in (bar.open, bar.high, bar.low, bar.close)
        )
        assert sum(quantity for _, quantity in path) == bar.volume
        assert all(quantity >= 0 for _, quantity in path)
        assert all(price % ALPHA.tick_size == 0 for price in prices)


def test_ticks_stay_inside_a_bar_whose_prices_are_off_the_tick_grid():
    (bar,) = bars_of("ALPHA", DAY, [(100.01, 100.12, 99.97, 100.03)])

    prices = [price for price, _ in tick_path(bar, ALPHA, 12, seed=9)]

    assert min(prices) == Decimal("99.97")
    assert max(prices) == Decimal("100.12")


def test_a_source_without_volume_gives_ticks_without_shares():
    (bar,) = bars_of("ALPHA", DAY, [(100, 101, 99, 100)])

    path = tick_path(bar, a_stock(has_volume=False), 8, seed=9)

    assert {quantity for _, quantity in path} == {0}


def test_the_seed_alone_decides_the_path():
    (bar,) = bars_of("ALPHA", DAY, [(100, 104, 96, 101)])

    once, again, other = (tick_path(bar, ALPHA, 16, seed=seed) for seed in (9, 9, 10))

    assert once == again
    assert once != other


def test_a_day_is_an_opening_then_ticks_and_a_clock_frame_for_each_bar():
    days = days_of(flat_bars("ALPHA", DAY, count=2), flat_bars("ALPHA", NEXT_DAY, count=1))

    played = list(frames(days, {"ALPHA": ALPHA}, 4, 0))

    kinds = "".join(frame.kind.name[0] for frame in played)
    assert kinds == "OTTTTBTTTTC" + "OTTTTC" + "P"
    assert [frame.at for frame in played] == sorted(frame.at for frame in played)
    assert [frame.at for frame in played if frame.kind is FrameKind.CLOSING] == [at(9, 25), at(9, 20, NEXT_DAY)]
    assert not any(frame.ticks for frame in played if frame.kind is not FrameKind.TICKS)


@pytest.mark.parametrize("count", [4, 8, 50])
def test_ticks_lie_inside_their_bar_and_two_of_a_daily_bar_between_ten_past_three_and_the_close(count):
    intraday = tick_times(at(9, 15), at(9, 20), count)
    daily = tick_times(at(9, 15), at(15, 30), count)

    assert at(9, 15) <= min(intraday) <= max(intraday) < at(9, 20)
    assert intraday == sorted(intraday)
    assert [time for time in daily if time > at(15, 10)] == daily[-2:]
    assert daily[0] == at(9, 15)
    assert daily[-1] < at(15, 30)


def test_an_instrument_without_a_bar_does_not_tick_in_it():
    days = days_of(flat_bars("ALPHA", DAY, count=2), flat_bars("M&B", DAY, count=1))

    ticking = [
        {tick.instrument.symbol for tick in frame.ticks}
        for frame in frames(days, {"ALPHA": ALPHA, "M&B": BETA}, 4, 0)
        if frame.ticks
    ]

    assert ticking == [{"ALPHA", "M&B"}] * 4 + [{"ALPHA"}] * 4


def test_no_bars_at_all_are_refused_with_what_to_do():
    with pytest.raises(NotFound, match="session_days"):
        session_days({"ALPHA": a_frame([])})
