"""What others than the feed tell of prices: the broker's quotes and history, and corporate actions."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

import pandas as pd

from pipelines.domain.ex_dates import ExDates
from serving.executor.ticks import KnownPrices

MOST_QUOTES = 500  #: instruments in one request, at Kite


def batched(keys: Iterable[str], most: int) -> Iterator[tuple[str, ...]]:
    """Keys in portions of at most so many."""
    left = iter(keys)
    while some := tuple(islice(left, most)):
        yield some


def take_quote(known: KnownPrices, symbol: str, quote: Mapping[str, Any]) -> None:
    """The previous close and the day's band of a quote as `KiteConnect.quote` gives it; what is missing tells nothing.

    The quote's last price is not taken: it comes from the same trades as the feed's.
    """
    known.tell(symbol, float((quote.get("ohlc") or {}).get("close") or 0.0))
    lowest, highest = (float(quote.get(f"{end}_circuit_limit") or 0.0) for end in ("lower", "upper"))
    if 0 < lowest < highest:
        known.bands[symbol] = lowest, highest


def take_history(known: KnownPrices, history: Mapping[str, pd.DataFrame]) -> None:
    """The last close of each history (columns `close`, sorted by time; may be empty)."""
    for symbol, frame in history.items():
        if len(frame):
            known.tell(symbol, float(frame["close"].iloc[-1]))


def take_actions(known: KnownPrices, announced: ExDates, symbols: Iterable[str], now: datetime) -> None:
    """What of today's splits and bonuses is known: a price that they explain is not doubted."""
    for symbol in symbols:
        for action in announced.of(symbol):
            if action.day == now.date() and action.known_at <= now and action.ratio > 0:
                known.take_action(symbol, action.ratio)
