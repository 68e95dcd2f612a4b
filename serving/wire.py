"""Rows and decisions as they cross the wire to and from the policy service: JSON, money as text, NaN as null.

Both sides use these four functions, so a value that leaves one process arrives in the other as the same value: a
`Decimal` keeps every digit, a time its moment (in IST), a float its last bit (JSON writes the shortest such text).
"""

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.domain.signals import Action, Decision, FeatureRow, Side, View

ROW_FIELDS = ("symbol", "close_time", "close", "tick_size", "lot_size", "catalogue_hash", "values")


def row_to_wire(row: FeatureRow) -> dict[str, Any]:
    """One feature row as JSON-ready values; NaN and the infinities become null."""
    return {
        "symbol": row.symbol,
        "close_time": row.close_time.isoformat(),
        "close": _number_out(row.close),
        "tick_size": str(row.tick_size),
        "lot_size": int(row.lot_size),
        "catalogue_hash": row.catalogue_hash,
        "values": {name: _number_out(value) for name, value in row.values.items()},
    }


def row_from_wire(wire: Mapping[str, Any], where: str = "row") -> FeatureRow:
    """Read one feature row.

    Parameters
    ----------
    wire : mapping as `row_to_wire` makes it
    where : str
        How an error names the row, e.g. "row 3".

    Raises
    ------
    BadInput : names the row, the field, what was found and what was expected.
    """
    fields = _Fields(wire, where)
    fields.refuse_unknown(ROW_FIELDS)
    close, tick = fields.number("close"), fields.money("tick_size")
    lot = fields.get("lot_size")
    if not (math.isfinite(close) and close > 0):
        raise fields.wrong("close", "a price above zero")
    if tick <= 0:
        raise fields.wrong("tick_size", "an amount above zero")
    if type(lot) is not int or lot < 1:
        raise fields.wrong("lot_size", "a whole number of shares, at least 1")
    values = fields.get("values")
    if not isinstance(values, Mapping):
        raise fields.wrong("values", "a mapping from feature name to number or null")
    return FeatureRow(
        symbol=fields.text("symbol"),
        close_time=fields.time("close_time"),
        close=close,
        tick_size=tick,
        lot_size=lot,
        catalogue_hash=fields.text("catalogue_hash"),
        values={name: _number_in(value, name, where) for name, value in values.items()},
    )


def decision_to_wire(decision: Decision) -> dict[str, Any]:
    """One decision as JSON-ready values."""
    return {
        "symbol": decision.symbol,
        "close_time": decision.close_time.isoformat(),
        "action": decision.action.value,
        "side": decision.side.value if decision.side else None,
        "quantity": int(decision.quantity),
        "reference_price": str(decision.reference_price),
        "stop": _money_out(decision.stop),
        "target": _money_out(decision.target),
        "hold_bars": int(decision.hold_bars),
        "signal": _number_out(decision.signal),
        "probability": _number_out(decision.probability),
        "expected_return": _number_out(decision.expected_return),
        "stop_risk": _number_out(decision.stop_risk),
        "views": [_view_out(view) for view in decision.views],
        "reasons": list(decision.reasons),
        "policy_version": decision.policy_version,
        "catalogue_hash": decision.catalogue_hash,
        "regime": decision.regime,
        "extra": {name: _number_out(value) for name, value in decision.extra.items()},
    }


def decision_from_wire(wire: Mapping[str, Any]) -> Decision:
    """Read one decision; `BadInput` where the answer is not one."""
    fields = _Fields(wire, f"decision on {wire.get('symbol', '?')}" if isinstance(wire, Mapping) else "decision")
    side = fields.get("side")
    return Decision(
        symbol=fields.text("symbol"),
        close_time=fields.time("close_time"),
        action=Action(fields.one_of("action", [action.value for action in Action])),
        side=None if side is None else Side(fields.one_of("side", [side.value for side in Side])),
        quantity=fields.whole("quantity"),
        reference_price=fields.money("reference_price"),
        stop=None if fields.get("stop") is None else fields.money("stop"),
        target=None if fields.get("target") is None else fields.money("target"),
        hold_bars=fields.whole("hold_bars"),
        signal=fields.number("signal"),
        probability=fields.number("probability"),
        expected_return=fields.number("expected_return"),
        stop_risk=fields.number("stop_risk"),
        views=tuple(_view_in(view) for view in fields.get("views")),
        reasons=tuple(fields.get("reasons")),
        policy_version=fields.text("policy_version"),
        catalogue_hash=fields.text("catalogue_hash"),
        regime=str(fields.get("regime")),
        extra={name: _number_in(value, name, fields.where) for name, value in fields.get("extra").items()},
    )


class _Fields:
    """Reads one JSON object field by field; every complaint names the place, what was found and what was expected."""

    def __init__(self, wire: Any, where: str):
        if not isinstance(wire, Mapping):
            raise BadInput(f"{where} is {type(wire).__name__}, an object was expected")
        self.wire, self.where = wire, where

    def get(self, name: str) -> Any:
        if name not in self.wire:
            raise BadInput(f"{self.where} has no {name}; send every field that the API describes")
        return self.wire[name]

    def wrong(self, name: str, expected: str) -> BadInput:
        return BadInput(f"{self.where}: {name} = {self.wire[name]!r:.80}, {expected} was expected")

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        unknown = sorted(set(self.wire) - set(known))
        if unknown:
            raise BadInput(f"{self.where} has the unknown field {unknown[0]!r:.80}; known are {', '.join(known)}")

    def text(self, name: str) -> str:
        found = self.get(name)
        if not isinstance(found, str) or not found:
            raise self.wrong(name, "text")
        return found

    def one_of(self, name: str, choices: list[str]) -> str:
        found = self.text(name)
        if found not in choices:
            raise self.wrong(name, f"one of {', '.join(choices)}")
        return found

    def whole(self, name: str) -> int:
        found = self.get(name)
        if type(found) is not int or found < 0:
            raise self.wrong(name, "a whole number, not below zero")
        return found

    def number(self, name: str) -> float:
        self.get(name)
        return _number_in(self.wire[name], name, self.where)

    def money(self, name: str) -> Decimal:
        return money_in(self.get(name), f"{self.where}: {name}")

    def time(self, name: str) -> datetime:
        try:
            found = datetime.fromisoformat(self.text(name))
        except ValueError:
            raise self.wrong(name, "an ISO 8601 time with its zone") from None
        if found.tzinfo is None:
            raise self.wrong(name, "a time with its zone, e.g. 2026-10-30T09:20:00+05:30,")
        return found.astimezone(IST)


def money_in(found: Any, where: str) -> Decimal:
    """Rupees from text (`"1000000.00"`); a float is refused, since it cannot carry paise exactly."""
    if isinstance(found, str):
        try:
            amount = Decimal(found)
        except InvalidOperation:
            amount = Decimal("NaN")
        if amount.is_finite():
            return amount
    raise BadInput(f'{where} = {found!r:.80}, rupees as text were expected, e.g. "1000000.00"')


def _view_out(view: View) -> dict[str, Any]:
    return {
        "head": view.head,
        "direction": _number_out(view.direction),
        "confidence": _number_out(view.confidence),
        "reasons": list(view.reasons),
    }


def _view_in(wire: Any) -> View:
    fields = _Fields(wire, "view")
    return View(fields.text("head"), fields.number("direction"), fields.number("confidence"), tuple(wire["reasons"]))


def _money_out(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _number_out(value: float) -> float | None:
    value = float(value)  # numpy's floats are not JSON's
    return value if math.isfinite(value) else None


def _number_in(value: Any, name: str, where: str) -> float:
    if type(value) is float:
        return value
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadInput(f"{where}: {name} = {value!r:.80}, a number or null was expected")
    return float(value)
