"""Instruments that may not be entered, with dates and reasons: surveillance lists (ASM, GSM, T2T), bans, own choice."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from pipelines.domain.errors import BadInput

COLUMNS = ("symbol", "reason", "effective_from", "effective_to")


@dataclass(frozen=True, slots=True)
class Restriction:
    symbol: str
    reason: str
    effective_from: date | None = None  #: None: since ever
    effective_to: date | None = None  #: last day, included; None: without end

    def holds(self, day: date) -> bool:
        after = self.effective_from is None or self.effective_from <= day
        return after and (self.effective_to is None or day <= self.effective_to)


def restriction_of(symbol: str, day: date, restrictions: Iterable[Restriction]) -> Restriction | None:
    """The first that keeps `symbol` from being entered on `day`."""
    return next((found for found in restrictions if found.symbol == symbol and found.holds(day)), None)


def read_restrictions(lines: Iterable[str], name: str) -> tuple[Restriction, ...]:
    """Restrictions of a CSV file with the columns symbol, reason, effective_from, effective_to; dates may be empty.

    Raises
    ------
    BadInput : with the row: a list that is half understood would let through what it was made to stop.
    """
    reader = csv.DictReader(lines)
    if reader.fieldnames is None or set(COLUMNS) - set(reader.fieldnames):
        raise BadInput(f"{name} needs the columns {', '.join(COLUMNS)}; found {', '.join(reader.fieldnames or ())}")
    return tuple(_restriction(row, f"{name}, row {number}") for number, row in enumerate(reader, start=2))


def _restriction(row: dict[str, str], where: str) -> Restriction:
    symbol, reason = (row["symbol"] or "").strip(), (row["reason"] or "").strip()
    if not symbol or not reason:
        raise BadInput(f"{where}: symbol and reason must both be given")
    try:
        first, last = (
            date.fromisoformat(text.strip()) if (text := row[name] or "").strip() else None
            for name in ("effective_from", "effective_to")
        )
    except ValueError as error:
        raise BadInput(f"{where}: {error}; write dates as 2026-10-30") from None
    return Restriction(symbol, reason, first, last)
