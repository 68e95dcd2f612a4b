"""Which ticks are believed: late ones move no order, and one that jumps away alone moves nothing at all.

| tick | is believed at once if its price is | else |
|---|---|---|
| the first after a start, and of a day | within `most_jump` of a price that somebody else tells, and within the day's band | a second one within 2 % of it, later |
| a later one, also after a reconnection | within `most_jump` of the last one | the same |

Somebody else is: the packet's previous close, the broker's quote, the history's last close, the journal's position, the
day before. Where nobody else tells a price the first one is believed.
"""  # noqa: E501

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from serving.executor.bar_builder import Tick
from serving.price_doubt import SAME


class Believed(NamedTuple):
    """What a tick is good for."""

    tick: Tick
    is_news: bool  #: whether it tells the price of now; a late one only belongs into its bar


@dataclass
class KnownPrices:
    """What others than the feed tell of prices, by symbol, rupees."""

    marks: dict[str, list[float]] = field(default_factory=dict)
    bands: dict[str, tuple[float, float]] = field(default_factory=dict)  #: the day's lowest and highest price

    def tell(self, symbol: str, price: float) -> None:
        """Note a price; the last few are kept."""
        if price > 0:
            self.marks[symbol] = [*self.marks.get(symbol, [])[-5:], price]

    def next_day(self, last: Mapping[str, float]) -> None:
        """A day has begun: the last prices of the one before, no band."""
        self.bands.clear()
        for symbol, price in last.items():
            self.tell(symbol, price)

    def agree(self, tick: Tick, most_jump: float) -> bool:
        """Whether somebody else tells a price near the tick's; also where nobody else tells one."""
        lowest, highest = self.bands.get(tick.symbol, (0.0, float("inf")))
        marks = [price for price in (*self.marks.get(tick.symbol, ()), tick.previous_close) if price > 0]
        near = not marks or any(_apart(tick.price, mark) <= most_jump for mark in marks)
        return near and lowest <= tick.price <= highest


@dataclass
class TickFilter:
    """Parameters
    ----------
    late_after : timedelta
        A tick that is older than this, at the market's time, is late, as is one before a tick seen already.
    most_jump : float
        A price that is further from the last one, as a share of it, waits until a second one confirms it.
    known : KnownPrices
        What the first price of an instrument is held against.
    """

    late_after: timedelta
    most_jump: float
    known: KnownPrices = field(default_factory=KnownPrices)
    _last: dict[str, Tick] = field(default_factory=dict)
    _doubted: dict[str, Tick] = field(default_factory=dict)

    def believe(self, ticks: Iterable[Tick], now: datetime) -> list[Believed]:
        """Of a frame's ticks those that are believed, in order; one that was doubted comes with its confirmation."""
        found: list[Believed] = []
        for tick in ticks:
            found += self._judge(tick, now)
        return found

    @property
    def last(self) -> dict[str, float]:
        """The last prices that were believed, by symbol."""
        return {symbol: tick.price for symbol, tick in self._last.items()}

    def _judge(self, tick: Tick, now: datetime) -> list[Believed]:
        if tick.price <= 0 or tick.at.date() != now.date():
            return []
        last = self._last.get(tick.symbol)
        if now - tick.at > self.late_after or (last is not None and tick.at < last.at):
            return [Believed(tick, is_news=False)] if self._is_near(tick, last) else []
        if self._is_near(tick, last):
            self._doubted.pop(tick.symbol, None)
            self._last[tick.symbol] = tick
            return [Believed(tick, is_news=True)]
        doubted = self._doubted.get(tick.symbol)
        if doubted is None or _apart(tick.price, doubted.price) > SAME:
            self._doubted[tick.symbol] = tick
            return []
        del self._doubted[tick.symbol]
        self._last[tick.symbol] = tick
        return [Believed(doubted, is_news=False), Believed(tick, is_news=True)]

    def _is_near(self, tick: Tick, last: Tick | None) -> bool:
        if last is None:
            return self.known.agree(tick, self.most_jump)
        return _apart(tick.price, last.price) <= self.most_jump


def _apart(price: float, other: float) -> float:
    return abs(price / other - 1.0)
