"""Faults on demand as the official client meets them: real sockets that break, real answers that do not come."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
from kiteconnect import KiteConnect
from kiteconnect import exceptions as refused
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.conftest import ROOT
from tests.integration.test_exchange import ADMIN, buy, go_on, logged_in, running_exchange
from tests.unit.exchange.builders import ALPHA, DAY, HISTORY_DAY, random_bars, write_workspace


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("faulty")
    write_workspace(root, [random_bars("ALPHA", HISTORY_DAY, 1500.0, 2)], [random_bars("ALPHA", DAY, 1500.0, 4)])
    return root


@pytest.fixture(scope="module")
def url(played) -> Iterator[str]:
    with running_exchange(played) as address:
        go_on(address, 8)
        yield address


@pytest.fixture
def kite(url) -> Iterator[KiteConnect]:
    yield logged_in(url)
    httpx.delete(f"{url}/paper/faults", headers=ADMIN)


def arm(url: str, kind: str, **fields) -> dict:
    answer = httpx.post(f"{url}/paper/faults", headers=ADMIN, json={"kind": kind} | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def count_of(url: str, kind: str) -> int:
    return httpx.get(f"{url}/paper/faults", headers=ADMIN).json()["counts"][kind]


def tagged(kite: KiteConnect, tag: str) -> list[dict]:
    return [order for order in kite.orders() if order["tag"] == tag]


def resting(kite: KiteConnect, **changes) -> str:
    price = round(kite.ltp("NSE:ALPHA")["NSE:ALPHA"]["last_price"] * 0.9)
    return buy(kite, **({"order_type": "LIMIT", "price": price, "market_protection": None} | changes))


def stop(kite: KiteConnect, **changes) -> str:
    trigger = round(kite.ltp("NSE:ALPHA")["NSE:ALPHA"]["last_price"] * 0.9)
    terms = {"order_type": "SL-M", "transaction_type": "SELL", "trigger_price": trigger}
    return buy(kite, **(terms | changes))


# calls


def test_an_order_whose_answer_is_lost_is_in_the_book_and_the_client_sees_a_broken_connection(kite, url):
    arm(url, "answer_lost", route="POST /orders")

    with pytest.raises(requests.exceptions.ConnectionError):
        resting(kite, tag="lost1")

    assert [order["status"] for order in tagged(kite, "lost1")] == ["OPEN"]


def test_an_order_whose_connection_is_reset_before_it_is_not_in_the_book(kite, url):
    arm(url, "reset_before", route="POST /orders")

    with pytest.raises(requests.exceptions.ConnectionError, match=r"reset|aborted"):
        resting(kite, tag="reset1")

    assert tagged(kite, "reset1") == []


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_error_is_a_page_that_the_client_cannot_read(kite, url, status):
    arm(url, "server_error", route="POST /orders", status=status)
    before = len(kite.orders())

    with pytest.raises(refused.DataException, match=str(status)):
        resting(kite)

    assert len(kite.orders()) == before


def test_a_server_error_may_come_after_the_order_was_carried_out(kite, url):
    arm(url, "server_error", route="POST /orders", status=500, executed=True)

    with pytest.raises(refused.GeneralException) as caught:
        resting(kite, tag="done500")

    assert caught.value.code == 500
    assert len(tagged(kite, "done500")) == 1


def test_a_burst_of_429_ends_after_its_count(kite, url):
    arm(url, "too_many_requests", count=3)

    codes = []
    for _ in range(4):
        try:
            kite.orders()
            codes.append(200)
        except refused.NetworkException as error:
            codes.append(error.code)

    assert codes == [429, 429, 429, 200]


def test_a_slow_answer_runs_into_the_clients_patience_though_the_order_was_taken(kite, url):
    arm(url, "slow_answer", route="POST /orders", seconds=0.6)
    kite.timeout = 0.2

    with pytest.raises(requests.exceptions.ReadTimeout):
        resting(kite, tag="slow1")

    kite.timeout = 7
    assert len(tagged(kite, "slow1")) == 1


def test_a_token_that_expires_in_mid_session_is_refused_until_the_next_log_in(kite, url):
    arm(url, "token_expired", route="GET /orders")

    with pytest.raises(refused.TokenException) as caught:
        kite.orders()

    assert caught.value.code == 403
    assert isinstance(logged_in(url).orders(), list)


def test_a_fault_waits_for_its_turn_and_for_its_route(kite, url):
    arm(url, "server_error", route="GET /trades", after=2, status=503)

    kite.orders()
    kite.trades()
    kite.trades()
    with pytest.raises(refused.DataException):
        kite.trades()

    assert isinstance(kite.trades(), list)


def test_a_fault_for_stops_lets_entries_pass(kite, url):
    arm(url, "answer_lost", route="POST /orders", order_purpose="stop")

    entry = resting(kite)
    with pytest.raises(requests.exceptions.ConnectionError):
        stop(kite, tag="stop1")

    assert entry
    assert len(tagged(kite, "stop1")) == 1


def test_a_fault_for_cancelling_a_stop_knows_it_by_the_book(kite, url):
    entry, protection = resting(kite), stop(kite)
    arm(url, "reset_before", route="DELETE /orders", order_purpose="stop")

    kite.cancel_order("regular", entry)
    with pytest.raises(requests.exceptions.ConnectionError):
        kite.cancel_order("regular", protection)

    assert kite.order_history(protection)[-1]["status"] == "TRIGGER PENDING"


# orders


def test_a_stop_that_would_be_taken_is_rejected(kite, url):
    arm(url, "stop_rejected")

    order_id = stop(kite)

    assert kite.order_history(order_id)[-1]["status"] == "REJECTED"
    assert kite.order_history(stop(kite))[-1]["status"] == "TRIGGER PENDING"


def test_a_part_fills_and_the_exchange_cancels_the_rest(kite, url):
    arm(url, "fill_then_cancel", order_purpose="entry")

    order_id = buy(kite, quantity=9)
    go_on(url, 3)

    order = kite.order_history(order_id)[-1]
    assert (order["status"], order["filled_quantity"], order["cancelled_quantity"]) == ("CANCELLED", 4, 5)
    assert sum(trade["quantity"] for trade in kite.order_trades(order_id)) == 4


# the ticker


def ticker(kite: KiteConnect, url: str):
    address = f"{url.replace('http', 'ws')}/?api_key=paperkey&access_token={kite.access_token}"
    socket = connect(address, proxy=None)
    socket.send(json.dumps({"a": "subscribe", "v": [ALPHA.token, 256265]}))
    socket.send(json.dumps({"a": "mode", "v": ["full", [ALPHA.token, 256265]]}))
    return socket


def heard(socket, seconds: float = 0.3) -> list[str | bytes]:
    """What came, without heartbeats."""
    found: list[str | bytes] = []
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        try:
            message = socket.recv(timeout=left)
        except TimeoutError:
            break
        if message != b"\x00":
            found.append(message)
    return found


def statuses(messages: list) -> list[str]:
    return [json.loads(message)["data"]["status"] for message in messages if isinstance(message, str)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("event_lost", []),
        ("event_duplicate", ["OPEN", "OPEN"]),
        ("event_reorder", ["CANCELLED", "OPEN"]),
        ("event_late", ["CANCELLED", "OPEN"]),
    ],
)
def test_order_updates_are_lost_doubled_or_come_out_of_their_order(kite, url, kind, expected):
    with ticker(kite, url) as socket:
        go_on(url)
        heard(socket, 0.1)
        arm(url, kind)
        order_id = resting(kite)
        if len(expected) == 2 and kind != "event_duplicate":
            kite.cancel_order("regular", order_id)
        go_on(url, 3)

        assert statuses(heard(socket)) == expected


def test_a_dropped_ticker_sees_its_connection_break(kite, url):
    with ticker(kite, url) as socket:
        go_on(url)
        arm(url, "ticker_drop")
        go_on(url)

        with pytest.raises(ConnectionClosed) as caught:
            heard(socket, 2.0)

    assert caught.value.rcvd is None  # no close frame came


def test_a_mute_ticker_stays_connected_and_hears_nothing_for_a_while(kite, url):
    with ticker(kite, url) as socket:
        go_on(url)
        heard(socket, 0.1)
        arm(url, "ticker_mute", seconds=0.5)
        go_on(url, 2)
        muted = heard(socket, 0.3)
        time.sleep(0.3)
        go_on(url)

        assert muted == []
        assert len(heard(socket)) == 1


def test_an_expired_token_ends_the_ticker_and_admits_no_new_one(kite, url):
    with ticker(kite, url) as socket:
        go_on(url)
        arm(url, "token_expired", route="GET /orders")
        with pytest.raises(refused.TokenException):
            kite.orders()
        go_on(url)

        with pytest.raises(ConnectionClosed) as caught:
            heard(socket, 2.0)
        with pytest.raises(Exception, match="403"):
            ticker(kite, url)

    assert caught.value.rcvd.code == 1008


# asking for faults


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"kind": "meteor"}, "kind"),
        ({}, "kind"),
        ({"kind": "answer_lost", "wher": "POST /orders"}, "wher"),
        ({"kind": "answer_lost", "route": "/orders"}, "route"),
        ({"kind": "ticker_drop", "route": "GET /orders"}, "route"),
        ({"kind": "answer_lost", "count": 0}, "count"),
        ({"kind": "answer_lost", "count": True}, "count"),
        ({"kind": "answer_lost", "count": 1001}, "count"),
        ({"kind": "slow_answer", "seconds": -1}, "seconds"),
        ({"kind": "slow_answer", "seconds": 1e9}, "seconds"),
        ({"kind": "server_error", "status": 418}, "status"),
        ({"kind": "answer_lost", "order_purpose": "fun"}, "order_purpose"),
        ([{"kind": "answer_lost"}] * 1001, "1000"),
        ("answer_lost", "object"),
    ],
)
def test_a_fault_that_cannot_be_meant_is_refused_and_none_waits(kite, url, content, complaint):
    answer = httpx.post(f"{url}/paper/faults", headers=ADMIN, json=content)

    assert answer.status_code == 400
    assert answer.json()["error_type"] == "InputException"
    assert complaint in answer.json()["message"]
    assert httpx.get(f"{url}/paper/faults", headers=ADMIN).json()["waiting"] == []


def test_faults_need_the_admin_token(url):
    assert httpx.post(f"{url}/paper/faults", json={"kind": "answer_lost"}).status_code == 401
    assert httpx.get(f"{url}/paper/faults").status_code == 401
    assert httpx.delete(f"{url}/paper/faults").status_code == 401


def test_what_was_injected_is_told_by_kind_and_in_order(kite, url):
    before = count_of(url, "server_error")
    arm(url, "server_error", status=500)
    with pytest.raises(refused.GeneralException):
        kite.trades()

    told = httpx.get(f"{url}/paper/faults", headers=ADMIN).json()

    assert told["counts"]["server_error"] == before + 1
    assert (told["last"][-1]["kind"], told["last"][-1]["route"]) == ("server_error", "GET /trades")
    assert told["injected"] == sum(told["counts"].values())


# a schedule


def outcomes_of_a_schedule(root: Path) -> list[str]:
    with running_exchange(root, "--faults", "11:0.3") as address:
        go_on(address, 8)
        kite = logged_in(address)
        return [outcome_of(kite, number) for number in range(20)]


def outcome_of(kite: KiteConnect, number: int) -> str:
    try:
        buy(kite, order_type="LIMIT", price=1400, market_protection=None, tag=f"n{number}")
    except (requests.exceptions.RequestException, refused.KiteException) as error:
        return f"{type(error).__name__} {getattr(error, 'code', '')}"
    return "placed"


def test_the_same_seed_and_the_same_calls_meet_the_same_faults(played):
    once, again = outcomes_of_a_schedule(played), outcomes_of_a_schedule(played)

    assert once == again
    assert 0 < once.count("placed") < 20
    assert len(set(once)) >= 3


@pytest.mark.parametrize("text", ["often", "7:often", "7:2", "7:-1"])
def test_a_schedule_that_cannot_be_read_is_refused_in_one_line(played, text):
    command = [sys.executable, "-m", "serving.exchange", "--root", str(played), "--faults", text]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
