"""How much history Kite gives in one request, by interval, from dated rows in `facts/history_windows.csv`."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from pipelines.domain.bars import Interval

#: Kite's words for the intervals that have one
KITE_WORDS: Mapping[Interval, str] = {
    Interval.MIN_1: "minute",
    Interval.MIN_5: "5minute",
    Interval.MIN_15: "15minute",
    Interval.MIN_60: "60minute",
    Interval.DAY: "day",
}

_FACTS = Path(__file__).with_name("facts") / "history_windows.csv"


@dataclass(frozen=True, slots=True)
class HistoryWindow:
    """Of one of Kite's intervals: how long its candles are and how many days one request may span."""

    effective_from: date
    interval: str  #: Kite's word: minute, 3minute, 5minute, 10minute, 15minute, 30minute, 60minute, day
    minutes: int  #: length of a candle; 0 for a day
    days: int
    source: str


def history_windows_on(day: date) -> Mapping[str, HistoryWindow]:
    """The windows that hold on `day`, by Kite's word: of each the latest row."""
    return {window.interval: window for window in _rows() if window.effective_from <= day}


@cache
def _rows() -> tuple[HistoryWindow, ...]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [
            HistoryWindow(
                date.fromisoformat(row["effective_from"]),
                row["interval"],
                int(row["minutes"]),
                int(row["days"]),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda window: window.effective_from))
