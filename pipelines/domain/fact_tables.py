"""The dated tables in `facts/`, and up to which day each of them is known.

Every row names its `source` and `known_until`: the last day for which that source vouches for it. A row that another
one replaced is known until the day before; a list of days until the end of the year it is of; what holds until somebody
changes it, until it was last looked up. `facts/tables.csv` says of each table what tells its rows apart, what the
product does beyond the last known day, where news of it stand, and how long before or after that day it is told.
"""

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path

from pipelines.domain.errors import BadInput

FACTS = Path(__file__).with_name("facts")
_TABLES = "tables.csv"


@dataclass(frozen=True, slots=True)
class Horizon:
    """Up to which day a table is known, and what happens after it."""

    table: str
    known_until: date
    of: tuple[str, ...]  #: whose rows end then, of tables about several things; empty: all
    tell_days: int  #: told from so many days after `known_until`; below zero: before it
    beyond: str
    renew_from: str

    def told_on(self, day: date) -> bool:
        return day >= self.known_until + timedelta(days=self.tell_days)

    def in_words(self, day: date) -> str:
        days = (self.known_until - day).days
        when = f"for {days} more days" if days >= 0 else f"{-days} days ago"
        named = f" ({', '.join(self.of[:3])}{f' and {len(self.of) - 3} more' if len(self.of) > 3 else ''})"
        return (
            f"{self.table}{named if self.of else ''} is known until {self.known_until}, {when}: after it "
            f"{self.beyond}; look in {self.renew_from}"
        )


@cache
def fact_rows(table: str) -> tuple[dict[str, str], ...]:
    """The rows of a table, in its order, each with its `known_until` and `source`.

    Raises
    ------
    BadInput : if a row lacks one of the two, or ends before it begins.
    """
    with (FACTS / table).open(encoding="utf-8", newline="") as file:
        rows = tuple(csv.DictReader(file))
    for number, row in enumerate(rows, start=2):
        if table != _TABLES and not _is_sound(row):
            raise BadInput(
                f"facts/{table}, line {number}: source and known_until are wanted, and a day not before the row's own; "
                f"found {row.get('known_until') or 'none'}; correct the table"
            )
    return rows


@cache
def known_until(table: str) -> date:
    """The last day that a table knows, of the one of its things that it knows least far."""
    return _horizon(table).known_until


def horizons() -> tuple[Horizon, ...]:
    """Of every table, by name."""
    return tuple(_horizon(row["table"]) for row in fact_rows(_TABLES))


def running_out(day: date) -> list[str]:
    """What is to be looked up anew by a day, a sentence each, most urgent first: tables that end, hours not known."""
    due = sorted((each for each in horizons() if each.told_on(day)), key=lambda each: (each.tell_days, each.table))
    return [*_hours_not_known(), *(each.in_words(day) for each in due)]


def _hours_not_known() -> list[str]:
    return [
        f"special_sessions.csv: the hours of {row['day']} ({row['kind']}) are not known: nothing is traded that day; "
        "look in the circular of the session, or take them from its bars"
        for row in fact_rows("special_sessions.csv")
        if not row["open"]
    ]


@cache
def _horizon(table: str) -> Horizon:
    about = next(row for row in fact_rows(_TABLES) if row["table"] == table)
    ends = _ends(table, about["key"].split())
    earliest = min(ends.values())
    of = tuple(" ".join(key) for key, end in ends.items() if end == earliest) if len(ends) > 1 else ()
    return Horizon(
        table,
        earliest,
        of if len(of) < len(ends) else (),
        int(about["tell_days"]),
        about["beyond"],
        about["renew_from"],
    )


def _ends(table: str, key: list[str]) -> dict[tuple[str, ...], date]:
    """Up to when each thing in a table is known."""
    found: dict[tuple[str, ...], date] = {}
    for row in fact_rows(table):
        name, end = tuple(row[column] for column in key if row[column]), date.fromisoformat(row["known_until"])
        found[name] = max(found.get(name, end), end)
    return found


def _is_sound(row: dict[str, str]) -> bool:
    begins = row.get("effective_from") or row.get("day") or ""
    try:
        return bool(row.get("source")) and date.fromisoformat(row.get("known_until") or "") >= date.fromisoformat(
            begins or row["known_until"]
        )
    except ValueError:
        return False
