"""Market-wide circuit breakers: at moves of the index all trading in shares stops, from a dated table with sources.

The table `facts/market_halts.csv` says for each size of the move and hour of its trigger how long trading stops and how
long the call auction after it lasts; no minutes mean the rest of the day. A move is against the index's previous close,
either way.
"""

import csv
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path

_TABLE = Path(__file__).with_name("facts") / "market_halts.csv"


@dataclass(frozen=True, slots=True)
class _Rule:
    effective_from: date
    move: float
    begin: time
    before: time | None
    minutes: int | None  #: of halt and auction together; None for the rest of the day


class MarketHalt:
    """Follows one index through the days and knows until when nothing trades."""

    def __init__(self) -> None:
        self._day: date | None = None
        self._reached: dict[float, datetime] = {}
        self.move = 0.0  #: last seen, as a share of the previous close

    def update(self, at: datetime, move: float) -> None:
        """Take a look at the index.

        Parameters
        ----------
        at : market time
        move : change since the previous close, as a share of it
        """
        if at.date() != self._day:
            self._day, self._reached = at.date(), {}
        self.move = move
        for rule in _rules_on(at.date()):
            if abs(move) >= rule.move:
                self._reached.setdefault(rule.move, at)

    def until(self, now: datetime) -> datetime | None:
        """End of the halt that goes on at `now`; None if there is none."""
        if self._day != now.date():
            return None
        ends = [end for move, at in self._reached.items() if (end := _end(move, at)) is not None and now < end]
        return max(ends, default=None)


def _end(move: float, at: datetime) -> datetime | None:
    """When a halt triggered at `at` is over; None if there is none at that hour."""
    for rule in _rules_on(at.date()):
        if rule.move == move and rule.begin <= at.time() and (rule.before is None or at.time() < rule.before):
            if rule.minutes is None:
                return datetime.combine(at.date() + timedelta(days=1), time(0), tzinfo=at.tzinfo)
            return at + timedelta(minutes=rule.minutes)
    return None


@cache
def _rules_on(day: date) -> tuple[_Rule, ...]:
    in_force = [rule for rule in _table() if rule.effective_from <= day]
    newest = max((rule.effective_from for rule in in_force), default=None)
    return tuple(rule for rule in in_force if rule.effective_from == newest)


@cache
def _table() -> tuple[_Rule, ...]:
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            _Rule(
                date.fromisoformat(row["effective_from"]),
                float(row["index_move"]),
                time.fromisoformat(row["triggered_from"]),
                time.fromisoformat(row["triggered_before"]) if row["triggered_before"] else None,
                int(row["halt_minutes"]) + int(row["auction_minutes"]) if row["halt_minutes"] else None,
            )
            for row in csv.DictReader(file)
        )
