import json
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.orders import Product
from serving.exchange.book import Status
from serving.exchange.gtt import NEAREST, VALIDITY, Terms, TriggerStatus, terms_from
from serving.exchange.market import FrameKind
from serving.exchange.refusals import KiteError
from serving.exchange.venue import Venue
from tests.unit.exchange.builders import ALPHA, BETA, NEXT_DAY, a_request, a_venue, at, bars_of, flat_bars, play
from tests.unit.exchange.builders import DAY as TODAY
from tests.unit.exchange.derivatives import FUTURE

INSTRUMENTS = {instrument.symbol: instrument for instrument in (ALPHA, BETA, FUTURE)}


def an_order(**changes) -> dict:
    fields = {"exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "BUY", "quantity": 5,
              "order_type": "LIMIT", "product": "CNC", "price": 95.0}  # fmt: skip
    return fields | changes


def a_form(values: list[float], orders: list[dict], kind: str = "single", last: float = 100.0, **condition) -> dict:
    told = {"exchange": "NSE", "tradingsymbol": "ALPHA", "trigger_values": values, "last_price": last} | condition
    return {"type": kind, "condition": json.dumps(told), "orders": json.dumps(orders)}


def some_terms(values: list[float], orders: list[dict], **rest) -> Terms:
    return terms_from(a_form(values, orders, "single" if len(values) == 1 else "two-leg", **rest), INSTRUMENTS)


def a_playing_venue(*prices: tuple[float, float, float, float]) -> Venue:
    bars = bars_of("ALPHA", TODAY, [*prices, *([(prices[-1][3],) * 4] * (75 - len(prices)))])
    venue = a_venue(bars, flat_bars("ALPHA", NEXT_DAY, prices[-1][3]), instruments=(ALPHA, FUTURE))
    play(venue, FrameKind.OPENING)
    return venue


FALLING = ((100.0, 100.0, 100.0, 100.0), (100.0, 100.0, 94.0, 94.5))
RISING = ((100.0, 100.0, 100.0, 100.0), (100.0, 106.0, 100.0, 106.0))


def test_a_single_trigger_places_its_order_when_the_price_falls_to_it():
    venue = a_playing_venue(*FALLING)
    placed = venue.triggers.add(some_terms([95.0], [an_order()]), venue.clock)

    play(venue, at(9, 20))
    before = venue.triggers.find(placed.trigger_id).status
    play(venue, at(9, 26))

    fired = venue.triggers.find(placed.trigger_id)
    assert before is TriggerStatus.ACTIVE
    assert fired.status is TriggerStatus.TRIGGERED
    assert fired.fired[0].price <= 95
    assert fired.fired[0].rejection == ""
    order = venue.book.find(fired.fired[0].order_id)
    assert (order.request.price, order.request.product, order.filled_quantity) == (95, Product.CNC, 5)


def test_a_trigger_above_the_last_price_waits_for_a_rise():
    venue = a_playing_venue(*RISING)
    placed = venue.triggers.add(some_terms([105.0], [an_order(price=107.0)]), venue.clock)

    play(venue, at(9, 20))
    assert venue.triggers.find(placed.trigger_id).status is TriggerStatus.ACTIVE
    play(venue, at(9, 26))

    assert venue.triggers.find(placed.trigger_id).fired[0].price >= 105


@pytest.mark.parametrize(("prices", "leg"), [(FALLING, 0), (RISING, 1)])
def test_of_two_legs_the_one_that_is_touched_sells_and_the_other_ends_with_it(prices, leg):
    venue = a_playing_venue(*prices)
    venue.place(a_request(quantity=5, product=Product.CNC))
    play(venue, FrameKind.BOUNDARY)
    legs = [an_order(transaction_type="SELL", price=price) for price in (94.0, 105.0)]
    placed = venue.triggers.add(some_terms([95.0, 105.0], legs), venue.clock)

    play(venue, at(9, 40))

    ended = venue.triggers.find(placed.trigger_id)
    assert set(ended.fired) == {leg}
    assert venue.account.net_quantity("ALPHA", Product.CNC) == 0
    assert [order.status for order in venue.orders()] == [Status.COMPLETE, Status.COMPLETE]


def test_an_order_that_the_broker_refuses_is_written_down_with_the_reason():
    venue = a_playing_venue(*FALLING)
    placed = venue.triggers.add(some_terms([95.0], [an_order(transaction_type="SELL")]), venue.clock)

    play(venue, at(9, 26))

    fired = venue.triggers.find(placed.trigger_id).fired[0]
    assert "Insufficient holdings" in fired.rejection
    assert fired.order_id == ""


def test_a_trigger_that_was_deleted_does_nothing_and_is_not_changed_again():
    venue = a_playing_venue(*FALLING)
    placed = venue.triggers.add(some_terms([95.0], [an_order()]), venue.clock)

    venue.triggers.delete(placed.trigger_id, venue.clock)
    play(venue, at(9, 40))

    assert venue.triggers.find(placed.trigger_id).status is TriggerStatus.DELETED
    assert venue.orders() == []
    with pytest.raises(KiteError, match="deleted"):
        venue.triggers.modify(placed.trigger_id, some_terms([95.0], [an_order()]), venue.clock)


def test_a_changed_trigger_waits_for_its_new_price():
    venue = a_playing_venue(*FALLING)
    placed = venue.triggers.add(some_terms([95.0], [an_order()]), venue.clock)

    venue.triggers.modify(placed.trigger_id, some_terms([90.0], [an_order()]), venue.clock)
    play(venue, at(9, 40))

    assert venue.triggers.find(placed.trigger_id).status is TriggerStatus.ACTIVE


def test_a_trigger_expires_after_a_year_or_with_its_instrument():
    venue = a_playing_venue(*FALLING)
    shares = venue.triggers.add(some_terms([95.0], [an_order()]), venue.clock)
    order = an_order(exchange="NFO", tradingsymbol=FUTURE.symbol, product="NRML", quantity=50)
    future = venue.triggers.add(some_terms([95.0], [order], exchange="NFO", tradingsymbol=FUTURE.symbol), venue.clock)

    venue.triggers.meet(venue.board.quotes, venue.clock + VALIDITY - timedelta(days=1), venue)
    still = venue.triggers.find(shares.trigger_id).status
    venue.triggers.meet(venue.board.quotes, venue.clock + VALIDITY, venue)

    assert future.expires_at.date() == NEXT_DAY + timedelta(days=1)
    assert still is TriggerStatus.ACTIVE
    assert venue.triggers.find(shares.trigger_id).status is TriggerStatus.EXPIRED


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        (a_form([95.0], [an_order()], kind="triple"), "type"),
        (a_form([95.0, 105.0], [an_order()]), "trigger_values"),
        (a_form([95.0, 105.0], [an_order()], kind="two-leg"), "as many orders"),
        (a_form([105.0, 95.0], [an_order()] * 2, kind="two-leg"), "between the two"),
        (a_form([100.1], [an_order()]), "too close"),
        (a_form(["dear"], [an_order()]), "trigger_values"),
        (a_form([95.0], [an_order(order_type="MARKET", price=0)]), "order_type|protection"),
        (a_form([95.0], [an_order(tradingsymbol="M&B")]), "instrument"),
        (a_form([95.0], [an_order(quantity=0)]), "quantity"),
        (a_form([95.0], [an_order()], tradingsymbol="NOTHERE"), "does not exist"),
        ({"type": "single", "condition": "[", "orders": "[]"}, "condition"),
    ],
)
def test_a_malformed_trigger_is_an_input_exception(form, complaint):
    with pytest.raises(KiteError, match=complaint) as caught:
        terms_from(form, INSTRUMENTS)

    assert caught.value.error_type == "InputException"


def test_the_nearest_trigger_lies_a_quarter_percent_away():
    assert Decimal(100) * NEAREST == Decimal("0.25")
    assert some_terms([99.75], [an_order()]).values == (Decimal("99.75"),)
