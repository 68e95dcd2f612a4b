"""What a person is to look at: sentences that are on now, and those that were.

An alarm is told when it begins, again when it comes back after it was over, and now and then while it lasts; in
between it is counted. It is over when what it tells of says so, or when nobody has told it for a minute.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

LOG = structlog.get_logger("executor")
MOST_KEPT = 500  #: sentences in memory; the log has them all
MOST_SHOWN = 50  #: of those that are over, the last ones
LONGEST = 600  #: characters of a sentence; some carry what a stranger wrote
FADES_S = 60.0  #: an alarm that nobody has told for so long is over
REMINDS_S = 600.0  #: one that lasts is written to the log again


@dataclass
class Alarm:
    """The life of one sentence."""

    what: str
    first: datetime
    last: datetime
    last_s: float  #: `last` by the clock that measures durations
    logged_s: float
    times: int = 1  #: that it began
    stands: Callable[[], bool] | None = None  #: whether what it tells of is so still
    seen_on: bool = False
    ended: bool = False  #: it was seen to be over after it was on

    def is_on(self, now_s: float) -> bool:
        """Whether it is on. One that was seen to be over stays so until it is told anew: what `stands` asks may come
        true again by something else, and then that is what is told.
        """
        if self.ended:
            return False
        on = self.stands() if self.stands is not None else now_s - self.last_s < FADES_S
        self.seen_on, self.ended = self.seen_on or on, self.seen_on and not on
        return on


class Alarms(list[str]):
    """All sentences of a session, each once, in the order in which they were first told.

    Parameters
    ----------
    clock : function that measures seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock, self._alarms = clock, dict[str, Alarm]()

    def tell(self, sentence: str, stands: Callable[[], bool] | None = None) -> None:
        """Something is to be looked at.

        Parameters
        ----------
        sentence : alike each time it is told
        stands : whether it is so still; without it the alarm is over when it is told no more
        """
        sentence = " ".join(sentence.split())[:LONGEST]
        now, now_s = datetime.now(UTC), self._clock()
        alarm = self._alarms.get(sentence)
        if alarm is None:
            self._alarms[sentence] = Alarm(sentence, now, now, now_s, now_s, stands=stands)
            self.append(sentence)
            LOG.warning("alarm", what=sentence)
            self._forget()
            return
        returns = not alarm.is_on(now_s)
        alarm.last, alarm.last_s = now, now_s
        alarm.stands = stands or (None if alarm.stands is _never else alarm.stands)
        alarm.times += returns
        if returns:
            alarm.seen_on = alarm.ended = False
        if returns or now_s - alarm.logged_s >= REMINDS_S:
            alarm.logged_s = now_s
            LOG.warning("alarm", what=sentence, times=alarm.times, since=alarm.first.isoformat(timespec="seconds"))

    def let_go(self) -> None:
        """Whoever knew whether they stand is gone: from now on each is over when it is told no more.

        What is over by now stays so.
        """
        for alarm in self._alarms.values():
            is_over = alarm.stands is not None and not alarm.stands()
            alarm.stands = _never if is_over else None

    def on(self) -> list[str]:
        """Sentences that are on now."""
        now_s = self._clock()
        return [alarm.what for alarm in list(self._alarms.values()) if alarm.is_on(now_s)]

    def over(self) -> list[dict[str, Any]]:
        """Those that are over: how often they began, when first, and when they were told last."""
        now_s = self._clock()
        over = [alarm for alarm in list(self._alarms.values()) if not alarm.is_on(now_s)]
        return [
            {
                "what": alarm.what,
                "times": alarm.times,
                "first": alarm.first.isoformat(timespec="seconds"),
                "last": alarm.last.isoformat(timespec="seconds"),
            }
            for alarm in over[-MOST_SHOWN:]
        ]

    def _forget(self) -> None:
        while len(self) > MOST_KEPT:
            self._alarms.pop(self.pop(0), None)


def _never() -> bool:
    return False
