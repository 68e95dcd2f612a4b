"""Holds order calls back before the broker refuses them; exits and stops come before entries.

An entry is sent only if the stops that are owed, its own included, have room within the same second: shares that fill
are not left bare by the entries behind them.

Kite takes 10 order calls a second, 400 a minute and 5,000 a day, placing, modifying and cancelling together.
"""

import time

from pipelines.pacing import MARGIN_S, Clock, Sleep, Window

#: Of each limit the part that is kept for exits and stops; entries see only the rest
RESERVED = 0.25
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

    def has_room(self, owed: int) -> bool:
        """Whether an entry may be sent now such that its stop, and `owed` others, can follow within the same second."""
        now, calls = self._clock(), owed + 2
        return all(window.has_room(now, calls) for window in self._windows[:1])

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
