"""News: sentiment that fades bar by bar, and how much was said; zero without news."""

import math

from pipelines.features.definition import family, places
from pipelines.features.state import IN, figures, push, rings
from pipelines.features.windows import compiled, total

FEATURES = family(
    "news",
    [
        (
            "news_level_6",
            0,
            "decayed sentiment",
            "half-life of 6 bars; Tetlock (2007), Journal of Finance 62(3)",
            "sentiment of the news, half forgotten after 6 bars",
        ),
        (
            "news_level_24",
            0,
            "decayed sentiment",
            "half-life of 24 bars; Tetlock (2007), Journal of Finance 62(3)",
            "sentiment of the news, half forgotten after 24 bars",
        ),
    ],
) + family(
    "news",
    [
        ("news_count_24", 0, "items", "in the last 24 bars", "news items of 24 bars"),
    ],
    version=2,  # items without a sentiment count, too
)
AT = places(FEATURES)
STATE = figures("news_6", "news_24") + rings("news_items")

FADE_6 = math.exp(-math.log(2.0) / 6.0)  #: per bar: half is left after 6
FADE_24 = math.exp(-math.log(2.0) / 24.0)


@compiled
def write(s, bar, market, out):
    s.news_6 = s.news_6 * FADE_6 + bar[IN.news_sentiment]
    s.news_24 = s.news_24 * FADE_24 + bar[IN.news_sentiment]
    push(s.news_items, s.end, bar[IN.news_items])
    out[AT.news_level_6] = s.news_6
    out[AT.news_level_24] = s.news_24
    out[AT.news_count_24] = total(s.news_items[s.end - 24 : s.end])
