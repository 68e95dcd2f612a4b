"""The executor under torture: a real session, client, ticker and journal, in a process that kills itself."""

import json
import os
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipelines.domain.bars import IST, Interval
from pipelines.domain.orders import Product
from tests.torture.schedule import Kill, Schedule

ENDED_WELL = "ended well "


@dataclass(frozen=True)
class Life:
    """What a daemon is started with."""

    schedule: Schedule
    account: str
    exchange: str  #: address
    database: str  #: SQLAlchemy address of the journal
    admin_token: str
    api_key: str
    api_secret: str
    kill: Kill | None  #: None: this one lives to the end
    diary: str  #: file to which it writes how it ended


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


def _play(life: Life, tell) -> None:
    from pipelines.params import load_params
    from serving.executor.bar_builder import BarBuilder, session_grid
    from serving.executor.broker import KiteBroker
    from serving.executor.daemon import exits_from
    from serving.executor.feed import Disconnected, Feed, OrderUpdate, older_than
    from serving.executor.kite_client import client
    from serving.executor.limits import limits_from
    from serving.executor.login import paper_log_in
    from serving.executor.paper import PaperMarket
    from serving.executor.session import Frame, Session, Terms
    from tests.conftest import ROOT
    from tests.torture.dying import Dying, DyingJournal
    from tests.torture.whims import Closes, Whims

    schedule = life.schedule
    dying = Dying(life.kill, tell)
    paper = PaperMarket(life.exchange, life.admin_token)
    journal = DyingJournal(life.database, dying)
    token = paper_log_in(life.exchange, life.api_key, life.api_secret, datetime.now(IST))
    kite = client(life.api_key, life.exchange)
    kite.set_access_token(token.access_token)
    dying.watch_calls(kite)
    dying.begin()
    lockstep = schedule.pace is None
    params = load_params(ROOT / "params.yaml")
    instruments = {instrument.symbol: instrument for instrument in schedule.traded}
    terms = Terms(
        account=life.account,
        instruments=instruments,
        product=Product.MIS,
        limits=limits_from(params.executor),
        flatten_at_end=True,
        exits=exits_from(params.executor.exit),
        reconcile_after=timedelta(seconds=params.executor.reconcile_seconds),
        lost_after=timedelta(seconds=params.executor.lost_after_seconds),
        late_after=timedelta(seconds=params.executor.late_tick_seconds),
        most_jump=params.executor.max_tick_jump,
    )
    session = Session(
        terms,
        KiteBroker(kite),
        journal,
        BarBuilder(session_grid(Interval.MIN_5)),
        Closes(schedule),
        Whims(schedule).decide,
        lambda day: True,
    )
    with journal.writer_lock(life.account):
        session.start(datetime.fromisoformat(paper.status()["clock"]))
        for key, quote in kite.quote([f"NSE:{symbol}" for symbol in instruments]).items():
            session.begin_at(key.partition(":")[2], int(quote.get("volume") or 0), session.now)
        symbols = {instrument.token: instrument.symbol for instrument in schedule.traded}
        feed = Feed(life.exchange.replace("http", "ws", 1), life.api_key, kite.access_token, symbols)
        feed.start()
        finished, over, done = paper.go_on(), False, None
        while not over:
            match feed.next(1.0):
                case OrderUpdate() as update:
                    session.on_order_update(update.content)
                    if feed.events.empty() and not lockstep:
                        session.on_books_changed()
                case Frame() as frame:
                    if not older_than(frame, done):
                        session.on_frame(frame)
                        done = frame.at
                    over = finished
                    if lockstep and not finished:
                        finished = paper.go_on()
                    elif not lockstep:
                        over = feed.events.empty() and paper.status()["state"] == "finished"
                case Disconnected():
                    session.on_connection_lost()
                case None:
                    over = paper.status()["state"] == "finished"
                    if lockstep and not over:
                        finished = paper.go_on()
        differences = session.reconcile()
        if differences:
            raise AssertionError(f"books differ at the end: {differences}")
    tell(ENDED_WELL + json.dumps({"edges": dict(dying.counts), "alarms": session.alarms}))
