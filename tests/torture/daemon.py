"""The executor under torture: a real session over the real client, ticker and journal, in a process that kills itself.

What is left out of the real daemon is what has no part in the life of an order: features and the policy service. Their
stand-ins decide by the seed, so that every daemon of a schedule would decide the same.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.domain.bars import IST, Interval
from pipelines.domain.orders import Product
from pipelines.domain.signals import Action, Decision, FeatureRow, Side
from tests.torture.schedule import Kill, Schedule, Where


@dataclass(frozen=True)
class Orders:
    """What a daemon is started with."""

    schedule: Schedule
    account: str
    exchange: str  #: address
    database: str  #: SQLAlchemy address of the journal
    admin_token: str
    api_key: str
    api_secret: str
    kill: Kill | None  #: None: this one lives to the end
    said: str  #: file to which it writes how it ended


def run(orders: Orders) -> None:
    """Trade until the market is over, or until death."""
    log = os.open(orders.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        _play(orders)
        os.write(log, b"\nended well\n")
        code = 0
    except BaseException:
        import traceback

        os.write(log, traceback.format_exc().encode())
        code = 1
    os._exit(code)  # neither the ticker's reactor nor a pool of connections may hold it back


def _play(orders: Orders) -> None:
    from pipelines.journal.journal import Journal
    from pipelines.params import load_params
    from serving.executor.bar_builder import BarBuilder, session_grid
    from serving.executor.broker import KiteBroker
    from serving.executor.daemon import limits_from
    from serving.executor.feed import Disconnected, Feed, OrderUpdate
    from serving.executor.kite_client import client
    from serving.executor.login import paper_log_in
    from serving.executor.paper import PaperMarket
    from serving.executor.session import Frame, Session, Terms
    from tests.conftest import ROOT

    schedule = orders.schedule
    dying = Dying(orders.kill)
    paper = PaperMarket(orders.exchange, orders.admin_token)
    journal: Any = Watched(Journal(orders.database), dying, WRITES, Where.BEFORE_WRITE, Where.AFTER_WRITE)
    token = paper_log_in(orders.exchange, orders.api_key, orders.api_secret, datetime.now(IST))
    kite = client(orders.api_key, orders.exchange)
    kite.set_access_token(token.access_token)
    for name in ("place_order", "modify_order", "cancel_order"):
        setattr(kite, name, dying.around(getattr(kite, name), Where.BEFORE_CALL, Where.AFTER_CALL))
    params = load_params(ROOT / "params.yaml")
    instruments = {instrument.symbol: instrument for instrument in schedule.traded}
    terms = Terms(
        account=orders.account, instruments=instruments, product=Product.MIS,
        limits=limits_from(params.executor), flatten_at_end=True,
    )  # fmt: skip
    features: Any = Closes(schedule)
    session = Session(
        terms, KiteBroker(kite), journal, BarBuilder(session_grid(Interval.MIN_5)), features,
        lambda rows, equity: whims(schedule, rows), lambda day: True,
    )  # fmt: skip
    with journal.writer_lock(orders.account):
        session.start(datetime.fromisoformat(paper.status()["clock"]))
        for key, quote in kite.quote([f"NSE:{symbol}" for symbol in instruments]).items():
            session.begin_at(key.partition(":")[2], int(quote.get("volume") or 0), session.now)
        symbols = {instrument.token: instrument.symbol for instrument in schedule.traded}
        feed = Feed(orders.exchange.replace("http", "ws", 1), orders.api_key, kite.access_token, symbols)
        feed.start()
        finished = over = False
        dying.begin()
        finished = paper.go_on()
        while not over:
            match feed.next(0.5):
                case OrderUpdate() as update:
                    session.on_order_update(update.content)
                case Frame() as frame:
                    session.on_frame(frame)
                    over = finished
                    if not finished:
                        finished = paper.go_on()
                case Disconnected():
                    session.on_connection_lost()
                case None:
                    over = paper.status()["state"] == "finished"
                    if not over:
                        finished = paper.go_on()
        differences = session.reconcile()
        if differences:
            raise AssertionError(f"books differ at the end: {differences}")


#: Methods of the journal that put something on disk
WRITES = (
    "open_account", "record_decision", "commit_intent", "advance_intent", "record_order", "record_order_event",
    "record_fill", "record_position", "record_outcome", "record_risk_event",
)  # fmt: skip


class Dying:
    """Counts writes and calls, and ends the process by SIGKILL where the schedule says."""

    def __init__(self, kill: Kill | None):
        self._kill, self._counts = kill, dict.fromkeys(Where, 0)

    def begin(self) -> None:
        """From here on the time runs of one who dies at any time."""
        if self._kill is not None and self._kill.where is Where.ANY_TIME:
            signal.signal(signal.SIGALRM, lambda *_: die())
            signal.setitimer(signal.ITIMER_REAL, self._kill.after_s)

    def at(self, where: Where) -> None:
        if self._kill is not None and self._kill.where is where:
            if self._counts[where] == self._kill.count:
                die()
            self._counts[where] += 1

    def around(self, call: Callable, before: Where, after: Where) -> Callable:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.at(before)
            try:
                return call(*args, **kwargs)
            finally:
                self.at(after)

        return watched


class Watched:
    """A journal whose writes are counted. Inside `together` nothing is on disk before the whole is."""

    def __init__(self, journal: Any, dying: Dying, names: Sequence[str], before: Where, after: Where):
        self._journal = journal
        for name in names:
            setattr(self, name, dying.around(getattr(journal, name), before, after))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Closes:
    """Rows that carry a close and nothing else: what a policy of whims looks at."""

    def __init__(self, schedule: Schedule):
        self._grid = {instrument.symbol: instrument for instrument in schedule.traded}

    def update(self, closed: Any) -> list[FeatureRow]:
        return [
            FeatureRow(
                symbol, closed.close_time, bar.close, self._grid[symbol].tick_size, 1, "none", {"close": bar.close}
            )
            for symbol, bar in sorted(closed.bars.items())
        ]


def whims(schedule: Schedule, rows: Sequence[FeatureRow]) -> Any:
    """Decisions by the seed, the instrument and the bar: about every second one takes."""
    from serving.executor.policy_client import Answer

    return Answer(tuple(_whim(schedule, row) for row in rows), "whims", 1.0)


def _whim(schedule: Schedule, row: FeatureRow) -> Decision:
    said = f"{schedule.seed} {row.symbol} {row.close_time.isoformat()}"
    dice = hashlib.sha256(said.encode()).digest()
    instrument = next(i for i in schedule.traded if i.symbol == row.symbol)
    side = Side.BUY if dice[0] % 2 else Side.SELL
    away, beyond = 0.001 + dice[1] / 255 * 0.006, 0.001 + dice[2] / 255 * 0.008
    takes = dice[3] % 5 < 3
    return Decision(
        symbol=row.symbol, close_time=row.close_time, action=Action.TAKE if takes else Action.SKIP,
        side=side if takes else None, quantity=20 + dice[4] % 150 if takes else 0,
        reference_price=instrument.to_tick(row.close),
        stop=instrument.to_tick(row.close * (1 - away * side.sign)),
        target=instrument.to_tick(row.close * (1 + beyond * side.sign)),
        hold_bars=1 + dice[5] % 4, signal=0.5 * side.sign, probability=0.6, expected_return=0.001, stop_risk=0.4,
        views=(), reasons=("whim",), policy_version="whims", catalogue_hash="none", regime="range",
    )  # fmt: skip
