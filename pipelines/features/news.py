"""News: sentiment that fades bar by bar, and how much was said; zero without news."""

from pipelines.features.definition import family, row_of
from pipelines.features.sentiment import FADE_6, FADE_24
from pipelines.features.sliding import slide, sliding
from pipelines.features.state import figures
from pipelines.features.windows import compiled

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
ROW = row_of(FEATURES)
_ITEMS_24, _ = sliding("items_24", 24, "items")
STATE = (*figures("news_6", "news_24"), _ITEMS_24)


@compiled
def write(s, bar, out):
    s.news_6 = s.news_6 * FADE_6 + bar.news_sentiment
    s.news_24 = s.news_24 * FADE_24 + bar.news_sentiment
    s.items_24.now[0] = bar.news_items
    slide(s.items_24, s.count)
    out.news_level_6 = s.news_6
    out.news_level_24 = s.news_24
    out.news_count_24 = s.items_24.total[0]
