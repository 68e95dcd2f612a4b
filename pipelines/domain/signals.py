"""From views to a decision: what the heads think, what they agree on, what the policy makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class Action(StrEnum):
    TAKE = "take"
    REDUCE = "reduce"  #: take, at the reduced size the policy states
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class View:
    """What one head thinks of one instrument at one bar's close."""

    head: str
    direction: float  #: in [-1, 1], below zero is short
    confidence: float  #: in [0, 1]; 0 means no view
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """What is known of one instrument at one bar's close; the input of `decide`, alike in backtest and market."""

    symbol: str
    close_time: datetime
    close: float  #: rupees, of the bar just closed
    tick_size: Decimal
    lot_size: int
    catalogue_hash: str
    values: Mapping[str, float]  #: features and regime probabilities by name; NaN during warm-up


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy says for one instrument and bar."""

    symbol: str
    close_time: datetime  #: close of the bar it was made at; it fills no earlier than the next trade
    action: Action
    side: Side | None  #: None when skipped for want of a direction
    quantity: int  #: shares, 0 when skipped
    reference_price: Decimal  #: the bar's close; slippage is measured against it
    stop: Decimal | None
    target: Decimal | None
    hold_bars: int  #: time barrier, in bars after entry
    signal: float  #: consensus direction in [-1, 1]
    probability: float  #: of success, from the trade model
    expected_return: float  #: per rupee of position, after charges
    stop_risk: float  #: probability that the stop is hit first
    views: tuple[View, ...]
    reasons: tuple[str, ...]
    policy_version: str
    catalogue_hash: str
    regime: str
    extra: Mapping[str, float] = field(default_factory=dict)
