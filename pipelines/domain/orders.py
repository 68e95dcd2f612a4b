"""The life of a decision in the market: intent, order, fill. States and arrows stand here once, in SQL the same."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pipelines.domain.signals import Side

SQUARE_OFF_TAG = "rmssquareoff"  #: on the orders by which the broker ends intraday positions


class Purpose(StrEnum):
    ENTRY = "entry"
    STOP = "stop"  #: the protective order that rests at the broker
    EXIT = "exit"
    CORRECTION = "correction"  #: buys back what was taken back beyond what was held


class OrderType(StrEnum):
    MARKET = "MARKET"  #: through the API always with market protection
    LIMIT = "LIMIT"
    SL = "SL"
    SL_M = "SL-M"


class Product(StrEnum):
    MIS = "MIS"  #: intraday, squared off by the broker
    CNC = "CNC"  #: delivery, long only
    NRML = "NRML"  #: futures and options that may stay overnight


class IntentStatus(StrEnum):
    PLANNED = "planned"  #: committed to the journal, not yet sent
    SENT = "sent"  #: handed to the broker; the answer may be unknown
    OPEN = "open"  #: seen in the broker's order book
    DONE = "done"  #: filled in whole
    CANCELLED = "cancelled"  #: ended with less than its quantity filled
    REJECTED = "rejected"
    ABANDONED = "abandoned"  #: planned, never sent, too old to send now


INTENT_NEXT: dict[IntentStatus, frozenset[IntentStatus]] = {
    IntentStatus.PLANNED: frozenset({IntentStatus.SENT, IntentStatus.ABANDONED}),
    IntentStatus.SENT: frozenset(
        {IntentStatus.OPEN, IntentStatus.DONE, IntentStatus.CANCELLED, IntentStatus.REJECTED, IntentStatus.ABANDONED}
    ),
    IntentStatus.OPEN: frozenset({IntentStatus.DONE, IntentStatus.CANCELLED, IntentStatus.REJECTED}),
    IntentStatus.DONE: frozenset(),
    IntentStatus.CANCELLED: frozenset(),
    IntentStatus.REJECTED: frozenset(),
    IntentStatus.ABANDONED: frozenset(),
}


ENDED = frozenset(status for status, following in INTENT_NEXT.items() if not following)


def may_move(status: IntentStatus, to: IntentStatus) -> bool:
    """Whether an intent may go from one status to another; staying is no move."""
    return to in INTENT_NEXT[status]


class OrderStatus(StrEnum):
    """Where a broker's order stands, in the few words that matter to us; Kite has more."""

    WORKING = "working"  #: received, validated, open or waiting for its trigger
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    @property
    def ended(self) -> bool:
        return self is not OrderStatus.WORKING


@dataclass(frozen=True, slots=True)
class BookedOrder:
    """An order as the broker's order book shows it."""

    order_id: str  #: the broker's
    tag: str | None  #: ours, of the intent; None if somebody else placed it
    symbol: str
    side: Side
    quantity: int
    filled_quantity: int
    order_type: OrderType
    product: Product
    status: OrderStatus
    trigger_price: Decimal | None
    placed_at: datetime  #: market time
    message: str = ""  #: the broker's reason for a rejection
    limit_price: Decimal | None = None  #: a protected order shows its band
    triggered: bool = False  #: of a stop: its trigger was touched, and what is left of it rests as a limit

    @property
    def pending_quantity(self) -> int:
        return 0 if self.status.ended else self.quantity - self.filled_quantity


@dataclass(frozen=True, slots=True)
class Intent:
    """A will to trade, committed before the order is sent; its tag is how we find the order again."""

    intent_id: str
    tag: str  #: unique, at most 20 letters and digits, sent as Kite's order tag
    decision_id: str | None
    purpose: Purpose
    symbol: str
    side: Side
    quantity: int  #: shares, above zero
    order_type: OrderType
    product: Product
    limit_price: Decimal | None
    trigger_price: Decimal | None
    status: IntentStatus
    created_at: datetime  #: market time


@dataclass(frozen=True, slots=True)
class Fill:
    trade_id: str  #: the broker's
    order_id: str  #: the broker's
    symbol: str
    side: Side
    quantity: int
    price: Decimal
    filled_at: datetime  #: market time
