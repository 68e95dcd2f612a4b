"""The executor under torture: the real daemon with its client, ticker and journal, in a process that kills itself.

Features and policy have stand-ins: they have no part in the life of an order and would take most of the time.
"""

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.journal.connecting import PROMPT, TimeLimits
from tests.torture.schedule import PRODUCT, Kill, Schedule

SILENCE_S = 0.5  #: in lockstep a frame comes at once or, by a fault, never; nobody needs to wait longer
ENDED_WELL = "ended well "


@dataclass(frozen=True)
class Life:
    """What a daemon is started with."""

    schedule: Schedule
    root: str  #: workspace: what is traded
    account: str
    exchange: str  #: address
    database: str  #: SQLAlchemy address of the journal
    admin_token: str
    api_key: str
    api_secret: str
    kill: Kill | None  #: None: this one lives to the end
    diary: str  #: file to which it writes how it ended
    policy: str = ""  #: address of its service; "": decisions are made in the daemon
    limits: TimeLimits = PROMPT  #: of its journal's calls


def run(life: Life) -> None:
    """Trade until the market is over, or until death."""
    diary = os.open(life.diary, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(diary, 1)
    os.dup2(diary, 2)
    try:
        _play(life, lambda line: os.write(diary, f"\n{line}\n".encode()) and None)
        code = 0
    except BaseException:
        os.write(diary, traceback.format_exc().encode())
        code = 1
    os._exit(code)  # neither the ticker's reactor nor a pool of connections may hold it back


def _play(life: Life, tell: Callable[[str], None]) -> None:
    from pipelines.journal.spool import SpooledJournal
    from pipelines.pacing import ReadPacer
    from pipelines.params import load_params
    from pipelines.paths import Paths
    from serving.executor import daemon as course
    from serving.executor.access import Access, Keys, PaperLogin
    from serving.executor.broker import KiteBroker
    from serving.executor.daemon import Daemon
    from serving.executor.health import Metrics, OrderTimes
    from serving.executor.kite_client import client
    from serving.executor.marketplace import PaperPlace
    from serving.executor.pacing import OrderPacer
    from serving.executor.paper import PaperMarket
    from serving.executor.preparing import Preparation
    from serving.executor.vitals import Vitals
    from tests.torture.dripping import short_deadlines
    from tests.torture.dying import Dying, DyingJournal
    from tests.torture.odd_answers import AskedWhims
    from tests.torture.whims import Closes, Whims

    class Unwarmed(Preparation):
        def warm_up(self, *_: Any) -> Any:
            return Closes(life.schedule), [], {}

    class Tortured(Daemon):
        prepares = Unwarmed

    if life.schedule.pace is None:
        course.SILENCE_S = SILENCE_S
    if life.schedule.neighbours.broker_drips:
        short_deadlines()
    dying = Dying(life.kill, tell)
    params = load_params(Path(life.root) / "params.yaml")
    place = PaperPlace(life.exchange, PaperMarket(life.exchange, life.admin_token))
    kite = client(life.api_key, life.exchange, None if place.lockstep else ReadPacer())
    dying.watch_calls(kite)
    access = Access(kite, PaperLogin(life.exchange, Keys(life.api_key, life.api_secret)))
    metrics = Metrics()
    policy: Any = AskedWhims(life.schedule, life.policy) if life.policy else Whims(life.schedule)
    calls = OrderTimes(metrics)
    limits = params.executor
    pacer = OrderPacer(limits.max_orders_per_second, limits.max_orders_per_minute, limits.max_orders_per_day)
    broker = KiteBroker(kite, None if place.lockstep else pacer, PRODUCT, renew=access.renew, on_call=calls.note)
    vitals = Vitals(place, access, broker, policy, metrics)
    dying.begin()
    access.await_token(vitals.enter)
    daemon = Tortured(
        account=life.account,
        params=params,
        paths=Paths(Path(life.root)),
        place=place,
        access=access,
        broker=broker,
        journal=SpooledJournal(
            DyingJournal(life.database, life.limits, dying), Path(life.root) / "spool", retry_s=0.25
        ),
        policy=policy,
        flatten_at_end=True,
        metrics=metrics,
        vitals=vitals,
        calls=calls,
    )
    daemon.run()
    alarms = json.loads((daemon.paths.reports / "session.json").read_text())["alarms"]
    tell(ENDED_WELL + json.dumps({"edges": dict(dying.counts), "alarms": alarms}))
