"""Odd answers of the broker, by every route that is used: what is no answer is silence, and ends nothing."""

import json
import random
import threading
import time
from datetime import datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.domain.bars import IST
from pipelines.domain.errors import BrokerSilent, ServiceUnavailable
from pipelines.domain.orders import Product, Purpose
from serving.executor import broker as broker_module
from serving.executor import kite_client
from serving.executor.broker import KiteBroker, Refused
from serving.executor.kite_client import client
from serving.executor.login import exchange_request_token, paper_log_in
from serving.executor.paper import PaperMarket
from tests.dripping import DRIPS, dripping
from tests.odd_answers import BODIES, ODD, spoiled
from tests.unit.executor.test_session import Market
from tests.unit.journal.records import an_intent

AT = datetime(2026, 10, 30, 10, 0, tzinfo=IST)
ORDER = {
    "order_id": "261030000000001",
    "exchange": "NSE",
    "tradingsymbol": "TCS",
    "tag": "TS1",
    "transaction_type": "BUY",
    "quantity": 10,
    "filled_quantity": 10,
    "order_type": "MARKET",
    "product": "MIS",
    "status": "COMPLETE",
    "trigger_price": 0,
    "price": 0,
    "order_timestamp": "2026-10-30 09:30:00",
    "status_message": None,
}
TRADE = {
    "trade_id": "1",
    "order_id": "261030000000001",
    "exchange": "NSE",
    "tradingsymbol": "TCS",
    "transaction_type": "BUY",
    "quantity": 10,
    "product": "MIS",
    "average_price": 100.05,
    "fill_timestamp": "2026-10-30 09:30:01",
}
HELD = {"tradingsymbol": "TCS", "exchange": "NSE", "product": "MIS", "quantity": 10, "opening_quantity": 5}
QUOTE = {"volume": 1000, "timestamp": "2026-10-30 10:00:00", "last_price": 100.0}
ANSWERS = {
    "orders": [ORDER],
    "trades": [TRADE],
    "holdings": [HELD],
    "positions": {"net": [HELD], "day": []},
    "margins": {"equity": {"net": 1000.5, "available": {"cash": 1000.5}}},
    "profile": {"user_id": "AB1234"},
    "quote": {"NSE:TCS": QUOTE},
    "historical": {"candles": [["2026-10-30T09:15:00+0530", 1.0, 2.0, 0.5, 1.5, 100]]},
    "place": {"order_id": "261030000000009"},
}


class Exchange:
    """Answers every request with the same body."""

    def __init__(self) -> None:
        exchange = self
        self.body, self.status, self.kind = b"", 200, "application/json"

        class Handler(BaseHTTPRequestHandler):
            protocol_version, wbufsize = "HTTP/1.1", -1

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(exchange.status)
                self.send_header("Content-Type", exchange.kind)
                self.send_header("Content-Length", str(len(exchange.body)))
                self.end_headers()
                self.wfile.write(exchange.body)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *what) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answers(self, data: object) -> None:
        self.body = json.dumps({"status": "success", "data": data}).encode()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def exchange():
    exchange = Exchange()
    yield exchange
    exchange.close()


@pytest.fixture(scope="module")
def kite(exchange):
    return client("key", exchange.url)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("PAUSE_S", "FIND_PAUSE_S", "ORDER_PAUSE_S", "TOO_MANY_S"):
        monkeypatch.setattr(broker_module, name, 0.0)


def calls(broker: KiteBroker) -> dict:
    intent = an_intent(tag="TS1", purpose=Purpose.STOP, trigger_price=Decimal("98.00"))
    return {
        "orders": broker.orders,
        "trades": broker.fills,
        "holdings": lambda: KiteBroker(broker._kite, product=Product.CNC).shares(),
        "positions": broker.shares,
        "margins": broker.cash,
        "profile": broker.user_id,
        "quote": lambda: broker.quote("NSE:TCS"),
        "historical": lambda: broker.history(1, AT, AT, "minute"),
        "place": lambda: broker.place(intent),
        "modify": lambda: broker.leave("1", 10, Decimal("99.00")),
        "cancel": lambda: broker.cancel("1"),
        "margin": broker.margin,
        "instruments": lambda: broker.instruments("NSE"),
    }


CALLS = tuple(calls(KiteBroker(client("key", "http://127.0.0.1:9"))))


@pytest.mark.parametrize("route", [name for name in ANSWERS if name not in ("holdings", "place")])
def test_a_right_answer_is_read(exchange, kite, route):
    exchange.answers(ANSWERS[route])

    assert calls(KiteBroker(kite, product=Product.MIS))[route]()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("data", [None, [], {}, 0, "", "text", [None], [[]], {"net": None}, {"net": [None]}, [[[[]]]]])
def test_data_that_is_none_ends_nothing(exchange, kite, call, data):
    exchange.answers(data)

    outcome = _outcome(calls(KiteBroker(kite, product=Product.MIS))[call])

    assert outcome in ("silent", "refused", "empty")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_none_ends_nothing(exchange, kite, call, body):
    exchange.body = body

    assert _outcome(calls(KiteBroker(kite, product=Product.MIS))[call]) in ("silent", "refused")


def test_a_book_of_many_unreadable_rows_is_refused_in_few_words(exchange, kite):
    exchange.answers({"net": ["x"] * 10_000, "day": []})

    with pytest.raises(BrokerSilent) as refused:
        KiteBroker(kite, product=Product.MIS).shares()

    assert len(str(refused.value)) < 1000
    assert "and 9997 more" in str(refused.value)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), route=st.sampled_from(sorted(ANSWERS)))
def test_no_odd_answer_ends_the_caller_or_is_half_read(exchange, kite, seed, route):
    exchange.body = spoiled({"status": "success", "data": ANSWERS[route]}, random.Random(seed))
    broker = KiteBroker(kite, product=Product.MIS)

    outcome = _outcome(calls(broker)[route])

    assert outcome in ("silent", "refused", "empty", "read")
    assert all(len(alarm) < 1000 and alarm.isprintable() for alarm in broker.alarms)


def _outcome(call) -> str:
    try:
        found = call()
    except BrokerSilent as error:
        return "silent" if len(str(error)) < 1200 and "\n" not in str(error) else "silent in many words"
    if isinstance(found, Refused):
        return "refused"
    for part in found if isinstance(found, list) else ():
        if hasattr(part, "quantity"):
            assert 1 <= part.quantity <= 10**9
            assert "\x00" not in f"{part}"
    return "read" if found else "empty"


@pytest.mark.parametrize("odd", [{"status": "error"}, {"status": "error", "error_type": 5}, {"error_type": "__name__"}])
def test_an_error_without_its_words_ends_nothing(exchange, kite, odd):
    exchange.body = json.dumps(odd).encode()

    outcomes = {_outcome(call) for call in calls(KiteBroker(kite, product=Product.MIS)).values()}

    assert outcomes <= {"silent", "refused"}


@pytest.mark.parametrize("field", sorted(ORDER))
def test_an_odd_field_of_an_order_is_named_and_the_other_order_read(exchange, kite, field):
    for odd in ODD:
        exchange.answers([ORDER | {field: odd}, ORDER | {"order_id": "261030000000002"}])
        broker = KiteBroker(kite, product=Product.MIS)

        found = broker.orders()

        assert "261030000000002" in {order.order_id for order in found}
        assert len(found) + len(broker.alarms) >= 1


def test_a_session_goes_on_past_a_broker_that_answers_null(exchange, kite):
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")
    exchange.answers(None)
    honest, market.session.desk.broker = market.session.desk.broker, KiteBroker(kite, product=Product.MIS)

    market.session.books.stale = True
    market.trades("100.10")
    silent = market.session.broker_silent
    market.session.desk.broker = honest
    market.trades("100.20")

    assert silent
    assert not market.session.broker_silent
    assert len(market.working) == 1


@pytest.mark.parametrize("call", ["orders", "place", "margins", "instruments"])
@pytest.mark.parametrize("kind", DRIPS)
def test_a_dripping_broker_is_cut_at_the_deadline(monkeypatch, kind, call):
    monkeypatch.setattr(kite_client, "DEADLINES_S", dict.fromkeys(kite_client.DEADLINES_S, 0.3))
    monkeypatch.setattr(kite_client, "LARGE_S", 0.3)
    monkeypatch.setattr(broker_module, "LOOKS", 1)
    with dripping(kind) as address:
        broker = KiteBroker(client("key", address))
        began = time.monotonic()

        outcome = _outcome(calls(broker)[call])

        took = time.monotonic() - began
    assert outcome in ("silent", "refused")
    assert took < 1.2


@pytest.mark.parametrize("kind", DRIPS)
def test_dripping_log_ins_and_paper_routes_are_cut_at_the_deadline(monkeypatch, kind):
    monkeypatch.setattr("serving.executor.login.LOG_IN_S", 0.3)
    monkeypatch.setattr("serving.executor.paper.DEADLINE_S", 0.3)
    monkeypatch.setattr(kite_client, "DEADLINES_S", dict.fromkeys(kite_client.DEADLINES_S, 0.3))
    with dripping(kind) as address:
        for ask in (
            lambda: paper_log_in(address, "key", "secret", AT),
            lambda: exchange_request_token(address, "key", "secret", "request", AT),
            PaperMarket(address, "token").status,
        ):
            began = time.monotonic()
            with pytest.raises(ServiceUnavailable):
                ask()
            assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_an_odd_paper_exchange_is_told_by_its_name(exchange, body):
    exchange.body = body

    with pytest.raises(ServiceUnavailable, match="exchange"):
        PaperMarket(exchange.url, "token").status()


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
def test_an_odd_order_update_ends_nothing(odd):
    market = Market()

    market.session.on_order_update(odd)
    for field in ("order_id", "status", "filled_quantity", "tag", "status_message"):
        market.session.on_order_update({"order_id": "1", "status": "OPEN", field: odd})

    assert market.session.books.stale
