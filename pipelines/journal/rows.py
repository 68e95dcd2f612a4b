"""Records of the domain as rows of the journal's tables, and back. Both journals use them, so they keep the same."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.equity import EquityDay
from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.domain.orders import (
    BookedOrder,
    Fill,
    Intent,
    IntentStatus,
    OrderStatus,
    OrderType,
    Product,
    Purpose,
)
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.positions import Position
from pipelines.domain.signals import Action, Decision, Side, View

Row = dict[str, Any]
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # as JSON writes it, not behind a backslash that is one itself
NOT_A_CHARACTER = "\ufffd"  #: stands where text from outside had something that is none


def features_hash(values: Mapping[str, float]) -> str:
    """Names the inputs of a decision: the hash of all features to their last bit."""
    text = "\n".join(f"{name}={float(value).hex()}" for name, value in sorted(values.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def decision_row(decision: Decision) -> Row:
    row = {name: getattr(decision, name) for name in Decision.__slots__}
    for name in ("signal", "probability", "expected_return", "stop_risk"):
        row[name] = _finite(row[name])
    row["views"] = as_json([asdict(view) for view in decision.views])
    row["reasons"] = as_json(list(decision.reasons))
    row["extra"] = as_json({name: _finite(value) for name, value in decision.extra.items()})
    return row


def decision_from(row: Mapping[str, Any]) -> Decision:
    fields = {name: row[name] for name in Decision.__slots__}
    for name in ("signal", "probability", "expected_return", "stop_risk"):
        fields[name] = math.nan if fields[name] is None else fields[name]
    fields |= {
        "close_time": row["close_time"].astimezone(IST),
        "action": Action(row["action"]),
        "side": row["side"] and Side(row["side"]),
        "views": tuple(View(**view | {"reasons": tuple(view["reasons"])}) for view in from_json(row["views"])),
        "reasons": tuple(from_json(row["reasons"])),
        "extra": {name: math.nan if value is None else value for name, value in from_json(row["extra"]).items()},
    }
    return Decision(**fields)


def intent_row(intent: Intent) -> Row:
    return {name: getattr(intent, name) for name in Intent.__slots__}


def intent_from(row: Mapping[str, Any]) -> Intent:
    words = {
        "purpose": Purpose,
        "side": Side,
        "order_type": OrderType,
        "product": Product,
        "status": IntentStatus,
    }
    fields = {name: row[name] for name in Intent.__slots__}
    fields |= {name: kind(row[name]) for name, kind in words.items()}
    return Intent(**fields | {"created_at": row["created_at"].astimezone(IST)})


def order_row(order: BookedOrder) -> Row:
    return {name: getattr(order, name) for name in BookedOrder.__slots__}


def order_from(row: Mapping[str, Any]) -> BookedOrder:
    words = {"side": Side, "order_type": OrderType, "product": Product, "status": OrderStatus}
    fields = {name: row[name] for name in BookedOrder.__slots__}
    fields |= {name: kind(row[name]) for name, kind in words.items()}
    return BookedOrder(**fields | {"placed_at": row["placed_at"].astimezone(IST)})


def fill_row(fill: Fill) -> Row:
    return {name: getattr(fill, name) for name in Fill.__slots__}


def fill_from(row: Mapping[str, Any]) -> Fill:
    fields = {name: row[name] for name in Fill.__slots__}
    return Fill(**fields | {"side": Side(row["side"]), "filled_at": row["filled_at"].astimezone(IST)})


def position_row(position: Position) -> Row:
    return {name: getattr(position, name) for name in Position.__slots__}


def position_from(row: Mapping[str, Any]) -> Position:
    fields = {name: row[name] for name in Position.__slots__}
    fields |= {
        "side": Side(row["side"]),
        "product": Product(row["product"]),
        "entered_at": row["entered_at"].astimezone(IST),
        "exit_reason": row["exit_reason"] and ExitReason(row["exit_reason"]),
    }
    return Position(**fields)


def outcome_row(outcome: Outcome) -> Row:
    row = {name: getattr(outcome, name) for name in Outcome.__slots__}
    return row | {"charges": as_json({name: str(amount) for name, amount in outcome.charges.items()})}


def outcome_from(row: Mapping[str, Any]) -> Outcome:
    fields = {name: row[name] for name in Outcome.__slots__}
    fields |= {
        "side": Side(row["side"]),
        "exit_reason": ExitReason(row["exit_reason"]),
        "entered_at": row["entered_at"].astimezone(IST),
        "exited_at": row["exited_at"].astimezone(IST),
        "charges": {name: Decimal(amount) for name, amount in from_json(row["charges"]).items()},
    }
    return Outcome(**fields)


def as_json(content: Any) -> str:
    """JSON that PostgreSQL can keep: what is not finite is null, text is as `storable` makes it."""
    try:
        text = json.dumps(content, ensure_ascii=False, default=str, allow_nan=False)
    except RecursionError:
        text = json.dumps("nested too deeply to be kept")
    except ValueError:
        text = json.dumps(_without_nan(content), ensure_ascii=False, default=str)
    return storable(_NUL.sub(rf"\1{NOT_A_CHARACTER}", text))


def storable(text: str) -> str:
    """Text that PostgreSQL can keep: it knows neither NUL nor half of a surrogate pair."""
    if text.isascii() and "\x00" not in text:
        return text
    return text.replace("\x00", NOT_A_CHARACTER).encode(errors="replace").decode()


def _without_nan(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {str(name): _without_nan(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return content


def from_json(content: Any) -> Any:
    return json.loads(content) if isinstance(content, str) else content


def _finite(value: float) -> float | None:
    value = float(value)
    return value if math.isfinite(value) else None


def halt_row(event: HaltEvent) -> Row:
    return {name: getattr(event, name) for name in HaltEvent.__slots__}


def halt_from(row: Mapping[str, Any]) -> HaltEvent:
    fields = {name: row[name] for name in HaltEvent.__slots__}
    return HaltEvent(
        **fields | {"word": Word(row["word"]), "cause": Cause(row["cause"]), "at": row["at"].astimezone(IST)}
    )


def equity_day_row(day: EquityDay) -> Row:
    return {"day": day.day, "opening_inr": day.opening, "peak_inr": day.peak, "last_inr": day.last, "at": day.at}


def equity_day_from(row: Mapping[str, Any]) -> EquityDay:
    return EquityDay(row["day"], row["opening_inr"], row["peak_inr"], row["last_inr"], row["at"].astimezone(IST))
