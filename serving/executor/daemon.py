"""The daemon's course: wait for a session, warm up, take up, play its frames, close the books; then the next one."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import structlog

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import (
    BooksDiffer,
    BrokerSilent,
    JournalAway,
    ServiceUnavailable,
    TradeSageError,
)
from pipelines.domain.ex_dates import ExDates
from pipelines.domain.halts import HaltEvent
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import trading_day_before
from pipelines.journal.memory import AnyJournal
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.tables import write_json
from serving.executor.access import Access
from serving.executor.alarms import Alarms
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.broker import KiteBroker
from serving.executor.desk import Frame
from serving.executor.feed import Disconnected, Feed, OrderUpdate, in_order
from serving.executor.feed_watch import FeedWatch
from serving.executor.health import Metrics, OrderTimes
from serving.executor.kite_client import KITE, ticker_root
from serving.executor.limits import exits_from, limits_from, restrictions_from, triggers_from, under_our_names
from serving.executor.live_features import watched
from serving.executor.marketplace import MarketPlace, machine_clock, time_of_packets
from serving.executor.policy_client import PolicyClient, Served
from serving.executor.policy_desk import Away
from serving.executor.preparing import PATIENCE_S, Basis, Preparation
from serving.executor.price_sources import MOST_QUOTES, batched, take_actions, take_history, take_quote
from serving.executor.session import Session, Terms
from serving.executor.summary import session_summary, write_summary
from serving.executor.trading_state import halt_file
from serving.executor.vitals import Vitals

LOG = structlog.get_logger("executor")
NEWS_S = 0.25  #: the books are read when nothing was heard for so long and an order may fill: shares may be bare
LOOK_EVERY_S = 0.15  #: a burst of order updates must not use up the reads of the second in which a fill is to be seen
SILENCE_S = 5.0  #: a frame that is longer in coming is asked after
ASK_S = 0.1  #: between two looks at whether a silent broker may be asked again
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
    asked: Callable[[], Iterable[HaltEvent]] = tuple  #: what a person has said at the door since the last call
    halt_file: Path | None = field(default_factory=halt_file)  #: stops it while it is there; None: it hears no file
    prepares: ClassVar[type[Preparation]] = Preparation
    _done: datetime | None = field(default=None, init=False)  # of the last frame that was played
    _began: datetime = field(default=datetime.min.replace(tzinfo=IST), init=False)  # market time of the session's start
    _played_at: float = field(default=0.0, init=False)  # monotonic seconds, of the last frame that told anything new
    _played_wall: datetime = field(default=datetime.min.replace(tzinfo=IST), init=False)  # the same by this machine
    _alarms: Alarms = field(default_factory=Alarms, init=False)  # of the day, also over a session that was given up
    _begins_until: float = field(default=0.0, init=False)  # monotonic seconds: so long a start waits for the journal

    def run(self) -> None:
        """Trade session after session until the market place has none any more; a summary ends each.

        Raises
        ------
        BooksDiffer : at the start or at the end, if journal and broker do not agree.
        """
        while self.place.await_session(self.vitals.enter):
            self.access.await_token(self.vitals.enter)
            self._alarms = Alarms()
            self._begins_until = time.monotonic() + PATIENCE_S
            while (silent := self._trade_while_neighbours_answer()) is not None:
                self._await(silent)

    def _trade_while_neighbours_answer(self) -> ServiceUnavailable | None:
        """Trade a session; what was said by the journal, or another that is needed, when it fell silent in it.

        What was under way then is given up and built again from the books, as after a death: what stands at the broker
        protects it meanwhile, and nothing new is sent without a journal.
        """
        try:
            with self.journal.writer_lock(self.account):
                self._trade()
        except BrokerSilent:
            raise
        except ServiceUnavailable as error:  # it names who does not answer
            if self._done is None and not self._waits_at_start(error):
                raise
            what = "the journal cannot be written, " if isinstance(error, JournalAway) else ""
            self._alarms.tell(f"{what}trading stops until it answers: {error}")
            return error
        return None

    def _waits_at_start(self, error: ServiceUnavailable) -> bool:
        """A journal that hangs may answer in a moment, and shares may be open; one that stays away ends the start."""
        return isinstance(error, JournalAway) and time.monotonic() < self._begins_until

    def _await(self, silent: ServiceUnavailable) -> None:
        """Until the journal answers; of any other neighbour the next try will tell."""
        if not isinstance(silent, JournalAway):
            self.vitals.enter(f"waiting: {silent}")
            return time.sleep(AGAIN_S)
        self.vitals.enter("waiting for the journal")
        while True:
            try:
                self.journal.accounts()
                return
            except ServiceUnavailable as error:
                if self._done is None and not self._waits_at_start(error):
                    return  # the next try tells why
                time.sleep(AGAIN_S)

    # --- start ---

    def _trade(self) -> None:
        """Trade the session; it is taken up anew when a policy is back, or another one answers."""
        self._protect()
        while self._trade_on():
            self._begins_until = time.monotonic() + PATIENCE_S
            LOG.warning("the session is taken up anew", policy=self._preparation.policies.served)

    def _protect(self) -> None:
        """Stops for what is open, before features are prepared; the session that follows takes it up from the books."""
        basis = self._preparation.to_protect(self.place.now())
        if basis is None:
            return
        session = self._session_of(basis)
        self.vitals.begin(self.account, session, None)
        self._preparation.patiently(lambda: session.start(self.place.now()), session)

    def _trade_on(self) -> bool:
        """Whether the session is to be taken up anew, by another policy."""
        self._done = None
        now = self.place.now()
        basis = self._preparation.basis(now)
        if basis is None:
            return False
        listing, features = basis.listing, basis.features
        session = self._session_of(basis)
        for symbol, why in listing.left_out.items():
            session.desk.alarm(f"{symbol} is not entered: {why}")
        session.risk.warm_up(basis.history)
        take_history(session.known_prices, basis.history)
        take_actions(
            session.known_prices, self._announced(session, listing.traded, now), session.terms.instruments, now
        )
        self.vitals.begin(self.account, session, basis.served)
        self._preparation.patiently(lambda: session.start(self.place.now()), session)
        if basis.rows and basis.served and self._may_decide_on_history(session, basis.served, features.last_close, now):
            session.decide_on_history(basis.rows)
        self._preparation.patiently(lambda: self._begin_bars_at(session, listing.instruments, now), session)
        executor = self.params.executor
        feed = Feed(
            ticker_root(self.place.root),
            self._api_key,
            _symbols(listing.instruments),
            executor.mute_after_seconds,
            time_of_packets(self.place),
        )
        self._began = now
        away = self._preparation.away_without(basis)
        try:
            self._connect(session, feed)
            anew = self._play(session, feed, away)
        finally:
            feed.close()
            if away is not None:
                away.close()
        if not anew:
            self._finish(session)
        return anew

    @cached_property
    def _preparation(self) -> Preparation:
        return self.prepares(
            self.account,
            self.params,
            self.paths,
            self.place,
            self.broker,
            self.journal,
            self.policy,
            self.vitals.enter,
        )

    @property
    def _api_key(self) -> str:
        return str(self.access.kite.api_key)

    def _session_of(self, basis: Basis) -> Session:
        executor, listing, features = self.params.executor, basis.listing, basis.features
        instruments = listing.instruments
        self.broker.product = basis.product
        terms = Terms(
            account=self.account,
            instruments={instrument.symbol: instrument for instrument in instruments},
            out_of_reach=listing.out_of_reach,
            product=basis.product,
            limits=limits_from(executor),
            flatten_at_end=self.flatten_at_end,
            stage=basis.served.stage if basis.served else "",
            cash_is_a_ledger=self.place.cash_is_a_ledger,
            exits=exits_from(executor.exit),
            reconcile_after=timedelta(seconds=executor.reconcile_seconds),
            lost_after=timedelta(seconds=executor.lost_after_seconds),
            late_after=timedelta(seconds=executor.late_tick_seconds),
            most_jump=executor.max_tick_jump,
            triggers=triggers_from(executor),
            correlation_window=executor.correlation_window,
            restrictions=lambda: under_our_names(restrictions_from(executor, self.paths.root), self.broker.names),
            actions=lambda at: self._preparation.actions(instruments, at),
            halt_file=self.halt_file,
            asked=self.asked,
            takes_entry=self.broker.takes_entry,
            look_every_s=0.0 if self.place.lockstep else LOOK_EVERY_S,
            order_state=self.broker.order,
            untold=lambda: self.broker.untold,
            market_is_now=self.place.root == KITE,
        )
        builder = BarBuilder(session_grid(basis.interval), features.carry)
        session = Session(
            terms,
            self.broker,
            self.journal,
            builder,
            features,
            self._preparation.policies.decide,
            self.place.is_last_day,
        )
        self._alarms.let_go()
        session.desk.alarms = self._alarms
        session.desk.on_outcome = features.learn
        session.desk.no_policy = basis.lacking
        return session

    def _announced(self, session: Session, instruments: Sequence[Instrument], now: datetime) -> ExDates:
        """Corporate actions as they are known; none where they cannot be read, so that prices are doubted longer."""
        try:
            return ExDates(self._preparation.actions(instruments, now).table)
        except TradeSageError as error:
            session.desk.alarm(f"corporate actions cannot be read: {error}")
            return ExDates()

    def _may_decide_on_history(
        self, session: Session, served: Served, last_close: datetime | None, now: datetime
    ) -> bool:
        """A daily bar that closed in the session before is decided on at the start: its order fills at the opening."""
        if served.interval is not Interval.DAY or last_close is None:
            return False
        try:
            decided = self.journal.last_decided(self.account)
        except JournalAway as error:
            if not session.trades:
                raise  # the start is tried again
            session.desk.alarm(f"what is open goes first; nothing is decided on the last close: {error}")
            return False
        return decided is None and last_close.date() == trading_day_before(now.date())

    def _connect(self, session: Session, feed: Feed) -> None:
        """Where the market does not wait, a ticker that does not answer is tried on while what is held is managed."""
        assert self.access.token is not None, "log in first"
        try:
            feed.start(self.access.token.access_token)
        except ServiceUnavailable as error:
            if self.place.lockstep:
                raise
            session.desk.alarm(str(error))

    def _begin_bars_at(self, session: Session, instruments: Sequence[Instrument], now: datetime) -> None:
        """Volume that was traded before our first tick is not counted into our bars; what is quoted doubts it."""
        traded = [instrument.symbol for instrument in instruments if instrument.tradable and instrument.token]
        for symbols in batched(traded, MOST_QUOTES):
            for symbol, quote in self.broker.quotes_of(symbols).items():
                session.begin_at(symbol, int(quote.get("volume") or 0), now)
                take_quote(session.known_prices, symbol, quote)

    # --- course ---

    def _play(self, session: Session, feed: Feed, away: Away | None = None) -> bool:
        """Play the session to its end; whether it is to be taken up anew before it."""
        self.vitals.enter("managing what is open, without a policy" if away else "trading")
        time.sleep(0.3)  # the ticker's subscription is a message of its own, on its way now
        lockstep = self.place.lockstep
        watch = FeedWatch(feed, self.params.executor.ticks_stop_after_seconds)
        finished, over = self.place.go_on(), False
        self._played_at = asked_at = time.monotonic()
        while not over:
            event = feed.next(NEWS_S if session.may_fill and not lockstep else SILENCE_S)
            match event:
                case OrderUpdate():
                    session.on_order_update(event.content)
                    if feed.waits and not lockstep:
                        session.on_books_changed()
                case Frame():
                    self._on_frame(session, feed, event)
                    over = finished
                    if not over and self._decides_otherwise(session, away):
                        return True
                    if lockstep and not finished:
                        self._await_books(session)
                        finished, asked_at = self.place.go_on(), time.monotonic()
                    elif not lockstep:
                        over = feed.waits and self.place.is_over(self._done, quiet=False)
                case Disconnected():
                    LOG.warning("ticker disconnected", reason=event.reason)
                    session.on_connection_lost()
                    if not lockstep:
                        session.on_books_changed()
                case None if not lockstep:
                    session.on_connection_lost()
                    session.on_books_changed()
            silent_s = time.monotonic() - max(self._played_at, asked_at)
            if not over and feed.waits and silent_s >= SILENCE_S:
                over = self._on_silence(session)
                if lockstep and not over:
                    self._await_books(session)
                    finished = self.place.go_on()
                asked_at = time.monotonic()
            trouble = watch.look(session.desk.market_open, idle=feed.waits)
            if trouble is not None:
                session.desk.alarm(trouble)
            self._keep_logged_in(feed)
            self.vitals.look(session, feed, self._done)
        return False

    def _decides_otherwise(self, session: Session, away: Away | None) -> bool:
        """Whether another policy answers, or one is back; without a journal, which a start needs, this one goes on."""
        if self.journal.away is not None:
            return False
        return self._preparation.policies.changed or (away is not None and away.is_over(session))

    def _on_frame(self, session: Session, feed: Feed, event: Frame) -> None:
        frame = in_order(event, self._done) if event.at.date() >= self._began.date() else None
        if frame is None or frame is not event:
            self.metrics.late_frames.inc()
        if frame is None:
            return
        decided = len(session.latencies_ms)
        self.calls.in_hand = feed.received_at
        session.on_frame(frame)
        self.calls.in_hand = None
        if frame.ticks or self._done is None or frame.at > self._done:  # else it tells what was known
            self._played_at, self._played_wall = time.monotonic(), machine_clock()
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
        """No frame was played for a while: whether the session is over; if not, time goes on by another clock.

        What it makes due is done, the books are looked at, and after a longer silence trading is halted.
        """
        LOG.warning("no frame", seconds=SILENCE_S)
        session.on_silence(time.monotonic() - self._played_at)
        session.on_connection_lost()
        try:
            over = self.place.is_over(self._done, quiet=True)
            now = self._time_without_frames()
        except (BrokerSilent, ServiceUnavailable) as error:
            session.desk.alarm(str(error))
            session.on_books_changed()
            return False
        if not over:
            session.on_clock(now)
            session.on_books_changed()
        return over

    def _time_without_frames(self) -> datetime:
        """Market time: at Kite the last frame's and what has passed since, else as the exchange tells it.

        So a wrong clock of this machine moves it by nothing; only without any frame today it is believed.
        """
        if self.place.root != KITE or self._done is None or self._done.date() != machine_clock().date():
            return self.place.now()
        passed = max((machine_clock() - self._played_wall).total_seconds(), time.monotonic() - self._played_at)
        return self._done + timedelta(seconds=passed)

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
        differences = self._preparation.patiently(session.end, session)
        summary = self._preparation.patiently(
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


def _symbols(instruments: Sequence[Instrument]) -> Mapping[int, str]:
    return {instrument.token: instrument.symbol for instrument in watched(instruments) if instrument.token}
