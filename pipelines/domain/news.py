"""What was said about an instrument, and when it was known."""

from dataclasses import dataclass
from datetime import datetime

#: Columns of `news.parquet`
NEWS_COLUMNS = ("symbol", "time", "headline", "sentiment")


@dataclass(frozen=True, slots=True)
class News:
    symbol: str
    time: datetime  #: when it could be known, with a zone
    sentiment: float  #: in [-1, 1]
    headline: str = ""
