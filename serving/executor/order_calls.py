"""Counts the order calls that left: placing, modifying and cancelling, as the broker counts them, in market time."""

from collections import deque
from datetime import date, datetime, timedelta

from pipelines.domain.risk import Orders


class OrderCalls:
    def __init__(self) -> None:
        self._minute: deque[datetime] = deque()
        self._day: date | None = None
        self._today = 0

    def note(self, at: datetime) -> None:
        self._turn(at.date())
        self._minute.append(at)
        self._today += 1

    def begin(self, day: date, calls: int) -> None:
        """After a start in mid-session: calls of the day that an earlier daemon made."""
        self._day, self._today = day, calls

    def so_far(self, now: datetime) -> Orders:
        self._turn(now.date())
        while self._minute and now - self._minute[0] >= timedelta(minutes=1):
            self._minute.popleft()
        second = sum(now - at < timedelta(seconds=1) for at in self._minute)
        return Orders(second, len(self._minute), self._today)

    def _turn(self, day: date) -> None:
        if day != self._day:
            self._day, self._today = day, 0
            self._minute.clear()
