"""What crosses the wire arrives as it left, and what is not a row is refused with its place."""

import json
import math
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.domain.signals import Action, Decision, FeatureRow, Side, View
from serving.wire import decision_from_wire, decision_to_wire, money_in, row_from_wire, row_to_wire

CLOSE_TIME = datetime(2026, 10, 30, 9, 20, tzinfo=IST)


def a_row(**changes) -> FeatureRow:
    row = FeatureRow(
        symbol="RELIANCE",
        close_time=CLOSE_TIME,
        close=2950.15,
        tick_size=Decimal("0.05"),
        lot_size=1,
        catalogue_hash="abc",
        values={"atr_pct_14": 0.1 + 0.2, "regime_bull": math.nan},
    )
    return replace(row, **changes)


def a_decision(**changes) -> Decision:
    decision = Decision(
        symbol="RELIANCE",
        close_time=CLOSE_TIME,
        action=Action.TAKE,
        side=Side.SELL,
        quantity=33,
        reference_price=Decimal("2950.15"),
        stop=Decimal("2980.00"),
        target=Decimal("2900.50"),
        hold_bars=24,
        signal=-0.4,
        probability=1 / 3,
        expected_return=0.0012,
        stop_risk=0.2,
        views=(View("trend", -0.5, 0.7, ("below the 20-bar mean",)),),
        reasons=("probability 0.62 is above 0.50",),
        policy_version="0123456789ab",
        catalogue_hash="abc",
        regime="bear",
        extra={"stop_distance": 0.01},
    )
    return replace(decision, **changes)


def over_the_wire(content: dict) -> dict:
    return json.loads(json.dumps(content, allow_nan=False))


def test_a_row_arrives_to_the_bit_and_its_missing_values_as_nan():
    row = a_row()

    arrived = row_from_wire(over_the_wire(row_to_wire(row)))

    assert arrived.values["atr_pct_14"] == row.values["atr_pct_14"]
    assert math.isnan(arrived.values["regime_bull"])
    assert replace(arrived, values={}) == replace(row, values={})


def test_a_decision_arrives_as_it_left():
    decision = a_decision()

    arrived = decision_from_wire(over_the_wire(decision_to_wire(decision)))

    assert arrived == decision


def test_a_skip_without_side_stop_and_probability_arrives_so():
    decision = a_decision(
        action=Action.SKIP, side=None, quantity=0, stop=None, target=None, probability=math.nan, views=()
    )

    arrived = decision_from_wire(over_the_wire(decision_to_wire(decision)))

    assert (arrived.action, arrived.side, arrived.stop, arrived.target) == (Action.SKIP, None, None, None)
    assert math.isnan(arrived.probability)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("close", -1.0, "a price above zero"),
        ("close", None, "a price above zero"),
        ("close", "2950", "a number or null"),
        ("tick_size", 0.05, "rupees as text"),
        ("tick_size", "NaN", "rupees as text"),
        ("lot_size", 0, "at least 1"),
        ("lot_size", True, "at least 1"),
        ("close_time", "2026-10-30T09:20:00", "with its zone"),
        ("close_time", "yesterday", "ISO 8601"),
        ("symbol", "", "text"),
        ("values", [1, 2], "a mapping"),
        ("values", {"rsi": "high"}, "rsi = 'high', a number or null"),
    ],
)
def test_a_bad_field_is_named_with_its_row_and_what_was_expected(field, value, expected):
    wire = row_to_wire(a_row()) | {field: value}

    with pytest.raises(BadInput) as refused:
        row_from_wire(wire, "row 3")

    assert "row 3" in str(refused.value)
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_and_an_unknown_field_are_named():
    wire = row_to_wire(a_row())

    with pytest.raises(BadInput, match="unknown field 'colour'"):
        row_from_wire(wire | {"colour": "red"})
    with pytest.raises(BadInput, match="has no symbol"):
        row_from_wire({name: value for name, value in wire.items() if name != "symbol"})
    with pytest.raises(BadInput, match="row is str"):
        row_from_wire("RELIANCE")  # type: ignore[arg-type]


def test_money_is_text_and_finite():
    assert money_in("1000000.00", "equity_inr") == Decimal("1000000.00")
    for wrong in (1000000.0, "a lot", "Infinity", None):
        with pytest.raises(BadInput, match="equity_inr"):
            money_in(wrong, "equity_inr")
