"""What an order takes of the account's money before it fills, and how many shares the money buys. Pure.

One rule for backtest, executor and paper exchange. An order to the market is reckoned at the price with its market
protection, as Kite does, and with its charges; when it fills, delivery is paid by what is there, and no further.
"""

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal

from pipelines.domain.charges import PAISA, order_charges
from pipelines.domain.instruments import Instrument
from pipelines.domain.margin_rates import margin_rates_on
from pipelines.domain.orders import Product
from pipelines.domain.protection import automatic_percent, protected_limit
from pipelines.domain.signals import Side


def reckoned_price(instrument: Instrument, side: Side, price: Decimal, day: date) -> Decimal:
    """At which price (rupees) the broker reckons an order to the market: a purchase at the end of its protection."""
    if side is Side.SELL:
        return price
    return protected_limit(instrument, side, price, automatic_percent(instrument, price, day))


@dataclass(frozen=True, slots=True)
class Need:
    """What an order for one instrument blocks when it opens a position."""

    instrument: Instrument
    product: Product
    side: Side
    price: Decimal  #: rupees a share, see `reckoned_price`
    day: date
    rate: Decimal  #: rupees blocked for a rupee of the position: 1 for what is paid in whole
    filled: Decimal = Decimal(0)  #: rupees that the order has filled before: charges are of the whole order

    @classmethod
    def of_order(cls, instrument: Instrument, product: Product, side: Side, last: Decimal, day: date) -> "Need":
        """Of an order to the market at a last price, by the broker's own rates."""
        rate = margin_rates_on(instrument, product, day).var
        return cls(instrument, product, side, reckoned_price(instrument, side, last, day), day, rate)

    def of(self, quantity: int) -> Decimal:
        """Rupees, charges included."""
        value = self.price * quantity
        charges = order_charges(
            product=self.product,
            kind=self.instrument.kind,
            side=self.side,
            value=self.filled + value,
            day=self.day,
        )
        return (value * self.rate).quantize(PAISA, ROUND_CEILING) + charges.total

    def most(self, asked: int, free: Decimal) -> int:
        """The most shares, whole lots and no more than asked for, that `free` rupees carry."""
        lot = self.instrument.lot_size
        fits, too_many = 0, asked // lot + 1
        if self.of(asked // lot * lot) <= free:
            return asked // lot * lot
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            if self.of(middle * lot) <= free:
                fits = middle
            else:
                too_many = middle
        return fits * lot
