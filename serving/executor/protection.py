"""How long shares were held without an order at the broker that takes them back."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from serving.executor.trade import Trade


@dataclass
class Protection:
    """Measures every gap between a fill and the order that covers it, by two clocks.

    By the market's clock a gap runs from the broker's stamp of the fill to our time of the order's sending; by our own
    from when we learned of the fill to when the book showed it covered.
    """

    longest_market_s: float = 0.0
    longest_wall_s: float = 0.0
    _since: dict[str, tuple[datetime, float]] = field(default_factory=dict)  # by symbol

    @property
    def longest_s(self) -> float:
        return max(self.longest_market_s, self.longest_wall_s)

    def look(self, trades: Iterable[Trade], now: datetime) -> None:
        """Take note of what is covered now and what is not."""
        seen = set()
        for trade in trades:
            seen.add(trade.symbol)
            if trade.uncovered:
                self._since.setdefault(trade.symbol, (_last_fill(trade, now), time.monotonic()))
            elif trade.symbol in self._since:
                self._close(trade.symbol, _covered_at(trade, now))
        for symbol in set(self._since) - seen:
            self._close(symbol, now)

    def _close(self, symbol: str, at: datetime) -> None:
        market, wall = self._since.pop(symbol)
        self.longest_market_s = max(self.longest_market_s, (at - market).total_seconds())
        self.longest_wall_s = max(self.longest_wall_s, time.monotonic() - wall)


def _last_fill(trade: Trade, now: datetime) -> datetime:
    """Of what made shares uncovered: an entry's fill, or now if a stop is gone."""
    if trade.ways_out:
        return now
    return min((leg.first_fill_at for leg in trade.entries if leg.first_fill_at is not None), default=now)


def _covered_at(trade: Trade, now: datetime) -> datetime:
    resting = trade.resting
    return min(resting.changed_at, now) if resting is not None else now
