"""What is held of one instrument because of one decision, from the first fill to the last, and how it fared."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from pipelines.domain.orders import Product
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.signals import Side

#: Entry prices are averages; shown to this many decimals, money is always summed from the fills themselves
PRICE_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Position:
    """One trade while it is open. It bears the id of the decision that caused it."""

    position_id: str  #: of the decision
    symbol: str
    side: Side
    quantity: int  #: shares bought (or sold short) by the entry so far
    product: Product
    entry_price: Decimal  #: volume-weighted over the entry's fills
    entered_at: datetime  #: of the first fill, market time
    stop: Decimal
    target: Decimal | None
    hold_bars: int  #: time barrier
    bars_held: int = 0
    mfe_inr: Decimal = Decimal(0)  #: best unrealised gain so far
    mae_inr: Decimal = Decimal(0)  #: worst unrealised loss so far, not above zero
    exit_reason: ExitReason | None = None  #: why it is being left, once that was decided
    exit_decision_price: Decimal | None = None  #: what the price was when that was decided

    def gain_at(self, price: Decimal) -> Decimal:
        """Unrealised gain in rupees before charges."""
        return (price - self.entry_price) * self.quantity * self.side.sign

    def marked(self, price: Decimal) -> "Position":
        """The position after a trade at `price`, all of it still open."""
        return self.with_gain(self.gain_at(price))

    def with_gain(self, gain: Decimal) -> "Position":
        """The position with best and worst gain brought up to date."""
        if self.mae_inr <= gain <= self.mfe_inr:
            return self
        return replace(self, mfe_inr=max(self.mfe_inr, gain), mae_inr=min(self.mae_inr, gain))

    def reached_target(self, price: Decimal) -> bool:
        return self.target is not None and (price - self.target) * self.side.sign >= 0

    def passed_stop(self, price: Decimal) -> bool:
        """Whether a stop at its trigger would be refused by the broker, since the price is there already."""
        return (self.stop - price) * self.side.sign >= 0

    def expired(self) -> bool:
        """Whether the time barrier is reached."""
        return self.bars_held >= self.hold_bars
