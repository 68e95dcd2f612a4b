"""The daemon's vital signs: gathered after every event by the trading thread, read by the health server's."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog

from serving.executor.access import Access
from serving.executor.broker import KiteBroker
from serving.executor.feed import Feed
from serving.executor.health import Metrics
from serving.executor.kite_client import KITE
from serving.executor.marketplace import MarketPlace, machine_clock
from serving.executor.policy_client import PolicyClient, Served
from serving.executor.session import Session

LOG = structlog.get_logger("executor")


@dataclass
class Vitals:
    """Figures of one daemon; `health` answers with the last ones, so that nothing is read while it changes."""

    place: MarketPlace
    access: Access
    broker: KiteBroker
    policy: PolicyClient
    metrics: Metrics
    state: str = "starting"
    _told: dict[str, Any] = field(default_factory=dict)
    _session: Session | None = None  # that is being played
    _frame_at: float | None = None  # monotonic seconds
    _fills: int = 0
    _connections: int = 1

    def enter(self, state: str) -> None:
        """The daemon does something else now."""
        if state != self.state:
            LOG.info("state", state=state)
        self.state = state

    def begin(self, account: str, session: Session, served: Served | None) -> None:
        """A session is being taken up."""
        policy, stage = (served.policy_version, served.stage) if served else (None, None)
        self._told = {"account": account, "policy": policy, "stage": stage}
        self._session = session
        self._fills, self._connections, self._frame_at = session.books.fill_count, 1, None

    def look(self, session: Session, feed: Feed, market_time: datetime | None) -> None:
        """Take the figures after an event."""
        exposure = sum(
            (
                abs(trade.held) * session.desk.price_of(symbol, trade.average_entry)
                for symbol, trade in session.trades.items()
            ),
            Decimal(0),
        )
        if market_time is not None and market_time.isoformat() != self._told.get("market_time"):
            self._frame_at = time.monotonic()
            if self.place.root == KITE:
                self.metrics.clock_skew_seconds.set((machine_clock() - market_time).total_seconds())
        self._told = self._told | {
            "market_time": market_time.isoformat() if market_time else None,
            "open_positions": session.open_positions,
            "protected": not any(trade.uncovered for trade in session.trades.values()),
            "naked_seconds_max": session.naked_seconds_max,
            "books_equal": session.books_equal,
            "broker_silent": session.broker_silent,
            "exposure_inr": str(exposure),
            "reconnects": max(feed.connections - 1, 0),
            "trading": (trading := session.risk.told()),
        }
        self.metrics.trading(trading)
        self._tell_metrics(session, feed, exposure)

    def health(self) -> dict[str, Any]:
        """What GET /health answers."""
        token = self.access.token
        return {
            "state": self.state,
            "broker": self.place.root,
            **self._told,
            "last_frame_age_s": round(time.monotonic() - self._frame_at, 1) if self._frame_at is not None else None,
            "token_until": token.expires_at.isoformat() if token else None,
            "logged_in": not self.broker.logged_out,
            "policy_ok": self.policy.answers,
            "no_policy": self._why_no_policy() or None,
            **self._of_neighbours(),
        }

    def _why_no_policy(self) -> str:
        """Why nothing is decided; empty if there is a policy."""
        return (self._session.desk.no_policy if self._session else "") or self.policy.trouble

    def _of_neighbours(self) -> dict[str, Any]:
        """As it is at this moment: what stands since the last event may not be so any more."""
        session = self._session
        if session is None:
            return {}
        journal = session.desk.journal
        return {
            "journal_ok": journal.away is None,
            "alarms": [*session.alarms.on(), *self.broker.alarms.on(), *journal.alarms],
            "alarms_over": [*session.alarms.over(), *self.broker.alarms.over()],
        }

    def _tell_metrics(self, session: Session, feed: Feed, exposure: Decimal) -> None:
        metrics = self.metrics
        metrics.open_positions.set(session.open_positions)
        metrics.equity_inr.set(float(session.equity))
        metrics.exposure_inr.set(float(exposure))
        metrics.naked_seconds_max.set(session.naked_seconds_max)
        metrics.alarms.set(len(self._of_neighbours()["alarms"]))
        metrics.feed_silent_seconds.set(feed.silent_s)
        metrics.broker_silent.set(session.broker_silent)
        metrics.logged_in.set(not self.broker.logged_out)
        fills = session.books.fill_count
        metrics.fills.inc(max(fills - self._fills, 0))
        metrics.reconnects.inc(max(feed.connections - self._connections, 0))
        self._fills, self._connections = fills, max(feed.connections, self._connections)
