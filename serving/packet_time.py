"""What time a message of the feed tells: a stamp that few packets alone tell is doubted, as a price would be.

Time goes on with the wall clock. A stamp that is further on than that is believed only if others tell the same, and
more instruments tell it than another time: two that are wild together outvote nobody. One that is behind never moves
the time back. So packets stamped a minute, a day or eighty years ahead move no clock.

| market | a stamp is believed at once up to | further on it is believed if |
|---|---|---|
| by the wall clock (Kite) | the wall clock, or the last time and what has passed since, and 5 s | four messages in a row tell it, over 2 s or more, each later than the one before by what passed between them (5 s off at most), and more instruments tell it than any other time |
| played | the last time and what has passed of the wall clock, and 5 s | all instruments of the message agree to 5 s, on a step no longer than the one that the market's own clock told last; else that clock is asked, and tells the time; while it cannot be asked: all agree on at most an hour more, or four messages in a row as above |
"""  # noqa: E501

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from pipelines.domain.bars import IST
from pipelines.domain.errors import TradeSageError

NEAR_S = 5  #: two stamps this near each other tell the same time
FAR_S = 3600  #: a played market that has gone further between two messages is always asked for its time
MESSAGES = 4  #: in a row that tell a time before it is believed; a fault of three messages is outlived
OVER_S = 2.0  #: that they take at least, where the market is now
Told = tuple[int, int]  #: an instrument's token, and the second (epoch) that its packet is stamped with


class _Agreed(NamedTuple):
    """Stamps of a message that lie near each other."""

    newest: int
    tokens: frozenset[int]


@dataclass(slots=True)
class _Streak:
    """Messages in a row that tell a time further on than it should be."""

    began: float  #: of the clock that only grows
    heard: float  #: the last of them
    stamp: int  #: that it told
    messages: int = 1
    tokens: set[int] = field(default_factory=set)  #: instruments that tell it
    others: set[int] = field(default_factory=set)  #: that tell another time

    @property
    def prevails(self) -> bool:
        return len(self.tokens) > len(self.others)


class PacketTime:
    """Judges the stamps of one feed, message by message.

    Parameters
    ----------
    start : market time when the feed begins; None if it is not known
    wall : function that gives this machine's time, where packets are stamped with the time of now; else None
    ask : function that gives a played market's time from another source than the feed; it may raise TradeSageError
    ask_every_s : seconds of the wall clock between two questions, where the source is asked by turns
    beat : function that gives seconds that only grow
    """

    def __init__(
        self,
        start: datetime | None = None,
        *,
        wall: Callable[[], datetime] | None = None,
        ask: Callable[[], datetime] | None = None,
        ask_every_s: float = 0.0,
        beat: Callable[[], float] = time.monotonic,
    ):
        self._wall, self._ask, self._ask_every_s, self._beat = wall, ask, ask_every_s, beat
        self._last = int(start.timestamp()) if start is not None else None
        self._last_at = beat()
        self._is_told = False  # whether the last time is that of a message
        self._asked_at = float("-inf")
        self._streak: _Streak | None = None  # of stamps that are still doubted
        self._step = 0  # seconds between two messages, as the market's own clock told them last

    @property
    def last(self) -> datetime | None:
        """The newest time that was believed."""
        return datetime.fromtimestamp(self._last, IST) if self._last is not None else None

    @property
    def last_second(self) -> int | None:
        """The same as an epoch second."""
        return self._last

    def judge(self, told: Sequence[Told]) -> int | None:
        """The time of a message as an epoch second, by the stamps of its packets; None if none can be believed yet."""
        bound = self._bound()
        near = [one for one in told if bound is not None and one[1] <= bound]
        ahead = [one for one in told if bound is None or one[1] > bound]
        confirmed = self._confirmed(near, ahead) if ahead else None
        if confirmed is None and self._is_behind(near) and not ahead:
            confirmed = self._asked()  # the message tells no time that can be
        stamps = [stamp for _, stamp in near]
        newest = max([*stamps, *([confirmed] if confirmed is not None else [])], default=None)
        if confirmed is not None or (not ahead and newest is not None and newest >= (self._last or 0)):
            self._streak = None  # time goes on as it should
        if newest is not None and (self._last is None or newest > self._last):
            self._last, self._last_at, self._is_told = newest, self._beat(), True
        return newest

    def _bound(self) -> float | None:
        """The latest second that is believed at once; None if nothing is known of the time."""
        wall = self._wall().timestamp() if self._wall is not None else None
        gone_on = self._last + self._beat() - self._last_at if self._last is not None else None
        known = [moment for moment in (wall, gone_on) if moment is not None]
        return max(known) + NEAR_S if known else None

    def _confirmed(self, near: Sequence[Told], ahead: Sequence[Told]) -> int | None:
        """The newest of the stamps that are further on than they should be for which enough others stand."""
        played = self._of_played(near, ahead) if self._wall is None else None
        return played if played is not None else self._told_in_a_row(near, ahead)

    def _of_played(self, near: Sequence[Told], ahead: Sequence[Told]) -> int | None:
        """The same in a played market, which may go on by minutes from one message to the next."""
        agreed = _agreed(ahead)
        step = agreed.newest - self._last if self._last is not None else None
        tokens = {token for token, _ in (*near, *ahead)}
        unanimous = len(tokens) > 1 and agreed.tokens == tokens
        if unanimous and step is not None and step <= self._step:
            return agreed.newest
        may_ask = self._may_ask()
        asked = self._asked()
        if asked is not None:
            found = max((stamp for _, stamp in ahead if stamp <= asked + NEAR_S), default=asked)
            self._step = min(found - self._last, FAR_S) if self._last is not None and self._is_told else 0
            return found
        within = step is None or step <= (FAR_S if may_ask else self._step)
        most = 2 * len(agreed.tokens) > len(tokens) > 1
        return agreed.newest if within and (unanimous or (most and not may_ask)) else None

    def _is_behind(self, near: Sequence[Told]) -> bool:
        return self._last is not None and bool(near) and max(stamp for _, stamp in near) < self._last - NEAR_S

    def _may_ask(self) -> bool:
        """Whether it is time for a question; also where there is nobody to be asked."""
        return self._ask is None or self._beat() - self._asked_at >= self._ask_every_s

    def _asked(self) -> int | None:
        """A played market's time from its own source; None if there is none, or it cannot be asked now."""
        if self._ask is None or not self._may_ask():
            return None
        self._asked_at = self._beat()
        try:
            return int(self._ask().timestamp())
        except TradeSageError:
            return None  # whoever reads the books tells of a silent broker

    def _told_in_a_row(self, near: Sequence[Told], ahead: Sequence[Told]) -> int | None:
        """The time that enough messages in a row have told, if more instruments tell it than another."""
        now, streak = self._beat(), self._streak
        again = [one for one in ahead if streak is not None and self._goes_on(streak, one[1], now)]
        if streak is None or not again or not streak.prevails:
            again = []
        agreed = _agreed(again or ahead)
        if streak is None or not again:
            streak = self._streak = _Streak(now, now, agreed.newest)
        else:
            streak.messages, streak.heard, streak.stamp = streak.messages + 1, now, agreed.newest
        streak.tokens |= agreed.tokens
        streak.others |= {token for token, stamp in near if stamp >= (self._last or 0) - NEAR_S}
        streak.others |= {token for token, _ in ahead} - agreed.tokens
        enough = streak.messages >= MESSAGES and (self._wall is None or now - streak.began >= OVER_S)
        return streak.stamp if enough and streak.prevails else None

    def _goes_on(self, streak: _Streak, stamp: int, now: float) -> bool:
        """Whether a stamp is as much later than a streak's last as has passed meanwhile."""
        later = stamp - streak.stamp
        if self._wall is None:
            return -NEAR_S <= later <= FAR_S
        return abs(later - (now - streak.heard)) <= NEAR_S


def _agreed(told: Iterable[Told]) -> _Agreed:
    """The stamps of the most instruments that lie near each other, the earlier ones of equally many."""
    told = list(told)
    groups = [
        [(token, stamp) for token, stamp in told if first <= stamp <= first + NEAR_S]
        for first in sorted({stamp for _, stamp in told})
    ]
    agreed = (_Agreed(max(s for _, s in group), frozenset(token for token, _ in group)) for group in groups)
    return max(agreed, key=lambda group: len(group.tokens))
