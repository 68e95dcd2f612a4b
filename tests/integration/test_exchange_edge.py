"""Tokens, limits and postbacks as real clients meet them, and a market that nobody has to beat."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from kiteconnect import KiteConnect
from kiteconnect import exceptions as refused
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.conftest import SHARED_DATA
from tests.integration.test_exchange import ADMIN, buy, go_on, logged_in, main, running_exchange
from tests.unit.exchange.builders import ALPHA, DAY, HISTORY_DAY, NEXT_DAY, flat_bars, random_bars, write_workspace

MOCK = SHARED_DATA / "kite" / "mocks" / "postback.json"


@pytest.fixture(scope="module")
def one_day(tmp_path_factory):
    root = tmp_path_factory.mktemp("one_day")
    write_workspace(root, [random_bars("ALPHA", HISTORY_DAY, 1500.0, 2)], [random_bars("ALPHA", DAY, 1500.0, 4)])
    return root


def ticker_address(url: str, kite: KiteConnect) -> str:
    return f"{url.replace('http', 'ws')}/?api_key=paperkey&access_token={kite.access_token}"


def codes_of(call, times: int) -> list[int]:
    """What calls are answered with, all of them in one calendar second."""
    time.sleep(1.01 - time.time() % 1.0)
    codes = []
    for _ in range(times):
        try:
            call()
            codes.append(200)
        except refused.KiteException as error:
            codes.append(error.code)
    return codes


# tokens


def test_at_six_in_the_morning_of_the_markets_next_day_a_token_dies_and_its_ticker_is_closed(tmp_path):
    days = [flat_bars("ALPHA", day, count=2) for day in (DAY, NEXT_DAY)]
    write_workspace(tmp_path, [flat_bars("ALPHA", HISTORY_DAY)], days, **{"exchange.token_expiry": True})

    with running_exchange(tmp_path) as url:
        kite = logged_in(url)
        with connect(ticker_address(url, kite), proxy=None) as socket:
            socket.send(json.dumps({"a": "subscribe", "v": [256265]}))
            go_on(url, 11)  # to the last frame of the day: an opening, two bars of four ticks and a boundary
            lived = kite.profile()
            go_on(url)
            with pytest.raises(refused.TokenException) as caught:
                kite.profile()
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    socket.recv(timeout=5)
        again = logged_in(url).profile()

    assert lived == again
    assert caught.value.code == 403
    assert closed.value.rcvd.code == 1008


def test_in_lockstep_a_token_lives_over_the_days_unless_asked_otherwise(tmp_path):
    days = [flat_bars("ALPHA", day, count=2) for day in (DAY, NEXT_DAY)]
    write_workspace(tmp_path, [flat_bars("ALPHA", HISTORY_DAY)], days)

    with running_exchange(tmp_path) as url:
        kite = logged_in(url)
        go_on(url, 14)
        day = httpx.get(f"{url}/paper/status", headers=ADMIN).json()["day"]

        assert kite.profile()["user_id"] == "PAPER1"
        assert day == f"{NEXT_DAY}"


# limits


@pytest.fixture(scope="module")
def limited(one_day) -> Iterator[str]:
    with running_exchange(one_day, "--rate-limits", "on") as url:
        go_on(url, 8)
        yield url


@pytest.mark.parametrize(
    ("name", "allowed"), [("quote", 1), ("historical", 3), ("cancel", 10), ("orders", 10), ("positions", 10)]
)
def test_calls_beyond_kites_limits_are_answered_with_429(limited, name, allowed):
    kite = logged_in(limited)
    calls = {
        "quote": lambda: kite.ltp("NSE:ALPHA"),
        "historical": lambda: kite.historical_data(ALPHA.token, f"{HISTORY_DAY}", f"{HISTORY_DAY}", "day"),
        "cancel": lambda: kite.cancel_order("regular", "999"),
        "orders": kite.orders,
        "positions": kite.positions,
    }

    codes = codes_of(calls[name], allowed + 5)

    assert codes[:allowed] == [400 if name == "cancel" else 200] * allowed
    assert codes[allowed:] == [429] * 5


def test_who_is_not_the_account_does_not_use_up_its_limits(limited):
    kite = logged_in(limited)
    time.sleep(1.01 - time.time() % 1.0)
    for _ in range(20):
        httpx.get(f"{limited}/orders", headers={"authorization": "token someone:else"})

    assert isinstance(kite.orders(), list)


def test_a_fourth_ticker_is_refused_until_one_leaves(limited):
    kite = logged_in(limited)
    address = ticker_address(limited, kite)
    three = [connect(address, proxy=None) for _ in range(3)]

    with pytest.raises(InvalidStatus) as caught:
        connect(address, proxy=None)
    three[0].close()
    time.sleep(0.2)
    three[0] = connect(address, proxy=None)
    for socket in three:
        socket.close()

    assert caught.value.response.status_code == 429


def test_a_ticker_sees_three_thousand_instruments_and_no_more(limited):
    kite = logged_in(limited)
    with connect(ticker_address(limited, kite), proxy=None) as socket:
        socket.send(json.dumps({"a": "subscribe", "v": list(range(3001))}))
        while isinstance(message := socket.recv(timeout=5), bytes):
            pass

    assert json.loads(message)["type"] == "error"
    assert "3000" in json.loads(message)["data"]


# postbacks


@dataclass
class Receiver:
    """An app's server that keeps what is posted to it."""

    url: str = ""
    bodies: list[dict] = field(default_factory=list)
    refuse: int = 0  #: so many of the next posts are answered with 500
    tries: int = 0

    def wait_for(self, count: int, seconds: float = 10.0) -> list[dict]:
        until = time.monotonic() + seconds
        while len(self.bodies) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.bodies


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.tries += 1
            self.send_response(500 if receiver.tries <= receiver.refuse else 200)
            self.end_headers()
            if receiver.tries > receiver.refuse:
                receiver.bodies.append(json.loads(body))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/kite"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_what_becomes_of_orders_is_posted_with_a_checksum_that_only_the_secret_makes(one_day):
    with receiving() as receiver, running_exchange(one_day, "--postback-url", receiver.url) as url:
        go_on(url, 8)
        kite = logged_in(url)
        filled = buy(kite, tag="mine")
        resting = buy(kite, order_type="LIMIT", price=1400, market_protection=None)
        kite.modify_order("regular", resting, quantity=7)
        kite.cancel_order("regular", resting)
        go_on(url, 2)
        posted = receiver.wait_for(3)

    told = {(body["order_id"], body["status"]) for body in posted}
    assert {(filled, "COMPLETE"), (resting, "UPDATE"), (resting, "CANCELLED")} <= told
    for body in posted:
        text = f"{body['order_id']}{body['order_timestamp']}papersecret"
        assert body["checksum"] == hashlib.sha256(text.encode()).hexdigest()
    if MOCK.exists():
        assert set(posted[0]) >= set(json.loads(MOCK.read_text()))


def test_a_receiver_that_fails_is_tried_again_and_the_market_does_not_wait(one_day):
    with receiving() as receiver, running_exchange(one_day, "--postback-url", receiver.url) as url:
        receiver.refuse = 2
        go_on(url, 8)
        order_id = buy(logged_in(url))
        began = time.monotonic()
        go_on(url, 5)
        took = time.monotonic() - began
        posted = receiver.wait_for(1)

    assert took < 1.0
    assert [body["order_id"] for body in posted] == [order_id]
    assert receiver.tries == 3


def test_postbacks_go_nowhere_but_to_this_machine(one_day, capsys):
    assert main(["--root", str(one_day), "--postback-url", "https://example.com/kite"]) == 1
    assert "on this machine" in capsys.readouterr().err


# a market of its own


def test_at_a_numeric_pace_the_market_may_start_by_itself(one_day):
    with running_exchange(one_day, "--pace", "600", "--start", "now") as url:
        kite = logged_in(url)
        placed: list[str] = []
        until = time.monotonic() + 20
        while not placed and time.monotonic() < until:
            with suppress(refused.OrderException, refused.NetworkException):
                placed.append(buy(kite, quantity=1))
            time.sleep(0.11)
        time.sleep(1.0)

        assert kite.order_history(placed[0])[-1]["status"] == "COMPLETE"


def test_in_lockstep_nobody_else_could_start_it(one_day, capsys):
    assert main(["--root", str(one_day), "--start", "now"]) == 1
    assert "--pace" in capsys.readouterr().err
