"""The first packets after a start, a reconnection and a night: no false exit, no false peak, no halt."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.orders import OrderType, Product
from serving.executor.bar_builder import Tick
from serving.executor.desk import Frame
from serving.executor.price_sources import batched, take_history, take_quote
from serving.executor.ticks import KnownPrices
from tests.unit.exchange.builders import DAY, a_frame, flat_bars
from tests.unit.executor.test_session import OPEN, Market
from tests.unit.executor.test_without_frames import TRIGGERS


def restarted(price: str = "100.00") -> Market:
    """Ten shares bought at 100 with a target at 104; another daemon takes them up."""
    market = Market()
    market.decides(quantity=10, target=Decimal("104.00"))
    market.trades(price)
    after = Market(journal=market.journal, broker=market.broker, at=market.at, triggers=TRIGGERS)
    after.total = market.total
    return after


def told(market: Market, price: float, seconds: int = 1) -> None:
    """A packet tells a price that nobody traded at."""
    market.at += timedelta(seconds=seconds)
    market.total += 10
    market.session.on_frame(Frame(market.at, (Tick("TCS", price, market.total, market.at),)))


@pytest.mark.parametrize("wild", [300.0, 33.0, 1.0, 1e6, 115.0, 89.0])
def test_a_wild_first_packet_after_a_start_leaves_no_trace(wild):
    market = restarted()

    told(market, wild)
    told(market, 100.5)

    position = market.session.trades["TCS"].position
    assert position.exit_reason is None
    assert market.working == [(OrderType.SL_M, 10)]
    assert abs(position.mfe_inr) + abs(position.mae_inr) <= 10
    assert market.session.risk.equity_day.peak < Decimal(1_000_100)
    assert market.session.desk.trading.may_enter().passed


def test_a_real_gap_after_a_start_is_acted_on_with_the_fourth_packet():
    market = restarted()
    for price in (120.0, 120.2, 120.4):
        told(market, price)
        assert market.session.trades["TCS"].position.exit_reason is None

    told(market, 120.5)

    assert market.session.trades["TCS"].position.exit_reason == "target"


def test_a_morning_is_held_against_the_evening_before():
    market = Market(product=Product.CNC, final=False)
    market.decides(quantity=10, target=Decimal("104.00"), hold_bars=100)
    market.trades("100.00")
    market.clock(OPEN.replace(hour=15, minute=20))

    market.at = OPEN + timedelta(days=3)
    told(market, 300.0)
    told(market, 101.0)

    assert market.session.trades["TCS"].position.exit_reason is None
    assert market.session.desk.prices.last["TCS"] == Decimal("101.0")


def test_quotes_and_history_tell_prices_and_what_is_missing_tells_nothing():
    known = KnownPrices()
    take_quote(known, "TCS", {"ohlc": {"close": 99.5}, "lower_circuit_limit": 90.0, "upper_circuit_limit": 110.0})
    take_quote(known, "INFY", {"ohlc": None, "lower_circuit_limit": 0, "upper_circuit_limit": 0})
    take_history(known, {"TCS": a_frame(flat_bars("TCS", DAY, 98.0, count=2)), "ITC": a_frame([])})

    assert known.marks == {"TCS": [99.5, 98.0]}
    assert known.bands == {"TCS": (90.0, 110.0)}
    assert list(batched("abcde", 2)) == [("a", "b"), ("c", "d"), ("e",)]
