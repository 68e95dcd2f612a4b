"""Ticks that stop while the connection lives: heartbeats go on, all is subscribed, and nothing is told any more.

| what stops, in the session | what is done | again after |
|---|---|---|
| all packets, for `ticks_stop_after_seconds` | alarm, new connection | twice that time, four times, at most 300 s |
| an instrument's, for that time, a minute, and ten times its longest silence so far | the same | 300 s, 600 s, … |
| the connection itself, six times within a minute | alarm | |

Meanwhile time goes on by another clock (`Session.on_clock`), and the stale feed halts trading.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

INSTRUMENT_SILENT_S = 60.0  #: at least, before an instrument is missed
LONGER_THAN_EVER = 10  #: times the longest silence of an instrument so far
LEAST_PACKETS = 20  #: of an instrument, before it is known how often they come
MOST_WAIT_S = 300.0
MOST_CONNECTIONS, WITHIN_S = 6, 60.0
LOOK_EVERY_S = 1.0
BUSY_S = 10.0  #: between two looks: then it was we who did not listen
MOST_NAMED = 5  #: instruments in one alarm


class Ticker(Protocol):
    """The part of a feed that is looked at."""

    access_token: str

    @property
    def symbols(self) -> Mapping[int, str]: ...

    @property
    def packets_at(self) -> Mapping[int, float]:
        """When each instrument's last packet came in, by token."""
        ...

    @property
    def connected_at(self) -> Sequence[float]: ...

    def connect(self, access_token: str) -> None: ...


@dataclass(slots=True)
class _Habit:
    """How often an instrument's packets come."""

    last_at: float
    packets: int = 0
    longest_s: float = 0.0

    def hear(self, at: float) -> None:
        if at > self.last_at:
            self.packets += 1
            self.longest_s = max(self.longest_s, at - self.last_at)
            self.last_at = at


class FeedWatch:
    """Looks at a feed every second and connects it anew when it should tell more than it does.

    Parameters
    ----------
    feed : of the session
    stop_after_s : seconds of the wall clock without any packet
    clock : function that gives seconds that only grow, as the feed's
    """

    def __init__(self, feed: Ticker, stop_after_s: float, clock: Callable[[], float] = time.monotonic):
        self._feed, self._stop_after_s, self._clock = feed, stop_after_s, clock
        self._looked_at = float("-inf")
        self._since = clock()  # the last packet, connection or time outside of the session
        self._wait_s = stop_after_s
        self._habits: dict[int, _Habit] = {}
        self._missed_at, self._missed_wait_s = float("-inf"), 0.0

    def look(self, in_session: bool, *, idle: bool = True) -> str | None:
        """What is wrong with the feed, in a sentence; None if nothing is, or if it was looked at a moment ago.

        Parameters
        ----------
        idle : whether all that came was worked off; while we are behind, nobody else is silent
        """
        now = self._clock()
        if now - self._looked_at < LOOK_EVERY_S:
            return None
        busy, self._looked_at = now - self._looked_at > BUSY_S or not idle, now
        heard = max(self._feed.packets_at.values(), default=float("-inf"))
        for token, at in self._feed.packets_at.items():
            self._habits.setdefault(token, _Habit(at)).hear(at)
        if not in_session:
            self._since, self._wait_s = now, self._stop_after_s
            self._habits.clear()
            return None
        if heard > self._since:
            self._since, self._wait_s = heard, self._stop_after_s
        if busy:
            self._since = now
            return None
        if now - self._since >= self._wait_s:
            self._since, self._wait_s = now, min(self._wait_s * 2, max(MOST_WAIT_S, self._stop_after_s))
            self._feed.connect(self._feed.access_token)
            return "ticks have stopped while the ticker's connection lives: it is connected anew"
        return self._instruments(now, heard) or self._loop(now)

    def _instruments(self, now: float, heard: float) -> str | None:
        """Instruments that fell silent while the others go on."""
        if now - heard > self._stop_after_s / 2 or now - self._missed_at < self._missed_wait_s:
            return None
        least = max(INSTRUMENT_SILENT_S, self._stop_after_s)
        missed = [
            self._feed.symbols[token]
            for token, habit in self._habits.items()
            if token in self._feed.symbols
            and habit.packets >= LEAST_PACKETS
            and now - habit.last_at > max(least, LONGER_THAN_EVER * habit.longest_s)
        ]
        if not missed:
            return None
        self._missed_at, self._missed_wait_s = now, max(MOST_WAIT_S, self._missed_wait_s * 2)
        self._feed.connect(self._feed.access_token)
        more = f" and {len(missed) - MOST_NAMED} more" if len(missed) > MOST_NAMED else ""
        return f"ticks of {', '.join(sorted(missed)[:MOST_NAMED])}{more} have stopped: the ticker is connected anew"

    def _loop(self, now: float) -> str | None:
        recent = sum(now - at < WITHIN_S for at in list(self._feed.connected_at))
        if recent < MOST_CONNECTIONS:
            return None
        return "the ticker's connection is made again and again: six times within a minute; check the network"
