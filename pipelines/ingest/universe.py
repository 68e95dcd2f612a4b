"""Which stocks a simulated market holds.

`universe.csv` lists large stocks of NSE with their Kite tokens and the levels of late 2025: price (rupees), shares
traded a day and volatility (a year, as a share; rounded, by sector). Prices a simulation makes of them are invented.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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


def universe_symbols() -> tuple[str, ...]:
    return tuple(known.symbol for known in _listings())


@cache
def usual_volumes() -> dict[str, int]:
    """Shares that a large stock trades on a day of late 2025, by symbol."""
    return {known.symbol: known.shares_a_day for known in _listings()}


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
