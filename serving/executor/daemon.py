"""The daemon's course: wait for a session, warm up, take up, play its frames, close the books; then the next one."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import pandas as pd
import structlog

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BooksDiffer, BrokerSilent, FeatureMismatch, JournalAway, ServiceUnavailable
from pipelines.domain.halts import HaltEvent
from pipelines.domain.instruments import Instrument
from pipelines.domain.listings import current_symbol
from pipelines.domain.market_calendar import trading_day_before
from pipelines.ingest.kinds import known_until
from pipelines.ingest.newest_actions import KnownActions, newest_actions
from pipelines.ingest.shares import renamed
from pipelines.journal.memory import AnyJournal
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.tables import read_json, write_json
from serving.executor.access import Access
from serving.executor.adjusting import with_adjustment
from serving.executor.alarms import Alarms
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.broker import KiteBroker
from serving.executor.desk import Frame
from serving.executor.feed import Disconnected, Feed, OrderUpdate, in_order
from serving.executor.feed_watch import FeedWatch
from serving.executor.health import Metrics, OrderTimes
from serving.executor.kite_client import KITE, ticker_root
from serving.executor.limits import exits_from, limits_from, restrictions_from, triggers_from, under_our_names
from serving.executor.listing import Listing, listing_of, must_list_some
from serving.executor.live_features import LiveFeatures, fetch_history, known_outcomes, watched
from serving.executor.marketplace import MarketPlace, machine_clock, refuse_money, time_of_packets
from serving.executor.policy_client import PolicyClient, Served
from serving.executor.price_sources import MOST_QUOTES, batched, take_history, take_quote
from serving.executor.session import Session, Terms
from serving.executor.signed_policy import refuse_unsigned
from serving.executor.summary import session_summary, write_summary
from serving.executor.symbol_names import SymbolNames
from serving.executor.trading_state import halt_file
from serving.executor.vitals import Vitals
from serving.executor.workspace import read_instruments, read_news, read_outcomes

LOG = structlog.get_logger("executor")
Answer = TypeVar("Answer")
NEWS_S = 0.25  #: the books are read when nothing was heard for so long and an order may fill: shares may be bare
LOOK_EVERY_S = 0.15  #: a burst of order updates must not use up the reads of the second in which a fill is to be seen
SILENCE_S = 5.0  #: a frame that is longer in coming is asked after
ASK_S = 0.1  #: between two looks at whether a silent broker may be asked again
PATIENCE_S = 30.0  #: with a paper exchange, or with a journal at the start, that does not answer
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
        served = self.policy.describe()
        refuse_money(self.place.root, served, self.params.executor.live)
        refuse_unsigned(self.place.root, served, partial(self.journal.policy_events, self.params.promotion.model))
        self._done = None
        self._check_interval(served)
        now = self.place.now()
        listing = self._patiently(lambda: self._listing(served, now))
        self.broker.names = SymbolNames(listing.names)
        instruments = list(listing.traded)
        features, rows, history = self._patiently(lambda: self._warm_up(served, instruments, now))
        session = self._session_of(served, listing, features)
        for symbol, why in listing.left_out.items():
            session.desk.alarm(f"{symbol} is not entered: {why}")
        session.risk.warm_up(history)
        take_history(session.known_prices, history)
        self.vitals.begin(self.account, session, served)
        self._patiently(lambda: session.start(self.place.now()), session)
        if rows and self._may_decide_on_history(served, features.last_close, now):
            session.decide_on_history(rows)
        self._patiently(lambda: self._begin_bars_at(session, listing.instruments, now), session)
        executor = self.params.executor
        feed = Feed(
            ticker_root(self.place.root),
            self._api_key,
            _symbols(listing.instruments),
            executor.mute_after_seconds,
            time_of_packets(self.place),
        )
        self._began = now
        try:
            self._connect(session, feed)
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

    def _listing(self, served: Served, now: datetime) -> Listing:
        """What can be traded today, and what is held besides.

        Raises
        ------
        BrokerSilent : if the broker lists nothing at all. NotFound : if it lists nothing of ours, and nothing is held.
        """
        instruments = read_instruments(self.paths)
        exchanges = sorted({instrument.exchange for instrument in instruments})
        dumps = {name: self.broker.instruments(name) for name in exchanges}
        empty_ones = [name for name, rows in dumps.items() if not rows]
        if empty_ones:
            raise BrokerSilent(f"the broker lists no instrument of {', '.join(empty_ones)}; it is asked again")
        held = {position.symbol for position in self.journal.open_positions(self.account)}
        rows = [row for dump in dumps.values() for row in dump]
        listing = listing_of(instruments, rows, now.date(), held, served.product)
        must_list_some(listing)
        return listing

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
            renamed(read_news(self.paths), {current_symbol(i.symbol): i.symbol for i in instruments}),
            self.broker.history,
            now,
            actions,
            known_outcomes(read_outcomes(self.paths), self.journal.outcomes(self.account)),
        )
        rows = features.warm_up(history)
        bars = sum(len(frame) for frame in history.values())
        LOG.info("warm", bars=bars, last_close=str(features.last_close), seconds=round(time.monotonic() - began, 1))
        return features, rows, history

    def _session_of(self, served: Served, listing: Listing, features: LiveFeatures) -> Session:
        executor, instruments = self.params.executor, listing.instruments
        terms = Terms(
            account=self.account,
            instruments={instrument.symbol: instrument for instrument in instruments},
            out_of_reach=listing.out_of_reach,
            product=served.product,
            limits=limits_from(executor),
            flatten_at_end=self.flatten_at_end,
            stage=served.stage,
            cash_is_a_ledger=self.place.cash_is_a_ledger,
            exits=exits_from(executor.exit),
            reconcile_after=timedelta(seconds=executor.reconcile_seconds),
            lost_after=timedelta(seconds=executor.lost_after_seconds),
            late_after=timedelta(seconds=executor.late_tick_seconds),
            most_jump=executor.max_tick_jump,
            triggers=triggers_from(executor),
            correlation_window=executor.correlation_window,
            restrictions=lambda: under_our_names(restrictions_from(executor, self.paths.root), self.broker.names),
            actions=lambda at: self._actions(instruments, at),
            halt_file=halt_file(),
            asked=self.asked,
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
        self._alarms.let_go()
        session.desk.alarms = self._alarms
        session.desk.on_outcome = features.learn
        return session

    def _actions(self, instruments: Sequence[Instrument], at: datetime | None) -> KnownActions:
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

    def _play(self, session: Session, feed: Feed) -> None:
        self.vitals.enter("trading")
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


def _symbols(instruments: Sequence[Instrument]) -> Mapping[int, str]:
    return {instrument.token: instrument.symbol for instrument in watched(instruments) if instrument.token}
