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

    def take(self, now: float) -> None:
        self._calls.append(now)


#: Of each limit the part that is kept for exits and stops; entries see only the rest
RESERVED = 0.25
#: Seconds added to every wait, so that it surely ends in the next window
MARGIN_S = 0.002
#: Seconds an entry may be held back: later it is an order on an old price
ENTRY_PATIENCE_S = 1.0


class OrderPacer:
    """The order calls of one API key.

    Parameters
    ----------
    per_second, per_minute, per_day : int
        Of the wall clock, over placing, modifying and cancelling
    clock, sleep : functions, for tests
    """

    def __init__(
        self,
        per_second: int,
        per_minute: int,
        per_day: int,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ):
        self._windows = (Window(per_second, 1.0), Window(per_minute, 60.0), Window(per_day, 86_400.0))
        self._clock, self._sleep = clock, sleep

    def admit(self, *, urgent: bool) -> str | None:
        """Wait until the call may be made; why it may not be made soon enough, or None.

        Parameters
        ----------
        urgent : whether it protects or closes a position. It may use all of every limit and waits as long as the
            minute's takes; an entry leaves a part of each free, and is refused rather than sent late.
        """
        patience = 60.0 if urgent else ENTRY_PATIENCE_S
        began = self._clock()
        while wait := self._wait(urgent):
            if self._clock() - began + wait > patience:
                return f"the broker takes no further order call for {wait:.0f} s: {self._full(urgent)}"
            self._sleep(wait + MARGIN_S)
        for window in self._windows:
            window.take(self._clock())
        return None

    def _wait(self, urgent: bool) -> float:
        now = self._clock()
        return max(window.wait(now, _reserved(window, urgent)) for window in self._windows)

    def _full(self, urgent: bool) -> str:
        now = self._clock()
        full = next(window for window in reversed(self._windows) if window.wait(now, _reserved(window, urgent)))
        kept = _reserved(full, urgent)
        return f"{full.most} in {full.seconds:.0f} s are its limit" + (f", {kept} of them for exits" if kept else "")


def _reserved(window: Window, urgent: bool) -> int:
    return 0 if urgent else int(window.most * RESERVED)


#: Calls a second by what is counted together; one below Kite's ten, since calls bunch on their way
READS: Mapping[Route, int] = {Route.QUOTE: 1, Route.HISTORICAL: 3, Route.OTHER: 9}


class ReadPacer:
    """The calls without effect; a call waits until its turn."""

    def __init__(self, limits: Mapping[Route, int] = READS, clock: Clock = time.monotonic, sleep: Sleep = time.sleep):
        self._windows = {route: Window(most, 1.0) for route, most in limits.items()}
        self._clock, self._sleep = clock, sleep

    def wait(self, route: Route) -> None:
        window = self._windows[route]
        while seconds := window.wait(self._clock()):
            self._sleep(seconds + MARGIN_S)
        window.take(self._clock())
