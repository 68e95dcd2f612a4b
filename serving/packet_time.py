"""What time a message of the feed tells: a stamp that one packet alone tells is doubted, as a price would be.

Time goes on with the wall clock. A stamp that is further on than that is believed only if somebody else tells the same:
another instrument of the same message, the next message, or a source that is asked. One that is behind never moves the
time back. So one packet stamped a minute, a day or eighty years ahead moves no clock.

| market | a stamp is believed at once up to | further on it is believed if |
|---|---|---|
| by the wall clock (Kite) | the wall clock, or the last time and what has passed since, and 5 s | the next message has it from another instrument, at most 5 s off |
| played | the last time and what has passed of the wall clock, and 5 s | two instruments of the message agree to 5 s on at most an hour more; else the exchange's own clock is asked, and tells the time |
"""  # noqa: E501

import time
from collections.abc import Callable, Sequence
from datetime import datetime

from pipelines.domain.bars import IST
from pipelines.domain.errors import TradeSageError

NEAR_S = 5  #: two stamps this near each other tell the same time
FAR_S = 3600  #: a played market that has gone further between two messages is asked for its time
Told = tuple[int, int]  #: an instrument's token, and the second (epoch) that its packet is stamped with


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
        self._asked_at = float("-inf")
        self._doubted: tuple[float, Sequence[Told]] | None = None  # when, and the stamps that nobody else told
        self._tokens: set[int] = set()  # of all instruments heard so far

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
        self._tokens.update(token for token, _ in told)
        bound = self._bound()
        near = [stamp for _, stamp in told if bound is not None and stamp <= bound]
        ahead = [one for one in told if bound is None or one[1] > bound]
        confirmed = self._confirmed(ahead) if ahead else None
        if confirmed is None and self._is_behind(near) and not ahead:
            confirmed = self._asked()  # the message tells no time that can be
        newest = max([*near, *([confirmed] if confirmed is not None else [])], default=None)
        if confirmed is not None or (not ahead and newest is not None and newest >= (self._last or 0)):
            self._doubted = None  # time goes on as it should
        if newest is not None and (self._last is None or newest > self._last):
            self._last, self._last_at = newest, self._beat()
        return newest

    def _bound(self) -> float | None:
        """The latest second that is believed at once; None if nothing is known of the time."""
        wall = self._wall().timestamp() if self._wall is not None else None
        gone_on = self._last + self._beat() - self._last_at if self._last is not None else None
        known = [moment for moment in (wall, gone_on) if moment is not None]
        return max(known) + NEAR_S if known else None

    def _confirmed(self, ahead: Sequence[Told]) -> int | None:
        """The newest of the stamps that are further on than they should be for which somebody else stands."""
        if self._wall is None:
            agreed = _agreed(ahead)
            if agreed is not None and self._last is not None and agreed - self._last <= FAR_S:
                return agreed
            asked = self._asked()
            if asked is not None:
                return max((stamp for _, stamp in ahead if stamp <= asked + NEAR_S), default=asked)
            if agreed is not None:
                return agreed
        return self._told_again(ahead)

    def _is_behind(self, near: Sequence[int]) -> bool:
        return self._last is not None and bool(near) and max(near) < self._last - NEAR_S

    def _asked(self) -> int | None:
        """A played market's time from its own source; None if there is none, or it cannot be asked now."""
        now = self._beat()
        if self._ask is None or now - self._asked_at < self._ask_every_s:
            return None
        self._asked_at = now
        try:
            return int(self._ask().timestamp())
        except TradeSageError:
            return None  # whoever reads the books tells of a silent broker

    def _told_again(self, ahead: Sequence[Told]) -> int | None:
        """Whether a message before this one told the same time, from another instrument if more than one is heard."""
        now = self._beat()
        before, self._doubted = self._doubted, (now, ahead)
        if before is None:
            return None
        passed = now - before[0] if self._wall is not None else FAR_S
        alone = len(self._tokens) == 1
        again = [
            stamp
            for token, stamp in ahead
            for other, doubted in before[1]
            if (alone or token != other) and -NEAR_S <= stamp - doubted <= passed + NEAR_S
        ]
        return max(again, default=None)


def _agreed(told: Sequence[Told]) -> int | None:
    """The newest stamp of the most instruments that lie near each other, the earlier ones of equally many; None if each
    stands alone.
    """
    groups = [
        [(token, stamp) for token, stamp in told if first <= stamp <= first + NEAR_S]
        for first in sorted({stamp for _, stamp in told})
    ]
    largest = max(groups, key=lambda group: len({token for token, _ in group}))
    return max(stamp for _, stamp in largest) if len({token for token, _ in largest}) > 1 else None
