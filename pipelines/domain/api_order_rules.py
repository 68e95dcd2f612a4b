"""What SEBI and NSE ask of those who send orders by a broker's API, from a dated table with sources.

Below the threshold of orders a second no algo has to be registered; orders are only taken from a registered address.
"""

import csv
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from pipelines.domain.verdicts import Verdict

_TABLE = Path(__file__).with_name("facts") / "api_order_rules.csv"


@dataclass(frozen=True, slots=True)
class ApiOrderRules:
    effective_from: date
    orders_per_second: int | None  #: per exchange and segment; None: no threshold
    static_ip: bool
    source: str


def rules_on(day: date) -> ApiOrderRules:
    """The rules in force on a day; those of the first row before it."""
    table = _table()
    return table[max(bisect_right([rules.effective_from for rules in table], day) - 1, 0)]


def below_threshold(orders_per_second: int, day: date) -> Verdict:
    """Whether a chosen rate stays under that from which an algo must be registered."""
    rules = rules_on(day)
    limit = rules.orders_per_second
    passed = limit is None or orders_per_second < limit
    return Verdict(
        "threshold of registration", passed, float(orders_per_second), limit and float(limit), f"from {rules.source}"
    )


def static_ip_note(day: date) -> str | None:
    """What has to be told before orders are sent live; None where no rule asks for an address."""
    rules = rules_on(day)
    if not rules.static_ip:
        return None
    return (
        f"since {rules.effective_from} the broker takes orders from the registered static IP address only; "
        "if every order is refused, compare this machine's address with the one in the developer console"
    )


@cache
def _table() -> tuple[ApiOrderRules, ...]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        rows = [
            ApiOrderRules(
                date.fromisoformat(row["effective_from"]),
                int(row["orders_per_second"]) if row["orders_per_second"] else None,
                row["static_ip"] == "yes",
                row["source"],
            )
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda rules: rules.effective_from))
