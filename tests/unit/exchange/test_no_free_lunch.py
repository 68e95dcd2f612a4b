"""What an account must not be able to do: sell what it has not, keep an intraday position, order more than it said."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import RMS_USER, Status, Variety
from serving.exchange.market import FrameKind
from serving.exchange.order_forms import order_request
from serving.exchange.refusals import KiteError
from serving.exchange.slicing import place_sliced
from serving.exchange.venue import Venue
from tests.unit.exchange.builders import DAY, NEXT_DAY, a_request, a_venue, at, flat_bars, play


def a_holder(**rules) -> Venue:
    """On its second day, before the first tick, an account holds 100 ALPHA."""
    venue = a_venue(flat_bars("ALPHA", DAY, count=2), flat_bars("ALPHA", NEXT_DAY, count=4), **rules)
    play(venue, FrameKind.OPENING)
    venue.place(a_request(product=Product.CNC, quantity=100))
    play(venue, FrameKind.CLOSING)
    return venue


def a_sale(**changes):
    return a_request(product=Product.CNC, side=Side.SELL, quantity=100, **changes)


def net_of(venue: Venue) -> int:
    held = venue.account.holdings["ALPHA"].quantity if "ALPHA" in venue.account.holdings else 0
    return held + venue.account.net_quantity("ALPHA", Product.CNC)


def test_shares_are_sold_once_though_two_after_market_orders_sell_them():
    venue = a_holder()
    first, second = (venue.place(a_sale(variety=Variety.AMO)) for _ in range(2))

    play(venue, FrameKind.BOUNDARY)

    assert venue.book.find(first.order_id).status is Status.COMPLETE
    assert venue.book.find(second.order_id).status is Status.REJECTED
    assert "Insufficient holdings" in venue.book.find(second.order_id).status_message
    assert net_of(venue) == 0


def test_an_icebergs_later_leg_does_not_sell_what_is_not_held():
    venue = a_holder()
    play(venue, FrameKind.OPENING)
    request = order_request(
        {"exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "SELL", "quantity": "200", "product": "CNC",
         "order_type": "LIMIT", "price": "99.00", "iceberg_legs": "2"},
        venue.instruments,
        "iceberg",
    )  # fmt: skip
    venue.place(request)

    play(venue, FrameKind.BOUNDARY)

    assert [leg.status for leg in venue.orders()] == [Status.COMPLETE, Status.REJECTED]
    assert net_of(venue) == 0


def test_shares_are_sold_once_though_the_first_order_is_on_its_way():
    venue = a_holder(latency=timedelta(seconds=10))
    play(venue, FrameKind.OPENING)
    venue.place(a_sale())

    with pytest.raises(KiteError, match="Insufficient holdings: 0 of ALPHA"):
        venue.place(a_sale())


def test_a_change_on_its_way_does_not_sell_what_another_order_sells_by_then():
    venue = a_holder(latency=timedelta(seconds=10))
    play(venue, FrameKind.OPENING)
    terms = {"order_type": OrderType.LIMIT, "price": Decimal("110.00")}
    first = venue.place(a_request(product=Product.CNC, side=Side.SELL, quantity=50, **terms))
    play(venue, FrameKind.TICKS)
    play(venue, FrameKind.TICKS)
    assert venue.book.find(first.order_id).status is Status.OPEN

    venue.modify(first.order_id, {"quantity": 100})
    other = venue.place(a_request(product=Product.CNC, side=Side.SELL, quantity=50, **terms))
    play(venue, FrameKind.BOUNDARY)

    working = [venue.book.find(order.order_id) for order in (first, other)]
    assert sum(order.pending_quantity for order in working) == 100


def test_money_is_spent_once_though_the_first_order_is_on_its_way():
    venue = a_venue(flat_bars("ALPHA", DAY), latency=timedelta(seconds=10), opening_cash_inr=Decimal(12_000))
    play(venue, FrameKind.BOUNDARY)
    venue.place(a_request(product=Product.CNC, quantity=100))

    with pytest.raises(KiteError, match="Insufficient funds"):
        venue.place(a_request(product=Product.CNC, quantity=100))


def a_day_with_a_gap() -> Venue:
    """ALPHA does not trade in the five minutes around the square-off; BETA does."""
    alpha = [bar for bar in flat_bars("ALPHA", DAY) if bar.open_time != at(14, 55)]
    venue = a_venue(alpha, flat_bars("M&B", DAY))
    play(venue, at(14, 45))
    return venue


def test_what_the_broker_is_closing_cannot_be_closed_a_second_time():
    venue = a_day_with_a_gap()
    venue.place(a_request(quantity=100))
    play(venue, at(15, 0))
    assert [order.placed_by for order in venue.book.working()] == [RMS_USER]

    with pytest.raises(KiteError, match="square-off"):
        venue.place(a_request(side=Side.SELL, quantity=100))
    play(venue, FrameKind.CLOSING)

    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0


@pytest.mark.parametrize("variety", [Variety.CO, Variety.ICEBERG])
def test_nothing_that_others_follow_is_taken_after_the_square_off(variety):
    venue = a_day_with_a_gap()
    venue.place(a_request(side=Side.SELL, quantity=100))
    play(venue, at(15, 0))
    assert venue.account.net_quantity("ALPHA", Product.MIS) == -100

    with pytest.raises(KiteError, match="square-off"):
        venue.place(
            a_request(
                quantity=100, variety=variety, stop_price=Decimal("95.00") if variety is Variety.CO else None,
                iceberg_legs=2, iceberg_quantity=100, iceberg_total=200,
            )
        )  # fmt: skip


def test_an_iceberg_is_not_sliced_into_icebergs_of_the_whole():
    venue = a_venue(flat_bars("ALPHA", DAY, level=1.0), close="1.00")
    play(venue, FrameKind.BOUNDARY)
    form = {
        "exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "BUY", "quantity": "250000",
        "product": "CNC", "order_type": "LIMIT", "price": "1.00", "iceberg_legs": "10",
    }  # fmt: skip

    sliced = place_sliced(venue, order_request(form, venue.instruments, "iceberg"))

    assert sliced.children == ()
    assert [(order.request.quantity, order.request.iceberg_total) for order in venue.orders()] == [(25_000, 250_000)]
