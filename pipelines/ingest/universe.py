"""Which stocks a simulated market holds, and the tick sizes of NSE.

`universe.csv` lists large stocks of NSE with their Kite tokens and the levels of late 2025: price (rupees), shares
traded a day and volatility (a year, as a share; rounded, by sector). Prices a simulation makes of them are invented.
"""

import csv
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

from pipelines import domain

_NSE = 1  #: low byte of a token: the segment of NSE's shares


@dataclass(frozen=True, slots=True)
class Listing:
    symbol: str
    token: int
    sector: str
    price_inr: float
    shares_a_day: int
    volatility: float  #: of returns, a year, as a share


def listings(count: int) -> tuple[Listing, ...]:
    """The first `count` stocks; beyond the table, invented ones (STOCK051 ...) that follow the table's levels."""
    known = _listings()
    return tuple(known[n] if n < len(known) else _invented(n, known[n % len(known)]) for n in range(count))


def tick_size(price_inr: float, day: date) -> Decimal:
    """NSE's tick of a share at this price on this day, in rupees; the day before the first row uses the first row.

    NSE sets the band by the closing price at the end of a month, which may lie on the other side of a limit.
    """
    rows = [row for row in _tick_rows() if row[0] <= day] or [_tick_rows()[0]]
    in_force = [(limit, tick) for since, limit, tick in rows if since == rows[-1][0]]
    return in_force[bisect_right([limit for limit, _ in in_force], price_inr) - 1][1]


@cache
def _listings() -> tuple[Listing, ...]:
    with Path(__file__).with_name("universe.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Listing(
                row["symbol"],
                int(row["token"]),
                row["sector"],
                float(row["price_inr"]),
                int(row["shares_a_day"]),
                float(row["volatility"]),
            )
            for row in csv.DictReader(file)
        )


def _invented(number: int, like: Listing) -> Listing:
    token = (100_000 + number) * 256 + _NSE
    return Listing(
        f"STOCK{number + 1:03d}",
        token,
        like.sector,
        like.price_inr,
        max(like.shares_a_day // 10, 1_000),
        like.volatility,
    )


@cache
def _tick_rows() -> tuple[tuple[date, float, Decimal], ...]:
    """(effective from, from this price on, tick), in order."""
    path = Path(domain.__file__).with_name("facts") / "tick_sizes.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            (date.fromisoformat(row["effective_from"]), float(row["from_price_inr"]), Decimal(row["tick_size"]))
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows))
