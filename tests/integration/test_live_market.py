"""A live market mirrored: one exchange of ours plays the source, another lets orders meet its quotes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.conftest import ROOT
from tests.integration.test_exchange import (
    ADMIN,
    ENVIRONMENT,
    free_port,
    go_on,
    logged_in,
    running_exchange,
    until_healthy,
)
from tests.unit.exchange.builders import DAY, HISTORY_DAY, random_bars, write_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    history, session = ([random_bars("ALPHA", day, 1500.0, day.day)] for day in (HISTORY_DAY, DAY))
    root = tmp_path_factory.mktemp("source")
    write_workspace(root, history, session)
    return root


@contextmanager
def mirror_of(source: str, root, token: str) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "serving.exchange", "--root", str(root), "--port", str(port), "--market", "live",
               "--source", source, "--symbols", "ALPHA", "--days", str(DAY), "--rate-limits", "off"]  # fmt: skip
    given = {"TRADESAGE_KITE_LIVE_API_KEY": "paperkey", "TRADESAGE_KITE_LIVE_ACCESS_TOKEN": token}
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT | given, stderr=subprocess.PIPE)
    try:
        until_healthy(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def soon(condition, seconds: float = 15.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def bought_one(kite, play) -> dict:
    """One share, bought at the next prices."""
    order_id = kite.place_order("regular", "NSE", "ALPHA", "BUY", 1, "MIS", "MARKET", market_protection=-1)
    play()
    return soon(
        lambda: next((o for o in kite.orders() if o["order_id"] == order_id and o["status"] == "COMPLETE"), None)
    )


def test_orders_at_the_mirror_fill_at_the_source_s_quotes_also_after_a_lost_connection(workspace):
    with running_exchange(workspace) as source:
        theirs = logged_in(source)
        with mirror_of(source, workspace, theirs.access_token) as mirror:
            ours = logged_in(mirror)

            def quotes():
                return [kite.quote("NSE:ALPHA")["NSE:ALPHA"] for kite in (theirs, ours)]

            def same() -> bool:
                one, other = quotes()
                return one["last_price"] == other["last_price"] and bool(other["last_trade_time"])

            soon(lambda: httpx.get(f"{source}/paper/status", headers=ADMIN).json()["tickers"])
            go_on(source, 3)
            soon(same)
            for drop in (False, True):
                if drop:
                    httpx.post(f"{source}/paper/faults", headers=ADMIN, json={"kind": "ticker_drop"})
                    go_on(source)
                    soon(lambda: httpx.get(f"{source}/paper/status", headers=ADMIN).json()["tickers"])
                    time.sleep(0.2)
                    go_on(source)
                filled = bought_one(ours, lambda: go_on(source))
                asked = quotes()[0]["depth"]["sell"][0]["price"]
                assert filled["average_price"] == asked
            source_clock, mirror_clock = (
                httpx.get(f"{url}/paper/status", headers=ADMIN).json()["clock"] for url in (source, mirror)
            )
            assert source_clock == mirror_clock
            assert httpx.get(f"{mirror}/paper/status", headers=ADMIN).json()["pace"] == "live"


def test_a_source_that_refuses_our_token_is_told_in_one_line(workspace):
    with (
        running_exchange(workspace) as source,
        pytest.raises(AssertionError, match="cannot be mirrored"),
        mirror_of(source, workspace, "no-such-token"),
    ):
        pass
