"""The daemon's course: warm up, take up, play frames, and at the end leave with the books closed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import structlog

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BooksDiffer, FeatureMismatch
from pipelines.domain.exits import ExitSchedule
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.market_calendar import trading_days_before
from pipelines.domain.risk import RiskLimits
from pipelines.journal.memory import AnyJournal
from pipelines.params import ExecutorParams, ExitParams, Params
from pipelines.paths import Paths
from pipelines.tables import read_json, read_table
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.broker import KiteBroker
from serving.executor.feed import Disconnected, Feed, OrderUpdate, older_than
from serving.executor.health import Metrics
from serving.executor.live_features import LiveFeatures, fetch_history
from serving.executor.paper import PaperMarket
from serving.executor.policy_client import PolicyClient, Served
from serving.executor.session import Frame, Session, Terms
from serving.executor.summary import session_summary, write_summary

LOG = structlog.get_logger("executor")
SILENCE_S = 5.0  #: a frame that is longer in coming is asked after


@dataclass
class Daemon:
    account: str
    params: Params
    paths: Paths
    kite: Any
    broker: KiteBroker
    journal: AnyJournal
    policy: PolicyClient
    served: Served
    paper: PaperMarket
    exchange: str
    until_finished: bool
    metrics: Metrics
    _session: Session | None = field(default=None, init=False)
    _state: str = field(default="starting", init=False)
    _done: datetime | None = field(default=None, init=False)

    def run(self) -> None:
        """Trade until the market is over; a summary is written at the end.

        Raises
        ------
        BooksDiffer : at the start or at the end, if journal and broker do not agree.
        """
        instruments = read_instruments(self.paths)
        self._check_interval()
        status = self.paper.status()
        now = datetime.fromisoformat(status["clock"])
        features, rows = self._warm_up(instruments, now)
        session = self._session_of(instruments, features)
        self._session = session
        session.start(now)
        if rows and self._may_decide_on_history(features.last_close, now):
            session.decide_on_history(rows)
        self._begin_bars_at(session, instruments, now)
        feed = Feed(_websocket(self.exchange), self.kite.api_key, self.kite.access_token, _symbols(instruments))
        feed.start()
        try:
            self._play(session, feed, lockstep=status["pace"] == "lockstep")
        finally:
            feed.close()
        self._finish(session)

    def health(self) -> dict[str, Any]:
        """What GET /health answers."""
        session = self._session
        told: dict[str, Any] = {"state": self._state, "account": self.account, "policy": self.served.policy_version}
        if session is None or self._done is None:
            return told
        return told | {
            "market_time": self._done.isoformat(),
            "open_positions": session.open_positions,
            "alarms": list(session.alarms),
        }

    # --- start ---

    def _check_interval(self) -> None:
        interval = Interval(read_json(self.paths.snapshot)["interval"])
        if interval is not self.served.interval:
            raise FeatureMismatch(
                f"the policy decides on {self.served.interval} bars, the market in {self.paths.root} has {interval}; "
                "promote a policy that was trained on this interval"
            )

    def _warm_up(self, instruments: list[Instrument], now: datetime) -> tuple[LiveFeatures, list[Any]]:
        began = time.monotonic()
        interval = self.served.interval
        history = fetch_history(self.kite.historical_data, instruments, interval, now)
        features = LiveFeatures(
            instruments,
            interval,
            self.served.regime_model,
            self.served.catalogue_hash,
            read_news(self.paths),
            self.kite.historical_data,
            now,
        )
        rows = features.warm_up(history)
        bars = sum(len(frame) for frame in history.values())
        LOG.info("warm", bars=bars, last_close=str(features.last_close), seconds=round(time.monotonic() - began, 1))
        return features, rows

    def _session_of(self, instruments: list[Instrument], features: LiveFeatures) -> Session:
        executor = self.params.executor
        terms = Terms(
            account=self.account,
            instruments={instrument.symbol: instrument for instrument in instruments},
            product=self.served.product,
            limits=limits_from(executor),
            flatten_at_end=self.until_finished,
            exits=exits_from(executor.exit),
            reconcile_after=timedelta(seconds=executor.reconcile_seconds),
            lost_after=timedelta(seconds=executor.lost_after_seconds),
            late_after=timedelta(seconds=executor.late_tick_seconds),
            most_jump=executor.max_tick_jump,
        )
        builder = BarBuilder(session_grid(self.served.interval))
        return Session(terms, self.broker, self.journal, builder, features, self.policy.decide, self._last_day)

    def _last_day(self, day: date) -> bool:
        return bool(self.paper.status()["last_day"])

    def _may_decide_on_history(self, last_close: datetime | None, now: datetime) -> bool:
        """A daily bar that closed in the session before is decided on at the start: its order fills at the opening."""
        if self.served.interval is not Interval.DAY or last_close is None:
            return False
        decided = self.journal.last_decided(self.account)
        before = trading_days_before(now.date() - timedelta(days=1), 1)
        return decided is None and bool(before) and last_close.date() == before[0].day

    def _begin_bars_at(self, session: Session, instruments: list[Instrument], now: datetime) -> None:
        """Volume that was traded before our first tick is not counted into our bars."""
        keys = {f"NSE:{instrument.symbol}": instrument.symbol for instrument in instruments if instrument.tradable}
        for key, quote in self.kite.quote(list(keys)).items():
            session.begin_at(keys[key], int(quote.get("volume") or 0), now)

    # --- course ---

    def _play(self, session: Session, feed: Feed, *, lockstep: bool) -> None:
        self._state = "trading"
        time.sleep(0.3)  # the ticker's subscription is a message of its own, on its way now
        finished, over = self.paper.go_on(), False
        while not over:
            event = feed.next(SILENCE_S)
            match event:
                case OrderUpdate():
                    session.on_order_update(event.content)
                    if feed.events.empty() and not lockstep:
                        session.on_books_changed()
                case Frame():
                    self._on_frame(session, event)
                    over = finished
                    if lockstep and not finished:
                        finished = self.paper.go_on()
                    elif not lockstep:
                        over = self._over(feed)
                case Disconnected():
                    LOG.warning("ticker disconnected", reason=event.reason)
                    session.on_connection_lost()
                case None:
                    state = self.paper.status()["state"]
                    LOG.warning("no frame", seconds=SILENCE_S, exchange=state)
                    over = state == "finished"
                    if lockstep and not over:
                        finished = self.paper.go_on()

    def _on_frame(self, session: Session, frame: Frame) -> None:
        if older_than(frame, self._done):
            return
        began = time.perf_counter()
        decided = len(session.latencies_ms)
        session.on_frame(frame)
        self._done = frame.at
        self.metrics.frame_seconds.observe(time.perf_counter() - began)
        for latency in session.latencies_ms[decided:]:
            self.metrics.decide_ms.observe(latency)
        self.metrics.open_positions.set(session.open_positions)
        self.metrics.equity_inr.set(float(session.equity))
        self.metrics.alarms.set(len(session.alarms))

    def _over(self, feed: Feed) -> bool:
        """Without lockstep the exchange is asked whether it is done, once nothing waits any more."""
        return feed.events.empty() and self.paper.status()["state"] == "finished"

    # --- end ---

    def _finish(self, session: Session) -> None:
        self._state = "finished"
        differences = session.reconcile()
        summary = session_summary(session, self.broker, self.journal)
        write_summary(summary, self.paths.reports)
        LOG.info("finished", **{name: summary[name] for name in ("orders", "fills", "outcomes", "net_inr")})
        if self.until_finished and session.open_positions:
            differences.append(f"{session.open_positions} positions are still open after the last frame")
        if differences:
            raise BooksDiffer(f"{'; '.join(differences)}; see {self.paths.reports / 'session.json'}")


def limits_from(params: ExecutorParams) -> RiskLimits:
    return RiskLimits(
        max_positions=params.max_positions,
        max_position=params.max_position,
        risk_per_trade=params.risk_per_trade,
        max_gross=params.max_gross,
        min_share_of_decision=params.min_share_of_decision,
        max_daily_loss=params.max_daily_loss,
        max_price_deviation=params.max_price_deviation,
        max_orders_per_second=params.max_orders_per_second,
        stale_after=timedelta(seconds=params.stale_after_seconds),
        square_off=timedelta(minutes=params.square_off_minutes),
    )


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
        from pipelines.ingest.world import empty_news

        return empty_news()
    return pd.concat(found, ignore_index=True)


def _symbols(instruments: list[Instrument]) -> Mapping[int, str]:
    return {instrument.token: instrument.symbol for instrument in instruments if instrument.tradable}


def _websocket(url: str) -> str:
    return url.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
