"""What a step remembers: the last bars in rings, and the running figures that have no end."""

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

_RINGS = ("high", "low", "close", "log_return", "volume", "typical", "parkinson", "garman_klass")
_MORE_RINGS = ("market_return", "stochastic", "news_items")
_FIGURES = (
    # exponential means of the close
    *("ema_5", "ema_12", "ema_20", "ema_26", "ema_50", "macd_signal"),
    # Wilder's smoothed figures
    *("atr", "gain", "loss", "plus_move", "minus_move", "adx"),
    # of the present session
    *("session", "session_bars", "session_open", "session_value", "session_volume", "range_high", "range_low"),
    *("gap_rupees", "streak", "news_6", "news_24"),
    # of the present bar, used by several families
    *("open_now", "volatility"),
)

INSTRUMENT_STATE = np.dtype(
    [("count", np.int64), ("end", np.int64)]
    + [(name, *_ring) for name in _RINGS + _MORE_RINGS]
    + [(name, np.float64) for name in _FIGURES],
    align=True,
)
MARKET_STATE = np.dtype(
    [("count", np.int64), ("end", np.int64), ("log_return", *_ring), ("breadth", *_ring)], align=True
)


def new_states(count: int, kind: np.dtype = INSTRUMENT_STATE) -> np.ndarray:
    """`count` states that have seen no bar."""
    return np.zeros(count, dtype=kind)


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
