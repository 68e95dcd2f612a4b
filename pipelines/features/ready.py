"""`python -m pipelines.features.ready`: compile the loops once for a checkout, in about a minute, and keep them.

Processes that start together, as tests do, would otherwise compile them side by side.
"""

import pandas as pd

from pipelines.domain.bars import IST, PRICE_COLUMNS, Interval
from pipelines.domain.instruments import Kind
from pipelines.features.batch import build_features

BARS = 3


def make_ready() -> None:
    """Build the features of two instruments with three bars each: every loop runs once."""
    opens = pd.Series(pd.date_range("2026-01-05 09:15", periods=BARS, freq="5min", tz=IST))
    news = pd.DataFrame({"symbol": ["A"], "time": opens.head(1), "sentiment": [0.5]})
    instruments = pd.DataFrame({"symbol": ["A", "B"], "kind": Kind.STOCK.value, "has_volume": True, "sector": ""})
    bars = {symbol: _bars(symbol, opens) for symbol in instruments["symbol"]}
    for _ in build_features(bars, news, instruments, Interval.MIN_5).rows:
        pass


def _bars(symbol: str, opens: pd.Series) -> pd.DataFrame:
    frame = pd.DataFrame({"symbol": symbol, "open_time": opens, "close_time": opens + pd.Timedelta(minutes=5)})
    return frame.assign(**dict.fromkeys(PRICE_COLUMNS, 100.0), volume=1000, adjustment=1.0)


if __name__ == "__main__":
    make_ready()
