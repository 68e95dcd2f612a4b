"""The journal in PostgreSQL: explicit methods, each one transaction. What a method returned from is on disk."""

import hashlib
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, PendingRollbackError, SQLAlchemyError

from pipelines.deadlines import within
from pipelines.domain.bars import IST
from pipelines.domain.equity import EquityDay
from pipelines.domain.errors import AlreadyRunning, BooksDiffer, JournalAway, NotFound
from pipelines.domain.halts import HaltEvent
from pipelines.domain.orders import ENDED, INTENT_NEXT, BookedOrder, Fill, Intent, IntentStatus
from pipelines.domain.outcomes import Outcome
from pipelines.domain.positions import Position
from pipelines.domain.signals import Decision
from pipelines.domain.verdicts import Verdict
from pipelines.journal.chain import FIRST, AuditEntry, broken_at, linked
from pipelines.journal.connecting import PATIENT, TimeLimits, engine_at
from pipelines.journal.ladder_records import LadderRecords
from pipelines.journal.rows import (
    as_json,
    decision_from,
    decision_row,
    equity_day_from,
    equity_day_row,
    fill_from,
    fill_row,
    from_json,
    halt_from,
    halt_row,
    intent_from,
    intent_row,
    order_from,
    order_row,
    outcome_from,
    outcome_row,
    position_from,
    position_row,
    storable,
)

_AUDIT_LOCK = 7_071_002
COUNTED = ("decisions", "intents", "orders", "fills", "outcomes", "risk_events")
LOST_LOCK = "PostgreSQL has not ended our lost connection yet, which holds the lock"
LOCK_LINGERS_S = 3.0  #: PostgreSQL may hold a dead process's lock so long
#: What the writer writes to; a lock that another holds on any of them keeps its notes out
WRITTEN = (*COUNTED, "accounts", "equity_days", "order_events", "positions", "halts", "audit")


class Journal(LadderRecords):
    """What happened, by account. An account is a broker's client, or one run of the paper exchange.

    Every method raises `JournalAway`, in one line, if PostgreSQL does not answer within `limits` or cannot write.

    The holder of the writer's lock reads and writes by the connection that holds it: what it could write, it wrote as
    the writer. When that connection is lost, the lock is, and nothing is written until it is taken again.
    """

    away: str | None = None  #: why PostgreSQL cannot be written to; told only by a journal that waits for it
    alarms: Sequence[str] = ()  #: told by a journal that takes over what has waited

    def __init__(self, url: str, limits: TimeLimits = PATIENT):
        self.name = f"tradesage {uuid.uuid4().hex}"  #: of our sessions at the server, also those of lost connections
        self._engine, self._limits = engine_at(url, limits, self.name, pool_size=3), limits
        self._writer: Connection | None = None  # holds the lock
        self._account: str | None = None  # whose writer we are, or were before an outage
        self._one_at_a_time = threading.RLock()
        self._joined: ContextVar[Connection | None] = ContextVar("joined", default=None)  # of one thread

    def close(self) -> None:
        self._engine.dispose()

    def recover(self, account: str) -> bool:
        """Whether PostgreSQL has everything; without a place to keep notes in an outage there is nothing to bring."""
        return True

    @contextmanager
    def writer_lock(self, account: str) -> Iterator[None]:
        """Hold the right to trade for `account`; PostgreSQL gives it back when the process dies.

        Raises
        ------
        AlreadyRunning : if another process holds it.
        """
        deadline = time.monotonic() + LOCK_LINGERS_S
        while True:
            try:
                self._lock_for(account)
                break
            except AlreadyRunning:  # perhaps of one that has just died, or our own on a connection that was lost
                ours = self._account is None and self.end_sessions(self.name)
                if time.monotonic() > deadline:
                    if ours:
                        raise JournalAway(LOST_LOCK) from None
                    raise
                time.sleep(0.1)
        try:
            yield
        finally:
            self._let_lock_go()

    def take_lock_again(self) -> None:
        """After an outage: be the writer again, if the lock was lost with its connection.

        Raises
        ------
        AlreadyRunning : if another process has become the writer meanwhile.
        JournalAway : if PostgreSQL does not answer, or has not ended our lost connection yet: what that was asked last
            may still happen, and has to happen before what waits.
        """
        with within(self._limits.call_s):
            if self._account is not None and not self._still_writer():
                self._take_lock_anew()

    def _take_lock_anew(self) -> None:
        account = self._account
        assert account is not None
        self._let_lock_go()
        self._account = account  # also if it fails now: it is tried again
        try:
            self._lock_for(account)
        except AlreadyRunning:
            if self.end_sessions(self.name):
                raise JournalAway(LOST_LOCK) from None
            self._lock_for(account)  # if it was one of ours, it is free by now

    def require_writable(self) -> None:
        """Raises JournalAway if another holds a lock that keeps what we note out of a table."""
        with self._begin() as connection:
            connection.execute(text(f"lock table {', '.join(WRITTEN)} in row exclusive mode"))

    def _still_writer(self) -> bool:
        """Whether the connection that holds the lock answers."""
        if self._writer is None or self._writer.invalidated:
            return False
        try:
            with self._as_writer() as connection:
                connection.execute(text("select 1"))
        except JournalAway:
            return False
        return True

    def end_sessions(self, name: str) -> int:
        """Ask the server to end the sessions of a journal's name, but for the one that asks; how many there are."""
        with self._answering(), within(self._limits.call_s), self._connect() as connection, connection.begin():
            asked = connection.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = :name and pid <> pg_backend_pid()"
                ),
                {"name": name},
            )
            return len(asked.all())

    def _lock_for(self, account: str) -> None:
        with self._answering(), within(self._limits.call_s):
            connection = self._connect()
            free = connection.execute(
                text("select pg_try_advisory_lock(hashtextextended(:account, 7071))"), {"account": account}
            ).scalar_one()
            connection.commit()  # the lock is the session's; no transaction stays open behind it
        if not free:
            connection.close()
            raise AlreadyRunning(
                f"another executor trades for account {account}; end it first, two would trade against each other"
            )
        self._writer, self._account = connection, account

    def _let_lock_go(self) -> None:
        writer, account = self._writer, self._account
        self._writer = self._account = None
        if writer is not None:
            with suppress(SQLAlchemyError), within(self._limits.call_s):
                if account is not None and not writer.invalidated:
                    unlock = text("select pg_advisory_unlock(hashtextextended(:account, 7071))")
                    writer.execute(unlock, {"account": account})
                    writer.commit()
            with suppress(SQLAlchemyError), within(self._limits.call_s):  # it lets it go with the connection at latest
                if not writer.invalidated:
                    writer.detach()
                writer.close()

    @contextmanager
    def together(self, *, patiently: bool = False) -> Iterator[None]:
        """Note all that is noted inside in one transaction: on disk when it is left, all of it or nothing.

        `patiently` gives it the time that reading whole tables has.
        """
        seconds = self._limits.read_s if patiently else self._limits.joined_s
        with within(seconds), self._begin(seconds) as connection:
            token = self._joined.set(connection)
            try:
                yield
            finally:
                self._joined.reset(token)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside `together`: what fails in here is undone by itself, and the rest stands."""
        joined = self._joined.get()
        assert joined is not None, "only within `together`"
        with self._answering(), joined.begin_nested():
            yield

    # --- accounts ---

    def open_account(
        self, account: str, cash: Decimal, at: datetime, shares: Mapping[str, int] | None = None
    ) -> Decimal:
        """Note the cash and shares that an account began with; the first note stands. Returns the noted cash."""
        row = {
            "account": account,
            "opening_cash": cash,
            "opened_at": at,
            "opening_shares": as_json(dict(shares or {})),
        }
        with self._begin() as connection:
            _insert(
                connection,
                "accounts",
                row,
                "on conflict (account) do nothing",
            )
            found = _all(connection, "select opening_cash from accounts where account = :account", account=account)
        return found[0]["opening_cash"]

    def accounts(self) -> list[str]:
        """Names of all accounts, the one opened last in front."""
        with self._reading() as connection:
            found = _all(connection, "select account from accounts order by opened_at desc, account")
        return [row["account"] for row in found]

    def record_equity(self, account: str, day: EquityDay) -> None:
        """Note a day's equity, over what was noted of that day before."""
        changed = ", ".join(f"{name} = excluded.{name}" for name in ("opening_inr", "peak_inr", "last_inr", "at"))
        with self._begin() as connection:
            row = equity_day_row(day) | {"account": account}
            _insert(connection, "equity_days", row, f"on conflict (account, day) do update set {changed}")

    def last_equity(self, account: str) -> EquityDay | None:
        """Equity of the last day that was noted; None before the first."""
        with self._begin() as connection:
            found = _all(
                connection,
                "select * from equity_days where account = :account order by day desc limit 1",
                account=account,
            )
        return equity_day_from(found[0]) if found else None

    def opening_shares(self, account: str) -> dict[str, int]:
        """Shares by symbol that an account began with; they are not ours to close."""
        with self._begin() as connection:
            found = _all(connection, "select opening_shares from accounts where account = :account", account=account)
        return from_json(found[0]["opening_shares"]) if found else {}

    # --- decisions ---

    def record_decision(
        self, account: str, decision: Decision, latency_ms: float, features_hash: str = "", stage: str = ""
    ) -> str:
        """Note a decision, acted on or not, and the ladder's stage that it was served from ("" if that is not known).

        One per instrument, bar and policy. Returns its id.
        """
        row = decision_row(decision) | {
            "decision_id": uuid.uuid4().hex,
            "account": account,
            "features_hash": features_hash,
            "latency_ms": latency_ms,
            "stage": stage,
        }
        with self._begin() as connection:
            _insert(
                connection, "decisions", row, "on conflict (account, symbol, close_time, policy_version) do nothing"
            )
            found = _all(
                connection,
                "select decision_id from decisions where account = :account and symbol = :symbol"
                " and close_time = :close_time and policy_version = :policy_version",
                **{name: row[name] for name in ("account", "symbol", "close_time", "policy_version")},
            )
        return found[0]["decision_id"]

    def decision(self, decision_id: str) -> Decision:
        with self._begin() as connection:
            found = _all(connection, "select * from decisions where decision_id = :id", id=decision_id)
        if not found:
            raise NotFound(f"decision {decision_id} is not in the journal")
        return decision_from(found[0])

    def decisions(self, decision_ids: Iterable[str]) -> dict[str, tuple[Decision, str]]:
        """Some decisions, each with the hash of its inputs; those that are not in the journal are left out."""
        with self._begin() as connection:
            found = _all(connection, "select * from decisions where decision_id = any(:ids)", ids=list(decision_ids))
        return {row["decision_id"]: (decision_from(row), row["features_hash"]) for row in found}

    def unsent_decisions(self, account: str) -> list[tuple[str, Decision]]:
        """Of the last close that was decided on: what was to be entered and has neither an intent nor a refusal."""
        with self._reading() as connection:
            found = _all(
                connection,
                "select * from decisions d where account = :account and action <> 'skip' and quantity > 0"
                " and close_time = (select max(close_time) from decisions where account = :account)"
                " and not exists (select 1 from intents i where i.decision_id = d.decision_id)"
                " and not exists (select 1 from risk_events r where r.decision_id = d.decision_id)"
                " order by recorded_at, decision_id",
                account=account,
            )
        return [(row["decision_id"], decision_from(row)) for row in found]

    def last_decided(self, account: str) -> datetime | None:
        """Close of the last bar that was decided on; None before the first."""
        with self._begin() as connection:
            found = _all(
                connection, "select max(close_time) as last from decisions where account = :account", account=account
            )
        return found[0]["last"] and found[0]["last"].astimezone(IST)

    # --- intents ---

    def commit_intent(self, account: str, intent: Intent) -> None:
        """Put the will to trade on disk before anything is sent."""
        with self._begin() as connection:
            row = intent_row(intent) | {"account": account, "moved_at": intent.created_at}
            _insert(connection, "intents", row, "on conflict (intent_id) do nothing")

    def advance_intent(self, intent_id: str, to: IntentStatus, at: datetime, reason: str = "") -> None:
        """Move an intent along its arrows.

        Raises
        ------
        BooksDiffer : if no arrow leads from where it stands to `to`.
        """
        before = [status.value for status, following in INTENT_NEXT.items() if to in following]
        with self._begin() as connection:
            moved = connection.execute(
                text(
                    "update intents set status = :to, moved_at = :at, reason = :reason where intent_id = :id"
                    " and status::text = any(:before)"
                ),
                {"to": to.value, "at": at, "reason": storable(reason), "id": intent_id, "before": before},
            ).rowcount
            if not moved:
                found = _all(connection, "select status from intents where intent_id = :id", id=intent_id)
                raise no_arrow(intent_id, found[0]["status"] if found else None, to)

    def intents(self, account: str, *, living: bool = False) -> list[Intent]:
        """All intents of an account in the order they were made; only those not ended if `living`."""
        with self._reading() as connection:
            found = _all(
                connection,
                "select * from intents where account = :account order by recorded_at, intent_id",
                account=account,
            )
        intents = [intent_from(row) for row in found]
        return [intent for intent in intents if not (living and intent.status in ENDED)]

    # --- orders and fills ---

    def record_order(self, account: str, order: BookedOrder) -> None:
        """Note how the broker's book shows an order, over what was noted before."""
        row = order_row(order) | {"account": account}
        with self._begin() as connection:
            _insert(
                connection,
                "orders",
                row | {"intent_id": _intent_of(connection, account, order.tag)},
                "on conflict (account, order_id) do update set quantity = excluded.quantity,"
                " filled_quantity = excluded.filled_quantity, order_type = excluded.order_type,"
                " status = excluded.status, trigger_price = excluded.trigger_price, message = excluded.message,"
                " limit_price = excluded.limit_price, triggered = excluded.triggered, seen_at = now()",
            )

    def orders(self, account: str) -> list[BookedOrder]:
        with self._reading() as connection:
            found = _all(connection, "select * from orders where account = :account order by order_id", account=account)
        return [order_from(row) for row in found]

    def record_order_event(
        self, account: str, order_id: str, event: str, detail: Mapping[str, Any], at: datetime
    ) -> None:
        """Note what the broker told, or what we asked of it, as it came."""
        row = {"account": account, "order_id": order_id, "event": event, "detail": as_json(dict(detail)), "at": at}
        with self._begin() as connection:
            _insert(connection, "order_events", row)

    def has_order_event(self, account: str, order_id: str, event: str) -> bool:
        with self._begin() as connection:
            found = _all(
                connection,
                "select 1 from order_events where account = :account and order_id = :order_id and event = :event",
                account=account,
                order_id=order_id,
                event=event,
            )
        return bool(found)

    def changes_asked(self, account: str, order_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        """How often we asked what of some orders: counts by order and event."""
        with self._begin() as connection:
            found = _all(
                connection,
                "select order_id, event, count(*) as times from order_events where account = :account"
                " and order_id = any(:ids) and event like 'we %' group by order_id, event",
                account=account,
                ids=list(order_ids),
            )
        asked: dict[str, dict[str, int]] = {}
        for row in found:
            asked.setdefault(row["order_id"], {})[row["event"]] = row["times"]
        return asked

    def record_fill(self, account: str, fill: Fill) -> bool:
        """Note a fill once; False if it was noted before."""
        with self._begin() as connection:
            return _insert(connection, "fills", fill_row(fill) | {"account": account}, "on conflict do nothing") > 0

    def fills(self, account: str) -> list[Fill]:
        with self._reading() as connection:
            found = _all(
                connection,
                "select * from fills where account = :account order by filled_at, order_id, trade_id",
                account=account,
            )
        return [fill_from(row) for row in found]

    # --- positions and outcomes ---

    def record_position(self, account: str, position: Position) -> None:
        """Open a position, or bring an open one up to date."""
        row = position_row(position) | {"account": account}
        changing = (
            "quantity",
            "entry_price",
            "bars_held",
            "mfe_inr",
            "mae_inr",
            "exit_reason",
            "exit_decision_price",
        )
        with self._begin() as connection:
            changed = ", ".join(f"{name} = excluded.{name}" for name in changing)
            _insert(
                connection, "positions", row, f"on conflict (position_id) do update set {changed}, closed_at = null"
            )

    def positions(self, position_ids: Iterable[str]) -> dict[str, Position]:
        """Some positions, open or closed, as they were noted last; those that are not in the journal are left out."""
        with self._begin() as connection:
            found = _all(connection, "select * from positions where position_id = any(:ids)", ids=list(position_ids))
        return {row["position_id"]: position_from(row) for row in found}

    def open_positions(self, account: str) -> list[Position]:
        with self._reading() as connection:
            found = _all(
                connection,
                "select * from positions where account = :account and closed_at is null order by entered_at, symbol",
                account=account,
            )
        return [position_from(row) for row in found]

    def record_outcome(self, account: str, position_id: str, outcome: Outcome) -> None:
        """Close a position and note what became of it, both or neither; a later note stands over an earlier one."""
        with self._begin() as connection:
            connection.execute(
                text("update positions set closed_at = :at, exit_reason = :reason where position_id = :id"),
                {"at": outcome.exited_at, "reason": outcome.exit_reason.value, "id": position_id},
            )
            row = outcome_row(outcome) | {"account": account, "position_id": position_id}
            changed = ", ".join(f"{name} = excluded.{name}" for name in row if name != "position_id")
            _insert(connection, "outcomes", row, f"on conflict (position_id) do update set {changed}")

    def finished(self, account: str) -> set[str]:
        """Decisions that have an outcome."""
        with self._reading() as connection:
            found = _all(connection, "select position_id from outcomes where account = :account", account=account)
        return {row["position_id"] for row in found}

    def outcomes(self, account: str) -> list[Outcome]:
        with self._reading() as connection:
            found = _all(
                connection, "select * from outcomes where account = :account order by outcome_id", account=account
            )
        return [outcome_from(row) for row in found]

    # --- halts ---

    def record_halt(self, account: str, event: HaltEvent) -> None:
        """Note a word that stops trading or lets it go on; the audit chain gets an entry in the same transaction."""
        row = halt_row(event)
        with self._begin() as connection:
            _insert(connection, "halts", row | {"account": account})
            told = {name: row[name] for name in ("cause", "reason", "forced")}
            _append_audit(connection, event.at, event.actor, f"trading: {event.word}", account, told)

    def halt_events(self, account: str, after: int = 0) -> list[tuple[int, HaltEvent]]:
        """Words about trading in the order they were noted, each with its number; only those above `after`."""
        with self._begin() as connection:
            found = _all(
                connection,
                "select * from halts where account = :account and event_id > :after order by event_id",
                account=account,
                after=after,
            )
        return [(row["event_id"], halt_from(row)) for row in found]

    # --- risk, ladder, audit ---

    def record_risk_event(
        self, account: str, verdict: Verdict, at: datetime, symbol: str | None = None, decision_id: str | None = None
    ) -> None:
        """Note a rule that said no, with its figures."""
        row = {
            "account": account,
            "symbol": symbol,
            "decision_id": decision_id,
            "rule": verdict.gate,
            "measured": verdict.measured,
            "limit_value": verdict.limit,
            "evidence": verdict.evidence,
            "at": at,
        }
        with self._begin() as connection:
            _insert(connection, "risk_events", row)

    def risk_events(self, account: str) -> list[dict[str, Any]]:
        with self._reading() as connection:
            return _all(
                connection,
                "select symbol, decision_id, rule, measured, limit_value, evidence, at from risk_events"
                " where account = :account order by event_id",
                account=account,
            )

    def record_policy_event(
        self,
        *,
        model: str,
        version: str,
        from_stage: str | None,
        to_stage: str,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any],
        at: datetime,
    ) -> None:
        """Note a move on the ladder, and who allowed it; the audit chain gets an entry in the same transaction."""
        row = {
            "model": model,
            "version": version,
            "from_stage": from_stage,
            "to_stage": to_stage,
            "actor": actor,
            "reason": reason,
            "evidence": as_json(dict(evidence)),
            "at": at,
        }
        with self._begin() as connection:
            _insert(connection, "policy_events", row)
            told = {"from": from_stage, "to": to_stage, "reason": reason, "evidence": dict(evidence)}
            _append_audit(connection, at, actor, "policy moved", f"{model} {version}", told)

    def policy_events(self, model: str) -> list[dict[str, Any]]:
        with self._reading() as connection:
            return _all(
                connection,
                "select model, version, from_stage, to_stage, actor, reason, evidence, at from policy_events"
                " where model = :model order by event_id",
                model=model,
            )

    def newest_policy_event(self, model: str) -> int:
        """Number of the model's last move, 0 if there is none: tells at little cost whether there is a new one."""
        with self._begin() as connection:
            found = _all(
                connection, "select max(event_id) as newest from policy_events where model = :model", model=model
            )
            return int(found[0]["newest"] or 0)

    @contextmanager
    def exclusive(self, name: str, patience_s: float = 120.0) -> Iterator[None]:
        """Let one caller at a time into what `name` names, over all processes.

        Raises
        ------
        AlreadyRunning : if another one is still in it after `patience_s`.
        """
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        with self._answering(), self._engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")  # no transaction waits meanwhile
            deadline = time.monotonic() + patience_s
            while not connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": key}).scalar_one():
                if time.monotonic() > deadline:
                    raise AlreadyRunning(f"{name} is being done elsewhere for {patience_s:.0f} s; try again later")
                time.sleep(0.1)
            try:
                yield
            finally:
                with suppress(SQLAlchemyError):  # a lock whose connection was lost is gone already
                    connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})

    def audit(self, actor: str, action: str, subject: str, detail: Mapping[str, Any], at: datetime) -> str:
        """Append an entry to the audit chain; returns its hash."""
        with self._begin() as connection:
            return _append_audit(connection, at, actor, action, subject, detail)

    def audit_entries(self) -> list[AuditEntry]:
        with self._reading() as connection:
            found = _all(
                connection,
                "select at, actor, action, subject, detail, previous, hash from audit order by entry_id",
            )
        return [AuditEntry(**row) for row in found]

    def audit_broken_at(self) -> int | None:
        """Place of the first audit entry that was tampered with; None if the chain is whole."""
        return broken_at(self.audit_entries())

    def counts(self, account: str) -> dict[str, int]:
        """Rows by table, of one account."""
        with self._reading() as connection:
            return {
                table: connection.execute(
                    text(f"select count(*) from {table} where account = :account"),  # noqa: S608  names are ours
                    {"account": account},
                ).scalar_one()
                for table in COUNTED
            }

    @contextmanager
    def _begin(self, seconds: float | None = None) -> Iterator[Connection]:
        """A transaction, or the one that was joined; `seconds` it may take, by default those of a short call."""
        seconds = self._limits.call_s if seconds is None else seconds
        joined = self._joined.get()
        if joined is not None:
            with self._answering(), within(seconds):
                yield joined
            return
        if self._account is not None:
            with self._as_writer(seconds) as connection:
                yield connection
            return
        with self._answering(), within(seconds), self._connect() as connection, connection.begin():
            yield connection

    def _connect(self) -> Connection:
        with within(self._limits.call_s):
            return self._engine.connect()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """As `_begin`, of what reads whole tables: it may take long, but a server that hangs is known at once."""
        with self._begin(self._limits.read_s) as connection:
            with within(self._limits.call_s):
                connection.execute(text("select 1"))
            yield connection

    @contextmanager
    def _as_writer(self, seconds: float | None = None) -> Iterator[Connection]:
        with self._one_at_a_time:
            if self._writer is None or self._writer.invalidated:
                raise JournalAway(f"the lock of the writer for account {self._account} was lost with its connection")
            seconds = self._limits.call_s if seconds is None else seconds
            with self._answering(), within(seconds), self._writer.begin():
                yield self._writer

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, InternalError, PendingRollbackError) as error:
            # a connection lost in the midst of a transaction is told as one that waits for its rollback
            reason = str(getattr(error, "orig", None) or "the connection was lost").strip().splitlines()[0]
            where = self._engine.url.render_as_string(hide_password=True)
            raise JournalAway(f"the journal at {where} does not answer ({reason}); start PostgreSQL") from None


def no_arrow(intent_id: str, status: str | None, to: IntentStatus) -> BooksDiffer:
    if status is None:
        return BooksDiffer(f"intent {intent_id} is not in the journal; commit it before it is moved")
    return BooksDiffer(f"intent {intent_id} is {status} and cannot become {to}; read the order book again")


def _append_audit(
    connection: Connection, at: datetime, actor: str, action: str, subject: str, detail: Mapping[str, Any]
) -> str:
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _AUDIT_LOCK})  # one link at a time
    last = connection.execute(text("select hash from audit order by entry_id desc limit 1")).scalar()
    entry = linked(last or FIRST, at, actor, action, subject, detail)
    _insert(connection, "audit", {name: getattr(entry, name) for name in AuditEntry.__slots__})
    return entry.hash


def _intent_of(connection: Connection, account: str, tag: str | None) -> str | None:
    return connection.execute(
        text("select intent_id from intents where account = :account and tag = :tag"), {"account": account, "tag": tag}
    ).scalar()


def _insert(connection: Connection, table: str, row: Mapping[str, Any], on_conflict: str = "") -> int:
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    statement = text(f"insert into {table} ({columns}) values ({values}) {on_conflict}")  # noqa: S608  names are ours
    return connection.execute(statement, {name: _plain(value) for name, value in row.items()}).rowcount


def _all(connection: Connection, statement: str, **values: Any) -> list[dict[str, Any]]:
    return [dict(row._mapping) for row in connection.execute(text(statement), values)]


def _plain(value: Any) -> Any:
    return storable(str(value)) if isinstance(value, str) else value  # an enum's word is text to the driver
