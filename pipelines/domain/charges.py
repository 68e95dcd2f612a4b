"""What Zerodha, the exchange and the state take for one order on NSE (shares, futures, options), from dated rates.

The rates stand in `facts/charges.csv` with the day from which they hold and their source; shares of the traded value,
not percent. Backtest, paper exchange and executor all charge by `order_charges`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.domain.trading_phases import square_off_fee

PAISA = Decimal("0.01")
#: In which products each kind is traded
PRODUCTS_OF: Mapping[Kind, tuple[Product, ...]] = {
    Kind.STOCK: (Product.CNC, Product.MIS),
    Kind.FUTURE: (Product.NRML, Product.MIS),
    Kind.OPTION: (Product.NRML, Product.MIS),
    Kind.INDEX: (),
}
_FACTS = Path(__file__).with_name("facts") / "charges.csv"


@dataclass(frozen=True, slots=True)
class Charges:
    """Rupees taken, by item; each rounded to the paisa."""

    brokerage: Decimal = Decimal("0.00")
    stt: Decimal = Decimal("0.00")  #: securities transaction tax
    exchange: Decimal = Decimal("0.00")  #: NSE's transaction charge, with its investor protection fund's share
    sebi: Decimal = Decimal("0.00")
    stamp: Decimal = Decimal("0.00")  #: stamp duty, on purchases
    gst: Decimal = Decimal("0.00")  #: on brokerage, exchange and SEBI
    dp: Decimal = Decimal("0.00")  #: depository participant, tax included: once per scrip and day on delivered sales

    @property
    def total(self) -> Decimal:
        return self.brokerage + self.stt + self.exchange + self.sebi + self.stamp + self.gst + self.dp

    def as_dict(self) -> dict[str, Decimal]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __add__(self, other: "Charges") -> "Charges":
        return Charges(**{name: value + getattr(other, name) for name, value in self.as_dict().items()})

    def part(self, share: Fraction) -> "Charges":
        """A share of them, from 0 to 1, each item rounded half up to the paisa."""
        exact = {name: value * share.numerator / share.denominator for name, value in self.as_dict().items()}
        return Charges(**{name: value.quantize(PAISA, ROUND_HALF_UP) for name, value in exact.items()})

    def __sub__(self, other: "Charges") -> "Charges":
        return Charges(**{name: value - getattr(other, name) for name, value in self.as_dict().items()})


@dataclass(frozen=True, slots=True)
class ChargeRates:
    """Rates of one kind and product from one day on; shares of the traded value, of an option's of its premium."""

    effective_from: date
    kind: Kind
    product: Product | None  #: None: of every product, futures and options
    brokerage_rate: Decimal | None  #: None: the cap is taken of every order, however small
    brokerage_cap_inr: Decimal
    stt_buy: Decimal
    stt_sell: Decimal
    stt_exercise: Decimal  #: of the intrinsic value, paid by who holds an option at its expiry
    exchange: Decimal
    ipft: Decimal  #: NSE's investor protection fund, where it is taken beside the exchange's charge: no GST on it
    sebi: Decimal
    stamp_buy: Decimal
    gst: Decimal
    dp_inr: Decimal
    source: str


def rates_on(product: Product, day: date, kind: Kind = Kind.STOCK) -> ChargeRates:
    """The rates that hold on `day`.

    What the exchange took before October 2024 is not known well enough to be written down: its rates of then stand in
    for all earlier days, and they are close.

    Raises
    ------
    BadInput : if the kind is not traded in that product: stocks in NRML, futures and options in CNC, an index in any.
    """
    traded = PRODUCTS_OF[kind]
    if product not in traded:
        known_products = " or ".join(traded) or "nothing: it is not traded"
        raise BadInput(f"a {kind} has no charges in product {product}; pass {known_products}")
    known = _rates()[kind, product if kind is Kind.STOCK else None]
    return next((rates for rates in reversed(known) if rates.effective_from <= day), known[0])


def order_charges(
    *,
    product: Product,
    side: Side,
    value: Decimal,
    day: date,
    kind: Kind = Kind.STOCK,
    first_delivery_sale: bool = False,
    squared_off: bool = False,
) -> Charges:
    """Charges of one order, each item rounded half up to the paisa.

    Parameters
    ----------
    product : Product
        MIS (intraday), CNC (delivery) or NRML (futures and options overnight).
    side : Side
        Stamp duty is taken from purchases; STT from sales, and from purchases for delivery.
    value : Decimal
        Rupees filled by the whole order, not below zero: the brokerage cap is per order, not per fill. Of an option
        the premium.
    day : date
        Trading day, which chooses the rates.
    kind : Kind
        What is traded.
    first_delivery_sale : bool
        True for the first CNC sale of this scrip on this day; only then the DP charge is taken.
    squared_off : bool
        True for an order by which the broker ended an intraday position: its fee counts as brokerage.

    Returns
    -------
    Charges

    Raises
    ------
    BadInput : if `value` is below zero, or the kind is not traded in the product.

    References
    ----------
    zerodha.com/charges, read 2026-10-07. Round trips at one price: Rs 1 lakh intraday 82.68, delivery 222.48 + 15.34;
    futures of Rs 10 lakh 612.75, options of Rs 1 lakh premium 284.29 before each order's items are rounded.
    """
    exact = exact_charges(
        product=product,
        side=side,
        value=value,
        day=day,
        kind=kind,
        first_delivery_sale=first_delivery_sale,
        squared_off=squared_off,
    )
    rates = rates_on(product, day, kind)
    brokerage, exchange, sebi = _paisa(exact.brokerage), _paisa(exact.exchange), _paisa(exact.sebi)
    taxed = brokerage + _paisa(value * rates.exchange) + sebi
    return Charges(
        brokerage=brokerage,
        stt=_paisa(exact.stt),
        exchange=exchange,
        sebi=sebi,
        stamp=_paisa(exact.stamp),
        gst=_paisa(taxed * rates.gst),
        dp=_paisa(exact.dp),
    )


def exact_charges(
    *,
    product: Product,
    side: Side,
    value: Decimal,
    day: date,
    kind: Kind = Kind.STOCK,
    first_delivery_sale: bool = False,
    squared_off: bool = False,
) -> Charges:
    """The same before anything is rounded, as Kite's virtual contract note tells it; arguments of `order_charges`."""
    if value < 0:
        raise BadInput(f"an order's value is not below zero, received {value}; pass price times shares filled")
    rates = rates_on(product, day, kind)
    if value == 0:
        return Charges()
    buying = side is Side.BUY
    fee, _ = square_off_fee(day) if squared_off else (Decimal(0), Decimal(0))
    proportional = rates.brokerage_cap_inr if rates.brokerage_rate is None else value * rates.brokerage_rate
    brokerage = min(proportional, rates.brokerage_cap_inr) + fee
    exchange, sebi = value * rates.exchange, value * rates.sebi
    return Charges(
        brokerage=brokerage,
        stt=value * (rates.stt_buy if buying else rates.stt_sell),
        exchange=exchange + value * rates.ipft,
        sebi=sebi,
        stamp=value * rates.stamp_buy if buying else Decimal(0),
        gst=(brokerage + exchange + sebi) * rates.gst,
        dp=rates.dp_inr if first_delivery_sale and not buying and product is Product.CNC else Decimal(0),
    )


def exercise_charges(intrinsic_value: Decimal, day: date) -> Charges:
    """What the holder of an option pays when it is exercised at its expiry: STT on its intrinsic value (rupees)."""
    if intrinsic_value < 0:
        raise BadInput(f"an intrinsic value is not below zero, received {intrinsic_value}")
    return Charges(stt=_paisa(intrinsic_value * rates_on(Product.NRML, day, Kind.OPTION).stt_exercise))


def round_trip_rate(product: Product, value_inr: float, day: date) -> float:
    """Charges of buying and selling `value_inr` rupees at one price, per rupee; an estimate for labels."""
    value = _paisa(Decimal(str(max(value_inr, 1.0))))
    buy = order_charges(product=product, side=Side.BUY, value=value, day=day)
    sell = order_charges(product=product, side=Side.SELL, value=value, day=day, first_delivery_sale=True)
    return float((buy.total + sell.total) / value)


def _paisa(amount: Decimal) -> Decimal:
    return amount.quantize(PAISA, rounding=ROUND_HALF_UP)


@cache
def _rates() -> Mapping[tuple[Kind, Product | None], tuple[ChargeRates, ...]]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [_rates_from(row) for row in csv.DictReader(file)]
    rows.sort(key=lambda rates: rates.effective_from)
    keys = {(rates.kind, rates.product) for rates in rows}
    return {key: tuple(r for r in rows if (r.kind, r.product) == key) for key in keys}


def _rates_from(row: Mapping[str, str]) -> ChargeRates:
    words = ("effective_from", "kind", "product", "known_until", "source", "brokerage_rate")
    numbers = {name: Decimal(text) for name, text in row.items() if name not in words}
    return ChargeRates(
        effective_from=date.fromisoformat(row["effective_from"]),
        kind=Kind(row["kind"]),
        product=Product(row["product"]) if row["product"] else None,
        brokerage_rate=Decimal(row["brokerage_rate"]) if row["brokerage_rate"] else None,
        source=row["source"],
        **numbers,
    )
