"""How far from the last price an order may trade: the broker's market protection and the exchange's own.

A market order goes to the exchange as a limit at its protection: a percentage of the last price that the client gives,
or that the broker chooses by `facts/market_protection.csv`. The exchange takes limits of futures and options only
within a range around the last price, `facts/limit_price_protection.csv`.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.signals import Side

_FACTS = Path(__file__).with_name("facts")


@dataclass(frozen=True, slots=True)
class _Step:
    """A row of either table: what holds from a day and a price on."""

    effective_from: date
    group: str
    from_price: Decimal
    percent: Decimal | None
    absolute_inr: Decimal | None


def automatic_percent(instrument: Instrument, price: Decimal, day: date) -> Decimal:
    """The percentage the broker chooses at a price (rupees); days before the table get its first rows."""
    group = "option" if instrument.kind is Kind.OPTION else "equity"
    step = _step("market_protection.csv", group, price, day)
    assert step is not None
    assert step.percent is not None
    return step.percent


def protected_limit(instrument: Instrument, side: Side, price: Decimal, percent: Decimal) -> Decimal:
    """The limit (rupees) of a market order at `price`: the last tick inside of the band, at least one tick."""
    edge = price * (1 + side.sign * percent / 100)
    inside = instrument.floor_to_tick(edge) if side is Side.BUY else instrument.ceil_to_tick(edge)
    return max(inside, instrument.tick_size)


def limit_price_range(instrument: Instrument, price: Decimal, day: date) -> tuple[Decimal, Decimal] | None:
    """Lowest and highest limit that the exchange takes at a last price; None where it knows no such range: stocks."""
    if not instrument.derivative:
        return None
    step = _step("limit_price_protection.csv", instrument.kind.value, price, day)
    if step is None:
        return None
    reach = step.absolute_inr if step.absolute_inr is not None else price * (step.percent or 0) / 100
    return instrument.ceil_to_tick(max(price - reach, instrument.tick_size)), instrument.floor_to_tick(price + reach)


def _step(table: str, group: str, price: Decimal, day: date) -> _Step | None:
    """The row for a price among those that hold on a day; before the first day the first ones."""
    rows = [row for row in _steps(table) if row.group == group]
    known = [row for row in rows if row.effective_from <= day]
    if not known and table == "limit_price_protection.csv":
        return None  # the exchange had no such rule yet
    latest = max(row.effective_from for row in known) if known else min(row.effective_from for row in rows)
    fitting = [row for row in rows if row.effective_from == latest and row.from_price <= price]
    return max(fitting, key=lambda row: row.from_price) if fitting else None


@cache
def _steps(table: str) -> tuple[_Step, ...]:
    with (_FACTS / table).open(encoding="utf-8", newline="") as file:
        return tuple(_step_from(row) for row in csv.DictReader(file))


def _step_from(row: Mapping[str, str]) -> _Step:
    percent, absolute = row["percent"], row.get("absolute_inr")
    return _Step(
        date.fromisoformat(row["effective_from"]),
        row["group"],
        Decimal(row["from_price_inr"]),
        Decimal(percent) if percent else None,
        Decimal(absolute) if absolute else None,
    )
