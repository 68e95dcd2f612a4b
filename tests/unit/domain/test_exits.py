"""The schedule of an exit: limits that go further, then the market."""

from datetime import timedelta
from decimal import Decimal

from pipelines.domain.exits import ExitSchedule
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.signals import Side

TCS = Instrument("TCS", 1, Kind.STOCK, Decimal("0.05"), 1, "", True)
SCHEDULE = ExitSchedule(10.0, 15.0, 3, timedelta(seconds=15), timedelta(seconds=5))


def test_each_limit_lies_further_beyond_the_last_price_and_then_comes_the_market():
    selling = [SCHEDULE.limit_price(tries, Side.SELL, Decimal("1000.00"), TCS) for tries in range(4)]
    buying = [SCHEDULE.limit_price(tries, Side.BUY, Decimal("1000.00"), TCS) for tries in range(4)]

    assert selling == [Decimal("999.00"), Decimal("997.50"), Decimal("996.00"), None]
    assert buying == [Decimal("1001.00"), Decimal("1002.50"), Decimal("1004.00"), None]


def test_a_limit_lies_on_the_tick_grid_on_the_side_that_fills_sooner():
    assert SCHEDULE.limit_price(0, Side.SELL, Decimal("123.45"), TCS) == Decimal("123.30")
    assert SCHEDULE.limit_price(0, Side.BUY, Decimal("123.45"), TCS) == Decimal("123.60")


def test_in_a_hurry_there_is_one_limit_and_less_patience():
    limits = [SCHEDULE.limit_price(tries, Side.SELL, Decimal("100"), TCS, hurried=True) for tries in range(2)]

    assert limits == [Decimal("99.90"), None]
    assert SCHEDULE.patience(hurried=True) < SCHEDULE.patience(hurried=False)


def test_without_a_last_price_there_is_no_limit():
    assert SCHEDULE.limit_price(0, Side.SELL, None, TCS) is None
