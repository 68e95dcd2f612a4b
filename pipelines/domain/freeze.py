"""The most that one order may ask for; more is refused or sliced. From `facts/freeze_quantities.csv`.

NSE sets those of index derivatives anew every month. Beyond the last month that the table knows its quantities are
used on; `fact_tables.running_out` tells so.
"""

import csv
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from pipelines.domain.instruments import Instrument

_FACTS = Path(__file__).with_name("facts") / "freeze_quantities.csv"


@dataclass(frozen=True, slots=True)
class _Limit:
    effective_from: date
    underlying: str
    quantity: int | None
    value_inr: Decimal | None


def freeze_quantity(instrument: Instrument, price: Decimal, day: date) -> int:
    """The largest quantity of one order, in whole lots, at a price (rupees) on a day; options count at their strike."""
    limit = _limit_on(instrument, day)
    worth = instrument.strike if instrument.strike is not None else price
    quantities = []
    if limit.quantity is not None:
        quantities.append(limit.quantity)
    if limit.value_inr is not None and worth > 0:
        quantities.append(int(limit.value_inr / worth))
    lots = min(quantities) // instrument.lot_size if quantities else 1
    return max(lots, 1) * instrument.lot_size


def _limit_on(instrument: Instrument, day: date) -> _Limit:
    if not instrument.derivative:
        return _latest("EQUITY", day)
    named = any(limit.underlying == instrument.underlying for limit in _limits())
    return _latest(instrument.underlying if named else "STOCK DERIVATIVE", day)


def _latest(underlying: str, day: date) -> _Limit:
    """The row that holds on a day; days before the first row get it."""
    rows = [limit for limit in _limits() if limit.underlying == underlying]
    return next((limit for limit in reversed(rows) if limit.effective_from <= day), rows[0])


@cache
def _limits() -> tuple[_Limit, ...]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [
            _Limit(
                date.fromisoformat(row["effective_from"]),
                row["underlying"],
                int(row["quantity"]) if row["quantity"] else None,
                Decimal(row["value_inr"]) if row["value_inr"] else None,
            )
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda limit: limit.effective_from))
