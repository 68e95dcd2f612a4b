"""How often a client may call."""

import time
from collections import deque
from dataclasses import dataclass, field

from serving.exchange.refusals import too_many_requests


@dataclass
class RateLimit:
    """At most `per_second` calls within a second of the wall clock; more are refused, not queued. None: no limit."""

    per_second: int | None
    _calls: deque[float] = field(default_factory=deque)

    def check(self) -> None:
        if self.per_second is None:
            return
        now = time.monotonic()
        while self._calls and now - self._calls[0] >= 1.0:
            self._calls.popleft()
        if len(self._calls) >= self.per_second:
            raise too_many_requests()
        self._calls.append(now)
