"""What Zerodha, the exchange and the state take for one order in NSE's cash market, from dated rates.

The rates stand in `facts/charges.csv` with the day from which they hold and their source; shares of the traded value,
not percent. Backtest, paper exchange and executor all charge by `order_charges`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path

from pipelines.domain.errors import BadInput
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from pipelines.domain.trading_phases import square_off_fee

PAISA = Decimal("0.01")
_FACTS = Path(__file__).with_name("facts") / "charges.csv"


@dataclass(frozen=True, slots=True)
class Charges:
    """Rupees taken, by item; each rounded to the paisa."""

    brokerage: Decimal = Decimal("0.00")
    stt: Decimal = Decimal("0.00")  #: securities transaction tax
    exchange: Decimal = Decimal("0.00")  #: NSE's transaction charge
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

    def __sub__(self, other: "Charges") -> "Charges":
        return Charges(**{name: value - getattr(other, name) for name, value in self.as_dict().items()})


@dataclass(frozen=True, slots=True)
class ChargeRates:
    """Rates of one product from one day on; shares of the traded value, the last three in rupees where named so."""

    effective_from: date
    product: Product
    brokerage_rate: Decimal
    brokerage_cap_inr: Decimal
    stt_buy: Decimal
    stt_sell: Decimal
    exchange: Decimal
    sebi: Decimal
    stamp_buy: Decimal
    gst: Decimal
    dp_inr: Decimal
    source: str


def rates_on(product: Product, day: date) -> ChargeRates:
    """The rates that hold on `day`.

    Days before the first row of `facts/charges.csv` get the first row's rates: what the exchange took before October
    2024 is not known well enough to be written down, and the later rates are close to it.
    """
    known = _rates()[product]
    return next((rates for rates in reversed(known) if rates.effective_from <= day), known[0])


def order_charges(
    *,
    product: Product,
    side: Side,
    value: Decimal,
    day: date,
    first_delivery_sale: bool = False,
    squared_off: bool = False,
) -> Charges:
    """Charges of one order, each item rounded half up to the paisa.

    Parameters
    ----------
    product : Product
        MIS (intraday) or CNC (delivery).
    side : Side
        Stamp duty is taken from purchases, intraday STT from sales.
    value : Decimal
        Rupees filled by the whole order, not below zero: the brokerage cap is per order, not per fill.
    day : date
        Trading day, which chooses the rates.
    first_delivery_sale : bool
        True for the first CNC sale of this scrip on this day; only then the DP charge is taken.
    squared_off : bool
        True for an order by which the broker ended an intraday position: its fee counts as brokerage.

    Returns
    -------
    Charges

    Raises
    ------
    BadInput : if `value` is below zero.

    References
    ----------
    zerodha.com/charges, read 2026-10-07. Round trips at one price: Rs 1 lakh intraday 82.68, delivery 222.48 + 15.34.
    """
    if value < 0:
        raise BadInput(f"an order's value is not below zero, received {value}; pass price times shares filled")
    if value == 0:
        return Charges()
    rates = rates_on(product, day)
    buying = side is Side.BUY
    fee, _ = square_off_fee(day) if squared_off else (Decimal(0), Decimal(0))
    brokerage = _paisa(min(value * rates.brokerage_rate, rates.brokerage_cap_inr) + fee)
    exchange, sebi = _paisa(value * rates.exchange), _paisa(value * rates.sebi)
    return Charges(
        brokerage=brokerage,
        stt=_paisa(value * (rates.stt_buy if buying else rates.stt_sell)),
        exchange=exchange,
        sebi=sebi,
        stamp=_paisa(value * rates.stamp_buy) if buying else Decimal("0.00"),
        gst=_paisa((brokerage + exchange + sebi) * rates.gst),
        dp=rates.dp_inr if first_delivery_sale and not buying and product is Product.CNC else Decimal("0.00"),
    )


def round_trip_rate(product: Product, value_inr: float, day: date) -> float:
    """Charges of buying and selling `value_inr` rupees at one price, per rupee; an estimate for labels."""
    value = _paisa(Decimal(str(max(value_inr, 1.0))))
    buy = order_charges(product=product, side=Side.BUY, value=value, day=day)
    sell = order_charges(product=product, side=Side.SELL, value=value, day=day, first_delivery_sale=True)
    return float((buy.total + sell.total) / value)


def _paisa(amount: Decimal) -> Decimal:
    return amount.quantize(PAISA, rounding=ROUND_HALF_UP)


@cache
def _rates() -> Mapping[Product, tuple[ChargeRates, ...]]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [_rates_from(row) for row in csv.DictReader(file)]
    rows.sort(key=lambda rates: rates.effective_from)
    return {product: tuple(r for r in rows if r.product is product) for product in Product}


def _rates_from(row: Mapping[str, str]) -> ChargeRates:
    numbers = {name: Decimal(text) for name, text in row.items() if name not in ("effective_from", "product", "source")}
    return ChargeRates(
        effective_from=date.fromisoformat(row["effective_from"]),
        product=Product(row["product"]),
        source=row["source"],
        **numbers,
    )
