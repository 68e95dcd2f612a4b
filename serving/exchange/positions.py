"""What the account holds: positions of the day, or carried over the night, and delivered shares."""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.market import PAISA


@dataclass(slots=True)
class Position:
    """One instrument and product: what came over the night, and the day's purchases and sales.

    Shares and options are paid in whole with each fill. A future is not: `carried` is what its fills would have moved
    and cash has not seen; cash gets gains and losses when the position shrinks and at each close.
    """

    instrument: Instrument
    product: Product
    buy_quantity: int = 0
    buy_value: Decimal = Decimal(0)
    sell_quantity: int = 0
    sell_value: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)  #: of the open part
    overnight_quantity: int = 0  #: below zero when short
    overnight_value: Decimal = Decimal(0)  #: rupees it was opened for, with the sign of its quantity
    carried: Decimal = Decimal(0)

    @property
    def quantity(self) -> int:
        """Shares, below zero when short."""
        return self.overnight_quantity + self.day_quantity

    @property
    def day_quantity(self) -> int:
        return self.buy_quantity - self.sell_quantity

    @property
    def settled_daily(self) -> bool:
        return self.instrument.kind is Kind.FUTURE

    def take(self, side: Side, quantity: int, price: Decimal) -> Decimal:
        """Book a fill; what it moves cash by, rupees."""
        before, change = self.quantity, side.sign * quantity
        moved = -side.sign * price * quantity
        self._average(before, change, price)
        if side is Side.BUY:
            self.buy_quantity += quantity
            self.buy_value += price * quantity
        else:
            self.sell_quantity += quantity
            self.sell_value += price * quantity
        if not self.settled_daily:
            return moved
        gain = self._realised_by(before, change, price)
        self.carried += moved - gain
        return gain

    def give(self, side: Side, quantity: int, price: Decimal) -> Decimal:
        """Take back what was bought (or sold) today, at a price near its average; what is left over for cash.

        The other half of a conversion: another product takes the same quantity at the same price.
        """
        if side is Side.BUY:
            self.buy_quantity -= quantity
            self.buy_value -= price * quantity
        else:
            self.sell_quantity -= quantity
            self.sell_value -= price * quantity
        if not self.quantity:
            self.average_price = Decimal(0)
        if not self.settled_daily:
            return side.sign * price * quantity
        self.carried += side.sign * price * quantity
        return self.mark(Decimal(0)) if not self.quantity else Decimal(0)

    def mark(self, price: Decimal) -> Decimal:
        """Settle a future at a price: the gain since it was last settled, rupees; from now on it starts there."""
        gain = self.unsettled(price)
        self.carried = -self.quantity * price
        return gain

    def carry_over(self) -> None:
        """The night: what is open stays, the day's purchases and sales are those of yesterday."""
        self.overnight_quantity, self.overnight_value = self.quantity, self.quantity * self.average_price
        self.buy_quantity = self.sell_quantity = 0
        self.buy_value = self.sell_value = Decimal(0)

    def unsettled(self, price: Decimal) -> Decimal:
        """Gain of a future that cash has not seen yet."""
        return self.carried + self.quantity * price

    def unrealised(self, last_price: Decimal) -> Decimal:
        return (last_price - self.average_price) * self.quantity

    @property
    def realised(self) -> Decimal:
        return self.sell_value - self.buy_value - self.overnight_value + self.average_price * self.quantity

    def _average(self, before: int, change: int, price: Decimal) -> None:
        after = before + change
        if before * change >= 0:
            self.average_price = (self.average_price * abs(before) + price * abs(change)) / abs(after)
        elif after == 0:
            self.average_price = Decimal(0)
        elif before * after < 0:
            self.average_price = price

    def _realised_by(self, before: int, change: int, price: Decimal) -> Decimal:
        """Gain of the part that a fill closes; exact when all is closed, to the paisa else."""
        if before * change >= 0:
            return Decimal(0)
        closed = min(abs(before), abs(change))
        share = self.carried if closed == abs(before) else self.carried * closed / abs(before)
        return (share + price * (closed if before > 0 else -closed)).quantize(PAISA, ROUND_HALF_UP)


@dataclass(slots=True)
class Holding:
    """Delivered shares: bought on an earlier day."""

    instrument: Instrument
    average_price: Decimal
    settled: int = 0
    t1: int = 0  #: bought on the day before, settled at the end of this one

    @property
    def quantity(self) -> int:
        return self.settled + self.t1

    def add(self, quantity: int, price: Decimal) -> None:
        self.average_price = (self.average_price * self.quantity + price * quantity) / (self.quantity + quantity)
        self.t1 += quantity

    def remove(self, quantity: int) -> None:
        from_settled = min(quantity, self.settled)
        self.settled -= from_settled
        self.t1 -= quantity - from_settled
