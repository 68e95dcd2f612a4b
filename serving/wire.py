"""Rows and decisions as they cross the wire to and from the policy service: JSON, money as text, NaN as null.

What comes in is typed and bounded: whatever it may be, reading it ends in a record or in `BadInput`. Both sides use
these four functions, so a value that leaves one process arrives in the other as the same value: a `Decimal` keeps every
digit, a time its moment (in IST), a float its last bit (JSON writes the shortest such text).
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
LONGEST_NAME = 200  #: characters of a symbol, a hash, a version, a head's or a feature's name
LONGEST_TEXT = 1000  #: of a reason
MOST_VALUES = 5000  #: features of a row
MOST_PARTS = 200  #: views of a decision, reasons, figures beside it
LARGEST_COUNT = 10**9  #: shares
LARGEST_MONEY, FINEST_MONEY = 15, -20  #: powers of ten of rupees
PRICES = (1e-4, 1e8)  #: rupees a share
TICKS = (Decimal("0.0001"), Decimal(10_000))  #: rupees
LARGEST_LOT = 10**7
YEARS = (1990, 2199)
_LARGEST = 1e300  # of any number: what is larger is infinite after a step or two


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
    if not PRICES[0] <= close <= PRICES[1]:  # nor NaN
        raise fields.wrong("close", f"a price above zero, at most {PRICES[1]:g},")
    if not TICKS[0] <= tick <= TICKS[1]:
        raise fields.wrong("tick_size", f"an amount from {TICKS[0]} to {TICKS[1]}")
    if type(lot) is not int or not 1 <= lot <= LARGEST_LOT:
        raise fields.wrong("lot_size", f"a whole number of shares, at least 1, at most {LARGEST_LOT},")
    values = fields.get("values")
    if not isinstance(values, Mapping) or len(values) > MOST_VALUES:
        raise fields.wrong("values", f"a mapping from feature name to number or null, at most {MOST_VALUES},")
    return FeatureRow(
        symbol=fields.text("symbol"),
        close_time=fields.time("close_time"),
        close=close,
        tick_size=tick,
        lot_size=lot,
        catalogue_hash=fields.text("catalogue_hash"),
        values={
            name: value if type(value) is float and -_LARGEST < value < _LARGEST else _number_in(value, name, where)
            for name, value in values.items()
        },
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
    """Read one decision.

    Raises
    ------
    BadInput : where it is none; fields that are not known are passed over.
    """
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
        views=tuple(_view_in(view) for view in fields.parts("views")),
        reasons=fields.texts("reasons"),
        policy_version=fields.text("policy_version"),
        catalogue_hash=fields.text("catalogue_hash"),
        regime=fields.text("regime"),
        extra=fields.numbers("extra"),
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
        return BadInput(f"{self.where}: {name} = {_shown(self.wire[name])}, {expected} was expected")

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        unknown = sorted(set(self.wire) - set(known))
        if unknown:
            raise BadInput(f"{self.where} has the unknown field {_shown(unknown[0])}; known are {', '.join(known)}")

    def text(self, name: str) -> str:
        found = self.get(name)
        if not isinstance(found, str) or not found or not is_plain(found, LONGEST_NAME):
            raise self.wrong(name, f"text of at most {LONGEST_NAME} printable characters")
        return found

    def parts(self, name: str) -> list[Any]:
        found = self.get(name)
        if not isinstance(found, list) or len(found) > MOST_PARTS:
            raise self.wrong(name, f"a list of at most {MOST_PARTS}")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        found = self.parts(name)
        if not all(isinstance(text, str) and is_plain(text, LONGEST_TEXT) for text in found):
            raise self.wrong(name, f"a list of texts of at most {LONGEST_TEXT} printable characters")
        return tuple(found)

    def numbers(self, name: str) -> dict[str, float]:
        found = self.get(name)
        if not isinstance(found, Mapping) or len(found) > MOST_PARTS:
            raise self.wrong(name, f"a mapping from name to number, at most {MOST_PARTS},")
        return {_name_in(key, self.where): _number_in(value, key, self.where) for key, value in found.items()}

    def one_of(self, name: str, choices: list[str]) -> str:
        found = self.text(name)
        if found not in choices:
            raise self.wrong(name, f"one of {', '.join(choices)}")
        return found

    def whole(self, name: str) -> int:
        found = self.get(name)
        if type(found) is not int or not 0 <= found <= LARGEST_COUNT:
            raise self.wrong(name, f"a whole number from 0 to {LARGEST_COUNT}")
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
        if not YEARS[0] <= found.year <= YEARS[1]:
            raise self.wrong(name, f"a time in the years {YEARS[0]} to {YEARS[1]}")
        return found.astimezone(IST)


def is_plain(text: str, longest: int) -> bool:
    """Whether a text is short and has nothing in it that a log line, a table or a file cannot keep."""
    return len(text) <= longest and text.isprintable()


def money_in(found: Any, where: str) -> Decimal:
    """Rupees from text (`"1000000.00"`); a float is refused, since it cannot carry paise exactly."""
    if isinstance(found, str) and len(found) <= 60 and found.isascii():
        try:
            amount = Decimal(found)
        except InvalidOperation:
            amount = Decimal("NaN")
        if amount.is_finite() and _has_sane_size(amount):
            return amount
    raise BadInput(f'{where} = {_shown(found)}, rupees as text were expected, e.g. "1000000.00"')


def _has_sane_size(amount: Decimal) -> bool:
    """Arithmetic with the others takes a moment and loses no digit; 1e999 or 1e-300 would not."""
    exponent = amount.as_tuple().exponent
    return amount.adjusted() <= LARGEST_MONEY and isinstance(exponent, int) and exponent >= FINEST_MONEY


def _shown(found: Any) -> str:
    """A few characters of what was found; an integer of a million digits, or a list of as many, is not written out."""
    if isinstance(found, str):
        return f"{found[:80]!r:.80}"
    if isinstance(found, bool | float | None):
        return repr(found)
    if isinstance(found, int):
        return repr(found) if abs(found) < 10**18 else "a huge number"
    if isinstance(found, Mapping | list | tuple):
        return f"{type(found).__name__} of {len(found)}" if len(found) > 3 or _is_nested(found) else f"{found!r:.80}"
    return type(found).__name__


def _is_nested(found: Any) -> bool:
    parts = found.values() if isinstance(found, Mapping) else found
    return any(not isinstance(part, bool | float | None) for part in parts)


def _view_out(view: View) -> dict[str, Any]:
    return {
        "head": view.head,
        "direction": _number_out(view.direction),
        "confidence": _number_out(view.confidence),
        "reasons": list(view.reasons),
    }


def _view_in(wire: Any) -> View:
    fields = _Fields(wire, "view")
    return View(fields.text("head"), fields.number("direction"), fields.number("confidence"), fields.texts("reasons"))


def _money_out(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _number_out(value: float) -> float | None:
    value = float(value)  # numpy's floats are not JSON's
    return value if math.isfinite(value) else None


def _name_in(name: Any, where: str) -> str:
    if not isinstance(name, str) or not is_plain(name, LONGEST_NAME):
        raise BadInput(f"{where}: {_shown(name)} is no name")
    return name


def _number_in(value: Any, name: str, where: str) -> float:
    if type(value) is float and -_LARGEST < value < _LARGEST:
        return value
    if value is None or value != value:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST < value < _LARGEST:
        raise BadInput(f"{where}: {name:.80} = {_shown(value)}, a number or null was expected")
    return float(value)
