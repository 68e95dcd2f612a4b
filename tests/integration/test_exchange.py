"""The paper exchange as the official client meets it: real processes, real HTTP, real WebSocket."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import httpx
import pytest
from kiteconnect import KiteConnect
from kiteconnect import exceptions as refused

from pipelines.domain.bars import IST
from serving.exchange.__main__ import main
from tests.conftest import ROOT, SHARED_DATA
from tests.unit.exchange.builders import (
    ALPHA,
    BETA,
    DAY,
    HISTORY_DAY,
    NEXT_DAY,
    random_bars,
    write_workspace,
)

MOCKS = SHARED_DATA / "kite" / "mocks"
KEYS = {"KITE_API_KEY": "paperkey", "KITE_API_SECRET": "papersecret", "EXCHANGE_ADMIN_TOKEN": "admintoken"}
ENVIRONMENT = os.environ | {f"TRADESAGE_{name}": value for name, value in KEYS.items()}
ADMIN = {"Authorization": "Bearer admintoken"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_exchange(root: Path, *arguments: str) -> Iterator[str]:
    """Start an exchange, give its address once it answers, end it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "serving.exchange", "--root", str(root), "--port", str(port), *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE)
    try:
        until_healthy(url, process)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=20)


def until_healthy(url: str, process: subprocess.Popen) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise AssertionError(process.stderr.read().decode())
        try:
            if httpx.get(f"{url}/healthz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError("the exchange did not start")


def logged_in(url: str) -> KiteConnect:
    kite = KiteConnect("paperkey", root=url)
    answer = httpx.get(f"{url}/connect/login", params={"api_key": "paperkey", "v": 3})
    request_token = parse_qs(urlparse(answer.headers["location"]).query)["request_token"][0]
    kite.generate_session(request_token, "papersecret")
    return kite


def go_on(url: str, steps: int = 1) -> dict:
    for _ in range(steps):
        answer = httpx.post(f"{url}/paper/continue", headers=ADMIN)
    return answer.json()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    days = {day: [random_bars("ALPHA", day, 1500.0, day.day), random_bars("M&B", day, 840.0, 7 + day.day, 0.1)]
            for day in (HISTORY_DAY, DAY, NEXT_DAY)}  # fmt: skip
    root = tmp_path_factory.mktemp("workspace")
    write_workspace(root, days[HISTORY_DAY], days[DAY] + days[NEXT_DAY])
    return root


@pytest.fixture(scope="module")
def url(workspace) -> Iterator[str]:
    with running_exchange(workspace, "--orders-per-second", "50") as address:
        go_on(address, 8)  # the opening, the first bar, a part of the second
        yield address


@pytest.fixture(scope="module")
def kite(url) -> KiteConnect:
    return logged_in(url)


def buy(kite: KiteConnect, **changes) -> str:
    terms = {
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "ALPHA",
        "transaction_type": "BUY",
        "quantity": 5,
        "product": "MIS",
        "order_type": "MARKET",
        "market_protection": -1,
    }
    return kite.place_order(**(terms | changes))


# session


def test_a_request_token_is_good_once_and_a_wrong_checksum_never(url):
    kite = KiteConnect("paperkey", root=url)
    location = httpx.get(f"{url}/connect/login", params={"api_key": "paperkey"}).headers["location"]
    token = parse_qs(urlparse(location).query)["request_token"][0]

    session = kite.generate_session(token, "papersecret")

    assert session["login_time"].date() == DAY
    with pytest.raises(refused.TokenException):
        kite.generate_session(token, "papersecret")
    with pytest.raises(refused.TokenException):
        kite.generate_session(
            parse_qs(urlparse(httpx.get(f"{url}/connect/login?api_key=paperkey").headers["location"]).query)[
                "request_token"
            ][0],
            "another secret",
        )


def test_after_log_out_every_call_is_refused_with_403(url):
    kite = logged_in(url)

    assert kite.invalidate_access_token() is True

    with pytest.raises(refused.TokenException) as caught:
        kite.profile()
    assert caught.value.code == 403


def test_the_admin_routes_want_their_token(url):
    assert httpx.get(f"{url}/paper/status").status_code == 401
    assert httpx.post(f"{url}/paper/continue", headers={"Authorization": "Bearer wrong"}).status_code == 401


# shapes, against the recorded answers


def raw(kite: KiteConnect, path: str, **query) -> object:
    headers = {"Authorization": f"token {kite.api_key}:{kite.access_token}"}
    return httpx.get(f"{kite.root}{path}", params=query, headers=headers).json()


def recorded(name: str) -> object:
    return json.loads((MOCKS / f"{name}.json").read_text())


def differences(ours: object, theirs: object, place: str = "") -> list[str]:
    """Where our answer lacks a recorded key or has another kind of value; None fits any."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        if place.endswith("data") and next(iter(theirs), "").startswith("NSE:"):
            ours, theirs = {"quote": next(iter(ours.values()))}, {"quote": next(iter(theirs.values()))}
        missing = [f"{place}.{key} is missing" for key in theirs if key not in ours]
        shared = (key for key in theirs if key in ours)
        return missing + [line for key in shared for line in differences(ours[key], theirs[key], f"{place}.{key}")]
    if isinstance(theirs, list) and isinstance(ours, list):
        return differences(ours[0], theirs[0], f"{place}[0]") if ours and theirs else []
    if ours is None or theirs is None or kind_of(ours) == kind_of(theirs):
        return []
    return [f"{place} is {ours!r}, recorded {theirs!r}"]


def kind_of(value: object) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


@pytest.mark.skipif(not MOCKS.exists(), reason="recorded Kite samples are not here")
def test_answers_have_the_keys_and_kinds_of_the_recorded_ones(kite, url):
    order_id = buy(kite)
    go_on(url)
    terms = {"from": f"{HISTORY_DAY}", "to": f"{HISTORY_DAY} 15:30:00"}
    answers = {
        "profile": raw(kite, "/user/profile"),
        "margins": raw(kite, "/user/margins"),
        "margins_equity": raw(kite, "/user/margins/equity"),
        "orders": raw(kite, "/orders"),
        "order_info": raw(kite, f"/orders/{order_id}"),
        "trades": raw(kite, "/trades"),
        "order_trades": raw(kite, f"/orders/{order_id}/trades"),
        "positions": raw(kite, "/portfolio/positions"),
        "quote": raw(kite, "/quote", i="NSE:ALPHA"),
        "ohlc": raw(kite, "/quote/ohlc", i="NSE:ALPHA"),
        "ltp": raw(kite, "/quote/ltp", i="NSE:ALPHA"),
        "historical_minute": raw(kite, f"/instruments/historical/{ALPHA.token}/5minute", **terms),
        "historical_oi": raw(kite, f"/instruments/historical/{ALPHA.token}/5minute", oi=1, **terms),
    }

    found = [line for name, answer in answers.items() for line in differences(answer, recorded(name), name)]

    assert found == []


@pytest.mark.skipif(not MOCKS.exists(), reason="recorded Kite samples are not here")
def test_the_instruments_dump_has_the_recorded_columns(kite):
    header = (MOCKS / "instruments_nse.csv").read_text().splitlines()[0]

    dump = httpx.get(f"{kite.root}/instruments/NSE").text

    assert dump.splitlines()[0] == header


def test_instruments_are_those_of_the_run_and_the_clock(kite):
    listed = {row["tradingsymbol"]: row for row in kite.instruments()}

    assert set(listed) == {"ALPHA", "M&B", "NIFTY 50"}
    assert listed["M&B"]["instrument_token"] == BETA.token
    assert listed["M&B"]["tick_size"] == 0.1
    assert listed["NIFTY 50"]["segment"] == "INDICES"
    assert kite.instruments("BSE") == []


# market data


def test_history_ends_at_the_markets_clock_and_longer_candles_are_gathered(kite, url, workspace):
    clock = datetime.fromisoformat(httpx.get(f"{url}/paper/status", headers=ADMIN).json()["clock"])

    fives = kite.historical_data(ALPHA.token, f"{HISTORY_DAY} 09:15:00", f"{NEXT_DAY} 15:30:00", "5minute")
    quarters = kite.historical_data(ALPHA.token, f"{HISTORY_DAY} 09:15:00", f"{HISTORY_DAY} 15:30:00", "15minute")
    days = kite.historical_data(ALPHA.token, f"{HISTORY_DAY}", f"{HISTORY_DAY}", "day")

    expected = random_bars("ALPHA", HISTORY_DAY, 1500.0, HISTORY_DAY.day)
    assert [(c["open"], c["high"], c["low"], c["close"], c["volume"]) for c in fives[:75]] == [
        (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in expected
    ]
    today = random_bars("ALPHA", DAY, 1500.0, DAY.day)
    closed = sum(bar.close_time <= clock for bar in today)
    growing, whole = fives[75 + closed], today[closed]
    assert len(fives) == 75 + closed + 1
    assert (growing["date"], growing["open"]) == (whole.open_time, whole.open)
    assert growing["close"] == kite.ltp("NSE:ALPHA")["NSE:ALPHA"]["last_price"]
    assert 0 < growing["volume"] < whole.volume
    assert len(quarters) == 25
    assert quarters[0]["high"] == max(bar.high for bar in expected[:3])
    assert [(c["date"].hour, c["volume"]) for c in days] == [(0, sum(bar.volume for bar in expected))]


@pytest.mark.parametrize(
    ("interval", "first", "last", "complaint"),
    [
        ("minute", "2026-10-28", "2026-10-29", "cannot be made"),
        ("7minute", "2026-10-28", "2026-10-29", "invalid interval"),
        ("5minute", "2026-01-01", "2026-10-29", "100 days"),
        ("5minute", "yesterday", "2026-10-29", "invalid from date"),
        ("5minute", "2026-10-29", "2026-10-28", "from lies after to"),
    ],
)
def test_a_history_request_that_cannot_be_answered_says_why(kite, interval, first, last, complaint):
    with pytest.raises(refused.InputException, match=complaint):
        kite.historical_data(ALPHA.token, first, last, interval)


def test_open_interest_of_a_stock_is_nothing_and_its_days_are_not_joined(kite):
    [with_interest] = kite.historical_data(ALPHA.token, f"{HISTORY_DAY}", f"{HISTORY_DAY}", "day", oi=True)

    assert with_interest["oi"] == 0
    with pytest.raises(refused.InputException, match="invalid continuous"):
        kite.historical_data(ALPHA.token, f"{HISTORY_DAY}", f"{HISTORY_DAY}", "day", continuous=True)


def test_unknown_instruments_are_left_out_of_quotes(kite):
    quotes = kite.ltp("NSE:ALPHA", "NSE:M&B", "NSE:NIFTY 50", "NSE:NOTHERE")

    assert set(quotes) == {"NSE:ALPHA", "NSE:M&B", "NSE:NIFTY 50"}


# orders


def test_an_order_is_placed_filled_and_listed(kite, url):
    order_id = buy(kite, quantity=3, tag="abc123")
    before = next(o for o in kite.orders() if o["order_id"] == order_id)["status"]
    go_on(url, 2)  # a frame without trades may come first

    order = next(o for o in kite.orders() if o["order_id"] == order_id)
    trades = kite.order_trades(order_id)

    assert before == "OPEN"
    assert (order["status"], order["tag"], order["filled_quantity"]) == ("COMPLETE", "abc123", 3)
    assert [state["status"] for state in kite.order_history(order_id)] == [
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "COMPLETE",
    ]
    assert sum(trade["quantity"] for trade in trades) == 3
    assert isinstance(trades[0]["fill_timestamp"], datetime)
    assert any(p["tradingsymbol"] == "ALPHA" and p["product"] == "MIS" for p in kite.positions()["day"])


def test_a_resting_order_is_modified_and_cancelled(kite):
    far = round(kite.ltp("NSE:ALPHA")["NSE:ALPHA"]["last_price"] * 0.9)
    order_id = buy(kite, order_type="LIMIT", price=far, market_protection=None)

    assert kite.modify_order("regular", order_id, quantity=7, price=far + 1) == order_id
    modified = next(o for o in kite.orders() if o["order_id"] == order_id)
    assert kite.cancel_order("regular", order_id) == order_id

    assert (modified["quantity"], modified["price"], modified["status"], modified["modified"]) == (
        7,
        far + 1,
        "OPEN",
        True,
    )
    assert kite.order_history(order_id)[-1]["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": 1.5}, "quantity"),
        ({"tradingsymbol": "NIFTY 50"}, "does not exist"),
        ({"tradingsymbol": "NOTHERE"}, "does not exist"),
        ({"exchange": "BSE"}, "exchange"),
        ({"variety": "bo"}, "variety"),
        ({"product": "NRML"}, "product"),
        ({"order_type": "LIMIT"}, "price"),
        ({"order_type": "LIMIT", "price": 1500.03}, "Tick size"),
        ({"order_type": "SL-M"}, "trigger_price"),
        ({"order_type": "SL", "price": 1500, "trigger_price": 1505}, "Trigger price"),
        ({"market_protection": None}, "market protection"),
        ({"market_protection": 0}, "market protection"),
        ({"tag": "x" * 21}, "tag"),
        ({"quantity": "many"}, "quantity"),
    ],
)
def test_a_malformed_order_is_an_input_exception_and_leaves_no_trace(kite, changes, complaint):
    before = len(kite.orders())

    with pytest.raises(refused.InputException, match=complaint) as caught:
        buy(kite, **changes)

    assert caught.value.code == 400
    assert len(kite.orders()) == before


def test_money_and_shares_that_are_missing_are_refused(kite):
    with pytest.raises(refused.GeneralException, match="Insufficient funds"):
        buy(kite, quantity=60_000)
    with pytest.raises(refused.GeneralException, match="Insufficient holdings"):
        buy(kite, transaction_type="SELL", product="CNC")

    rejected = [order for order in kite.orders() if order["status"] == "REJECTED"]
    assert "Insufficient funds" in rejected[-1]["status_message"]


def test_an_order_above_the_freeze_quantity_is_sliced_on_request(kite):
    order = {"exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "BUY", "quantity": 100_000}
    terms = {"product": "MIS", "order_type": "LIMIT", "price": 1400.0}

    answer = kite.place_autoslice_order("regular", **order, **terms)

    assert set(answer) == {"order_id", "children"}
    assert [set(child) for child in answer["children"]] == [{"error"}, {"error"}]
    assert set(answer["children"][0]["error"]) == {"code", "error_type", "message", "data"}
    assert answer["children"][0]["error"]["error_type"] == "MarginException"


def test_a_market_order_is_listed_as_the_limit_that_was_sent_for_it(kite):
    order_id = buy(kite, quantity=1)

    row = next(order for order in kite.orders() if order["order_id"] == order_id)
    kite.cancel_order("regular", order_id)

    assert (row["order_type"], row["tags"]) == ("LIMIT", ["mktp", "mktp:0.50"])
    assert row["price"] > 1400


def test_a_leg_of_an_iceberg_has_the_recorded_keys_and_counts(kite):
    order_id = buy(
        kite, variety="iceberg", order_type="LIMIT", price=1400.0, quantity=100, validity="TTL", validity_ttl=2,
        iceberg_legs=5, iceberg_quantity=20,
    )  # fmt: skip

    row = next(order for order in kite.orders() if order["order_id"] == order_id)
    kite.cancel_order("iceberg", order_id)

    recorded = {"validity_ttl", "variety", "parent_order_id", "meta", "tags", "market_protection", "guid"}
    assert recorded <= set(row)
    assert (row["variety"], row["validity"], row["validity_ttl"], row["quantity"]) == ("iceberg", "TTL", 2, 20)
    assert row["meta"] == {
        "iceberg": {"leg": 1, "legs": 5, "leg_quantity": 20, "total_quantity": 100, "remaining_quantity": 80}
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"variety": "amo"}, "AMO"),
        ({"variety": "auction"}, "auction"),
        ({"variety": "co", "product": "CNC", "trigger_price": 1400.0}, "MIS"),
        ({"validity": "TTL"}, "validity_ttl"),
    ],
)
def test_varieties_that_cannot_be_had_are_refused_with_the_reason(kite, changes, words):
    with pytest.raises((refused.OrderException, refused.InputException), match=words):
        buy(kite, **changes)


def test_a_price_beyond_the_circuit_comes_back_rejected(kite):
    order_id = buy(kite, order_type="LIMIT", price=2500.0)

    states = kite.order_history(order_id)

    assert states[-1]["status"] == "REJECTED"
    assert "circuit" in states[-1]["status_message"]


def test_an_unknown_order_is_an_order_exception(kite):
    with pytest.raises(refused.OrderException):
        kite.cancel_order("regular", "999")
    with pytest.raises(refused.OrderException):
        kite.order_history("999")


def test_a_route_that_does_not_exist_is_a_general_exception(kite):
    answer = httpx.get(f"{kite.root}/baskets")

    assert (answer.status_code, answer.json()["error_type"]) == (404, "GeneralException")
    assert answer.json()["message"] == "Route not found"


def test_mutual_funds_are_not_available(kite):
    with pytest.raises(refused.GeneralException, match="Mutual funds are not available") as caught:
        kite.mf_holdings()

    assert caught.value.code == 404


def test_the_contract_note_names_the_charges(kite):
    order = {"exchange": "NSE", "tradingsymbol": "ALPHA", "transaction_type": "SELL", "variety": "regular",
             "product": "MIS", "order_type": "MARKET", "quantity": 100, "average_price": 1000.0}  # fmt: skip

    (note,) = kite.get_virtual_contract_note([order])

    assert note["charges"]["brokerage"] == 20
    assert note["charges"]["transaction_tax"] == 25


# the whole market, by the official ticker


def played(workspace: Path, out: Path) -> dict:
    with running_exchange(workspace, "--orders-per-second", "1000") as address:
        kite = logged_in(address)
        tokens = f"{ALPHA.token},{BETA.token}"
        subprocess.run(
            [sys.executable, "-m", "tests.integration.kite_player", address, "paperkey", kite.access_token,
             "admintoken", tokens, str(out)],
            cwd=ROOT, check=True, timeout=120,
        )  # fmt: skip
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def one_day(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("one_day")
    history = [random_bars("ALPHA", HISTORY_DAY, 1500.0, 2), random_bars("M&B", HISTORY_DAY, 840.0, 3, 0.1)]
    write_workspace(root, history, [random_bars("ALPHA", DAY, 1500.0, 4), random_bars("M&B", DAY, 840.0, 5, 0.1)])
    return root


@pytest.fixture(scope="module")
def a_play(one_day, tmp_path_factory) -> dict:
    return played(one_day, tmp_path_factory.mktemp("play") / "once.json")


def bars_from(frames: list[list[dict]], token: int) -> list[tuple]:
    """Bars as a client builds them: closed by the clock's packet, volume from the day's running total."""
    bars, prices, reached, before = [], [], 0, 0
    for ticks in frames:
        mine = [tick for tick in ticks if tick["instrument_token"] == token]
        prices += [tick["last_price"] for tick in mine]
        reached = max([reached, *(tick["volume"] for tick in mine)])
        if not any(tick["instrument_token"] != 256265 for tick in ticks) and prices:
            bars.append((prices[0], max(prices), min(prices), prices[-1], reached - before))
            prices, before = [], reached
    return bars


@pytest.mark.parametrize(("instrument", "level", "seed", "tick"), [(ALPHA, 1500.0, 4, 0.05), (BETA, 840.0, 5, 0.1)])
def test_bars_built_from_a_days_ticks_equal_the_recorded_bars(a_play, instrument, level, seed, tick):
    recorded_bars = random_bars(instrument.symbol, DAY, level, seed, tick)

    assert bars_from(a_play["frames"], instrument.token) == [
        (bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in recorded_bars
    ]


def test_the_clock_stands_at_every_bar_boundary_before_the_next_bars_trades(a_play):
    quiet = [frame[0]["epoch"] for frame in a_play["frames"] if all(t["instrument_token"] == 256265 for t in frame)]
    stamps = [max(tick["epoch"] for tick in frame) for frame in a_play["frames"]]

    boundaries = {bar.close_time.timestamp() for bar in random_bars("ALPHA", DAY, 1500.0, 4)}

    assert boundaries <= set(quiet)
    assert stamps == sorted(stamps)
    assert datetime.fromtimestamp(stamps[0], IST).strftime("%H:%M") == "09:15"


def test_orders_of_a_whole_day_end_flat_with_cash_exact_to_the_paisa(a_play):
    cash = Decimal("1000000.00") - Decimal(a_play["status"]["charges"])
    for _, side, quantity, price in a_play["fills"]:
        cash += (1 if side == "SELL" else -1) * quantity * Decimal(str(price))

    assert a_play["status"]["state"] == "finished"
    assert Decimal(a_play["status"]["cash"]) == cash
    assert Decimal(str(a_play["margins"]["net"])) == cash
    assert Decimal(str(a_play["margins"]["available"]["cash"])) == cash
    sides = [side for _, side, _, _ in a_play["fills"]]
    assert sides.count("BUY") == sides.count("SELL") >= 7


def test_updates_tell_of_stops_that_became_exits(a_play):
    told = {(update["order_type"], update["status"]) for update in a_play["updates"]}

    assert {("SL-M", "TRIGGER PENDING"), ("LIMIT", "UPDATE"), ("LIMIT", "COMPLETE")} <= told


def test_two_plays_give_the_same_fills_and_frames(a_play, one_day, tmp_path):
    again = played(one_day, tmp_path / "again.json")

    assert again["fills"] == a_play["fills"]
    assert again["frames"] == a_play["frames"]
    assert again["status"]["cash"] == a_play["status"]["cash"]


# limits, start


def test_too_many_order_calls_in_a_second_are_refused_with_429(kite):
    with pytest.raises(refused.NetworkException, match="Too many requests") as caught:
        for _ in range(500):  # windows are calendar seconds: one may begin in between
            with suppress(refused.OrderException):
                kite.cancel_order("regular", "999")
    time.sleep(1.1)

    assert caught.value.code == 429
    assert buy(kite, order_type="LIMIT", price=round(kite.ltp("NSE:ALPHA")["NSE:ALPHA"]["last_price"] * 0.9))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        ("no session", "session_days"),
        ("no params", "params.yaml"),
        ("bad pace", "--pace"),
        ("port taken", "cannot listen"),
    ],
)
def test_a_start_that_cannot_succeed_says_one_line(tmp_path, capsys, spoil, complaint):
    history = [random_bars("ALPHA", HISTORY_DAY, 1500.0, 2)]
    write_workspace(tmp_path, history, [] if spoil == "no session" else [random_bars("ALPHA", DAY, 1500.0, 4)])
    if spoil == "no params":
        (tmp_path / "params.yaml").unlink()
    extra = ["--pace", "fast"] if spoil == "bad pace" else []

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if spoil == "port taken" else free_port()
        code = main(["--root", str(tmp_path), "--port", str(port), *extra])

    said = capsys.readouterr().err.strip()
    assert code == 1
    assert len(said.splitlines()) == 1
    assert complaint in said
