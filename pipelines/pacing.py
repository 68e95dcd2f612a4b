"""Holds calls back before the broker refuses them: its limits count on its wall clock, over the whole API key.

Kite takes 10 order calls a second, 400 a minute and 5,000 a day, placing, modifying and cancelling together; one quote
and three historical requests a second, ten of every other route (forum 52882, 2026; forum 8577). More is answered with
429, not queued, and who does it often is blocked. We stay a little below: calls do not arrive as evenly as they leave.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Clock = Callable[[], float]  #: seconds that only grow
Sleep = Callable[[float], None]


class Route(StrEnum):
    """What the broker counts together."""

    ORDER = "order"
    QUOTE = "quote"
    HISTORICAL = "historical"
    OTHER = "other"


@dataclass
class Window:
    """Calls within the last `seconds`, of which at most `most` may lie there."""

    most: int
    seconds: float
    _calls: deque[float] = field(default_factory=deque)

    def wait(self, now: float, reserved: int = 0) -> float:
        """Seconds until one more call fits, leaving `reserved` free for others; 0.0 if it fits now."""
        while self._calls and now - self._calls[0] >= self.seconds:
            self._calls.popleft()
        over = len(self._calls) - max(self.most - reserved, 1)
        return 0.0 if over < 0 else max(self.seconds - (now - self._calls[over]), 0.0)

    def has_room(self, now: float, calls: int) -> bool:
        """Whether so many more calls fit now; a window that is empty takes one set of them in any case."""
        free = self.most - sum(now - at < self.seconds for at in self._calls)
        return free >= min(calls, self.most)

    def take(self, now: float) -> None:
        self._calls.append(now)


#: Seconds added to every wait, so that it surely ends in the next window
MARGIN_S = 0.002
#: Calls a second by what is counted together; one below Kite's ten, since calls bunch on their way
#: Of the other routes' limit the calls a second that are kept for the order book and the trade book
RESERVED_READS = 4
READS: Mapping[Route, int] = {Route.QUOTE: 1, Route.HISTORICAL: 3, Route.OTHER: 9}


class ReadPacer:
    """The calls without effect; a call waits until its turn."""

    def __init__(self, limits: Mapping[Route, int] = READS, clock: Clock = time.monotonic, sleep: Sleep = time.sleep):
        self._windows = {route: Window(most, 1.0) for route, most in limits.items()}
        self._clock, self._sleep = clock, sleep

    def wait(self, route: Route, *, reserved: int = 0) -> None:
        """Wait until a call may be made that leaves `reserved` calls a second of its kind to others."""
        window = self._windows[route]
        while seconds := window.wait(self._clock(), reserved):
            self._sleep(seconds + MARGIN_S)
        window.take(self._clock())
