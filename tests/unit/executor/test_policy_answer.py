"""What the policy service answers is typed, bounded and held against the rows that were asked."""

import json
import math
import random
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable, TradeSageError
from pipelines.domain.signals import Action, FeatureRow, Side
from serving.executor.bar_builder import Tick
from serving.executor.policy_client import PolicyClient
from serving.executor.session import Frame
from serving.wire import decision_to_wire
from tests.dripping import DRIPS, dripping
from tests.odd_answers import BODIES, ODD, spoiled
from tests.unit.executor.test_session import OPEN, Market
from tests.unit.serving.test_wire import a_decision

CLOSE = datetime(2026, 10, 30, 9, 20, tzinfo=IST)
EQUITY = Decimal("1000000.00")
DEADLINE_S = 0.5


class Service:
    """A policy service that answers whatever the test wants."""

    def __init__(self) -> None:
        service = self
        self.body, self.status, self.questions, self.connections = b"{}", 200, [], set()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_POST(self) -> None:
                service.questions.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                service.connections.add(self.client_address)
                self.send_response(service.status)
                self.send_header("Content-Length", str(len(service.body)))
                self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                self.wfile.write(service.body)

            def log_message(self, *what) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(service):
    client = PolicyClient(service.url, "token", int(DEADLINE_S * 1000))
    yield client
    client.close()


def a_row(symbol: str = "TCS", at: datetime = CLOSE) -> FeatureRow:
    return FeatureRow(symbol, at, 100.0, Decimal("0.05"), 1, "abc", {"atr_pct_14": 0.01})


def right(symbol: str = "TCS", at: datetime = CLOSE, **changes) -> dict:
    """A decision on `a_row`, as it crosses the wire."""
    decision = a_decision(
        symbol=symbol,
        close_time=at,
        side=Side.BUY,
        quantity=100,
        reference_price=Decimal("100.0"),
        stop=Decimal("98.00"),
        target=Decimal("105.00"),
        policy_version="p",
        catalogue_hash="abc",
    )
    return decision_to_wire(decision) | changes


def answer(*decisions: dict, version: object = "p") -> bytes:
    return json.dumps({"decisions": list(decisions), "policy_version": version, "latency_ms": 1.0}).encode()


def test_right_answers_are_taken_over_one_connection(client, service):
    service.body, service.status = answer(right(), right("INFY")), 200

    answers = [client.decide([a_row(), a_row("INFY")], EQUITY) for _ in range(5)]

    assert [[decision.symbol for decision in each.decisions] for each in answers] == [["TCS", "INFY"]] * 5
    assert all(each.faults == () for each in answers)
    assert len(service.connections) == 1


ODD_DECISIONS = {
    "another symbol": {"symbol": "WIPRO"},
    "an earlier close": {"close_time": (CLOSE - timedelta(minutes=5)).isoformat()},
    "the year 1": {"close_time": "0001-01-01T00:00:00+00:00"},
    "the year 9999": {"close_time": "9999-12-31T23:59:59-23:59"},
    "no zone": {"close_time": "2026-10-30T09:20:00"},
    "10^12 shares": {"quantity": 10**12},
    "more than ten times the equity": {"quantity": 100_001},
    "shares below zero": {"quantity": -5},
    "half a share": {"quantity": 0.5},
    "true shares": {"quantity": True},
    "no shares": {"quantity": 0},
    "an unknown action": {"action": "hope"},
    "no side": {"side": None},
    "a probability that is no number": {"probability": None},
    "a probability of NaN": {"probability": math.nan},
    "an infinite probability": {"probability": math.inf},
    "a probability of 1.5": {"probability": 1.5},
    "a signal of 2": {"signal": 2.0},
    "a stop risk below zero": {"stop_risk": -0.1},
    "an infinite return": {"expected_return": math.inf},
    "hold 0": {"hold_bars": 0},
    "hold for ever": {"hold_bars": 10**8},
    "a stop off the grid": {"stop": "98.03"},
    "a target off the grid": {"target": "104.99001"},
    "a stop above the price": {"stop": "101.00"},
    "a stop at the price": {"stop": "100.00"},
    "a stop of nothing": {"stop": "0"},
    "a stop below zero": {"stop": "-5.00"},
    "a stop of NaN": {"stop": "NaN"},
    "a target of 1e999": {"target": "1e999"},
    "a target below the price": {"target": "99.00"},
    "no stop": {"stop": None},
    "no target": {"target": None},
    "another price": {"reference_price": "250.00"},
    "a price of 1e999": {"reference_price": "1e999"},
    "NUL in the symbol": {"symbol": "TCS\x00"},
    "NUL in a reason": {"reasons": ["a\x00b"]},
    "half a character": {"regime": "\ud800"},
    "a reason of a megabyte": {"reasons": ["x" * 1_000_000]},
    "ten thousand reasons": {"reasons": ["x"] * 10_000},
    "null lists": {"views": None, "reasons": None},
    "views that are none": {"views": [None, 1, "x"]},
    "a view of two": {"views": [{"head": "h", "direction": 2, "confidence": 0.5, "reasons": []}]},
    "extra as a list": {"extra": [1]},
    "an integer of 400 digits": {"probability": 10**400},
    "another catalogue": {"catalogue_hash": "abd"},
    "another policy": {"policy_version": "q"},
    "no regime": {"regime": None},
}


@pytest.mark.parametrize("changes", ODD_DECISIONS.values(), ids=ODD_DECISIONS.keys())
def test_an_odd_decision_is_none_and_the_others_stand(client, service, changes):
    service.body, service.status = answer(right("INFY"), right(**changes)), 200

    found = client.decide([a_row(), a_row("INFY")], EQUITY)

    assert [decision.symbol for decision in found.decisions] == ["INFY"]
    assert found.faults
    assert all(len(fault) < 600 and "\n" not in fault for fault in found.faults)


def test_a_symbol_decided_on_twice_is_not_decided_on(client, service):
    service.body, service.status = answer(right(), right(quantity=50), right("INFY")), 200

    found = client.decide([a_row(), a_row("INFY")], EQUITY)

    assert [decision.symbol for decision in found.decisions] == ["INFY"]


def test_whole_lots_only(client, service):
    service.body, service.status = answer(right(quantity=75)), 200

    found = client.decide([replace(a_row(), lot_size=50)], EQUITY)

    assert found.decisions == ()


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:24]))
def test_an_odd_body_is_no_decision(client, service, body):
    service.body, service.status = body, 200

    decisions, complaint = (), ""
    try:
        decisions = client.decide([a_row()], EQUITY).decisions
    except TradeSageError as error:
        complaint = str(error)

    assert decisions == ()
    assert "\n" not in complaint
    assert len(complaint) < 700


@pytest.mark.parametrize("status", [100, 204, 301, 302, 400, 401, 404, 409, 418, 422, 500, 503])
def test_an_odd_status_is_no_decision(client, service, status):
    service.body, service.status = b'{"error": ["x", {"y": "\\u0000"}]}' if status > 204 else b"", status

    with pytest.raises(TradeSageError):
        client.decide([a_row()], EQUITY)

    service.status = 200


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_no_odd_answer_is_taken_or_ends_the_caller(client, service, seed):
    service.status = 200
    service.body = spoiled(json.loads(answer(right(), right("INFY"))), random.Random(seed))

    try:
        decisions = client.decide([a_row(), a_row("INFY")], EQUITY).decisions
    except TradeSageError:
        decisions = ()

    assert len({decision.symbol for decision in decisions}) == len(decisions)
    for decision in decisions:
        assert decision.symbol in ("TCS", "INFY")
        assert decision.close_time == CLOSE
        if decision.action is not Action.SKIP:
            assert 0 < decision.quantity <= 100_000
            assert 0 <= decision.probability <= 1
            assert decision.hold_bars >= 1
            low, high = sorted((decision.stop, decision.target))
            assert low < Decimal(100) < high
            assert (decision.stop < decision.target) == (decision.side is Side.BUY)
            assert low % Decimal("0.05") == high % Decimal("0.05") == 0


@pytest.mark.parametrize(
    "name", ["policy_version", "catalogue_hash", "interval", "regime_model", "product", "hold_bars"]
)
def test_a_description_with_an_odd_field_is_none(client, service, name):
    described = {
        "policy_version": "p",
        "catalogue_hash": "abc",
        "interval": "5min",
        "regime_model": {},
        "product": "MIS",
        "hold_bars": 5,
    }
    service.status = 200

    for odd in (*ODD, ..., {"regimes": 5}, {"fits": [{}]}):
        told = (
            {key: value for key, value in described.items() if key != name} if odd is ... else described | {name: odd}
        )
        service.body = json.dumps(told).encode()
        with pytest.raises(ServiceUnavailable, match=r"describes no policy|answers 200") as refused:
            client.describe()
        assert len(str(refused.value)) < 700


@pytest.mark.parametrize("kind", DRIPS)
def test_a_dripping_service_is_no_answer_at_the_deadline(kind):
    with dripping(kind) as address:
        client = PolicyClient(address, "token", 400)
        began = time.monotonic()

        with pytest.raises(ServiceUnavailable, match="does not answer decide in time"):
            client.decide([a_row()], EQUITY)

        took = time.monotonic() - began
        client.close()
    assert took < 1.0
    assert not client.answers


class Rows:
    """A row of TCS at each close of a bar."""

    def update(self, closed):
        return [a_row("TCS", closed.close_time)]


def traded_by(client: PolicyClient) -> Market:
    market = Market()
    market.session._features = Rows()
    market.session.entering._decide = client.decide
    return market


def plays_a_bar(market: Market, close: datetime) -> None:
    for at in (close - timedelta(seconds=60), close + timedelta(seconds=1), close + timedelta(seconds=20)):
        market.at, market.total = at, market.total + 1000
        market.broker.trade("TCS", Decimal("100.00"), at, None)
        market.session.on_frame(Frame(at, (Tick("TCS", 100.0, market.total, at),)))


@pytest.mark.parametrize("changes", ODD_DECISIONS.values(), ids=ODD_DECISIONS.keys())
def test_an_odd_decision_is_not_traded_and_told_once(client, service, changes):
    service.body, service.status = answer(right(**changes)), 200
    market = traded_by(client)

    plays_a_bar(market, CLOSE)

    assert market.broker.orders() == []
    assert len(market.session.alarms) == 1


def test_hundreds_of_odd_bodies_end_no_session_and_trade_nothing_wrong(client, service):
    draw, service.status = random.Random(20261128), 200
    market = traded_by(client)
    close = OPEN

    for _ in range(60):
        close += timedelta(minutes=5)
        service.body = spoiled(json.loads(answer(right(at=close))), draw)
        plays_a_bar(market, close)

    entries = [intent for intent in market.journal.intents("T1") if intent.purpose == "entry"]
    assert all(0 < intent.quantity <= 100_000 for intent in entries)
    assert len({intent.decision_id for intent in entries}) == len(entries)


def test_an_answer_on_a_bar_traded_before_is_not_traded_again(client, service):
    service.body, service.status = answer(right()), 200
    market = traded_by(client)
    plays_a_bar(market, CLOSE)
    market.trades("105.00")
    market.trades("105.10")
    before = market.outcome()

    plays_a_bar(market, CLOSE + timedelta(minutes=5))

    assert market.outcome() == before
    assert len([intent for intent in market.journal.intents("T1") if intent.purpose == "entry"]) == 1


def test_one_decision_is_entered_once_though_it_is_made_again(client, service):
    service.body, service.status = answer(right()), 200
    market = traded_by(client)
    plays_a_bar(market, CLOSE)
    market.trades("105.00")
    market.trades("105.10")
    before = market.outcome()

    market.session.entering.decide_on([a_row()], EQUITY)
    market.trades("100.00")

    assert market.session.trades == {}
    assert market.outcome() == before
