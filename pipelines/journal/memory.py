"""The journal's twin in memory, for tests: same methods, same refusals. Both pass the same checks."""

import json
import math
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.equity import EquityDay
from pipelines.domain.errors import AlreadyRunning, NotFound
from pipelines.domain.halts import HaltEvent
from pipelines.domain.orders import ENDED, BookedOrder, Fill, Intent, IntentStatus, may_move
from pipelines.domain.outcomes import Outcome
from pipelines.domain.positions import Position
from pipelines.domain.signals import Action, Decision
from pipelines.domain.verdicts import Verdict
from pipelines.journal.chain import FIRST, AuditEntry, broken_at, linked
from pipelines.journal.journal import Journal, no_arrow
from pipelines.journal.ladder_records import CLOCK_SLACK, StageTrade
from pipelines.journal.spool import SpooledJournal


class MemoryJournal:
    away: str | None = None
    alarms: Sequence[str] = ()

    def __init__(self) -> None:
        self._writers: set[str] = set()
        self._cash: dict[str, Decimal] = {}
        self._shares: dict[str, dict[str, int]] = {}
        self._hashes: dict[str, str] = {}
        self._stages: dict[str, tuple[str, datetime]] = {}  # and when the decision was recorded
        self._closed: set[str] = set()
        self._decisions: dict[str, tuple[str, Decision]] = {}
        self._intents: dict[str, tuple[str, Intent]] = {}
        self._orders: dict[tuple[str, str], BookedOrder] = {}
        self._order_events: list[tuple[str, str, str, dict[str, Any], datetime]] = []
        self._fills: dict[tuple[str, str, str], Fill] = {}
        self._positions: dict[str, tuple[str, Position]] = {}
        self._outcomes: dict[str, tuple[str, Outcome]] = {}
        self._equity: dict[str, EquityDay] = {}
        self._halts: list[tuple[str, HaltEvent]] = []
        self._risk_events: list[tuple[str, dict[str, Any]]] = []
        self._policy_events: list[dict[str, Any]] = []
        self._policy_refusals: list[dict[str, Any]] = []
        self._audit: list[AuditEntry] = []
        self._exclusive = threading.RLock()

    def close(self) -> None:
        pass

    def recover(self, account: str) -> bool:
        return True

    @contextmanager
    def writer_lock(self, account: str) -> Iterator[None]:
        if account in self._writers:
            raise AlreadyRunning(
                f"another executor trades for account {account}; end it first, two would trade against each other"
            )
        self._writers.add(account)
        try:
            yield
        finally:
            self._writers.discard(account)

    @contextmanager
    def together(self) -> Iterator[None]:
        yield

    def open_account(
        self, account: str, cash: Decimal, at: datetime, shares: Mapping[str, int] | None = None
    ) -> Decimal:
        self._shares.setdefault(account, dict(shares or {}))
        return self._cash.setdefault(account, cash)

    def opening_shares(self, account: str) -> dict[str, int]:
        return dict(self._shares.get(account, {}))

    def decisions(self, decision_ids: Iterable[str]) -> dict[str, tuple[Decision, str]]:
        known = [name for name in decision_ids if name in self._decisions]
        return {name: (self._decisions[name][1], self._hashes.get(name, "")) for name in known}

    def unsent_decisions(self, account: str) -> list[tuple[str, Decision]]:
        last = self.last_decided(account)
        used = {intent.decision_id for _, intent in self._intents.values()}
        used |= {event["decision_id"] for _, event in self._risk_events}
        return [
            (decision_id, decision)
            for decision_id, (owner, decision) in self._decisions.items()
            if owner == account and decision.close_time == last and decision_id not in used
            if decision.action is not Action.SKIP and decision.quantity > 0
        ]

    def accounts(self) -> list[str]:
        return list(reversed(self._cash))

    def record_equity(self, account: str, day: EquityDay) -> None:
        self._equity[account] = day

    def last_equity(self, account: str) -> EquityDay | None:
        return self._equity.get(account)

    def record_decision(
        self, account: str, decision: Decision, latency_ms: float, features_hash: str = "", stage: str = ""
    ) -> str:
        for decision_id, (owner, known) in self._decisions.items():
            if (owner, *_bar_of(known)) == (account, *_bar_of(decision)):
                return decision_id
        decision_id = uuid.uuid4().hex
        self._decisions[decision_id] = (account, decision)
        self._hashes[decision_id] = features_hash
        self._stages[decision_id] = (stage, datetime.now(IST))
        return decision_id

    def decision(self, decision_id: str) -> Decision:
        if decision_id not in self._decisions:
            raise NotFound(f"decision {decision_id} is not in the journal")
        return self._decisions[decision_id][1]

    def last_decided(self, account: str) -> datetime | None:
        times = [decision.close_time for owner, decision in self._decisions.values() if owner == account]
        return max(times, default=None)

    def commit_intent(self, account: str, intent: Intent) -> None:
        self._intents[intent.intent_id] = (account, intent)

    def advance_intent(self, intent_id: str, to: IntentStatus, at: datetime, reason: str = "") -> None:
        account, intent = self._intents.get(intent_id, ("", None))
        if intent is None or not may_move(intent.status, to):
            raise no_arrow(intent_id, intent.status.value if intent else None, to)
        self._intents[intent_id] = (account, replace(intent, status=to))

    def intents(self, account: str, *, living: bool = False) -> list[Intent]:
        found = [intent for owner, intent in self._intents.values() if owner == account]
        return [intent for intent in found if not (living and intent.status in ENDED)]

    def record_order(self, account: str, order: BookedOrder) -> None:
        self._orders[account, order.order_id] = order

    def orders(self, account: str) -> list[BookedOrder]:
        return [order for (owner, _), order in sorted(self._orders.items()) if owner == account]

    def record_order_event(
        self, account: str, order_id: str, event: str, detail: Mapping[str, Any], at: datetime
    ) -> None:
        self._order_events.append((account, order_id, event, dict(detail), at))

    def changes_asked(self, account: str, order_ids: Iterable[str]) -> dict[str, dict[str, int]]:
        asked: dict[str, dict[str, int]] = {}
        wanted = set(order_ids)
        for owner, order_id, event, _, _ in self._order_events:
            if owner == account and order_id in wanted and event.startswith("we "):
                times = asked.setdefault(order_id, {})
                times[event] = times.get(event, 0) + 1
        return asked

    def record_fill(self, account: str, fill: Fill) -> bool:
        key = (account, fill.order_id, fill.trade_id)
        new = key not in self._fills
        self._fills.setdefault(key, fill)
        return new

    def fills(self, account: str) -> list[Fill]:
        found = [fill for (owner, *_), fill in self._fills.items() if owner == account]
        return sorted(found, key=lambda fill: (fill.filled_at, fill.order_id, fill.trade_id))

    def record_position(self, account: str, position: Position) -> None:
        self._positions[position.position_id] = (account, position)
        self._closed.discard(position.position_id)

    def positions(self, position_ids: Iterable[str]) -> dict[str, Position]:
        return {name: self._positions[name][1] for name in position_ids if name in self._positions}

    def open_positions(self, account: str) -> list[Position]:
        found = [p for owner, p in self._positions.values() if owner == account and p.position_id not in self._closed]
        return sorted(found, key=lambda position: (position.entered_at, position.symbol))

    def record_outcome(self, account: str, position_id: str, outcome: Outcome) -> None:
        self._outcomes[position_id] = (account, outcome)
        self._closed.add(position_id)

    def finished(self, account: str) -> set[str]:
        return {position_id for position_id, (owner, _) in self._outcomes.items() if owner == account}

    def outcomes(self, account: str) -> list[Outcome]:
        return [outcome for owner, outcome in self._outcomes.values() if owner == account]

    def record_halt(self, account: str, event: HaltEvent) -> None:
        self._halts.append((account, event))
        told = {"cause": event.cause, "reason": event.reason, "forced": event.forced}
        self.audit(event.actor, f"trading: {event.word}", account, told, event.at)

    def halt_events(self, account: str, after: int = 0) -> list[tuple[int, HaltEvent]]:
        numbered = enumerate(self._halts, start=1)
        return [(number, event) for number, (owner, event) in numbered if owner == account and number > after]

    def record_risk_event(
        self, account: str, verdict: Verdict, at: datetime, symbol: str | None = None, decision_id: str | None = None
    ) -> None:
        row = {
            "symbol": symbol,
            "decision_id": decision_id,
            "rule": verdict.gate,
            "measured": verdict.measured,
            "limit_value": verdict.limit,
            "evidence": verdict.evidence,
            "at": at,
        }
        self._risk_events.append((account, row))

    def risk_events(self, account: str) -> list[dict[str, Any]]:
        return [row for owner, row in self._risk_events if owner == account]

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
        row = {
            "model": model,
            "version": version,
            "from_stage": from_stage,
            "to_stage": to_stage,
            "actor": actor,
            "reason": reason,
            "evidence": json.loads(json.dumps(dict(evidence), default=str)),
            "at": at,
        }
        self._policy_events.append(row)
        told = {"from": from_stage, "to": to_stage, "reason": reason, "evidence": dict(evidence)}
        self.audit(actor, "policy moved", f"{model} {version}", told, at)

    def policy_events(self, model: str) -> list[dict[str, Any]]:
        return [row for row in self._policy_events if row["model"] == model]

    def record_policy_refusal(
        self,
        *,
        model: str,
        version: str,
        asked: str,
        actor: str,
        reason: str,
        evidence: Mapping[str, Any],
        at: datetime,
    ) -> None:
        kept = json.loads(json.dumps(dict(evidence), default=str))
        row = {"model": model, "version": version, "asked": asked, "actor": actor, "reason": reason}
        self._policy_refusals.append(row | {"evidence": kept, "at": at})
        detail = {"asked": asked, "reason": reason, "evidence": dict(evidence)}
        self.audit(actor, "policy refused", f"{model} {version}", detail, at)

    def policy_refusals(self, model: str) -> list[dict[str, Any]]:
        return [row for row in self._policy_refusals if row["model"] == model]

    def stage_closes(self, policy_version: str, stage: str, since: datetime) -> list[datetime]:
        ids = self._served_from(policy_version, stage, since)
        return sorted({self._decisions[decision_id][1].close_time for decision_id in ids})

    def stage_trades(self, policy_version: str, stage: str, since: datetime) -> list[StageTrade]:
        counted = self._served_from(policy_version, stage, since)
        trades: dict[tuple[datetime, str], StageTrade] = {}
        for _, outcome in self._outcomes.values():
            if outcome.decision_id not in counted:
                continue
            decision = self._decisions[outcome.decision_id][1]
            expected = decision.expected_return
            trade = StageTrade(
                symbol=outcome.symbol,
                decided_at=decision.close_time,
                quantity=outcome.quantity,
                entry_price=outcome.entry_price,
                exit_price=outcome.exit_price,
                net_inr=outcome.net_inr,
                slippage_inr=outcome.entry_slippage_inr + outcome.exit_slippage_inr,
                expected_return=expected if math.isfinite(expected) else None,
            )
            trades.setdefault((decision.close_time, outcome.symbol), trade)
        return [trades[key] for key in sorted(trades)]

    def _served_from(self, policy_version: str, stage: str, since: datetime) -> set[str]:
        return {
            decision_id
            for decision_id, (served_from, recorded_at) in self._stages.items()
            if served_from == stage and self._decisions[decision_id][1].policy_version == policy_version
            if since <= self._decisions[decision_id][1].close_time <= recorded_at + CLOCK_SLACK
        }

    def newest_policy_event(self, model: str) -> int:
        return max((n for n, row in enumerate(self._policy_events, 1) if row["model"] == model), default=0)

    @contextmanager
    def exclusive(self, name: str, patience_s: float = 120.0) -> Iterator[None]:
        with self._exclusive:
            yield

    def audit(self, actor: str, action: str, subject: str, detail: Mapping[str, Any], at: datetime) -> str:
        previous = self._audit[-1].hash if self._audit else FIRST
        self._audit.append(linked(previous, at, actor, action, subject, detail))
        return self._audit[-1].hash

    def audit_entries(self) -> list[AuditEntry]:
        return list(self._audit)

    def audit_broken_at(self) -> int | None:
        return broken_at(self._audit)

    def counts(self, account: str) -> dict[str, int]:
        return {
            "decisions": sum(owner == account for owner, _ in self._decisions.values()),
            "intents": len(self.intents(account)),
            "orders": len(self.orders(account)),
            "fills": len(self.fills(account)),
            "outcomes": len(self.outcomes(account)),
            "risk_events": len(self.risk_events(account)),
        }


def _bar_of(decision: Decision) -> tuple[str, datetime, str]:
    return decision.symbol, decision.close_time, decision.policy_version


AnyJournal = Journal | MemoryJournal | SpooledJournal
