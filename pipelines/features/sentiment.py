"""Sentiment of an instrument's news: its level, what was new in it, how far opinions are apart, how old it is.

An item without a sentiment counts as an item, not as a level. Before the first item all of this is unknown.
"""

import math

from pipelines.domain.portable_math import halving
from pipelines.features.definition import family, row_of
from pipelines.features.state import figures
from pipelines.features.windows import compiled

FADE_6 = halving(6.0)  #: per bar: half is left after 6
FADE_24 = halving(24.0)
FADE_96 = halving(96.0)
TETLOCK = "Tetlock (2007), Journal of Finance 62(3)"
LEAST = 1e-3  #: decayed items: under this all news is so old that nothing is known

FEATURES = family(
    "sentiment",
    [
        ("sentiment_6", 0, "sentiment", TETLOCK, "decayed mean, half-life of 6 bars"),
        ("sentiment_24", 0, "sentiment", TETLOCK, "decayed mean, half-life of 24 bars"),
        ("sentiment_96", 0, "sentiment", TETLOCK, "decayed mean, half-life of 96 bars"),
        (
            "sentiment_surprise",
            0,
            "sentiment",
            "Tetlock, Saar-Tsechansky and Macskassy (2008), Journal of Finance 63(3)",
            "last news less the mean before it, fading over 24 bars",
        ),
        (
            "sentiment_dispersion",
            0,
            "sentiment",
            "Diether, Malloy and Scherbina (2002), Journal of Finance 57(5)",
            "decayed standard deviation, half-life of 96 bars",
        ),
        ("news_count_96", 0, "decayed items", TETLOCK, "decayed number of items, half-life of 96 bars"),
        ("hours_since_news", 0, "hours", TETLOCK, "from the last item to the close, nights included"),
    ],
)
ROW = row_of(FEATURES)
STATE = figures(
    *("said_6", "levels_6", "said_24", "levels_24", "said_96", "levels_96", "squares_96", "items_96"),
    *("surprise", "heard", "heard_at", "levelled"),
)


@compiled
def write(s, bar, out):
    said, levels, items = bar.news_sentiment, bar.news_levels, bar.news_items
    usual = s.said_96 / s.levels_96 if s.levels_96 > LEAST else math.nan
    s.surprise *= FADE_24
    if levels > 0.0:
        # The first news ever has no past to surprise
        s.surprise = said / levels - usual if not math.isnan(usual) else math.nan
    s.said_6, s.levels_6 = s.said_6 * FADE_6 + said, s.levels_6 * FADE_6 + levels
    s.said_24, s.levels_24 = s.said_24 * FADE_24 + said, s.levels_24 * FADE_24 + levels
    s.said_96, s.levels_96 = s.said_96 * FADE_96 + said, s.levels_96 * FADE_96 + levels
    s.squares_96 = s.squares_96 * FADE_96 + bar.news_squares
    s.items_96 = s.items_96 * FADE_96 + items
    s.levelled += levels
    if items > 0.0:
        s.heard, s.heard_at = 1.0, bar.news_hour
    out.sentiment_6 = s.said_6 / s.levels_6 if s.levels_6 > LEAST else math.nan
    out.sentiment_24 = s.said_24 / s.levels_24 if s.levels_24 > LEAST else math.nan
    known = s.levels_96 > LEAST
    out.sentiment_96 = s.said_96 / s.levels_96 if known else math.nan
    out.sentiment_surprise = s.surprise if s.levelled > 0.0 else math.nan
    out.sentiment_dispersion = _spread(s) if known and s.levelled > 1.0 else math.nan
    out.news_count_96 = s.items_96 if s.heard > 0.0 else math.nan
    out.hours_since_news = bar.hour - s.heard_at if s.heard > 0.0 else math.nan


@compiled
def _spread(s):
    average = s.said_96 / s.levels_96
    spread = s.squares_96 / s.levels_96 - average * average
    return math.sqrt(spread) if spread > 1e-12 else 0.0
