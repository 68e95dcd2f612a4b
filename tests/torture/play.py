"""Plays one schedule: the exchange in this process, daemons one after another in their own, then judgement."""

import asyncio
import contextlib
import logging
import multiprocessing
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE
from pipelines.domain.fills import FillModel
from tests.torture.daemon import Orders, run
from tests.torture.judge import Findings, NakedWatch, judge
from tests.torture.schedule import Schedule, bars_of

#: Imported once by the server from which daemons are forked. Not the official client: it would bring an event loop with
#: it that forked processes cannot share.
PRELOAD = [
    "numpy", "pandas", "sqlalchemy", "psycopg2", "httpx", "requests", "structlog", "yaml", "pydantic",
    "twisted.internet.defer", "autobahn.twisted.websocket", "serving.executor.session", "serving.executor.broker",
    "pipelines.journal.journal", "pipelines.params", "tests.torture.daemon",
]  # fmt: skip
PATIENCE_S = 60.0  #: a daemon that takes longer is stuck
OPENING_CASH = Decimal(1_000_000)


@dataclass
class Story:
    """What became of a schedule."""

    schedule: Schedule
    findings: Findings
    kills: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    orders: int = 0
    fills: int = 0
    outcomes: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)  #: sentences, empty when all is well


def play(schedule: Schedule, database: str, folder: Path) -> Story:
    """Play a schedule against a journal; each schedule is an account of its own.

    Parameters
    ----------
    database : SQLAlchemy address of a journal at the present schema
    folder : where daemons write how they ended
    """
    began = time.monotonic()
    account = f"torture-{schedule.seed}-{secrets.token_hex(3)}"
    keys = secrets.token_hex(8), secrets.token_hex(8), secrets.token_hex(8)
    watch = NakedWatch()
    with exchange(schedule, keys, watch) as (address, conductor):
        said = folder / f"{account}.log"
        killed, wrong = 0, []
        for kill in (*schedule.kills, None):
            orders = Orders(schedule, account, address, database, keys[2], keys[0], keys[1], kill, str(said))
            code = _one_daemon(orders)
            if code == -9:
                killed += 1
                continue
            if code != 0:
                wrong.append(f"a daemon ended with {code}: {_tail(said)}")
            if kill is None or conductor.venue.state == "finished":
                break
        findings = judge(conductor.venue, database, account, watch)
        faults = _injected(conductor)
    wrong += findings.sentences
    return Story(
        schedule, findings, killed, faults, len(conductor.venue.book.trades) and findings.orders, findings.fills,
        findings.outcomes, time.monotonic() - began, wrong,
    )  # fmt: skip


def _one_daemon(orders: Orders) -> int:
    """Exit code of one daemon; -9 when it was killed."""
    process = _server().Process(target=run, args=(orders,), daemon=True)
    process.start()
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        process.join()
        return 99
    return process.exitcode


def _server() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context


def _tail(said: Path) -> str:
    return said.read_text(errors="replace")[-1500:] if said.exists() else "it said nothing"


def _injected(conductor: Any) -> dict[str, int]:
    faults = getattr(conductor, "faults", None)
    return dict(faults.counts()) if faults is not None and hasattr(faults, "counts") else {}


@contextlib.contextmanager
def exchange(schedule: Schedule, keys: tuple[str, str, str], watch: NakedWatch) -> Iterator[tuple[str, Any]]:
    """The real application on a port of its own, in a thread: its address and the conductor."""
    import uvicorn

    from pipelines.domain.bars import Interval
    from serving.exchange.app import Keys, create_app
    from serving.exchange.candles import Candles
    from serving.exchange.conductor import Conductor
    from serving.exchange.market import BarMarket, session_days
    from serving.exchange.venue import Rules, Venue

    frames: dict[str, list] = {}
    for bar in bars_of(schedule):
        frames.setdefault(bar.symbol, []).append([getattr(bar, name) for name in BAR_COLUMNS])
    tables = {
        symbol: pd.DataFrame(rows, columns=list(BAR_COLUMNS)).astype(
            {"open_time": TIME_DTYPE, "close_time": TIME_DTYPE, "volume": "int64"}
        )
        for symbol, rows in frames.items()
    }
    rules = Rules(OPENING_CASH, FillModel(slippage_bps=2.0, participation=0.05))
    closes = {symbol: Decimal(str(table["open"].iloc[0])) for symbol, table in tables.items()}
    by_symbol = {instrument.symbol: instrument for instrument in schedule.traded}
    market = BarMarket(session_days(tables), by_symbol, 6, schedule.seed)
    venue = Venue(schedule.traded, market, closes, rules)
    conductor = Conductor(venue, "lockstep", 30.0 if schedule.stands_while_dead else 0.05)
    watch.follow(conductor)
    candles = Candles(lambda symbol: tables[symbol].iloc[:0], Interval.MIN_5)
    app = create_app(conductor, candles, Keys(*keys), None)
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on: 40 ms an answer
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    logging.getLogger("tradesage.exchange").setLevel(logging.ERROR)  # that nobody asks for more is the point here
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", conductor
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
