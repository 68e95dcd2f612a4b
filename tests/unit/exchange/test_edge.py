"""Whatever a client sends, the edge answers in Kite's form, and what it refuses leaves no trace."""

import hashlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from pipelines.domain.bars import Interval
from serving.exchange.app import Keys, create_app
from serving.exchange.body_limit import MAX_BODY_BYTES
from serving.exchange.candles import Candles
from serving.exchange.conductor import Conductor, Subscriber
from serving.exchange.venue import Venue
from tests.unit.exchange.builders import ALPHA, DAY, a_frame, a_request, a_venue, flat_bars

KEYS = Keys("paperkey", "papersecret", "admintoken")
ERRORS = {
    "TokenException",
    "InputException",
    "OrderException",
    "MarginException",
    "HoldingException",
    "GeneralException",
    "NetworkException",
    "PermissionException",
}
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Desk:
    """A client that is logged in at an exchange in this process, in mid-market."""

    def __init__(self) -> None:
        self.venue = a_venue(flat_bars("ALPHA", DAY))
        candles = Candles(lambda symbol: a_frame(flat_bars("ALPHA", DAY)), Interval.MIN_5)
        app = create_app(Conductor(self.venue, "lockstep", 30.0), candles, KEYS)
        self.client = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        self.venue.advance()
        self.venue.advance()
        self.resting = self.venue.place(a_request(quantity=3)).order_id
        self.client.headers["authorization"] = f"token paperkey:{self._logged_in()}"

    def _logged_in(self) -> str:
        location = self.client.get("/connect/login", params={"api_key": "paperkey"}).headers["location"]
        token = location.partition("request_token=")[2].partition("&")[0]
        checksum = hashlib.sha256(f"paperkey{token}papersecret".encode()).hexdigest()
        fields = {"api_key": "paperkey", "request_token": token, "checksum": checksum}
        return self.client.post("/session/token", data=fields).json()["data"]["access_token"]

    def kite(self, method: str, path: str, **what: Any) -> dict:
        """An answer, of which it is checked that it is Kite's and that a refusal changed nothing."""
        before = traces(self.venue)
        answer = self.client.request(method, path, **what)
        body = answer.json()
        if body["status"] == "success":
            assert answer.status_code == 200
            assert "data" in body
        else:
            assert body["status"] == "error"
            assert 400 <= answer.status_code < 500, body
            assert body["error_type"] in ERRORS
            assert body["message"]
            assert "Traceback" not in body["message"]
            assert traces(self.venue) == before
        return body


def traces(venue: Venue) -> object:
    """All that a call could change; an order that is refused for want of money stays in the book, as at Kite."""
    orders = [states for states in venue.book._states.values() if states[-1].status != "REJECTED"]
    positions = {key: (p.quantity, p.buy_value, p.sell_value) for key, p in venue.account.positions.items()}
    return [list(states) for states in orders], venue.account.cash, positions, venue.clock, venue.steps


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


odd_text = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["", "0", "-1", "1e400", "1e-400", "NaN", "Infinity", "-0", "1_0", "१", "9" * 40, "\x00", "null"]),
    st.decimals(allow_nan=True).map(str),
)


def field(*valid: str) -> st.SearchStrategy[str]:
    """Mostly a valid word, sometimes anything."""
    return st.one_of(st.sampled_from(valid), st.sampled_from(valid), odd_text)


some_fields = st.fixed_dictionaries(
    {},
    optional={
        "exchange": field("NSE", "BSE", "NFO"),
        "tradingsymbol": field("ALPHA", "M&B"),
        "transaction_type": field("BUY", "SELL"),
        "quantity": field("1", "10", "100000"),
        "product": field("MIS", "CNC", "NRML", "MTF"),
        "order_type": field("MARKET", "LIMIT", "SL", "SL-M"),
        "validity": field("DAY", "IOC", "TTL"),
        "validity_ttl": field("1", "10"),
        "price": field("100", "99.95", "0"),
        "trigger_price": field("95", "105", "0"),
        "market_protection": field("-1", "2.5", "0"),
        "disclosed_quantity": field("0", "1"),
        "iceberg_legs": field("2", "5"),
        "iceberg_quantity": field("2", "5"),
        "auction_number": odd_text,
        "autoslice": field("true", "false"),
        "tag": odd_text,
        "squareoff": odd_text,
        "stoploss": odd_text,
        "parent_order_id": odd_text,
    },
)
A_FORM = {"exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "BUY", "quantity": "1", "product": "MIS",
          "order_type": "SL", "price": "101", "trigger_price": "101", "market_protection": "-1"}  # fmt: skip
order_forms = st.one_of(some_fields, some_fields.map(lambda fields: A_FORM | fields))
varieties = st.sampled_from(["regular", "amo", "co", "iceberg", "auction", "bo", "%00", "x"])
jsons = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
A_ROW = {"exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "BUY", "variety": "regular", "product": "MIS",
         "order_type": "LIMIT", "quantity": 10, "price": 100.0, "trigger_price": 0, "average_price": 100.0}  # fmt: skip
spoilt_rows = st.builds(
    lambda name, value: [A_ROW, A_ROW | {name: value}],
    st.sampled_from(sorted(A_ROW)),
    st.one_of(jsons, odd_text, st.sampled_from(["SELL", "CNC", "MARKET", "SL", "1e400", 1e300, -5])),
)
PATHS = [
    "/session/token", "/session/refresh_token", "/user/profile", "/user/margins", "/user/margins/gold", "/orders",
    "/trades", "/orders/1", "/orders/1/trades", "/orders/regular", "/orders/regular/1", "/portfolio/positions",
    "/portfolio/holdings", "/portfolio/holdings/auctions", "/quote", "/quote/ltp?i=x&i=NSE:ALPHA", "/quote/ohlc?i=",
    "/instruments/historical/1/day", "/margins/orders", "/margins/basket", "/charges/orders", "/gtt/triggers",
    "/gtt/triggers/1", "/alerts", "/alerts/1", "/alerts/1/history", "/user/profile/full", "/portfolio/holdings/summary",
    "/portfolio/holdings/compact", "/mf/orders", "/nowhere", "/instruments/trigger_range/buy",
]  # fmt: skip


@FUZZ
@given(form=order_forms, variety=varieties)
@example(form={"quantity": "1e999999"}, variety="regular")
def test_any_order_form_is_answered_in_kites_form(desk, form, variety):
    desk.kite("POST", f"/orders/{variety}", data=form)


@FUZZ
@given(form=order_forms, variety=varieties)
def test_any_modification_is_answered_in_kites_form(desk, form, variety):
    desk.kite("PUT", f"/orders/{variety}/{desk.resting}", data=form)


@pytest.mark.parametrize("name", ["quantity", "price", "trigger_price", "market_protection", "disclosed_quantity"])
@pytest.mark.parametrize("value", ["1e999999", "1e30", "-1e30", "1e-30", "9" * 5000, "0.1e-9999", "1.5"])
def test_numbers_beyond_all_measure_are_refused_at_once(desk, name, value):
    desk.kite("POST", "/orders/regular", data=A_FORM | {name: value})


@FUZZ
@given(
    content=st.one_of(jsons, spoilt_rows),
    path=st.sampled_from(["/charges/orders", "/margins/orders", "/margins/basket"]),
)
def test_any_json_is_answered_in_kites_form(desk, content, path):
    desk.kite("POST", path, content=json.dumps(content), headers={"content-type": "application/json"})


A_CONDITION = {"exchange": "NSE", "tradingsymbol": "ALPHA", "trigger_values": [90.0], "last_price": 100.0}
A_TRIGGER_ORDER = A_ROW | {"transaction_type": "SELL", "product": "CNC", "price": 90.0}
triggers = st.builds(
    lambda kind, condition, order, spoil: (
        {
            "type": kind,
            "condition": json.dumps(A_CONDITION | condition),
            "orders": json.dumps([A_TRIGGER_ORDER | order]),
        }
        | spoil
    ),
    st.sampled_from(["single", "two-leg", "triple"]),
    st.dictionaries(st.sampled_from(sorted(A_CONDITION)), jsons, max_size=2),
    st.dictionaries(st.sampled_from(sorted(A_TRIGGER_ORDER)), st.one_of(jsons, odd_text), max_size=2),
    st.dictionaries(
        st.sampled_from(["type", "condition", "orders"]), st.one_of(odd_text, jsons.map(json.dumps)), max_size=1
    ),
)
conversions = st.fixed_dictionaries(
    {
        "exchange": field("NSE"),
        "tradingsymbol": field("ALPHA"),
        "transaction_type": field("BUY"),
        "position_type": field("day", "overnight"),
        "quantity": field("1", "3"),
        "old_product": field("MIS", "CNC"),
        "new_product": field("CNC", "NRML"),
    }
)


@FUZZ
@given(form=triggers, method=st.sampled_from(["POST", "PUT"]))
def test_any_trigger_is_answered_in_kites_form(desk, form, method):
    desk.kite(method, "/gtt/triggers" if method == "POST" else "/gtt/triggers/1", data=form)


def _basket_of(rows: list) -> str:
    items = [{"tradingsymbol": "ALPHA", "exchange": "NSE", "weight": 1, "params": row} for row in rows]
    return json.dumps({"name": "b", "type": "alert", "tags": [], "items": items})


alert_forms = st.fixed_dictionaries(
    {},
    optional={
        "name": field("an alert"),
        "type": field("simple", "ato"),
        **{f"{side}_exchange": field("NSE", "INDICES") for side in ("lhs", "rhs")},
        **{f"{side}_tradingsymbol": field("ALPHA", "NIFTY 50") for side in ("lhs", "rhs")},
        **{f"{side}_attribute": field("LastTradedPrice", "HighPrice") for side in ("lhs", "rhs")},
        "operator": field(">=", "<", "=="),
        "rhs_type": field("constant", "instrument"),
        "rhs_constant": field("150", "20"),
        "basket": st.one_of(odd_text, jsons.map(json.dumps), spoilt_rows.map(_basket_of)),
    },
)
AN_ALERT = {"name": "rises", "type": "ato", "lhs_exchange": "NSE", "lhs_tradingsymbol": "ALPHA", "operator": ">=",
            "lhs_attribute": "LastTradedPrice", "rhs_type": "constant", "rhs_constant": "150"}  # fmt: skip
alert_forms = st.one_of(alert_forms, alert_forms.map(lambda fields: AN_ALERT | fields))


@FUZZ
@given(form=alert_forms, method=st.sampled_from(["POST", "PUT"]), alert=field("1", "550e8400"))
def test_any_alert_is_answered_in_kites_form(desk, form, method, alert):
    desk.kite(method, "/alerts" if method == "POST" else f"/alerts/{quote(alert, safe='')}", data=form)


@FUZZ
@given(query=st.dictionaries(field("uuid", "status", "page", "page_size"), odd_text, max_size=3))
def test_any_question_for_alerts_is_answered_in_kites_form(desk, query):
    desk.kite("GET", "/alerts", params=query)
    desk.kite("DELETE", "/alerts", params=query)


@FUZZ
@given(form=conversions)
def test_any_conversion_is_answered_in_kites_form(desk, form):
    desk.kite("PUT", "/portfolio/positions", data=form)


@FUZZ
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=st.sampled_from(PATHS),
    body=st.binary(max_size=200),
    kind=st.sampled_from(
        ["application/x-www-form-urlencoded", "application/json", "multipart/form-data", "text/plain", ""]
    ),
)
def test_any_bytes_at_any_route_are_answered_in_kites_form(desk, method, path, body, kind):
    desk.kite(method, path, content=body, headers={"content-type": kind})


@FUZZ
@example(token="408065", interval="5minute", first="9999-12-30", last="9999-12-31")
@given(
    token=st.one_of(st.just(str(ALPHA.token)), st.from_regex(r"[0-9a-z%]{1,12}", fullmatch=True)),
    interval=st.sampled_from(["5minute", "15minute", "day", "minute", "week"]),
    first=st.one_of(st.just("2026-10-29 09:15:00"), odd_text),
    last=st.one_of(st.just("2026-10-29 15:30:00"), odd_text),
)
def test_any_question_for_candles_is_answered_in_kites_form(desk, token, interval, first, last):
    desk.kite("GET", f"/instruments/historical/{token}/{interval}", params={"from": first, "to": last})


@FUZZ
@given(message=jsons)
@example(message={"a": "mode", "v": ["full", [1e400]]})
def test_any_message_of_a_ticker_is_obeyed_or_complained_about(message):
    subscriber = Subscriber(wire=None)

    complaint = subscriber.obey(message)

    assert complaint is None or isinstance(complaint, str)


@pytest.mark.parametrize(
    ("method", "path", "what", "status"),
    [
        ("POST", "/orders/regular", {"content": b"\xff\xfe=1"}, 400),
        ("POST", "/orders/regular", {"content": b"tag=%ff%fe"}, 400),
        ("POST", "/orders/regular", {"content": b"&".join([b"a=1"] * 300)}, 400),
        ("POST", "/charges/orders", {"content": b"[" * 100_000}, 400),
        ("POST", "/charges/orders", {"content": b"{"}, 400),
        ("POST", "/charges/orders", {"content": b" " * (MAX_BODY_BYTES + 1)}, 413),
        ("POST", "/orders/regular", {"content": iter([b"tag=", b"x"])}, 411),
        ("PATCH", "/orders/regular", {}, 405),
        ("GET", "/nowhere", {}, 404),
        ("GET", "/docs", {}, 404),
        ("GET", "/openapi.json", {}, 404),
    ],
)
def test_what_cannot_be_read_is_refused_clearly(desk, method, path, what, status):
    answer = desk.client.request(method, path, **what)

    assert answer.status_code == status
    assert answer.json()["error_type"] == ("GeneralException" if status in (404, 405) else "InputException")
    assert answer.json()["data"] is None


@pytest.mark.parametrize(
    "header", ["", "token", "token paperkey", "token paperkey:", "token paperkey:wrong", "Bearer x"]
)
def test_without_a_living_token_every_call_of_the_account_is_a_token_exception(desk, header):
    for path in ("/orders", "/trades", "/user/margins", "/portfolio/positions", "/quote?i=NSE:ALPHA"):
        answer = desk.client.get(path, headers={"authorization": header})

        assert (answer.status_code, answer.json()["error_type"]) == (403, "TokenException")


def test_refresh_tokens_are_for_approved_platforms(desk):
    renewed = desk.kite("POST", "/session/refresh_token", data={"api_key": "paperkey", "refresh_token": "x"})
    ended = desk.kite("DELETE", "/session/token", params={"api_key": "paperkey", "refresh_token": "x"})

    assert renewed["error_type"] == ended["error_type"] == "TokenException"
