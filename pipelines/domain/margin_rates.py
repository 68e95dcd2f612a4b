"""What share of a position's value the broker blocks, by group of instruments, from dated rates.

The rates of futures and options in `facts/margin_rates.csv` are an approximation: the real ones come from the clearing
house's SPAN files, several times a day.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import Product

_FACTS = Path(__file__).with_name("facts") / "margin_rates.csv"


@dataclass(frozen=True, slots=True)
class MarginRates:
    """Shares of the value: of a stock its price, of a future its price, of a sold option its underlying's."""

    effective_from: date
    group: str
    var: Decimal  #: stocks only
    span: Decimal
    exposure: Decimal
    source: str


def margin_rates_on(instrument: Instrument, product: Product, day: date) -> MarginRates:
    """The rates that hold on `day`; days before the first row get the first row's."""
    known = _rates()[_group(instrument, product)]
    return next((rates for rates in reversed(known) if rates.effective_from <= day), known[0])


def _group(instrument: Instrument, product: Product) -> str:
    if instrument.kind is Kind.STOCK:
        return "stock delivery" if product is Product.CNC else "stock intraday"
    return f"{'index' if instrument.on_index else 'stock'} {instrument.kind}"


@cache
def _rates() -> Mapping[str, tuple[MarginRates, ...]]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [_rates_from(row) for row in csv.DictReader(file)]
    rows.sort(key=lambda rates: rates.effective_from)
    return {group: tuple(r for r in rows if r.group == group) for group in {r.group for r in rows}}


def _rates_from(row: Mapping[str, str]) -> MarginRates:
    return MarginRates(
        date.fromisoformat(row["effective_from"]),
        row["group"],
        Decimal(row["var"]),
        Decimal(row["span"]),
        Decimal(row["exposure"]),
        row["source"],
    )
