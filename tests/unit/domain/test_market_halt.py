from datetime import datetime, timedelta

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.market_halt import MarketHalt

DAY = datetime(2026, 10, 30, tzinfo=IST)


def halted_until(hour: int, minute: int, move: float) -> datetime | None:
    market, at = MarketHalt(), DAY.replace(hour=hour, minute=minute)
    market.update(at, move)
    return market.until(at)


@pytest.mark.parametrize(
    ("hour", "minute", "move", "minutes"),
    [
        (11, 0, -0.10, 60),
        (11, 0, 0.10, 60),
        (13, 0, -0.101, 30),
        (12, 59, -0.15, 120),
        (13, 30, -0.15, 60),
    ],
)
def test_a_move_stops_the_market_for_as_long_as_the_table_says(hour, minute, move, minutes):
    at = DAY.replace(hour=hour, minute=minute)

    assert halted_until(hour, minute, move) == at + timedelta(minutes=minutes)


@pytest.mark.parametrize(("hour", "minute", "move"), [(11, 0, -0.0999), (14, 30, -0.10), (10, 0, 0.0)])
def test_a_smaller_move_or_a_late_one_stops_nothing(hour, minute, move):
    assert halted_until(hour, minute, move) is None


@pytest.mark.parametrize(("hour", "move"), [(14, -0.15), (10, 0.20)])
def test_a_great_move_ends_the_day(hour, move):
    assert halted_until(hour, 0, move) == DAY + timedelta(days=1)


def test_a_halt_ends_though_the_index_stays_where_it_is():
    market, at = MarketHalt(), DAY.replace(hour=11)
    market.update(at, -0.11)

    market.update(at + timedelta(minutes=60), -0.11)

    assert market.until(at + timedelta(minutes=59)) is not None
    assert market.until(at + timedelta(minutes=60)) is None


def test_the_next_day_begins_anew():
    market = MarketHalt()
    market.update(DAY.replace(hour=10), -0.20)

    market.update(DAY.replace(hour=9, minute=15) + timedelta(days=3), -0.01)

    assert market.until(DAY.replace(hour=10) + timedelta(days=3)) is None


def test_before_the_table_begins_nothing_is_stopped():
    market, at = MarketHalt(), datetime(2000, 1, 3, 11, tzinfo=IST)

    market.update(at, -0.12)

    assert market.until(at) is None
