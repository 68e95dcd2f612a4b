"""Bars that may be wrong because a packet was doubted: the broker's history is asked for them before they are used.

| doubted | its bars are doubtful |
|---|---|
| a price, or shares, and not decided yet | each that closes meanwhile |
| a price that was wild | the one that it fell into: what was traded then was not told |
| shares that are counted in a later bar than they were traded in | the later one, too |
"""

from collections.abc import Callable
from datetime import datetime

Slot = tuple[datetime, datetime]


class BarDoubts:
    """Keeps what is doubted of each instrument.

    Parameters
    ----------
    slot_of : function of a time to the open and close of the bar it lies in, None outside of sessions
    """

    def __init__(self, slot_of: Callable[[datetime], Slot | None]):
        self._slot_of = slot_of
        self._open: dict[tuple[str, str], datetime] = {}  # by symbol and number, since when it is doubted
        self._spoilt: dict[Slot, set[str]] = {}

    def begin(self, symbol: str, number: str, since: datetime) -> None:
        """A number of an instrument is doubted from a moment on, if it is not already.

        Parameters
        ----------
        number : "price", "volume", or "shares": those of ticks with a wild price, that are counted with the next one
        """
        self._open.setdefault((symbol, number), since)

    def end(self, symbol: str, number: str) -> None:
        """It was decided, and no bar that is still open lacks anything."""
        self._open.pop((symbol, number), None)

    def settle(self, symbol: str, number: str, at: datetime) -> None:
        """What was doubted is counted at this moment, in the bar of then."""
        since = self._open.pop((symbol, number), None)
        if since is not None and self._slot_of(since) != self._slot_of(at):
            self.spoil(symbol, at)

    def spoil(self, symbol: str, at: datetime) -> None:
        """The bar of this moment lacks something."""
        slot = self._slot_of(at)
        if slot is not None:
            self._spoilt.setdefault(slot, set()).add(symbol)

    def slots_over(self, now: datetime) -> set[Slot]:
        """Bars that are over and in which something is doubted, whether anything believed was traded in them or not."""
        begun = (self._slot_of(since) for since in self._open.values())
        return {slot for slot in (*self._spoilt, *begun) if slot is not None and slot[1] <= now}

    def take(self, slot: Slot) -> frozenset[str]:
        """Whose bar is doubtful, of one that closes; what was only spoilt in it is forgotten."""
        begun = (symbol for (symbol, _), since in self._open.items() if since < slot[1])
        return frozenset({*begun, *self._spoilt.pop(slot, ())})

    def forget(self) -> None:
        """A day begins: nothing of the one before is doubted any more."""
        self._open.clear()
        self._spoilt.clear()
