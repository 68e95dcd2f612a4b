"""The broker's own silence: looks of the daemon that no true answer met, while shares were bare.

Nobody can protect shares of which the broker does not tell. A look is true when its answer is there in time and tells
all that the exchange has: every order of the day, every trade, or one order as it stands. Of a time without an order
against them only the part is the broker's that ends with the first true look, while the daemon goes on asking at least
two of the three; all after that, and every pause of its own in between, is the daemon's. Of an order that was taken and
has ended without a fill, e.g. a stop that the exchange rejects, no trade book tells.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.torture.neighbours import DEADLINE_S

PAUSE_S = 0.5  #: of the wall clock: a daemon that looks less often is not waiting for the broker
BOOKS = {"/orders": "orders", "/trades": "trades"}


@dataclass
class Looks:
    """What a daemon asked since some shares are bare."""

    since: float  #: monotonic seconds
    last: float
    ended_order: bool = False  #: whether they are bare since an order ended; otherwise since one filled
    kinds: set[str] = field(default_factory=set)  #: of looks without a true answer
    over: bool = False  #: whether a true look was answered, or the daemon paused

    def note(self, kind: str, now: float, *, true: bool) -> None:
        if self.over or (self.ended_order and kind == "trades"):
            return
        self.over = true or now - self.last > PAUSE_S
        if not self.over or true:
            self.last = now
        if not true:
            self.kinds.add(kind)

    @property
    def are_untrue(self) -> bool:
        """Whether the broker told nothing true so far though it was asked in two ways."""
        return not self.over and len(self.kinds) > 1

    @property
    def silence_s(self) -> float:
        """Seconds that are the broker's."""
        return self.last - self.since if len(self.kinds) > 1 else 0.0


class ToldOf:
    """ASGI middleware around the exchange: tells of each look whether its answer was true.

    Parameters
    ----------
    venue : of the exchange
    note : function of the kind of a look, the symbol that it told of (None: all) and whether that was true
    """

    def __init__(self, app: Any, venue: Any, note: Callable[[str, str | None, bool], None]):
        self._app, self._venue, self._note = app, venue, note

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        is_look = scope["type"] == "http" and scope["method"] == "GET" and path.startswith(("/orders", "/trades"))
        if not is_look:
            await self._app(scope, receive, send)
            return
        began, status, body = time.monotonic(), [0], bytearray()

        async def sent(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            body.extend(message.get("body", b""))

        try:
            await self._app(scope, receive, sent)
        finally:
            in_time = time.monotonic() - began < DEADLINE_S
            rows = _rows(bytes(body)) if status[0] == 200 and in_time else None
            kind = BOOKS.get(path, "one order")
            self._note(kind, self._symbol(path), rows is not None and rows >= self._all(kind))

    def _symbol(self, path: str) -> str | None:
        if path in BOOKS:
            return None
        order_id = path.split("/")[2]
        return next((o.symbol for o in self._venue.book.of_day(self._venue.session.day) if o.order_id == order_id), "")

    def _all(self, kind: str) -> int:
        book, day = self._venue.book, self._venue.session.day
        return {"orders": sum(1 for _ in book.of_day(day)), "trades": len(book.trades)}.get(kind, 1)


def _rows(body: bytes) -> int | None:
    try:
        data = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError):
        return None
    return len(data) if isinstance(data, list) else None
