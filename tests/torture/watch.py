"""Open shares without an order that takes them back: looked for at the exchange, after everything that happens."""

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from serving.exchange.conductor import Conductor
from tests.torture.hand_trades import PERSON
from tests.torture.judge import CLIENT


class NakedWatch:
    """Follows an exchange's book and account.

    By the market's clock shares are naked from one frame to the next if they are when the step to it is made: whoever
    asked for that step had its chance. By the wall clock they are from the fill until an order against them stands in
    the book; that is told while a daemon lives.
    """

    def __init__(self) -> None:
        self.market = timedelta(0)  #: longest by the market's clock, a daemon asked for the steps
        self.dead = timedelta(0)  #: the same while no daemon asked
        self.wall = 0.0  #: longest by the wall clock while a daemon took part, seconds
        self.stories: list[str] = []
        self._attended = False
        self._lasts: dict[tuple[str, bool], timedelta] = {}
        self._since: dict[str, float] = {}

    def follow(self, conductor: Conductor) -> None:
        venue: Any = conductor.venue
        self._venue = venue
        advance, go_on = venue.advance, conductor.go_on

        def watched(*args: Any, **named: Any) -> Any:
            before, naked = venue.clock, self.naked()
            step = advance(*args, **named)
            self._count(naked, venue.clock - before)
            self._look()
            return step

        async def asked() -> Any:
            self._attended = True
            return await go_on()

        venue.advance, conductor.go_on = watched, asked  # type: ignore[method-assign]
        for name in ("place", "modify", "cancel"):
            setattr(venue, name, self._looking(getattr(venue, name)))

    def nobody_lives(self) -> None:
        """The daemon is dead; the next one is there with its first call for a step."""
        self._attended = False
        self._since.clear()

    def naked(self) -> list[str]:
        """Symbols of which more of our shares are open than working orders would take back."""
        back: dict[tuple[str, int], int] = defaultdict(int)
        for order in self._venue.book.working():
            if order.placed_by != PERSON:
                back[order.symbol, order.request.side.sign] += order.pending_quantity
        return [s for s, shares in self._ours().items() if back[s, -1 if shares > 0 else 1] < abs(shares)]

    def _ours(self) -> dict[str, int]:
        """Shares that the daemon has to look after: those it traded, as far as the account still has them."""
        traded: dict[str, int] = defaultdict(int)
        for trade in self._venue.book.trades:
            if trade.order.placed_by == CLIENT:
                traded[trade.order.symbol] += trade.order.request.side.sign * trade.quantity
        net: dict[str, int] = defaultdict(int)
        for (symbol, _), position in self._venue.account.positions.items():
            net[symbol] += position.quantity
        both = ((symbol, own, net[symbol]) for symbol, own in traded.items() if own * net[symbol] > 0)
        return {symbol: own if abs(own) < abs(held) else held for symbol, own, held in both}

    def _count(self, naked: list[str], lasted: timedelta) -> None:
        for symbol, attended in [key for key in self._lasts if key[0] not in naked or key[1] != self._attended]:
            del self._lasts[symbol, attended]
        for symbol in naked:
            total = self._lasts.get((symbol, self._attended), timedelta(0)) + lasted
            self._lasts[symbol, self._attended] = total
            if not self._attended:
                self.dead = max(self.dead, total)
            else:
                self.market = max(self.market, total)
                self.stories.append(
                    f"{symbol} is naked for {total.total_seconds():.0f} s of the market at {self._venue.clock:%H:%M:%S}"
                )

    def _look(self) -> None:
        if not self._attended:
            return
        now, naked = time.monotonic(), self.naked()
        for symbol in naked:
            self._since.setdefault(symbol, now)
        for symbol in [symbol for symbol in self._since if symbol not in naked]:
            self.wall = max(self.wall, now - self._since.pop(symbol))

    def _looking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def looking(*args: Any, **named: Any) -> Any:
            try:
                return call(*args, **named)
            finally:
                self._look()

        return looking
