"""The executor as it runs at Kite: Kite's routes alone, a market that does not wait, the session by the calendar.

A paper exchange at a numeric pace stands in for Kite; only the test uses its admin routes.
"""

import subprocess
import sys
from decimal import Decimal

import httpx
import pytest

from pipelines.credentials import credential
from pipelines.tables import read_json
from serving.executor.access import TokenFile, token_file
from serving.executor.kite_client import KITE
from serving.process import Process
from serving.processes import exchange_process, executor_process, free_port
from tests.integration.test_executor import MARKET, EagerPolicy, health, market_at, wait_for

PACE = "500"  #: a day in 45 s; faster than this the calls that are held back put the executor behind its market


@pytest.fixture(scope="module")
def market(tmp_path_factory, own_postgres):
    """Two instruments, bars of fifteen minutes, one day held back; a ticker counts as mute after two seconds."""
    return market_at(tmp_path_factory.mktemp("market"), MARKET | {"executor.mute_after_seconds": 2})


def exchange_at(market, pace: str = PACE) -> Process:
    paths, params = market
    process = exchange_process(params, paths.root, port=free_port())
    process.command = (*process.command, "--pace", pace)
    process.log_folder = paths.root
    return process


def executor_at(market, exchange: Process, policy: EagerPolicy, *options: str) -> Process:
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


def log_in(exchange: Process) -> str:
    command = "from serving.commands import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "login", "--exchange", exchange.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout + done.stderr


def metric(executor: Process, name: str) -> float:
    text = httpx.get(f"{executor.url}/metrics", timeout=2, trust_env=False).text
    found = [line for line in text.splitlines() if line.startswith(f"tradesage_executor_{name} ")]
    return float(found[0].split()[-1])


def test_a_day_at_kites_routes_alone_goes_through_everything_that_happens_to_equal_books(market):
    policy = EagerPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        admin = Admin(exchange)
        with executor_at(market, exchange, policy, "--await-login") as executor:
            wait_for(lambda: "waiting for tradesage login" in health(executor).get("state", ""))
            said = log_in(exchange)
            wait_for(lambda: health(executor).get("state") == "trading")
            admin.open_the_market()
            wait_for(lambda: health(executor).get("open_positions"))

            admin.arm(kind="token_expired")
            wait_for(lambda: health(executor)["logged_in"] is False)
            said += log_in(exchange)
            wait_for(lambda: health(executor)["logged_in"])
            token = TokenFile(token_file(exchange.url)).token()

            admin.arm(kind="reset_before", route="GET /orders", count=6)
            wait_for(lambda: health(executor)["broker_silent"])
            wait_for(lambda: not health(executor)["broker_silent"])

            for kind in ("ticker_drop", "ticker_mute"):
                before = metric(executor, "reconnects_total")
                admin.arm(kind=kind, seconds=4)
                wait_for(lambda: metric(executor, "reconnects_total") > before)  # noqa: B023

            told, sent = health(executor), metric(executor, "bar_close_to_order_seconds_count")
            code = executor.wait(90)

    summary = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(40)
    assert summary["open_positions"] == summary["shares_at_broker"] == 0
    assert summary["cash_exchange"] == summary["cash_journal"]
    assert summary["outcomes"] > 5
    assert Decimal(summary["net_inr"]) == Decimal(summary["cash_journal"]) - market[1].exchange.opening_cash_inr
    assert sent > 0
    assert (told["account"], told["stage"], told["logged_in"], told["policy_ok"]) == ("PAPER1", "paper", True, True)
    assert told["journal_ok"]
    assert told["token_until"] == token.expires_at.isoformat()
    logs = said + "".join(path.read_text() for path in market[0].root.glob("*.log"))
    for secret in (credential("kite_api_secret"), credential("policy_token"), token.access_token):
        assert secret not in logs


def test_money_is_refused_in_one_line_before_anything_is_sent(market):
    paths, params = market
    policy = EagerPolicy(paths)
    process = executor_process(
        params, paths.root, port=free_port(), policy=policy.url, options=("--broker", "kite"), exchange=KITE
    )
    command = [part for part in process.command if part not in ("--exchange", KITE)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=process.environment())

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("executor: NotAllowed: executor.live is false in params.yaml")
