"""The last trade of each instrument: which packet tells of a new one, and how much of what it tells is believed.

A packet is a snapshot: the last trade's time and price, and the shares of the day so far. Most repeat what is known,
some come late and tell of a trade before. Now and then one number of a packet is wild; then the others count, and no
later packet is held to be old because of it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

_DAY = 86_400
_INDIA = int(timedelta(hours=5, minutes=30).total_seconds())
#: A day's volume that has grown within a minute by more than so many times of what it was, and by more than so many
#: rupees, is believed when the next packet has it, too: what is traded in hours is not traded at once
MOST_GROWTH, LARGE_INR, AT_ONCE_S = 20, 100_000_000, 60


class Told(NamedTuple):
    """What a packet says, as it says it."""

    traded: int  #: epoch second of the last trade
    volume: int  #: shares of the day so far
    price: int  #: paise, or the currency segments' smaller parts


class NewTrade(NamedTuple):
    second: int  #: epoch; not later than the message
    volume: int  #: shares of the day so far, as believed


@dataclass(slots=True)
class _Known:
    told: Told  #: by the packet before
    second: int  #: of the newest trade, as believed
    volume: int  #: of the day so far, as believed
    doubted: int | None = None  #: a volume that waits for the next packet to agree


class LastTrades:
    """What is known of each instrument, by token."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}

    def take(self, token: int, traded: int, volume: int, price: int, stamp: int) -> NewTrade | None:
        """The new trade that a packet tells of; None if it repeats the last one, comes late, or there was none.

        Parameters
        ----------
        stamp : epoch second of the packet, as believed; a trade that is told to be later happened by then
        """
        told, known = Told(traded, volume, price), self._known.get(token)
        if not traded or (known is not None and told == known.told):
            return None
        second = min(traded, stamp)
        if known is None or _day(second) > _day(known.second):
            self._known[token] = _Known(told, second, volume)
            return NewTrade(second, volume)
        grown = volume > known.volume
        if second < known.second:
            if not grown or _day(stamp) < _day(known.second):
                return None  # of before
            second = max(known.second, stamp)  # there are new shares: it is the time that is wrong
        elif volume < known.volume and second == known.second and known.doubted is None:
            return None  # of the same second, from before
        passed, known.told, known.second = second - known.second, told, second
        self._believe(known, volume, price, passed)
        return NewTrade(second, known.volume)

    def _believe(self, known: _Known, volume: int, price: int, passed: int) -> None:
        """A day's volume only grows, and not by hours at once; what does not is believed when two packets tell it."""
        doubted, known.doubted = known.doubted, None
        rise = volume - known.volume
        wild = 0 < MOST_GROWTH * known.volume < rise and rise * price / 100 > LARGE_INR and passed < AT_ONCE_S
        if rise >= 0 and not wild:
            known.volume = volume
        elif doubted is None or (doubted > known.volume) != (rise > 0) or volume < doubted:
            known.doubted = volume
        else:
            known.volume = volume


def _day(second: int) -> int:
    return (second + _INDIA) // _DAY
