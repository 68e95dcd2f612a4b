"""Which ticks are believed: late ones move no order, and one that jumps away alone moves nothing at all."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from serving.executor.bar_builder import Tick

SAME = 0.02  #: two prices this near each other, as a share, tell of the same market


class Believed(NamedTuple):
    """What a tick is good for."""

    tick: Tick
    is_news: bool  #: whether it tells the price of now; a late one only belongs into its bar


@dataclass
class TickFilter:
    """Parameters
    ----------
    late_after : timedelta
        A tick that is older than this, at the market's time, is late, as is one before a tick seen already.
    most_jump : float
        A price that is further from the last one, as a share of it, waits until a second one confirms it.
    """

    late_after: timedelta
    most_jump: float
    _last: dict[str, Tick] = field(default_factory=dict)
    _doubted: dict[str, Tick] = field(default_factory=dict)

    def believe(self, ticks: Iterable[Tick], now: datetime) -> list[Believed]:
        """Of a frame's ticks those that are believed, in order; one that was doubted comes with its confirmation."""
        found: list[Believed] = []
        for tick in ticks:
            found += self._judge(tick, now)
        return found

    def _judge(self, tick: Tick, now: datetime) -> list[Believed]:
        if tick.price <= 0 or tick.at.date() != now.date():
            return []
        last = self._last.get(tick.symbol)
        if now - tick.at > self.late_after or (last is not None and tick.at < last.at):
            plausible = last is None or _apart(tick.price, last.price) <= self.most_jump
            return [Believed(tick, is_news=False)] if plausible else []
        if last is None or _apart(tick.price, last.price) <= self.most_jump:
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


def _apart(price: float, other: float) -> float:
    return abs(price / other - 1.0)
