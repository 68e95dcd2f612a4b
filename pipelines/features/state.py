"""What a step is given and what it remembers: the last bars in rings, and the running figures that have no end."""

from collections import namedtuple
from typing import Any

import numpy as np

from pipelines.features.windows import compiled

#: Bars a ring holds; above the longest window
SPAN = 96

# A ring is written twice, SPAN apart: so its last n values always lie side by side and in order
_ring = (np.float64, (2 * SPAN,))

#: Columns of what a step is given for one bar; `volume` is NaN where the source has none
INPUTS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "session",  # day number
    "minute",  # of the day, at the close
    "weekday",  # Monday is 0
    "month",  # 1 to 12
    "news_sentiment",  # sum over the items since the bar before
    "news_items",
)
IN: Any = namedtuple("IN", INPUTS)(*range(len(INPUTS)))  # type: ignore[misc]


def rings(*names: str) -> tuple[tuple, ...]:
    """State fields that hold the last `SPAN` values of a figure; see `push`."""
    return tuple((name, *_ring) for name in names)


def figures(*names: str) -> tuple[tuple, ...]:
    """State fields of one number each; zero before the first bar."""
    return tuple((name, np.float64) for name in names)


#: What several families use; each family adds its own fields (`STATE`), the step joins them
SHARED = (
    ("count", np.int64),  # bars so far, this one included
    ("end", np.int64),  # `ring[end - n : end]` are the last n values
    ("quarters", np.int64),  # finished bars of 15 minutes
    ("hours", np.int64),  # finished bars of an hour
    ("sessions", np.int64),  # finished sessions
    *rings("high", "low", "close", "log_return", "volume", "typical", "market_return"),
    *figures("open_now", "atr", "volatility"),
    *figures("session", "session_bars", "session_open", "gap_rupees"),
)
MARKET_STATE = np.dtype([("count", np.int64), ("end", np.int64), *rings("log_return", "breadth")], align=True)


@compiled
def push(ring, end, value):
    """Write the newest value, so that `ring[end - n : end]` are the last n."""
    ring[end - 1] = value
    ring[end - 1 - SPAN] = value


@compiled
def advance(state):
    """Make room for one more bar."""
    state.end = SPAN + 1 + state.count % SPAN
    state.count += 1
