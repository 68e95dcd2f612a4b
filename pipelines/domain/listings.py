"""Which share a symbol meant on a day: renames, life on the exchange, sector. From dated tables in `facts/`.

Only what is known is written there; of a symbol without a row nothing is claimed. Ticks stand in `tick_sizes.py`,
freeze quantities in `freeze.py`; a lot is one share in the cash segment.
"""

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

_FACTS = Path(__file__).with_name("facts")


@dataclass(frozen=True, slots=True)
class SymbolChange:
    old: str
    new: str
    effective_from: date  #: first day under the new symbol
    source: str


@dataclass(frozen=True, slots=True)
class Life:
    """First and last day of trading, None where not known or not yet."""

    first: date | None
    last: date | None


def current_symbol(symbol: str) -> str:
    """The symbol that a share bears now; the same one if it never changed or nothing is known."""
    for change in symbol_changes():
        if change.old == symbol:
            return current_symbol(change.new)
    return symbol


def symbol_on(symbol: str, day: date) -> str:
    """What a share that is now, or once was, called `symbol` was called on a day."""
    name = current_symbol(symbol)
    for change in reversed(symbol_changes()):
        if change.new == name and day < change.effective_from:
            name = change.old
    return name


def life_of(symbol: str) -> Life:
    """When a share was listed, by any symbol it ever had; a life without ends where nothing is known."""
    return _lives().get(current_symbol(symbol), Life(None, None))


def listed_on(symbol: str, day: date) -> bool:
    """Whether a share could trade on a day, as far as its life is known."""
    life = life_of(symbol)
    return (life.first is None or life.first <= day) and (life.last is None or day <= life.last)


def sector_on(symbol: str, day: date) -> str:
    """The sector of a share on a day, empty where not known."""
    rows = [(since, sector) for since, sector in _sectors().get(current_symbol(symbol), ()) if since <= day]
    return rows[-1][1] if rows else ""


def known_shares() -> frozenset[str]:
    """Every symbol that a table of facts names, old ones too."""
    renamed = {name for change in symbol_changes() for name in (change.old, change.new)}
    return frozenset(renamed | _lives().keys() | _sectors().keys())


@cache
def symbol_changes() -> tuple[SymbolChange, ...]:
    """All known renames, in order of time."""
    changes = (
        SymbolChange(row["old_symbol"], row["new_symbol"], date.fromisoformat(row["effective_from"]), row["source"])
        for row in _rows("symbol_changes.csv")
    )
    return tuple(sorted(changes, key=lambda change: change.effective_from))


@cache
def _lives() -> dict[str, Life]:
    return {row["symbol"]: Life(_day(row["first_day"]), _day(row["last_day"])) for row in _rows("listing_life.csv")}


@cache
def _sectors() -> dict[str, tuple[tuple[date, str], ...]]:
    found: dict[str, list[tuple[date, str]]] = {}
    for row in _rows("sectors.csv"):
        found.setdefault(row["symbol"], []).append((date.fromisoformat(row["effective_from"]), row["sector"]))
    return {symbol: tuple(sorted(rows)) for symbol, rows in found.items()}


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _rows(name: str) -> list[dict[str, str]]:
    with (_FACTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
