"""News: sentiment that fades bar by bar, and how much was said; zero without news."""

import math

from pipelines.features.catalogue import AT
from pipelines.features.state import IN, push
from pipelines.features.windows import compiled, total

FADE_6 = math.exp(-math.log(2.0) / 6.0)  #: per bar: half is left after 6
FADE_24 = math.exp(-math.log(2.0) / 24.0)


@compiled
def write(s, bar, out):
    s.news_6 = s.news_6 * FADE_6 + bar[IN.news_sentiment]
    s.news_24 = s.news_24 * FADE_24 + bar[IN.news_sentiment]
    push(s.news_items, s.end, bar[IN.news_items])
    out[AT.news_level_6] = s.news_6
    out[AT.news_level_24] = s.news_24
    out[AT.news_count_24] = total(s.news_items[s.end - 24 : s.end])
