"""Price alerts: met by the simulated market's prices, once, with the orders that hang on them."""

import json
from decimal import Decimal

import pytest

from pipelines.domain.orders import OrderType
from serving.exchange.alerts import MOST_ALERTS, AlertStatus, alert_terms
from serving.exchange.book import Status
from serving.exchange.market import FrameKind
from serving.exchange.refusals import KiteError
from serving.exchange.routes.alerts import _met
from tests.unit.exchange.builders import DAY, a_venue, at, flat_bars, play, whole_day

FORM = {
    "name": "ALPHA", "type": "simple", "lhs_exchange": "NSE", "lhs_tradingsymbol": "ALPHA", "operator": ">=",
    "lhs_attribute": "LastTradedPrice", "rhs_type": "constant", "rhs_constant": "104",
}  # fmt: skip
RISING = [(100.0,) * 4, (100.0, 105.0, 100.0, 105.0)]


def a_market():
    venue = a_venue(whole_day("ALPHA", DAY, RISING), flat_bars("M&B", DAY, 103.0))
    play(venue, FrameKind.OPENING)
    return venue


def added(venue, **changes):
    return venue.alerts.add(alert_terms(FORM | changes, venue.listed), venue.board.quotes, venue.clock)


def a_basket(**params) -> str:
    terms = {"transaction_type": "BUY", "product": "CNC", "order_type": "MARKET", "quantity": 5} | params
    return json.dumps({"items": [{"tradingsymbol": "M&B", "exchange": "NSE", "weight": 1, "params": terms}]})


def test_an_alert_is_met_by_a_tick_and_then_disabled():
    venue = a_market()
    alert = added(venue)

    play(venue, at(9, 20))
    before = venue.alerts.find(alert.alert_id).times_met
    play(venue)

    after = venue.alerts.find(alert.alert_id)
    assert (before, after.times_met, after.status) == (0, 1, AlertStatus.DISABLED)
    [met] = venue.alerts.history(alert.alert_id)
    assert at(9, 20) < met.at < at(9, 25)
    assert met.quotes[0].last_price >= 104


def test_one_instrument_is_compared_with_another():
    venue = a_market()
    other = {"rhs_type": "instrument", "rhs_exchange": "NSE", "rhs_tradingsymbol": "M&B", "rhs_attribute": "HighPrice"}
    alert = added(venue, operator=">", **other)

    play(venue)

    [met] = venue.alerts.history(alert.alert_id)
    assert str(met.alert.terms) == 'LastTradedPrice("NSE:ALPHA") > HighPrice("NSE:M&B")'
    assert [row["tradingsymbol"] for row in _met(met, venue)["meta"]] == ["ALPHA", "M&B"]


def test_the_index_that_is_the_clock_has_alerts_too():
    venue = a_market()
    alert = added(venue, lhs_exchange="INDICES", lhs_tradingsymbol="NIFTY 50", rhs_constant="20400")

    play(venue)

    assert venue.alerts.find(alert.alert_id).times_met == 1


def test_the_orders_of_a_basket_are_placed_when_the_alert_is_met():
    venue = a_market()
    alert = added(venue, type="ato", basket=a_basket())

    play(venue)

    [order] = venue.orders()
    assert (order.status, order.symbol, order.filled_quantity) == (Status.COMPLETE, "M&B", 5)
    [placed] = venue.alerts.history(alert.alert_id)[0].orders
    assert (placed.order_id, placed.rejection) == (order.order_id, "")
    assert placed.item.order.order_type is OrderType.MARKET


def test_an_order_that_the_account_cannot_carry_is_told_as_failed():
    venue = a_market()
    alert = added(venue, type="ato", basket=a_basket(quantity=90_000))

    play(venue)

    [row] = _met(venue.alerts.history(alert.alert_id)[0], venue)["order_meta"]
    assert (row["status"], row["order_id"]) == ("failed", "")
    assert "Insufficient funds" in row["rejection_reason"]


def test_a_changed_alert_waits_again():
    venue = a_market()
    alert = added(venue)
    play(venue, at(9, 30))

    terms = alert_terms(FORM | {"operator": "<"}, venue.listed)
    changed = venue.alerts.modify(alert.alert_id, terms, venue.board.quotes, venue.clock)

    assert (changed.status, changed.times_met, changed.terms.constant) == (AlertStatus.ENABLED, 1, Decimal(104))


def test_a_condition_that_holds_already_is_refused():
    venue = a_market()
    play(venue, at(9, 20))

    with pytest.raises(KiteError, match="already met"):
        added(venue, rhs_constant="99")


def test_several_alerts_are_deleted_or_none():
    venue = a_market()
    first, second = added(venue), added(venue)

    with pytest.raises(KiteError, match="uuid"):
        venue.alerts.delete([first.alert_id, "nobody's"], venue.clock)
    kept = len(venue.alerts.all())
    venue.alerts.delete([first.alert_id, second.alert_id], venue.clock)

    assert (kept, venue.alerts.all()) == (2, [])
    assert len(venue.alerts.all(AlertStatus.DELETED)) == 2


def test_no_more_alerts_are_kept_than_at_kite():
    venue = a_market()
    for _ in range(MOST_ALERTS):
        added(venue)

    with pytest.raises(KiteError, match=str(MOST_ALERTS)):
        added(venue)
