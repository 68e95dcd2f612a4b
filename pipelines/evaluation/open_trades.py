"""What the backtest's engine has decided and not entered yet, and what it holds."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction

from pipelines.domain.charges import Charges
from pipelines.domain.corporate_actions import price_after
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side
from pipelines.evaluation.trades import ZERO


@dataclass
class Pending:
    row: int  #: decided at this row's close
    side: Side
    quantity: int
    stop: Decimal
    target: Decimal
    value: float
    equity: float
    need: Decimal  #: rupees that it blocks
    ratio: Fraction = Fraction(1)  #: of corporate actions between the decision and the entry


@dataclass
class Position:
    side: Side
    quantity: int  #: still held
    entered: int  #: row
    entry_price: Decimal
    bought: int  #: shares at entry
    stop: Decimal
    target: Decimal
    pending: Pending
    charges: Charges
    best: Decimal
    worst: Decimal
    exit_value: Decimal = ZERO  #: cash for fractions of shares included
    ratio: Fraction = Fraction(1)  #: of corporate actions since the entry: shares now for one bought
    leaving: ExitReason | None = None  #: set once an exit is under way but not wholly filled
    ended_at: datetime | None = (
        None  #: if not in a bar: the session's end, where the broker closed it at the last price
    )
    order_day: date | None = None  #: of the exit order, whose charges are per order and so per day
    order_value: Decimal = ZERO
    order_charges: Charges = field(default_factory=Charges)

    @property
    def average_paid(self) -> Decimal:
        """Rupees of one share as there are now."""
        return self.entry_price if self.ratio == 1 else price_after(self.entry_price, self.ratio)


def as_bought(price: Decimal, ratio: Fraction) -> Decimal:
    """A price of today for one share of the entry, when `ratio` shares were made of it since; to the paisa."""
    return price if ratio == 1 else price_after(price, 1 / ratio).quantize(Decimal("0.01"))


def paise(price: float) -> Decimal:
    return Decimal(repr(float(price))).quantize(Decimal("0.01"))
