"""News of the whole market: what is said of all stocks of the run together, fading bar by bar."""

import math

from pipelines.features.definition import family, places
from pipelines.features.sentiment import FADE_24, FADE_96, LEAST, TETLOCK
from pipelines.features.state import figures
from pipelines.features.survey import SUM
from pipelines.features.windows import compiled

FEATURES = family(
    "sentiment",
    [
        ("market_sentiment_24", 0, "sentiment", TETLOCK, "decayed mean over all stocks, half-life of 24 bars"),
        ("market_sentiment_shift", 0, "sentiment", TETLOCK, "market_sentiment_24 less its like of 96 bars"),
        ("market_news_24", 0, "decayed items", TETLOCK, "decayed number of items on all stocks; NaN before the first"),
    ],
)
AT = places(FEATURES)
STATE = figures("said_24", "levels_24", "said_96", "levels_96", "items_24", "heard")


@compiled
def write(m, sums, levels, out):
    m.said_24 = m.said_24 * FADE_24 + sums[SUM.sentiment]
    m.levels_24 = m.levels_24 * FADE_24 + sums[SUM.levels]
    m.said_96 = m.said_96 * FADE_96 + sums[SUM.sentiment]
    m.levels_96 = m.levels_96 * FADE_96 + sums[SUM.levels]
    m.items_24 = m.items_24 * FADE_24 + sums[SUM.items]
    m.heard = max(m.heard, min(sums[SUM.items], 1.0))
    short = m.said_24 / m.levels_24 if m.levels_24 > LEAST else math.nan
    long = m.said_96 / m.levels_96 if m.levels_96 > LEAST else math.nan
    out[AT.market_sentiment_24] = short
    out[AT.market_sentiment_shift] = short - long
    out[AT.market_news_24] = m.items_24 if m.heard > 0.0 else math.nan
