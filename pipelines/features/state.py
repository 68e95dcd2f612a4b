"""What a step is given and what it remembers: the last bars in rings, and the running figures that have no end."""

from collections import namedtuple
from typing import Any

import numpy as np

from pipelines.features.sliding import sliding, sliding_line, sliding_newest
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
    "hour",  # hours since 1970, at the close
    "news_sentiment",  # sum over the items since the bar before, as far as they have one
    "news_squares",  # sum of their squares
    "news_levels",  # items that have a sentiment
    "news_items",
    "news_hour",  # of the last item, hours since 1970
    "nifty_return",  # log return of NIFTY 50 since the market's close before; NaN where unknown
    "sector_sum",  # of the log returns of the sector's stocks, the instrument's own one among them
    "sector_known",  # how many these are
    "market_return",  # mean log return of the run's stocks at the close; NaN where none has a bar before
)
INPUT_ROW = np.dtype([(name, np.float64) for name in INPUTS])
IN: Any = namedtuple("IN", INPUTS)(*range(len(INPUTS)))  # type: ignore[misc]


def rings(*names: str) -> tuple[tuple, ...]:
    """State fields that hold the last `SPAN` values of a figure; see `push`."""
    return tuple((name, *_ring) for name in names)


def figures(*names: str) -> tuple[tuple, ...]:
    """State fields of one number each; zero before the first bar."""
    return tuple((name, np.float64) for name in names)


#: Sums over the returns of 24 and 48 bars, shared by volatility, statistics and the relation to the market
RETURNS_24, OF_24 = sliding("returns_24", 24, "own", "square", "cube", "fourth", "down", "bipower", "rise")
RETURNS_48, OF_48 = sliding("returns_48", 48, "own", "square", "market", "market_square", "product")
HIGHS_20, _ = sliding("extremes_20", 20, "high", "low")
HIGHS_55 = sliding_newest("extremes_55", 55, "high", "low")

#: What several families use; each family adds its own fields (`STATE`), the step joins them
SHARED: tuple[tuple, ...] = (
    ("count", np.int64),  # bars so far, this one included
    ("end", np.int64),  # `ring[end - n : end]` are the last n values
    ("quarters", np.int64),  # finished bars of 15 minutes
    ("hours", np.int64),  # finished bars of an hour
    ("sessions", np.int64),  # finished sessions
    *rings("open", "high", "low", "close", "log_close", "log_return", "volume", "typical", "market_return"),
    *figures("log_open", "log_high", "log_low", "true_range", "change"),
    *figures("atr", "per_atr", "volatility"),  # per_atr is 1/ATR, NaN where nothing moves
    *figures("mean_20", "spread_20"),  # of 20 closes: mean and standard deviation
    *figures("top_20", "bottom_20", "top_55", "bottom_55"),  # highest high and lowest low, this bar included
    *figures("earlier_top_20", "earlier_bottom_20", "earlier_top_55", "earlier_bottom_55"),  # up to the bar before
    *figures("session", "session_bars", "session_open", "session_high", "session_low", "gap_rupees"),
    *figures("last_high", "last_low", "last_close"),  # of the session before
    RETURNS_24,
    RETURNS_48,
    HIGHS_20,
    HIGHS_55,
    sliding_line("closes_20", 20),
)


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
