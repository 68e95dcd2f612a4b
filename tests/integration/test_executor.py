"""The executor as a process of its own, against the real paper exchange and PostgreSQL; the policy takes every bar."""

import json
import os
import signal
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from pipelines.credentials import credential
from pipelines.domain.bars import BAR_COLUMNS, Interval
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.signals import Action, Decision, Side
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.tables import read_json, read_table, write_table
from serving.process import Process
from serving.processes import exchange_process, executor_process, free_port
from serving.wire import decision_to_wire, row_from_wire
from tests.conftest import run_stages, workspace_at

MARKET = {
    "ingest.interval": "15min",
    "ingest.simulated.days": 22,
    "ingest.simulated.instruments": 2,
    "regimes.refits": 1,
    "exchange.ticks_per_bar": 6,
    "executor.halt.slow_decision_ms": 10_000,  # of a busy machine
    "executor.halt.losses_in_a_row": 1000,  # a policy that takes every bar loses often; here the loop is looked at
}


class EagerPolicy:
    """Speaks the policy service's protocol and takes every row, every second instrument short."""

    stop_away, target_away, hold_bars = 0.002, 0.003, 5

    def __init__(self, paths: Paths, interval: str = "15min", product: str = "MIS"):
        self.describes = {
            "policy_version": "eager",
            "registry_version": "1",
            "alias": "paper",
            "catalogue_hash": read_json(paths.catalogue)["hash"],
            "interval": interval,
            "feature_names": [],
            "regime_model": read_json(paths.regime_model),
            "product": product,
            "hold_bars": self.hold_bars,
        }
        self.rows_seen: list = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.serve()

    def serve(self) -> None:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def decide(self, content: dict) -> dict:
        rows = [row_from_wire(row) for row in content["rows"]]
        self.rows_seen += rows
        decisions = [self._take(row, Decimal(content["equity_inr"])) for row in rows]
        return {"decisions": decisions, "policy_version": "eager", "latency_ms": 0.1}

    def _take(self, row, equity: Decimal) -> dict:
        grid = Instrument(row.symbol, 1, Kind.STOCK, row.tick_size, row.lot_size, "", True)
        short = self.describes["product"] == "MIS" and sum(map(ord, row.symbol)) % 2 == 0
        side = Side.SELL if short else Side.BUY
        decision = Decision(
            symbol=row.symbol,
            close_time=row.close_time,
            action=Action.TAKE,
            side=side,
            quantity=int(equity / 20 / Decimal(row.close)),
            reference_price=grid.to_tick(row.close),
            stop=grid.to_tick(row.close * (1 - self.stop_away * side.sign)),
            target=grid.to_tick(row.close * (1 + self.target_away * side.sign)),
            hold_bars=self.hold_bars,
            signal=0.5 * side.sign,
            probability=0.6,
            expected_return=0.001,
            stop_risk=0.4,
            views=(),
            reasons=("always",),
            policy_version="eager",
            catalogue_hash=row.catalogue_hash,
            regime="range",
        )
        return decision_to_wire(decision)


def _handler(policy: EagerPolicy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers.get("Authorization") != f"Bearer {credential('policy_token')}":
                return self._answer(401, {"error": "no token"})
            return self._answer(200, policy.describes if self.path == "/describe" else policy.decide(content))

        def _answer(self, status: int, content: dict) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *what) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def market(tmp_path_factory, own_postgres):
    """Two instruments, bars of fifteen minutes, one day held back."""
    return market_at(tmp_path_factory.mktemp("market"), MARKET)


def market_at(folder: Path, numbers: dict[str, object]) -> tuple[Paths, Params]:
    paths, params = workspace_at(folder, numbers)
    run_stages(paths, params, ("ingest",))
    for path in paths.raw_bars.glob("*.parquet"):  # a simulated market has no faults to find
        write_table(read_table(path)[list(BAR_COLUMNS)], paths.validated_bars / path.name)
    for raw, validated in (
        (paths.raw_instruments, paths.instruments), (paths.raw_news, paths.news), (paths.raw_outcomes, paths.outcomes)
    ):  # fmt: skip
        write_table(read_table(raw), validated)
    run_stages(paths, params, ("features", "regimes"))
    return paths, params


def exchange_at(market) -> Process:
    paths, params = market
    process = exchange_process(params, paths.root, port=free_port())
    process.log_folder = paths.root
    return process


def executor_at(market, exchange: Process, policy: EagerPolicy) -> Process:
    paths, params = market
    process = executor_process(
        params, paths.root, port=free_port(), exchange=exchange.url, policy=policy.url, until_finished=True
    )
    process.log_folder = paths.root
    return process


def wait_for(condition, timeout_s: float = 60.0):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


def health(executor: Process) -> dict:
    try:
        return httpx.get(f"{executor.url}/health", timeout=2, trust_env=False).json()
    except httpx.HTTPError:
        return {}


def test_a_session_ends_flat_with_books_equal_to_the_paisa(market):
    policy = EagerPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            code = executor.wait(150)

    told = read_json(market[0].reports / "session.json")
    assert code == 0, executor.tail(30)
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    assert told["outcomes"] > 5
    assert told["alarms"] == []
    assert Decimal(told["net_inr"]) == Decimal(told["cash_journal"]) - market[1].exchange.opening_cash_inr


def test_a_daemon_killed_in_mid_session_takes_up_its_trades_and_ends_flat(market):
    policy = EagerPolicy(market[0])

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as first:
            wait_for(lambda: health(first).get("open_positions"))
            os.kill(first.pid, signal.SIGKILL)
            first.wait(10)
        with executor_at(market, exchange, policy) as second:
            code = second.wait(150)

    told = read_json(market[0].reports / "session.json")
    assert code == 0, second.tail(30)
    assert told["open_positions"] == told["shares_at_broker"] == 0
    assert told["cash_exchange"] == told["cash_journal"]
    assert told["alarms"] == []
    assert told["intents"] == told["orders"], "every intent became one order, none became two"


def test_bars_built_live_give_the_rows_of_the_recorded_bars(market):
    paths, _ = market
    policy = EagerPolicy(paths)
    policy.decide = lambda content: (  # looks and does nothing
        policy.rows_seen.extend(row_from_wire(row) for row in content["rows"])
        or {"decisions": [], "policy_version": "eager", "latency_ms": 0.1}
    )

    with exchange_at(market).start() as exchange:
        exchange.wait_until_healthy()
        with executor_at(market, exchange, policy) as executor:
            assert executor.wait(150) == 0, executor.tail(30)

    expected = {symbol: recorded_rows(paths, symbol) for symbol in {row.symbol for row in policy.rows_seen}}
    assert len(policy.rows_seen) >= 40
    for row in policy.rows_seen:
        recorded = expected[row.symbol].loc[row.close_time]
        live = {name: row.values[name] for name in recorded.index}
        np.testing.assert_allclose(list(live.values()), recorded.to_numpy(), rtol=1e-9, atol=1e-12, equal_nan=True)


def recorded_rows(paths: Paths, symbol: str) -> pd.DataFrame:
    """Batch features over history and session together, by close time."""
    from pipelines.features.batch import build_features

    bars = {}
    for path in sorted(paths.validated_bars.glob("*.parquet")):
        parts = [read_table(path), read_table(paths.session_bars / path.name)]
        bars[path.stem] = pd.concat(parts, ignore_index=True)[list(BAR_COLUMNS)]
    news = pd.concat([read_table(paths.news), read_table(paths.session_news)], ignore_index=True)
    built = build_features(bars, news, read_table(paths.instruments), Interval.MIN_15)
    return dict(built.rows)[symbol].set_index("close_time").drop(columns="symbol")
