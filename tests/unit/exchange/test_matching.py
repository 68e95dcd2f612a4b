"""How ticks of a tape meet orders: every tick is a jump, and only its own shares can be had."""

from datetime import datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from pipelines.domain.fills import FillModel
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import Status
from serving.exchange.market import FrameKind
from serving.exchange.tick_tape import TickTape
from serving.exchange.venue import Venue
from tests.unit.exchange.builders import ALPHA, DAY, a_request, a_venue, at, play, some_rules, whole_day


def a_tape(*ticks: tuple[str, float, int], **rules) -> Venue:
    """A venue over ticks of ALPHA: time, price, shares."""
    rows = []
    total = 0
    for clock, price, shares in ticks:
        total += shares
        moment = at(9, 15) + (datetime.strptime(clock, "%H:%M:%S") - datetime(1900, 1, 1, 9, 15))
        rows.append({"symbol": "ALPHA", "at": pd.Timestamp(moment), "price": price, "total": total})
    tape = TickTape(pd.DataFrame(rows), {"ALPHA": ALPHA})
    return Venue((ALPHA,), tape, {"ALPHA": Decimal(100)}, some_rules(**rules))


def test_a_stop_fills_at_the_tick_that_jumped_past_its_trigger():
    venue = a_tape(("09:15:01", 100, 500), ("09:15:02", 99.5, 500), ("09:15:03", 97.8, 500))
    play(venue, at(9, 15) + timedelta(seconds=1))
    stop = venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("98.50")))

    play(venue, at(9, 15) + timedelta(seconds=3))

    assert [trade.price for trade in venue.trades()] == [Decimal("97.80")]
    assert venue.book.find(stop.order_id).status is Status.COMPLETE


def test_a_stop_jumped_beyond_its_band_rests_on_a_tape():
    venue = a_tape(("09:15:01", 100, 500), ("09:15:02", 90, 500), ("09:15:03", 90.5, 500), ("09:15:04", 98, 500))
    play(venue, at(9, 15) + timedelta(seconds=1))
    stop = venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("98.50")))

    play(venue, at(9, 15) + timedelta(seconds=3))
    stale = venue.book.find(stop.order_id)
    play(venue, at(9, 15) + timedelta(seconds=4))

    assert (stale.status, stale.filled_quantity, stale.request.price) == (Status.OPEN, 0, Decimal("96.55"))
    assert [trade.price for trade in venue.trades()] == [Decimal("96.55")]


def test_each_tick_of_a_tape_gives_its_own_share_of_volume():
    venue = a_tape(*((f"09:15:{second:02d}", 100.0, 200) for second in range(1, 10)), fills=FillModel(0.0, 0.1))
    play(venue, at(9, 15) + timedelta(seconds=1))
    orders = [venue.place(a_request(quantity=quantity, product=Product.CNC)) for quantity in (50, 30)]

    play(venue, FrameKind.BOUNDARY)

    assert [trade.quantity for trade in venue.trades()] == [20, 20, 10, 10, 20]
    assert all(venue.book.find(order.order_id).status is Status.COMPLETE for order in orders)


def test_a_limit_on_a_tape_fills_at_its_price_when_it_has_waited_and_with_slippage_when_it_comes():
    venue = a_tape(("09:15:01", 100, 500), ("09:15:02", 100, 500), ("09:15:03", 98, 500), fills=FillModel(10.0, 1.0))
    play(venue, at(9, 15) + timedelta(seconds=1))
    terms = {"order_type": OrderType.LIMIT, "product": Product.CNC}
    waiting = venue.place(a_request(price=Decimal("99.00"), **terms))
    coming = venue.place(a_request(price=Decimal("101.00"), **terms))

    play(venue, at(9, 15) + timedelta(seconds=3))

    paid = {trade.order.order_id: trade.price for trade in venue.trades()}
    assert paid == {coming.order_id: Decimal("100.10"), waiting.order_id: Decimal("99.00")}
    assert {order.day for order in venue.orders()} == {DAY}


def test_a_limit_on_a_tape_gets_no_better_price_by_being_sent_a_tick_before_a_jump():
    venue = a_tape(("09:15:01", 100, 500), ("09:15:02", 98, 500), fills=FillModel(10.0, 1.0))
    play(venue, at(9, 15) + timedelta(seconds=1))
    venue.place(a_request(order_type=OrderType.LIMIT, product=Product.CNC, price=Decimal("99.00")))

    play(venue, at(9, 15) + timedelta(seconds=2))

    assert [trade.price for trade in venue.trades()] == [Decimal("99.00")]


@pytest.mark.parametrize("seed", range(8))
def test_a_limit_sent_in_the_middle_of_a_bar_fills_at_its_price(seed):
    venue = a_venue(whole_day("ALPHA", DAY, [(100, 100, 90, 90)]), ticks_per_bar=4, seed=seed)
    play(venue, FrameKind.TICKS)
    venue.place(a_request(order_type=OrderType.LIMIT, product=Product.CNC, price=Decimal("99.95")))

    play(venue, FrameKind.BOUNDARY)

    assert [trade.price for trade in venue.trades()] == [Decimal("99.95")]
