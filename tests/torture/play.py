"""Plays one schedule: the exchange in this process, daemons one after another in their own, then the judgement."""

import asyncio
import contextlib
import json
import logging
import multiprocessing
import secrets
import shutil
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE
from pipelines.domain.fills import FillModel
from pipelines.journal.journal import Journal
from pipelines.tables import write_json, write_table
from serving.exchange.conductor import Conductor
from serving.exchange.faults import FaultPlan, Faults
from serving.exchange.rate_limits import NO_LIMITS, Limits
from tests.conftest import workspace_at
from tests.torture.daemon import ENDED_WELL, Life, run
from tests.torture.database_hangs import database_of, hanging
from tests.torture.dripping import DrippingAnswers
from tests.torture.hand_trades import trade_by_hand
from tests.torture.judge import Findings, judge
from tests.torture.odd_answers import odd_policy
from tests.torture.schedule import INTERVAL, TICKS_PER_BAR, Kill, Schedule, bars_of
from tests.torture.silence import ToldOf
from tests.torture.watch import NakedWatch
from tests.torture.wild import PARAMS as WILD_PARAMS
from tests.torture.wild import arm_for_life

#: Imported once by the server from which daemons are forked. Not the official client: it would bring an event loop with
#: it that forked processes cannot share.
PRELOAD = [
    "numpy", "pandas", "sqlalchemy.dialects.postgresql.psycopg2", "httpx", "requests", "structlog", "yaml", "pydantic",
    "twisted.internet.posixbase", "twisted.internet.epollreactor", "twisted.internet.ssl", "autobahn.twisted.websocket",
    "serving.executor.daemon", "serving.executor.session", "serving.executor.access", "serving.executor.marketplace",
    "pipelines.journal.journal", "pipelines.params", "tests.conftest", "tests.torture.daemon", "tests.torture.dying",
    "tests.torture.whims",
]  # fmt: skip
#: Whims lose; the day has to go on nevertheless
PARAMS = {"executor.halt.losses_in_a_row": 1000} | WILD_PARAMS
STUCK_S = 60.0  #: a daemon that takes longer is ended
CRASHES = 4  #: of one schedule; then it is given up
OPENING_CASH = Decimal(1_000_000)
NAKED_LIMIT_S = 1.0


@dataclass
class Story:
    """What became of a schedule."""

    schedule: Schedule
    findings: Findings
    lives: list[str] = field(default_factory=list)  #: how each daemon ended
    kills: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)  #: that the last daemon went by
    crashes: int = 0
    naked_seconds: float = 0.0
    naked_seconds_dead: float = 0.0
    naked_seconds_wall: float = 0.0
    silent_seconds: float = 0.0  #: for which the broker, asked again and again, did not tell of bare shares
    silences: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)  #: sentences, none when all is well


def play(schedule: Schedule, database: str, folder: Path, limits: Limits = NO_LIMITS) -> Story:
    """Play a schedule; it is an account of its own in the journal.

    Parameters
    ----------
    database : SQLAlchemy address of a journal at the present schema
    limits : of calls, as the exchange counts them
    folder : where the daemons write their diaries
    """
    began = time.monotonic()
    account = f"torture-{schedule.seed}-{secrets.token_hex(4)}"
    root = _workspace(folder / account, schedule)
    diary = folder / f"{account}.log"
    keys = secrets.token_hex(8), secrets.token_hex(8), secrets.token_hex(8)
    watch = NakedWatch()
    database = database_of(schedule.neighbours.hangs, schedule.seed, database)
    with (
        contextlib.closing(Journal(database)) as journal,
        exchange(schedule, keys, watch, limits) as (address, conductor, skip),
        odd_policy(schedule) as (policy, odd),
        hanging(schedule.neighbours.hangs, database, account) as hangs,
    ):
        lives, kills, crashes, edges = [], Counter[str](), 0, Counter[str]()
        waiting: list[Kill | None] = [*schedule.kills, None]
        while waiting:
            kill = waiting.pop(0)
            life = Life(
                schedule, str(root), account, address, database, keys[2], keys[0], keys[1], kill, str(diary), policy
            )
            arm_for_life(conductor.venue.faults, schedule.seed, schedule.faults, len(lives))
            told = diary.stat().st_size if diary.exists() else 0
            code = _live(life)
            watch.nobody_lives()
            how = _last_line(diary, told) if code != 1 else _complaint(diary, told)
            lives.append(f"{how} at {conductor.venue.clock:%H:%M:%S}")
            if code == -9 and kill is not None:
                kills[kill.where] += 1
                skip(kill.missed)
            elif code == 0:
                edges.update(json.loads(how.removeprefix(ENDED_WELL))["edges"])
                break
            else:
                crashes += 1
                if crashes < CRASHES:
                    waiting = waiting or [None]  # as whatever looks after the daemon would
        story = Story(schedule, judge(conductor.venue, journal, account), lives, kills, edges=edges, crashes=crashes)
        story.faults.update(conductor.venue.faults.told()["counts"])
        story.faults.update(odd)
        story.faults.update(hangs)
        story.faults.update(conductor.drips)  # type: ignore[attr-defined]
    story.faults = +story.faults
    story.naked_seconds = watch.wall if schedule.pace else watch.market.total_seconds()
    story.naked_seconds_dead, story.naked_seconds_wall = watch.dead.total_seconds(), watch.wall
    story.silent_seconds, story.silences = watch.silent, watch.silences
    story.wrong = [*(life for life in lives if not life.startswith(("died", "ended"))), *story.findings.sentences]
    if story.naked_seconds > NAKED_LIMIT_S:
        story.wrong += watch.stories[:3] or [f"shares were naked for {watch.wall:.1f} s of the wall clock"]
    story.seconds = time.monotonic() - began
    if not story.wrong:
        diary.unlink(missing_ok=True)
        shutil.rmtree(root)
    return story


def _workspace(root: Path, schedule: Schedule) -> Path:
    """What the daemon reads of its market: the instruments and the interval."""
    paths, _ = workspace_at(root, PARAMS)
    rows = [
        (i.symbol, i.token, i.kind.value, str(i.tick_size), i.lot_size, i.sector, i.has_volume) for i in schedule.traded
    ]
    columns = ["symbol", "token", "kind", "tick_size", "lot_size", "sector", "has_volume"]
    write_table(pd.DataFrame(rows, columns=columns), paths.instruments)
    paths.snapshot.parent.mkdir(parents=True, exist_ok=True)
    write_json({"interval": INTERVAL.value}, paths.snapshot)
    return root


def _live(life: Life) -> int:
    """Exit code of one daemon; -9 when it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process: Any = context.Process(target=run, args=(life,), daemon=True)
    process.start()
    process.join(STUCK_S)
    if process.exitcode is None:
        with Path(life.diary).open("a") as diary:
            diary.write(f"\nstuck for {STUCK_S:.0f} s\n")
        process.kill()
        process.join()
        return 99
    return int(process.exitcode)


def _lines(diary: Path, begin: int) -> list[str]:
    """What a life wrote, from a byte of the diary on; empty lines are left out."""
    if not diary.exists():
        return []
    return [line for line in diary.read_bytes()[begin:].decode(errors="replace").split("\n") if line.strip()]


def _last_line(diary: Path, begin: int = 0) -> str:
    """How it ended by its own word; another of its threads may have written behind it."""
    lines = _lines(diary, begin)
    ends = [line for line in lines if line.startswith(("died ", ENDED_WELL))]
    return (ends or lines or ["said nothing"])[-1]


def _complaint(diary: Path, begin: int) -> str:
    """The error that a daemon ended by, and where."""
    lines = _lines(diary, begin)
    frames = [line.strip() for line in lines if line.startswith('  File "') and "/tests/" not in line]
    return f"{lines[-1] if lines else 'said nothing'} ({frames[-1] if frames else '?'})"


@contextlib.contextmanager
def exchange(
    schedule: Schedule, keys: tuple[str, str, str], watch: NakedWatch, limits: Limits = NO_LIMITS
) -> Iterator[tuple[str, Conductor, Any]]:
    """The real application on a port of its own, in a thread: its address, the conductor, and how to miss frames."""
    import uvicorn

    from serving.exchange.app import Keys, create_app
    from serving.exchange.candles import Candles
    from serving.exchange.connections import OpenConnection

    conductor = _conductor(schedule)
    trade_by_hand(conductor, schedule.by_hand, schedule.traded)
    watch.follow(conductor)
    app = create_app(conductor, Candles(lambda symbol: _table([]), INTERVAL), Keys(*keys), limits=limits)
    conductor.drips = Counter[str]()  # type: ignore[attr-defined]
    if schedule.neighbours.broker_drips:
        app.add_middleware(
            DrippingAnswers, share=schedule.neighbours.broker_drips, seed=schedule.seed, counts=conductor.drips
        )
    app.add_middleware(ToldOf, venue=conductor.venue, note=watch.note_look)
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # else asyncio leaves Nagle on: 40 ms an answer
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    logging.getLogger("tradesage.exchange").setLevel(logging.ERROR)
    loop = asyncio.new_event_loop()
    config = uvicorn.Config(
        app, http=OpenConnection, log_level="critical", access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(sockets=[listener]),), daemon=True)
    thread.start()

    def skip(frames: int) -> None:
        for _ in range(frames):
            asyncio.run_coroutine_threadsafe(conductor._step(), loop).result(10)

    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", conductor, skip
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        loop.close()


def _conductor(schedule: Schedule) -> Conductor:
    from serving.exchange.market import BarMarket, session_days
    from serving.exchange.venue import Rules, Venue

    tables = {symbol: _table(bars) for symbol, bars in bars_of(schedule).items()}
    closes = {symbol: Decimal(str(table["open"].iloc[0])) for symbol, table in tables.items()}
    by_symbol = {instrument.symbol: instrument for instrument in schedule.traded}
    market = BarMarket(session_days(tables), by_symbol, TICKS_PER_BAR, schedule.seed)
    rules = Rules(OPENING_CASH, FillModel(slippage_bps=2.0, participation=0.05))
    venue = Venue(schedule.traded, market, closes, rules)
    venue.faults = Faults(FaultPlan(schedule.seed, schedule.faults) if schedule.faults else None)
    return Conductor(venue, schedule.pace or "lockstep", patience=600.0)


def _table(bars: list[Any]) -> pd.DataFrame:
    rows = [[getattr(bar, name) for name in BAR_COLUMNS] for bar in bars]
    return pd.DataFrame(rows, columns=list(BAR_COLUMNS)).astype(
        {"open_time": TIME_DTYPE, "close_time": TIME_DTYPE, "volume": "int64"}
    )
