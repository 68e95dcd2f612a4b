"""Faults of the books that are read: an order book or a trade book that tells of less than there is, for a while."""

import time
from typing import TypeVar

from serving.exchange.book import Order, Trade
from serving.exchange.faults import FaultKind, Faults

Row = TypeVar("Row")


class HiddenRows:
    """What of the books is shown.

    Parameters
    ----------
    faults : asked once for each reading; one with `seconds` lasts so long of the wall clock
    """

    def __init__(self, faults: Faults):
        self._faults = faults
        self._until: dict[FaultKind, float] = {}  # monotonic seconds

    def orders(self, rows: list[Order]) -> list[Order]:
        if self._is(FaultKind.ORDER_BOOK_EMPTY, "GET /orders"):
            return []
        if self._is(FaultKind.ORDER_BOOK_SHORT, "GET /orders"):
            return rows[: len(rows) // 2]
        return rows

    def trades(self, rows: list[Trade]) -> list[Trade]:
        return [] if self._is(FaultKind.TRADE_BOOK_EMPTY, "GET /trades") else rows

    def _is(self, kind: FaultKind, route: str) -> bool:
        if time.monotonic() < self._until.get(kind, 0.0):
            return True
        found = self._faults.decide((kind,), route)
        if found is not None:
            self._until[kind] = time.monotonic() + found.seconds
        return found is not None
