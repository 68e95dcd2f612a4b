"""The last trade of each instrument: which packet tells of a new one, and how much of what it tells is believed.

A packet is a snapshot: the last trade's time and price, and the shares of the day so far. Most repeat what is known,
some come late and tell of a trade before. Now and then one number of a packet is wild; then the others count, and no
later packet is held to be old because of it.

A day's volume only grows, and by no more than the instrument trades in such a time. One that falls, or grows by more,
is believed when four packets in a row tell it; one that comes back before was wild. The first of a day are believed
as they come and told as doubtful until the fourth, since nothing is known to hold them against.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from serving.price_doubt import PACKETS

_DAY = 86_400
_INDIA = int(timedelta(hours=5, minutes=30).total_seconds())
#: Shares that a packet may add, as a multiple of the most that one has added lately and of what the instrument trades
#: on average in the time that has passed
MOST_TIMES = 4
KEPT, LEAST = 20, 3  #: packets with new shares by which that is known: the last ones; with fewer the day's total counts


class Told(NamedTuple):
    """What a packet says, as it says it."""

    traded: int  #: epoch second of the last trade
    volume: int  #: shares of the day so far
    price: int  #: paise, or the currency segments' smaller parts


class NewTrade(NamedTuple):
    second: int  #: epoch; not later than the message
    volume: int  #: shares of the day so far, as believed
    doubted_since: int | None = None  #: epoch second of the first trade whose volume is doubted; None if it is sure


@dataclass(slots=True)
class _Streak:
    """Totals in a row that cannot be, if the known one is true."""

    since: int
    volume: int  #: the last
    rises: list[int] = field(default_factory=list)

    def goes_on(self, volume: int) -> bool:
        """Whether a total can follow on the last one."""
        return self.volume <= volume <= (1 + MOST_TIMES) * self.volume


@dataclass(slots=True)
class _Known:
    told: Told  #: by the packet before
    second: int  #: of the newest trade, as believed
    volume: int  #: of the day so far, as believed
    began: int  #: the day's first trade that was seen
    counted_at: int  #: the second of the trade whose total was last believed
    packets: int = 1  #: that agree with the total
    streak: _Streak | None = None
    rises: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=KEPT))  #: shares, and seconds they took

    def may_add(self, seconds: int) -> float:
        """The most shares that a packet may add after so many seconds."""
        shares = [rise for rise, _ in self.rises]
        largest = max(shares) if len(shares) >= LEAST else max(self.volume, *shares, 0)
        passed = sum(took for _, took in self.rises)
        return MOST_TIMES * (largest + sum(shares) / max(passed, 1) * max(seconds, 0))


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
        if known is None and not traded:
            return None
        if known is not None and told == known.told:
            return None
        second = min(traded, stamp)
        if known is None or _day(second) > _day(known.second):
            self._known[token] = _Known(told, second, volume, second, second)
            return NewTrade(second, volume, doubted_since=second)
        grown = volume > known.volume
        if second < known.second:
            if not grown or _day(stamp) < _day(known.second):
                return None  # of before
            second = max(known.second, stamp)  # there are new shares: it is the time that is wrong
        elif volume < known.volume and second == known.second and known.streak is None:
            return None  # of the same second, from before
        known.told, known.second = told, second
        doubted_since = _believe(known, volume)
        return NewTrade(second, known.volume, doubted_since)


def _believe(known: _Known, volume: int) -> int | None:
    """Take a packet's total in, or doubt it; since when the total that is known then is not sure."""
    rise, passed = volume - known.volume, known.second - known.counted_at
    if not known.volume and rise:  # the day's first shares
        known.volume, known.counted_at, known.packets, known.streak = volume, known.second, 1, None
        return known.began
    if 0 <= rise <= known.may_add(passed):
        known.volume, known.counted_at = volume, known.second
        known.streak, known.packets = None, known.packets + 1
        if rise:
            known.rises.append((rise, max(passed, 1)))
        return known.began if known.packets < PACKETS else None
    streak = known.streak
    if streak is None or not streak.goes_on(volume):
        began = known.began if known.packets < PACKETS else known.second
        streak = known.streak = _Streak(began if streak is None else streak.since, volume)
        return streak.since
    streak.rises.append(volume - streak.volume)
    streak.volume = volume
    if len(streak.rises) + 1 < PACKETS:
        return streak.since
    if rise < 0:
        known.rises.clear()  # what was counted too much is among them
    known.rises.append((max(streak.rises), max(passed // PACKETS, 1)))
    known.volume, known.counted_at = volume, known.second
    known.streak, known.packets = None, PACKETS
    return None


def _day(second: int) -> int:
    return (second + _INDIA) // _DAY
