"""How often and how much Kite Connect lets one api key call, from dated rows in `facts/api_limits.csv`."""

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

_FACTS = Path(__file__).with_name("facts") / "api_limits.csv"


@dataclass(frozen=True, slots=True)
class ApiLimit:
    """At most `most` of what `name` says within each calendar second, minute or day, or at once of a ticker."""

    effective_from: date
    name: str  #: quote, historical, orders, other; ticker_connections, ticker_instruments
    per: str  #: second, minute, day; api_key, connection
    most: int
    source: str


def api_limits_on(day: date) -> tuple[ApiLimit, ...]:
    """The limits that hold on `day`: of each name and period the latest row."""
    latest: dict[tuple[str, str], ApiLimit] = {}
    for limit in _rows():
        if limit.effective_from <= day:
            latest[limit.name, limit.per] = limit
    return tuple(latest.values())


@cache
def _rows() -> tuple[ApiLimit, ...]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [
            ApiLimit(date.fromisoformat(r["effective_from"]), r["limit"], r["per"], int(r["most"]), r["source"])
            for r in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda limit: limit.effective_from))
