"""A share that the broker calls otherwise than we do; and one in which nothing can be sent any more."""

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

from pipelines.domain.orders import OrderType, Product
from serving.executor.broker import KiteBroker
from serving.executor.symbol_names import SymbolNames
from tests.unit.executor.test_broker import ORDER, TRADE, an_intent
from tests.unit.executor.test_overnight import a_market
from tests.unit.executor.test_session import OPEN


def a_broker(**answers) -> tuple[KiteBroker, list[dict]]:
    sent: list[dict] = []
    kite = SimpleNamespace(place_order=lambda **given: sent.append(given) or "1", **answers)
    broker = KiteBroker(kite)
    broker.names = SymbolNames({"TCS": "TCSNEW"})
    return broker, sent


def test_an_order_is_sent_under_the_brokers_symbol_and_its_books_are_read_under_ours():
    row = {"exchange": "NSE", "tradingsymbol": "TCSNEW", "product": "CNC"}
    broker, sent = a_broker(
        orders=lambda: [ORDER | row],
        trades=lambda: [TRADE | row],
        holdings=lambda: [row | {"opening_quantity": 7}],
        positions=lambda: {"net": [row | {"quantity": 3}]},
        quote=lambda *keys: {key: {"key": key} for key in keys},
    )

    broker.place(an_intent())

    assert sent[0]["tradingsymbol"] == "TCSNEW"
    assert [order.symbol for order in broker.orders()] == ["TCS"]
    assert [fill.symbol for fill in broker.fills()] == ["TCS"]
    assert broker.shares() == {"TCS": 10}
    assert broker.quotes_of(["TCS", "INFY"]) == {"TCS": {"key": "NSE:TCSNEW"}, "INFY": {"key": "NSE:INFY"}}


def test_what_cannot_be_sent_for_is_left_to_a_person_and_the_others_go_on():
    yesterday = OPEN.replace(day=29, hour=10)
    market = a_market(at=yesterday)
    market.decides(quantity=10, hold_bars=1)
    market.trades("100.00")
    journal, broker = market.journal, market.broker
    broker.book.pop(broker.orders()[-1].order_id)  # its stop was for a day
    broker.calls.clear()

    after = a_market(journal=journal, broker=broker, out_of_reach={"TCS": "the broker does not list it"})
    for minutes in range(0, 370, 10):
        after.clock(OPEN + timedelta(minutes=minutes))

    assert broker.calls == []
    assert after.session.trades["TCS"].held == 10
    assert any("by hand" in alarm and "does not list it" in alarm for alarm in after.session.alarms)
    assert after.session.reconcile() == []


def test_delivery_in_a_trade_for_trade_series_is_protected_and_left_as_ever():
    broker, sent = a_broker()
    broker.names = SymbolNames({"TCS": "TCS-BE"})

    broker.place(replace(an_intent(), product=Product.CNC, order_type=OrderType.MARKET))

    assert (sent[0]["tradingsymbol"], sent[0]["product"]) == ("TCS-BE", "CNC")
