"""Every route of the official client against the paper exchange: keys, kinds of values and errors as recorded."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
from kiteconnect import KiteConnect
from kiteconnect import exceptions as refused

from pipelines.domain.instruments import DERIVATIVE_COLUMNS
from pipelines.tables import read_table, write_table
from tests.conftest import SHARED_DATA
from tests.integration.test_exchange import ADMIN, go_on, logged_in, running_exchange
from tests.unit.exchange.builders import (
    ALPHA,
    BETA,
    DAY,
    HISTORY_DAY,
    NEXT_DAY,
    flat_bars,
    random_bars,
    write_workspace,
)
from tests.unit.exchange.derivatives import CALL, FUTURE, HIGHER_CALL, PUT

MOCKS = SHARED_DATA / "kite" / "mocks"
BARS = 20  #: of a session: short, so that the next day comes soon
DERIVATIVES = (FUTURE, CALL, HIGHER_CALL, PUT)
recorded = pytest.mark.skipif(not MOCKS.exists(), reason="recorded Kite samples are not here")

#: Where the recorded answers differ among themselves or tell what the paper exchange has not: path, and why
LOOSE = {
    "orders.data[].meta": "what it holds depends on the order",
    "order_info.data[].meta": "what it holds depends on the order",
    "gtt_get_orders.data[].meta": "null and an object are both recorded",
    "gtt_get_order.data.meta": "null and an object are both recorded",
    "holdings.data[].authorisation": "empty where nothing has to be authorised",
}

#: An answer recorded long ago lacks keys that a later one of the same shape has
ALSO = {"order_info": ["orders"]}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("contract")
    history = [random_bars("ALPHA", HISTORY_DAY, 100.0, 1), random_bars("M&B", HISTORY_DAY, 840.0, 2, 0.1)]
    days = [
        bars
        for day in (DAY, NEXT_DAY)
        for bars in (
            flat_bars("ALPHA", day, 100.0, BARS),
            random_bars("M&B", day, 840.0, 3, 0.1, BARS),
            flat_bars(FUTURE.symbol, day, 101.0, BARS),
            *(flat_bars(option.symbol, day, 2.0, BARS) for option in (CALL, HIGHER_CALL, PUT)),
        )
    ]
    paths = write_workspace(root, history, days, (ALPHA, BETA, *DERIVATIVES))
    listed = (ALPHA, BETA, *DERIVATIVES)
    extra = [["" if (value := getattr(i, name)) is None else str(value) for name in DERIVATIVE_COLUMNS] for i in listed]
    text = pd.DataFrame(extra, columns=list(DERIVATIVE_COLUMNS))
    write_table(pd.concat([read_table(paths.instruments), text], axis=1), paths.instruments)
    return root


@pytest.fixture(scope="module")
def url(workspace) -> Iterator[str]:
    with running_exchange(workspace) as address:
        go_on(address, 3)
        yield address


@pytest.fixture(scope="module")
def kite(url) -> KiteConnect:
    return logged_in(url)


@pytest.fixture(scope="module")
def a_trading_day(kite, url) -> dict[str, str]:
    """Shares bought for delivery and intraday, a future overnight, an order that rests, two triggers."""
    ids = {
        "held": order(kite, product="CNC", quantity=20),
        "intraday": order(kite),
        "future": derivative(kite, FUTURE.symbol),
        "resting": order(kite, order_type="LIMIT", price=95.0, market_protection=None),
    }
    go_on(url, 12)
    ids["single"] = str(
        kite.place_gtt("single", "ALPHA", "NSE", [90.0], 100.0, [a_gtt_order("BUY", 90.5)])["trigger_id"]
    )
    legs = [a_gtt_order("SELL", 90.0), a_gtt_order("SELL", 110.0)]
    ids["two legs"] = str(kite.place_gtt("two-leg", "ALPHA", "NSE", [90.0, 110.0], 100.0, legs)["trigger_id"])
    return ids


def order(kite: KiteConnect, **changes) -> str:
    terms = {"variety": "regular", "exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "BUY",
             "quantity": 10, "product": "MIS", "order_type": "MARKET", "market_protection": -1}  # fmt: skip
    return kite.place_order(**(terms | changes))


def derivative(kite: KiteConnect, symbol: str, **changes) -> str:
    terms = {"exchange": "NFO", "tradingsymbol": symbol, "product": "NRML", "quantity": 50}
    return order(kite, **(terms | changes))


def a_gtt_order(side: str, price: float) -> dict:
    return {"transaction_type": side, "quantity": 5, "order_type": "LIMIT", "product": "CNC", "price": price}


def a_row(symbol: str = "ALPHA", **changes) -> dict:
    terms = {"exchange": "NSE", "tradingsymbol": symbol, "transaction_type": "BUY", "variety": "regular",
             "product": "CNC", "order_type": "LIMIT", "quantity": 1, "price": 100, "trigger_price": 0}  # fmt: skip
    return terms | changes


def a_sold_call(**changes) -> dict:
    terms = {"exchange": "NFO", "transaction_type": "SELL", "product": "NRML", "quantity": 50, "price": 2}
    return a_row(CALL.symbol, **(terms | changes))


class Listener:
    """Keeps the bodies of answers as they came, before the client turns texts into times."""

    def __init__(self, kite: KiteConnect):
        self.bodies: list[object] = []
        kite.reqsession.hooks["response"] = [lambda answer, *_, **__: self.bodies.append(answer.json())]


def answer_to(kite: KiteConnect, call) -> object:
    listener = Listener(kite)
    try:
        call(kite)
    finally:
        kite.reqsession.hooks["response"] = []
    return listener.bodies[-1]


# shapes


def differences(ours: object, theirs: list[object], place: str) -> list[str]:
    """Where an answer has other keys or kinds of values than those recorded in its place; none recorded fits any."""
    theirs = [value for value in theirs if value is not None]
    if place in LOOSE or ours is None or not theirs:
        return []
    kind = kind_of(ours)
    alike = [value for value in theirs if kind_of(value) is kind]
    if not alike:
        return [f"{place} is {ours!r}, recorded {theirs[0]!r}"]
    if kind is dict:
        return _keys_differ(ours, alike, place)
    if kind is list:
        recorded_items = [item for value in alike for item in value]
        return [line for item in ours for line in differences(item, recorded_items, f"{place}[]")]
    return []


def _keys_differ(ours: dict, theirs: list[dict], place: str) -> list[str]:
    if any(":" in key for value in theirs for key in value):  # keyed by instrument
        whole = [item for value in theirs for item in value.values()]
        return [line for item in ours.values() for line in differences(item, whole, f"{place}.*")]
    at_times = {key for key in ours if ours[key] is None and any(key in value for value in theirs)}
    keys = [set(value) | at_times for value in theirs]  # a key that only some recorded rows have may stand empty
    lines = []
    if set(ours) not in keys:
        best = min(keys, key=lambda recorded: len(recorded ^ set(ours)))
        lines = [f"{place}: {sorted(best - set(ours))} missing, {sorted(set(ours) - best)} not recorded"]
    for key in ours:
        lines += differences(ours[key], [value[key] for value in theirs if key in value], f"{place}.{key}")
    return lines


def kind_of(value: object) -> type:
    """Whole and broken numbers are one kind: Kite's numbers lose their zeros."""
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def mock(name: str) -> object:
    return json.loads((MOCKS / f"{name}.json").read_text(encoding="utf-8"))


READS = {
    "profile": lambda kite, _: kite.profile(),
    "margins": lambda kite, _: kite.margins(),
    "margins_equity": lambda kite, _: kite.margins("equity"),
    "margin_commodity": lambda kite, _: kite.margins("commodity"),
    "orders": lambda kite, _: kite.orders(),
    "order_info": lambda kite, ids: kite.order_history(ids["intraday"]),
    "trades": lambda kite, _: kite.trades(),
    "order_trades": lambda kite, ids: kite.order_trades(ids["intraday"]),
    "positions": lambda kite, _: kite.positions(),
    "auctions_list": lambda kite, _: kite.get_auction_instruments(),
    "quote": lambda kite, _: kite.quote("NSE:ALPHA"),
    "ohlc": lambda kite, _: kite.ohlc("NSE:ALPHA", "NSE:M&B"),
    "ltp": lambda kite, _: kite.ltp("NSE:ALPHA", f"NFO:{FUTURE.symbol}"),
    "trigger_range": lambda kite, _: kite.trigger_range("BUY", "NSE:ALPHA", "NSE:M&B"),
    "historical_minute": lambda kite, _: kite.historical_data(ALPHA.token, f"{HISTORY_DAY}", f"{DAY}", "5minute"),
    "historical_oi": lambda kite, _: kite.historical_data(FUTURE.token, f"{DAY}", f"{NEXT_DAY}", "5minute", oi=True),
    "gtt_get_orders": lambda kite, _: kite.get_gtts(),
    "gtt_get_order": lambda kite, ids: kite.get_gtt(ids["two legs"]),
    "order_margins": lambda kite, _: kite.order_margins([a_row()]),
    "basket_margins": lambda kite, _: kite.basket_order_margins(
        [a_sold_call(), a_sold_call(tradingsymbol=HIGHER_CALL.symbol, transaction_type="BUY", price=1)]
    ),
    "virtual_contract_note": lambda kite, _: kite.get_virtual_contract_note(
        [a_row(order_type="MARKET", order_id="1", average_price=100), a_sold_call(order_id="2", average_price=2)]
    ),
}


@recorded
@pytest.mark.parametrize("name", READS)
def test_what_is_read_has_the_recorded_keys_and_kinds(kite, a_trading_day, name):
    answer = answer_to(kite, lambda client: READS[name](client, a_trading_day))

    assert answer["status"] == "success"
    assert answer["data"] or name == "auctions_list"
    assert differences(answer, [mock(other) for other in (name, *ALSO.get(name, ()))], name) == []


@recorded
def test_what_is_written_is_answered_as_recorded(kite, a_trading_day):
    ids = a_trading_day
    resting = order(kite, order_type="LIMIT", price=94.0, market_protection=None)
    terms = ("single", "ALPHA", "NSE", [91.0], 100.0, [a_gtt_order("BUY", 91.5)])
    calls = {
        "order_response": lambda k: order(k, order_type="LIMIT", price=93.0, market_protection=None),
        "order_modify": lambda k: k.modify_order("regular", resting, price=94.5),
        "order_cancel": lambda k: k.cancel_order("regular", resting),
        "gtt_place_order": lambda k: k.place_gtt(*terms),
        "gtt_modify_order": lambda k: k.modify_gtt(ids["single"], *terms),
        "gtt_delete_order": lambda k: k.delete_gtt(ids["single"]),
        "convert_position": lambda k: k.convert_position("NSE", "ALPHA", "BUY", "day", 4, "MIS", "CNC"),
    }

    found = {name: differences(answer_to(kite, call), [mock(name)], name) for name, call in calls.items()}

    assert found == {name: [] for name in calls}


@recorded
def test_a_session_is_opened_and_closed_as_recorded(url):
    kite = KiteConnect("paperkey", root=url)
    token = (
        httpx.get(f"{url}/connect/login?api_key=paperkey").headers["location"].split("request_token=")[1].split("&")[0]
    )

    opened = answer_to(kite, lambda k: k.generate_session(token, "papersecret"))
    kite.set_access_token(opened["data"]["access_token"])
    closed = answer_to(kite, lambda k: k.invalidate_access_token())

    assert differences(opened, [mock("generate_session")], "generate_session") == []
    assert differences(closed, [mock("session_logout")], "session_logout") == []


@recorded
def test_authorising_holdings_is_answered_with_a_request(kite):
    headers = {"Authorization": f"token {kite.api_key}:{kite.access_token}"}

    answer = httpx.post(f"{kite.root}/portfolio/holdings/authorise", headers=headers).json()

    assert differences(answer, [mock("holdings_auth")], "holdings_auth") == []


@recorded
def test_holdings_of_the_next_day_have_the_recorded_keys_and_kinds(workspace):
    with running_exchange(workspace) as address:
        kite = logged_in(address)
        go_on(address, 3)
        order(kite, product="CNC")
        derivative(kite, FUTURE.symbol)
        while f"{NEXT_DAY}" != httpx.get(f"{address}/paper/status", headers=ADMIN).json()["day"]:
            go_on(address, 20)
        answer = answer_to(kite, lambda client: client.holdings())
        over_night = kite.positions()["net"]

    assert [row["tradingsymbol"] for row in answer["data"]] == ["ALPHA"]
    assert differences(answer, [mock("holdings")], "holdings") == []
    assert [(row["tradingsymbol"], row["overnight_quantity"]) for row in over_night] == [(FUTURE.symbol, 50)]


def test_the_dump_lists_futures_and_options_with_their_terms(kite):
    listed = {row["tradingsymbol"]: row for row in kite.instruments("NFO")}

    assert set(listed) == {instrument.symbol for instrument in DERIVATIVES}
    call, future = listed[CALL.symbol], listed[FUTURE.symbol]
    assert (call["expiry"], call["strike"], call["lot_size"]) == (NEXT_DAY, 100.0, 50)
    assert (call["instrument_type"], call["segment"], call["name"]) == ("CE", "NFO-OPT", "ALPHA")
    assert (future["instrument_type"], future["segment"], future["strike"]) == ("FUT", "NFO-FUT", 0.0)
    assert {row["exchange"] for row in kite.instruments()} == {"NSE", "NFO"}


def test_the_list_of_margins_names_every_instrument_of_a_segment(kite):
    headers = {"Authorization": f"token {kite.api_key}:{kite.access_token}"}

    equity, futures = (
        httpx.get(f"{kite.root}/margins/{name}", headers=headers).json()["data"] for name in ("equity", "futures")
    )

    assert {row["tradingsymbol"]: row["mis_multiplier"] for row in equity} == {"ALPHA": 5, "M&B": 5}
    assert [(row["tradingsymbol"], row["nrml_margin"]) for row in futures] == [(FUTURE.symbol, 19.5)]


# routes that the official client does not know yet

AN_ALERT = {
    "name": "rises", "type": "simple", "lhs_exchange": "NSE", "lhs_tradingsymbol": "ALPHA",
    "lhs_attribute": "LastTradedPrice", "operator": ">=", "rhs_type": "constant", "rhs_constant": "150.5",
}  # fmt: skip


def a_basket(**params) -> str:
    wanted = {"transaction_type": "BUY", "product": "CNC", "order_type": "LIMIT", "validity": "DAY", "quantity": 3,
              "price": 95.0, "variety": "regular", "gtt": {"target": 0, "stoploss": 0}, "tags": []}  # fmt: skip
    wanted |= params
    item = {"type": "insert", "tradingsymbol": "ALPHA", "exchange": "NSE", "weight": 10000, "params": wanted}
    return json.dumps({"name": "alerts-basket", "type": "alert", "tags": [], "items": [item]})


def raw(kite: KiteConnect, method: str, path: str, **what) -> dict:
    headers = {"Authorization": f"token {kite.api_key}:{kite.access_token}", "X-Kite-Version": "3"}
    return httpx.request(method, f"{kite.root}{path}", headers=headers, **what).json()


@recorded
def test_alerts_are_created_read_changed_and_deleted_as_recorded(kite):
    index = AN_ALERT | {"lhs_exchange": "INDICES", "lhs_tradingsymbol": "NIFTY 50", "rhs_constant": "99000"}
    created = raw(kite, "POST", "/alerts", data=index)
    ato = raw(kite, "POST", "/alerts", data=AN_ALERT | {"type": "ato", "basket": a_basket()})
    place = f"/alerts/{created['data']['uuid']}"

    answers = {
        "alerts_create": created,
        "alerts_create_ato": ato,
        "alerts_get": raw(kite, "GET", "/alerts"),
        "alerts_get_one": raw(kite, "GET", place),
        "alerts_modify": raw(kite, "PUT", place, data=index | {"rhs_constant": "99500"}),
        "alerts_delete": raw(kite, "DELETE", "/alerts", params={"uuid": created["data"]["uuid"]}),
    }

    assert {name: differences(answer, [mock(name)], name) for name, answer in answers.items()} == {
        name: [] for name in answers
    }
    assert [row["type"] for row in answers["alerts_get"]["data"]] == ["ato", "simple"]
    assert answers["alerts_modify"]["data"]["rhs_constant"] == 99500
    assert raw(kite, "GET", place)["error_type"] == "InputException"


@recorded
def test_the_full_profile_and_short_holdings_have_the_recorded_keys(workspace):
    with running_exchange(workspace) as address:
        kite = logged_in(address)
        go_on(address, 3)
        order(kite, product="CNC")
        while f"{NEXT_DAY}" != httpx.get(f"{address}/paper/status", headers=ADMIN).json()["day"]:
            go_on(address, 20)
        names = {"full_profile": "/user/profile/full", "holdings_compact": "/portfolio/holdings/compact",
                 "holdings_summary": "/portfolio/holdings/summary"}  # fmt: skip
        answers = {name: raw(kite, "GET", path) for name, path in names.items()}

    assert {name: differences(answer, [mock(name)], name) for name, answer in answers.items()} == {
        name: [] for name in answers
    }
    assert [row["quantity"] + row["t1_quantity"] for row in answers["holdings_compact"]["data"]] == [10]
    assert answers["holdings_summary"]["data"]["invested_amount"] == 1000


def test_an_alert_that_the_market_meets_is_told_once_with_its_orders(workspace):
    with running_exchange(workspace) as address:
        kite = logged_in(address)
        go_on(address, 3)
        low = AN_ALERT | {"lhs_tradingsymbol": "M&B", "rhs_constant": "1", "operator": ">"}
        already = raw(kite, "POST", "/alerts", data=low)
        last = kite.ltp("NSE:M&B")["NSE:M&B"]["last_price"]
        moved = {"operator": ">" if last < 840 else "<", "lhs_tradingsymbol": "M&B", "rhs_constant": str(last)}
        ato = raw(kite, "POST", "/alerts", data=AN_ALERT | moved | {"type": "ato", "basket": a_basket()})["data"]
        go_on(address, 60)
        history = raw(kite, "GET", f"/alerts/{ato['uuid']}/history")
        alert = raw(kite, "GET", f"/alerts/{ato['uuid']}")["data"]
        placed = {row["order_id"]: row for row in kite.orders()}

    assert (already["error_type"], already["message"]) == ("InputException", "Rule condition is already met.")
    [met] = history["data"]
    assert met["condition"] == f'LastTradedPrice("NSE:M&B") {moved["operator"]} {last}'.replace(".0", "")
    assert (alert["status"], alert["alert_count"]) == ("disabled", 1)
    [row] = met["order_meta"]
    assert (row["status"], placed[row["order_id"]]["quantity"]) == ("success", 3)
    assert placed[row["order_id"]]["terminal_id"]
    if MOCKS.exists():
        assert differences(history | {"data": [met | {"order_meta": None}]}, [mock("alerts_history")], "history") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""}, {"type": "sms"}, {"operator": "!="}, {"lhs_exchange": "BSE"}, {"lhs_tradingsymbol": "GONE"},
        {"lhs_attribute": "Mood"}, {"rhs_type": "variable"}, {"rhs_constant": "NaN"}, {"rhs_constant": "-1"},
        {"rhs_type": "instrument", "rhs_exchange": "NSE"}, {"type": "ato"}, {"type": "ato", "basket": "[]"},
        {"type": "ato", "basket": a_basket(quantity=0)}, {"type": "ato", "basket": a_basket(order_type="MOON")},
    ],
)  # fmt: skip
def test_an_alert_of_wrong_form_is_an_input_exception(kite, changes):
    before = raw(kite, "GET", "/alerts")

    answer = raw(kite, "POST", "/alerts", data=AN_ALERT | changes)

    assert (answer["status"], answer["error_type"]) == ("error", "InputException")
    assert raw(kite, "GET", "/alerts") == before


# figures


def test_a_hedged_basket_blocks_less_than_its_orders(kite):
    basket = kite.basket_order_margins(
        [a_sold_call(), a_sold_call(tradingsymbol=HIGHER_CALL.symbol, transaction_type="BUY", price=1)]
    )

    assert basket["initial"]["total"] == sum(row["total"] for row in basket["orders"])
    assert basket["final"]["total"] < basket["initial"]["total"]
    assert basket["final"]["option_premium"] == -50


def test_the_contract_note_of_futures_and_options_comes_out_to_the_paisa(kite):
    def total(symbol: str, quantity: int, price: float) -> float:
        rows = [
            a_row(symbol, exchange="NFO", product="NRML", transaction_type=side, quantity=quantity, price=price,
                  average_price=price, order_id="1")
            for side in ("BUY", "SELL")
        ]  # fmt: skip
        return round(sum(note["charges"]["total"] for note in kite.get_virtual_contract_note(rows)), 2)

    assert total(FUTURE.symbol, 10_000, 100.0) == 612.75
    assert total(CALL.symbol, 50_000, 2.0) == 284.29


# errors


@pytest.mark.parametrize(
    ("call", "error", "error_type", "code"),
    [
        (lambda k: order(k, quantity=0), refused.InputException, "InputException", 400),
        (lambda k: order(k, product="NRML"), refused.InputException, "InputException", 400),
        (lambda k: derivative(k, FUTURE.symbol, quantity=51), refused.InputException, "InputException", 400),
        (lambda k: derivative(k, FUTURE.symbol, product="CNC"), refused.InputException, "InputException", 400),
        (lambda k: order(k, tradingsymbol=FUTURE.symbol), refused.InputException, "InputException", 400),
        (lambda k: k.get_gtt(999), refused.InputException, "InputException", 400),
        (lambda k: k.margins("stamps"), refused.InputException, "InputException", 400),
        (lambda k: k.cancel_order("regular", "999"), refused.OrderException, "OrderException", 400),
        (lambda k: order(k, quantity=60_000), refused.GeneralException, "MarginException", 400),
        (
            lambda k: order(k, tradingsymbol="M&B", transaction_type="SELL", product="CNC"),
            refused.GeneralException,
            "HoldingException",
            400,
        ),
        (lambda k: k.renew_access_token("gone", "papersecret"), refused.TokenException, "TokenException", 403),
        (lambda k: k.mf_orders(), refused.GeneralException, "GeneralException", 404),
        (lambda k: k.mf_sips(), refused.GeneralException, "GeneralException", 404),
        (lambda k: k.place_mf_sip("X", 100, 1, "monthly"), refused.GeneralException, "GeneralException", 404),
        (lambda k: k.mf_instruments(), refused.GeneralException, "GeneralException", 404),
    ],
)
def test_each_refusal_has_kites_type_and_code(kite, call, error, error_type, code):
    listener = Listener(kite)
    try:
        with pytest.raises(error) as caught:
            call(kite)
    finally:
        kite.reqsession.hooks["response"] = []

    assert caught.value.code == code
    assert set(listener.bodies[-1]) == {"status", "message", "data", "error_type"}
    assert listener.bodies[-1]["error_type"] == error_type


def test_without_a_token_every_route_is_refused_with_403(url):
    nobody = KiteConnect("paperkey", access_token="wrong", root=url)
    ids = {"intraday": "1", "two legs": "1"}

    for call in READS.values():
        with pytest.raises(refused.TokenException) as caught:
            call(nobody, ids)
        assert caught.value.code == 403


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ({"kind": "too_many_requests"}, refused.NetworkException, 429),
        ({"kind": "server_error", "status": 502}, refused.DataException, 502),
        ({"kind": "server_error", "status": 500}, refused.GeneralException, 500),
    ],
)
def test_troubles_of_the_network_have_kites_type_and_code(kite, url, fault, error, code):
    listener: list[int] = []
    kite.reqsession.hooks["response"] = [lambda answer, *_, **__: listener.append(answer.status_code)]
    httpx.post(f"{url}/paper/faults", json=fault | {"route": "GET /user/profile"}, headers=ADMIN).raise_for_status()

    try:
        with pytest.raises(error):
            kite.profile()
    finally:
        kite.reqsession.hooks["response"] = []

    assert listener == [code]
