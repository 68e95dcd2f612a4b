"""Builders of what the journal keeps: each names only what matters to the case."""

from datetime import datetime
from decimal import Decimal

from pipelines.domain.bars import IST
from pipelines.domain.orders import BookedOrder, Fill, Intent, IntentStatus, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.positions import Position
from pipelines.domain.signals import Action, Decision, Side, View

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)


def a_decision(**changes) -> Decision:
    fields = {
        "symbol": "RELIANCE",
        "close_time": NOON,
        "action": Action.TAKE,
        "side": Side.BUY,
        "quantity": 10,
        "reference_price": Decimal("100.00"),
        "stop": Decimal("98.00"),
        "target": Decimal("105.00"),
        "hold_bars": 12,
        "signal": 0.4,
        "probability": 0.6,
        "expected_return": 0.002,
        "stop_risk": 0.3,
        "views": (View("trend", 0.5, 0.8, ("above its mean",)),),
        "reasons": ("consensus 0.40",),
        "policy_version": "abc123",
        "catalogue_hash": "cafe",
        "regime": "bull",
        "extra": {"size": 1.5},
    }
    return Decision(**fields | changes)


def an_intent(**changes) -> Intent:
    fields = {
        "intent_id": "i1",
        "tag": "TS0000000000000001",
        "decision_id": None,
        "purpose": Purpose.ENTRY,
        "symbol": "RELIANCE",
        "side": Side.BUY,
        "quantity": 10,
        "order_type": OrderType.MARKET,
        "product": Product.MIS,
        "limit_price": None,
        "trigger_price": None,
        "status": IntentStatus.PLANNED,
        "created_at": NOON,
    }
    return Intent(**fields | changes)


def an_order(**changes) -> BookedOrder:
    fields = {
        "order_id": "261030000000001",
        "tag": "TS0000000000000001",
        "symbol": "RELIANCE",
        "side": Side.BUY,
        "quantity": 10,
        "filled_quantity": 0,
        "order_type": OrderType.MARKET,
        "product": Product.MIS,
        "status": OrderStatus.WORKING,
        "trigger_price": None,
        "placed_at": NOON,
    }
    return BookedOrder(**fields | changes)


def a_fill(**changes) -> Fill:
    fields = {
        "trade_id": "1",
        "order_id": "261030000000001",
        "symbol": "RELIANCE",
        "side": Side.BUY,
        "quantity": 10,
        "price": Decimal("100.05"),
        "filled_at": NOON,
    }
    return Fill(**fields | changes)


def a_position(**changes) -> Position:
    fields = {
        "position_id": "d1",
        "symbol": "RELIANCE",
        "side": Side.BUY,
        "quantity": 10,
        "product": Product.MIS,
        "entry_price": Decimal("100.0500"),
        "entered_at": NOON,
        "stop": Decimal("98.00"),
        "target": Decimal("105.00"),
        "hold_bars": 12,
    }
    return Position(**fields | changes)


def an_outcome(**changes) -> Outcome:
    fields = {
        "symbol": "RELIANCE",
        "side": Side.BUY,
        "quantity": 10,
        "decision_id": None,
        "policy_version": "abc123",
        "catalogue_hash": "cafe",
        "regime": "bull",
        "decision_price": Decimal("100.00"),
        "entry_price": Decimal("100.0500"),
        "exit_price": Decimal("98.0000"),
        "entered_at": NOON,
        "exited_at": NOON.replace(hour=13),
        "exit_reason": ExitReason.STOP,
        "gross_inr": Decimal("-20.50"),
        "charges": {"brokerage": Decimal("0.60"), "gst": Decimal("0.12")},
        "net_inr": Decimal("-21.22"),
        "mfe_inr": Decimal("3.00"),
        "mae_inr": Decimal("-20.50"),
        "hold_bars": 12,
    }
    return Outcome(**fields | changes)
