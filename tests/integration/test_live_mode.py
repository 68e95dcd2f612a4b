"""The executor as it runs at Kite: Kite's routes alone, a market that does not wait, the session by the calendar.

A paper exchange at a numeric pace stands in for Kite; only the test uses its admin routes.
"""

import subprocess
import sys
from decimal import Decimal

import httpx

from pipelines.credentials import credential
from pipelines.tables import read_json
from serving.process import Process
from serving.processes import exchange_process, executor_process, free_port
from tests.integration.test_executor import EagerPolicy, health, market, wait_for  # noqa: F401

PACE = "500"


def exchange_at(market, pace: str = PACE) -> Process:  # noqa: F811
    paths, params = market
    process = exchange_process(params, paths.root, port=free_port())
    process.command = (*process.command, "--pace", pace)
    process.log_folder = paths.root
    return process


def executor_at(market, exchange: Process, policy: EagerPolicy, *options: str) -> Process:  # noqa: F811
    paths, params = market
    process = executor_process(
        params,
        paths.root,
        port=free_port(),
        exchange=exchange.url,
        policy=policy.url,
        options=("--broker", "kite", "--days", "1", *options),
    )
    process.log_folder = paths.root
    return process


class Admin:
    """The test's own hand on the exchange."""

    def __init__(self, exchange: Process):
        headers = {"Authorization": f"Bearer {credential('exchange_admin_token')}"}
        self._http = httpx.Client(base_url=exchange.url, headers=headers, trust_env=False)

    def open_the_market(self) -> None:
        self._http.post("/paper/continue").raise_for_status()

    def arm(self, **fault) -> None:
        self._http.post("/paper/faults", json=fault).raise_for_status()

    def injected(self) -> dict:
        return self._http.get("/paper/faults").json()["counts"]


def log_in(exchange: Process) -> subprocess.CompletedProcess:
    command = "from serving.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-c", command, "login", "--exchange", exchange.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def metric(executor: Process, name: str) -> float:
    text = httpx.get(f"{executor.url}/metrics", timeout=2, trust_env=False).text
    found = [line for line in text.splitlines() if line.startswith(f"tradesage_executor_{name} ")]
    return float(found[0].split()[-1])


def test_a_day_at_kites_routes_alone_ends_with_equal_books_through_everything_that_happens(market):  # noqa: F811
    policy = EagerPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        admin = Admin(exchange)
        with executor_at(market, exchange, policy) as executor:
            wait_for(lambda: health(executor).get("state") == "trading")
            admin.open_the_market()
            wait_for(lambda: health(executor).get("open_positions"))
            told = health(executor)
            admin.arm(kind="token_expired")
            admin.arm(kind="ticker_drop")
            admin.arm(kind="reset_before", route="GET /orders", count=6)
            wait_for(lambda: health(executor).get("broker_silent"))
            wait_for(lambda: health(executor).get("broker_silent") is False)
            wait_for(lambda: metric(executor, "reconnects_total") >= 1)
            orders = metric(executor, "bar_close_to_order_seconds_count")
            code = executor.wait(90)
            print(admin.injected())

    summary = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(40)
    assert told["token_until"]
    assert told["logged_in"]
    assert told["account"] == "PAPER1"
    assert orders > 0
    assert summary["open_positions"] == summary["shares_at_broker"] == 0
    assert summary["cash_exchange"] == summary["cash_journal"]
    assert summary["outcomes"] > 5
    assert Decimal(summary["net_inr"]) == Decimal(summary["cash_journal"]) - market[1].exchange.opening_cash_inr
