"""What a session came to, for `reports/session.json`."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from pipelines.journal.memory import AnyJournal
from pipelines.tables import write_json
from serving.executor.broker import Broker
from serving.executor.session import Session


def session_summary(
    session: Session, broker: Broker, journal: AnyJournal, entries_ms: Sequence[float] = ()
) -> dict[str, Any]:
    """Counts from the journal, cash from both books, what was refused and what looked wrong: `alarms` are all of the
    session, `alarms_on` those that are not over.

    `entries_ms` are the times from a bar's last frame in hand to the request of each entry.
    """
    account = session.terms.account
    counts = journal.counts(account)
    outcomes = journal.outcomes(account)
    refused = Counter(event["rule"] for event in journal.risk_events(account))
    return {
        "account": account,
        **{name: counts[name] for name in ("decisions", "intents", "orders", "fills", "outcomes")},
        "open_positions": session.open_positions,
        "shares_at_broker": sum(abs(quantity) for quantity in broker.shares().values()),
        "cash_exchange": str(broker.cash()),
        "cash_journal": str(session.cash),
        "gross_inr": str(sum(outcome.gross_inr for outcome in outcomes)),
        "charges_inr": str(sum(sum(outcome.charges.values()) for outcome in outcomes)),
        "net_inr": str(sum(outcome.net_inr for outcome in outcomes)),
        "exits": dict(sorted(Counter(outcome.exit_reason.value for outcome in outcomes).items())),
        "trades": [
            {
                "symbol": outcome.symbol,
                "side": outcome.side.value,
                "quantity": outcome.quantity,
                "entered_at": outcome.entered_at.isoformat(),
                "exited_at": outcome.exited_at.isoformat(),
                "entry_price": str(outcome.entry_price),
                "exit_price": str(outcome.exit_price),
                "exit_reason": outcome.exit_reason.value,
                "net_inr": str(outcome.net_inr),
                "entry_slippage_inr": str(outcome.entry_slippage_inr),
                "exit_slippage_inr": str(outcome.exit_slippage_inr),
            }
            for outcome in outcomes
        ],
        "naked_seconds_max": round(session.naked_seconds_max, 3),
        "trading": session.risk.told()["mode"],
        "halts": [
            {
                "word": event.word,
                "cause": event.cause,
                "reason": event.reason,
                "actor": event.actor,
                "at": str(event.at),
            }
            for _, event in journal.halt_events(account)
        ],
        "decide_ms": _latency(session.latencies_ms),
        "bar_close_to_order_ms": _latency(entries_ms),
        "refused": [{"rule": rule, "times": times} for rule, times in sorted(refused.items())],
        "alarms": [*session.alarms, *getattr(broker, "alarms", ()), *journal.alarms],
        "alarms_on": session.alarms.on(),
    }


def write_summary(summary: dict[str, Any], reports: Path) -> None:
    reports.mkdir(parents=True, exist_ok=True)
    write_json(summary, reports / "session.json")


def _latency(found: Sequence[float]) -> dict[str, float] | None:
    if not found:
        return None
    p99 = quantiles(found, n=100)[98] if len(found) > 1 else found[0]
    return {"median": round(median(found), 3), "p99": round(p99, 3), "most": round(max(found), 3)}
