"""NSE's tick of shares by day and price, from `facts/tick_sizes.csv`."""

import csv
from bisect import bisect_right
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

_FACTS = Path(__file__).with_name("facts") / "tick_sizes.csv"


def tick_size(price_inr: float, day: date) -> Decimal:
    """The tick of a share at this price on this day, in rupees; a day before the first row uses the first row.

    NSE sets the band by the closing price at the end of a month, which may lie on the other side of a limit. A band
    begins above its limit: the table's first price of it is a paisa further, 1000.01.
    """
    rows = [row for row in _rows() if row[0] <= day] or [_rows()[0]]
    in_force = [(limit, tick) for since, limit, tick in rows if since == rows[-1][0]]
    return in_force[bisect_right([limit for limit, _ in in_force], price_inr) - 1][1]


def tick_sizes(prices: npt.NDArray[np.float64], days: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    """As `tick_size`, of many prices at once; shape (n,), `days` in `datetime64[D]`."""
    found = np.empty(len(prices))
    dates = sorted({since for since, _, _ in _rows()})
    for place, since in enumerate(dates):
        rows = [row for row in _rows() if row[0] == since]
        own = np.ones(len(prices), dtype=bool) if place == 0 else days >= np.datetime64(since)  # later rows overwrite
        ticks = np.array([float(tick) for _, _, tick in rows])
        found[own] = ticks[np.searchsorted([limit for _, limit, _ in rows], prices[own], side="right") - 1]
    return found


@cache
def _rows() -> tuple[tuple[date, float, Decimal], ...]:
    """(effective from, from this price on, tick), in order."""
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [
            (date.fromisoformat(row["effective_from"]), float(row["from_price_inr"]), Decimal(row["tick_size"]))
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows))
