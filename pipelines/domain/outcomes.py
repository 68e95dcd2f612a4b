"""A closed trade with its context: the only thing the next policy learns from."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pipelines.domain.signals import Side


class ExitReason(StrEnum):
    STOP = "stop"
    TARGET = "target"
    TIME = "time"
    SQUARE_OFF = "square_off"
    FLATTEN = "flatten"
    EMERGENCY = "emergency"  #: it could not be protected
    EXTERNAL = "external"  #: an order that is not ours took it back: the broker's square-off, or a person's
    EX_DATE = "ex_date"  #: delivery is not held over a split, bonus, rights issue or demerger


@dataclass(frozen=True, slots=True)
class Outcome:
    symbol: str
    side: Side
    quantity: int
    decision_id: str | None
    policy_version: str
    catalogue_hash: str
    regime: str
    decision_price: Decimal
    entry_price: Decimal  #: volume-weighted over the fills
    exit_price: Decimal
    entered_at: datetime
    exited_at: datetime
    exit_reason: ExitReason
    gross_inr: Decimal
    charges: Mapping[str, Decimal]  #: by item, both legs
    net_inr: Decimal
    mfe_inr: Decimal  #: best unrealised gain while open
    mae_inr: Decimal  #: worst unrealised loss while open, not above zero
    hold_bars: int
    features_hash: str = ""  #: of the inputs of the decision
    entry_slippage_inr: Decimal = Decimal(0)  #: what the entry cost beyond the decision's price; below zero: a gain
    exit_slippage_inr: Decimal = Decimal(0)  #: the same of the exit; a stop is decided at its trigger
    exit_decision_price: Decimal | None = None  #: price at which the exit was decided
    holding_seconds: float = 0.0  #: from the first fill to the last, market time
