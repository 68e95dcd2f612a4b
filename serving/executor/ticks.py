"""Which ticks are believed: late ones move no order, and what jumps away moves nothing until four packets tell it.

| tick | is believed at once if its price is | else |
|---|---|---|
| the first after a start, and of a day | within `most_jump` of a price that another source tells, and within the day's band | the fourth in a row within 2 % of each other |
| a later one, also after a reconnection | within `most_jump` of the last one | the same |

Another source is: the broker's quote, the history's last close, the journal's position, the day before; on an ex-date
also these by the ratio that was announced. A packet's own previous close is none. Where no source tells a price the
first one is doubted, too. Those that were doubted go into their bars when they are believed after all.
"""  # noqa: E501

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from serving.executor.bar_builder import Tick
from serving.price_doubt import PACKETS, SAME

_MOST_MARKS = 8  #: prices that are kept of an instrument


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
            self.marks[symbol] = [*self.marks.get(symbol, [])[1 - _MOST_MARKS :], price]

    def next_day(self, last: Mapping[str, float]) -> None:
        """A day has begun: the last prices of the one before, and bands about them that are as wide as they were."""
        self.bands = {
            symbol: (last[symbol] * 2 * low / (low + high), last[symbol] * 2 * high / (low + high))
            for symbol, (low, high) in self.bands.items()
            if symbol in last
        }
        for symbol, price in last.items():
            self.tell(symbol, price)

    def take_action(self, symbol: str, ratio: float) -> None:
        """A split or bonus takes effect today: prices may also be those of before, divided by its ratio; no band."""
        for price in self.marks.get(symbol, [])[-_MOST_MARKS // 2 :]:
            self.tell(symbol, price / ratio)
        self.bands.pop(symbol, None)

    def agree(self, tick: Tick, most_jump: float) -> bool:
        """Whether another source tells a price near the tick's."""
        lowest, highest = self.bands.get(tick.symbol, (0.0, float("inf")))
        near = any(_apart(tick.price, mark) <= most_jump for mark in self.marks.get(tick.symbol, ()))
        return near and lowest <= tick.price <= highest


@dataclass
class TickFilter:
    """Parameters
    ----------
    late_after : timedelta
        A tick that is older than this, at the market's time, is late, as is one before a tick seen already.
    most_jump : float
        A price that is further from the last one, as a share of it, waits until others confirm it.
    known : KnownPrices
        What the first price of an instrument is held against.
    """

    late_after: timedelta
    most_jump: float
    known: KnownPrices = field(default_factory=KnownPrices)
    _last: dict[str, Tick] = field(default_factory=dict)
    _doubted: dict[str, list[Tick]] = field(default_factory=dict)
    _dropped: list[Tick] = field(default_factory=list)

    def believe(self, ticks: Iterable[Tick], now: datetime) -> list[Believed]:
        """Of a frame's ticks those that are believed, in order; doubted ones come with the last that confirms them."""
        found: list[Believed] = []
        for tick in ticks:
            found += self._judge(tick, now)
        return found

    @property
    def last(self) -> dict[str, float]:
        """The last prices that were believed, by symbol."""
        return {symbol: tick.price for symbol, tick in self._last.items()}

    def doubted_since(self, symbol: str) -> datetime | None:
        """When the first tick was made that is doubted now; None if none is."""
        doubted = self._doubted.get(symbol)
        return doubted[0].at if doubted else None

    def take_dropped(self) -> list[Tick]:
        """Ticks that turned out to be wild since the last call: what was traded then is not known."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def _judge(self, tick: Tick, now: datetime) -> list[Believed]:
        if tick.at.date() != now.date():
            return []
        last = self._last.get(tick.symbol)
        is_near = tick.price > 0 and self._is_near(tick, last)
        if now - tick.at > self.late_after or (last is not None and tick.at < last.at):
            self._dropped += [] if is_near else [tick]
            return [Believed(tick, is_news=False)] if is_near else []
        doubted = self._doubted.pop(tick.symbol, [])
        if is_near or tick.price <= 0:
            self._dropped += doubted if is_near else [*doubted, tick]
            self._last |= {tick.symbol: tick} if is_near else {}
            return [Believed(tick, is_news=True)] if is_near else []
        if doubted and _apart(tick.price, doubted[-1].price) > SAME:
            self._dropped += doubted
            doubted = []
        doubted.append(tick)
        if len(doubted) < PACKETS:
            self._doubted[tick.symbol] = doubted
            return []
        self._last[tick.symbol] = tick
        return [*(Believed(one, is_news=False) for one in doubted[:-1]), Believed(tick, is_news=True)]

    def _is_near(self, tick: Tick, last: Tick | None) -> bool:
        if last is None:
            return self.known.agree(tick, self.most_jump)
        return _apart(tick.price, last.price) <= self.most_jump


def _apart(price: float, other: float) -> float:
    return abs(price / other - 1.0)
