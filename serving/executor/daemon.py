"""The daemon's course: wait for a session, warm up, take up, play its frames, close the books; then the next one."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pandas as pd
import structlog

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BooksDiffer, BrokerSilent, FeatureMismatch, ServiceUnavailable
from pipelines.domain.exits import ExitSchedule
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.market_calendar import trading_days_before
from pipelines.ingest.kinds import empty, known_until
from pipelines.ingest.newest_actions import KnownActions, newest_actions
from pipelines.journal.memory import AnyJournal
from pipelines.params import ExitParams, Params
from pipelines.paths import Paths
from pipelines.tables import read_json, read_table, write_json
from serving.executor.access import Access
from serving.executor.adjusting import with_adjustment
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.broker import KiteBroker
from serving.executor.desk import Frame
from serving.executor.feed import Disconnected, Feed, OrderUpdate, in_order
from serving.executor.health import Metrics, OrderTimes
from serving.executor.kite_client import KITE, ticker_root
from serving.executor.limits import limits_from, restrictions_from, triggers_from
from serving.executor.listing import as_listed
from serving.executor.live_features import LiveFeatures, fetch_history, known_outcomes, watched
from serving.executor.marketplace import MarketPlace, refuse_money
from serving.executor.policy_client import PolicyClient, Served
from serving.executor.session import Session, Terms
from serving.executor.summary import session_summary, write_summary
from serving.executor.trading_state import halt_file
from serving.executor.vitals import Vitals

LOG = structlog.get_logger("executor")
Answer = TypeVar("Answer")
NEWS_S = 0.25  #: the books are read when nothing was heard for so long and an order may fill: shares may be bare
LOOK_EVERY_S = 0.15  #: a burst of order updates must not use up the reads of the second in which a fill is to be seen
SILENCE_S = 5.0  #: a frame that is longer in coming is asked after
ASK_S = 0.1  #: between two looks at whether a silent broker may be asked again
PATIENCE_S = 30.0  #: with a paper exchange that does not answer
AGAIN_S = 1.0  #: between two tries at what does not answer before the session


@dataclass
class Daemon:
    account: str
    params: Params
    paths: Paths
    place: MarketPlace
    access: Access
    broker: KiteBroker
    journal: AnyJournal
    policy: PolicyClient
    flatten_at_end: bool
    metrics: Metrics
    vitals: Vitals
    calls: OrderTimes
    _done: datetime | None = field(default=None, init=False)
    _alarms: list[str] = field(default_factory=list, init=False)  # of the day, also over a session that was given up

    def run(self) -> None:
        """Trade session after session until the market place has none any more; a summary ends each.

        Raises
        ------
        BooksDiffer : at the start or at the end, if journal and broker do not agree.
        """
        while self.place.await_session(self.vitals.enter):
            self.access.await_token(self.vitals.enter)
            self._alarms = []
            while not self._trade_while_the_journal_answers():
                self._await_journal()

    def _trade_while_the_journal_answers(self) -> bool:
        """Trade a session; False if the journal fell silent in it.

        What was under way then is given up and built again from the books, as after a death: what stands at the broker
        protects it meanwhile, and nothing new is sent without a journal.
        """
        try:
            with self.journal.writer_lock(self.account):
                self._trade()
        except BrokerSilent:
            raise
        except ServiceUnavailable as error:
            if self._done is None:
                raise
            told = f"the journal cannot be written, trading stops until it answers: {error}"
            self._alarms.append(told)
            LOG.error("alarm", what=told)
            return False
        return True

    def _await_journal(self) -> None:
        self.vitals.enter("waiting for the journal")
        while True:
            try:
                self.journal.accounts()
                return
            except ServiceUnavailable:
                time.sleep(AGAIN_S)

    # --- start ---

    def _trade(self) -> None:
        served = self.policy.describe()
        refuse_money(self.place.root, served, self.params.executor.live)
        self._done = None
        self._check_interval(served)
        instruments = self._patiently(lambda: self._as_listed(read_instruments(self.paths)))
        now = self.place.now()
        features, rows, history = self._patiently(lambda: self._warm_up(served, instruments, now))
        session = self._session_of(served, instruments, features)
        session.risk.warm_up(history)
        self.vitals.begin(self.account, session, served)
        self._patiently(lambda: session.start(self.place.now()), session)
        if rows and self._may_decide_on_history(served, features.last_close, now):
            session.decide_on_history(rows)
        self._patiently(lambda: self._begin_bars_at(session, instruments, now), session)
        executor = self.params.executor
        feed = Feed(ticker_root(self.place.root), self._api_key, _symbols(instruments), executor.mute_after_seconds)
        assert self.access.token is not None, "log in first"
        feed.start(self.access.token.access_token)
        try:
            self._play(session, feed)
        finally:
            feed.close()
        self._finish(session)

    @property
    def _api_key(self) -> str:
        return str(self.access.kite.api_key)

    def _check_interval(self, served: Served) -> None:
        interval = Interval(read_json(self.paths.snapshot)["interval"])
        if interval is not served.interval:
            raise FeatureMismatch(
                f"the policy decides on {served.interval} bars, the market in {self.paths.root} has {interval}; "
                "promote a policy that was trained on this interval"
            )

    def _as_listed(self, instruments: list[Instrument]) -> list[Instrument]:
        exchanges = sorted({instrument.exchange for instrument in instruments})
        return as_listed(instruments, [row for name in exchanges for row in self.broker.instruments(name)])

    def _warm_up(
        self, served: Served, instruments: list[Instrument], now: datetime
    ) -> tuple[LiveFeatures, list[Any], Mapping[str, pd.DataFrame]]:
        began = time.monotonic()
        interval = served.interval
        actions = self._actions(instruments, None).table
        known = known_until(actions, "actions", pd.Timestamp(now))
        history = with_adjustment(fetch_history(self.broker.history, instruments, interval, now), known)
        features = LiveFeatures(
            instruments,
            interval,
            served.regime_model,
            served.catalogue_hash,
            read_news(self.paths),
            self.broker.history,
            now,
            actions,
            known_outcomes(read_outcomes(self.paths), self.journal.outcomes(self.account)),
        )
        rows = features.warm_up(history)
        bars = sum(len(frame) for frame in history.values())
        LOG.info("warm", bars=bars, last_close=str(features.last_close), seconds=round(time.monotonic() - began, 1))
        return features, rows, history

    def _session_of(self, served: Served, instruments: list[Instrument], features: LiveFeatures) -> Session:
        executor = self.params.executor
        terms = Terms(
            account=self.account,
            instruments={instrument.symbol: instrument for instrument in instruments},
            product=served.product,
            limits=limits_from(executor),
            flatten_at_end=self.flatten_at_end,
            cash_is_a_ledger=self.place.cash_is_a_ledger,
            exits=exits_from(executor.exit),
            reconcile_after=timedelta(seconds=executor.reconcile_seconds),
            lost_after=timedelta(seconds=executor.lost_after_seconds),
            late_after=timedelta(seconds=executor.late_tick_seconds),
            most_jump=executor.max_tick_jump,
            triggers=triggers_from(executor),
            correlation_window=executor.correlation_window,
            restrictions=lambda: restrictions_from(executor, self.paths.root),
            actions=lambda at: self._actions(instruments, at),
            halt_file=halt_file(),
            takes_entry=self.broker.takes_entry,
            look_every_s=0.0 if self.place.lockstep else LOOK_EVERY_S,
            order_state=self.broker.order,
            untold=lambda: self.broker.untold,
            market_is_now=self.place.root == KITE,
        )
        builder = BarBuilder(session_grid(served.interval), features.carry)
        session = Session(
            terms, self.broker, self.journal, builder, features, self.policy.decide, self.place.is_last_day
        )
        session.desk.alarms = self._alarms
        session.desk.on_outcome = features.learn
        return session

    def _actions(self, instruments: list[Instrument], at: datetime | None) -> KnownActions:
        """Announced by then: to the run, and to collectors since; None: also in the days that are played."""
        return newest_actions(self.params.ingest, self.paths, [instrument.symbol for instrument in instruments], at)

    def _patiently(self, act: Callable[[], Answer], session: Session | None = None) -> Answer:
        """Do what needs the broker's answer: at Kite for as long as it takes, at a paper exchange for a while."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return act()
            except BrokerSilent as error:
                if self.place.root != KITE and time.monotonic() > deadline:
                    raise
                if session is not None:
                    session.desk.alarm(str(error))
                LOG.warning("waiting for the broker", why=str(error))
                time.sleep(AGAIN_S)

    def _may_decide_on_history(self, served: Served, last_close: datetime | None, now: datetime) -> bool:
        """A daily bar that closed in the session before is decided on at the start: its order fills at the opening."""
        if served.interval is not Interval.DAY or last_close is None:
            return False
        decided = self.journal.last_decided(self.account)
        before = trading_days_before(now.date() - timedelta(days=1), 1)
        return decided is None and bool(before) and last_close.date() == before[0].day

    def _begin_bars_at(self, session: Session, instruments: list[Instrument], now: datetime) -> None:
        """Volume that was traded before our first tick is not counted into our bars."""
        keys = {f"NSE:{instrument.symbol}": instrument.symbol for instrument in instruments if instrument.tradable}
        for key, quote in self.broker.quote(*keys).items():
            session.begin_at(keys[key], int(quote.get("volume") or 0), now)

    # --- course ---

    def _play(self, session: Session, feed: Feed) -> None:
        self.vitals.enter("trading")
        time.sleep(0.3)  # the ticker's subscription is a message of its own, on its way now
        lockstep = self.place.lockstep
        finished, over = self.place.go_on(), False
        heard = time.monotonic()
        while not over:
            event = feed.next(NEWS_S if session.may_fill and not lockstep else SILENCE_S)
            heard = time.monotonic() if isinstance(event, Frame) else heard
            match event:
                case OrderUpdate():
                    session.on_order_update(event.content)
                    if feed.waits and not lockstep:
                        session.on_books_changed()
                case Frame():
                    self._on_frame(session, feed, event)
                    over = finished
                    if lockstep and not finished:
                        self._await_books(session)
                        finished = self.place.go_on()
                    elif not lockstep:
                        over = feed.waits and self.place.is_over(self._done, quiet=False)
                case Disconnected():
                    LOG.warning("ticker disconnected", reason=event.reason)
                    session.on_connection_lost()
                    if not lockstep:
                        session.on_books_changed()
                case None if not lockstep and time.monotonic() - heard < SILENCE_S:
                    session.on_connection_lost()
                    session.on_books_changed()
                case None:
                    session.on_silence(time.monotonic() - heard)
                    over = self._on_silence(session)
                    if lockstep and not over:
                        self._await_books(session)
                        finished = self.place.go_on()
            self._keep_logged_in(feed)
            self.vitals.look(session, feed, self._done)

    def _on_frame(self, session: Session, feed: Feed, event: Frame) -> None:
        frame = in_order(event, self._done)
        if frame is None or frame is not event:
            self.metrics.late_frames.inc()
        if frame is None:
            return
        decided = len(session.latencies_ms)
        self.calls.in_hand = feed.received_at
        session.on_frame(frame)
        self.calls.in_hand = None
        self._done = frame.at
        self.metrics.frame_seconds.observe(time.perf_counter() - feed.received_at)
        for latency in session.latencies_ms[decided:]:
            self.metrics.decide_ms.observe(latency)

    def _await_books(self, session: Session) -> None:
        """A market that waits for us is not asked to go on while the broker's books cannot be read.

        Its pauses are of the wall clock: minutes of the market would go by in one of them, over shares without a stop.
        """
        deadline = time.monotonic() + PATIENCE_S
        while session.broker_silent and time.monotonic() < deadline:
            time.sleep(ASK_S)
            session.on_connection_lost()
            session.on_books_changed()

    def _on_silence(self, session: Session) -> bool:
        """No event came for a while: whether the session is over; if not, the books are looked at."""
        try:
            if self.place.is_over(self._done, quiet=True):
                return True
        except BrokerSilent as error:
            session.desk.alarm(str(error))
        LOG.warning("no frame", seconds=SILENCE_S)
        session.on_connection_lost()
        session.on_books_changed()
        return False

    def _keep_logged_in(self, feed: Feed) -> None:
        """The ticker's connection lives by the token it was made with: a new one needs a new connection."""
        if self.broker.logged_out:
            self.access.renew()
        token = self.access.token
        if token is not None and token.access_token != feed.access_token:
            LOG.warning("logged in again", until=str(token.expires_at))
            feed.connect(token.access_token)

    # --- end ---

    def _finish(self, session: Session) -> None:
        self.vitals.enter("finished")
        differences = self._patiently(session.end, session)
        summary = self._patiently(
            lambda: session_summary(session, self.broker, self.journal, self.calls.entries_ms), session
        )
        write_summary(summary, self.paths.reports)
        if self._done is not None and not self.flatten_at_end:  # each day's is kept
            write_json(summary, self.paths.reports / f"session-{self._done:%Y-%m-%d}.json")
        LOG.info("finished", **{name: summary[name] for name in ("orders", "fills", "outcomes", "net_inr")})
        if self.flatten_at_end and session.open_positions:
            differences.append(f"{session.open_positions} positions are still open after the last frame")
        if differences:
            raise BooksDiffer(f"{'; '.join(differences)}; see {self.paths.reports / 'session.json'}")


def exits_from(params: ExitParams) -> ExitSchedule:
    return ExitSchedule(
        first_offset_bps=params.first_offset_bps,
        step_bps=params.step_bps,
        limit_tries=params.limit_tries,
        wait=timedelta(seconds=params.wait_seconds),
        hurried_wait=timedelta(seconds=params.hurried_wait_seconds),
    )


def read_instruments(paths: Paths) -> list[Instrument]:
    table = read_table(paths.instruments)
    return [
        Instrument(
            symbol=row.symbol,
            token=int(row.token),
            kind=Kind(row.kind),
            tick_size=Decimal(row.tick_size),
            lot_size=int(row.lot_size),
            sector=row.sector or "",
            has_volume=bool(row.has_volume),
        )
        for row in table.itertuples(index=False)
    ]


def read_news(paths: Paths) -> pd.DataFrame:
    """What was known, and what the played days will tell; LiveFeatures hands on only what is past."""
    found = [read_table(path) for path in (paths.news, paths.session_news) if path.exists()]
    if not found:
        return empty("news")
    return pd.concat(found, ignore_index=True)


def read_outcomes(paths: Paths) -> pd.DataFrame:
    """Ended trades that the pipeline knows; a workspace without the table knows none."""
    return read_table(paths.outcomes) if paths.outcomes.exists() else empty("outcomes")


def _symbols(instruments: list[Instrument]) -> Mapping[int, str]:
    return {instrument.token: instrument.symbol for instrument in watched(instruments)}
