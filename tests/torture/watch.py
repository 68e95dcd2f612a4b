"""Open shares without an order that takes them back: looked for at the exchange, after everything that happens."""

import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from serving.exchange.book import Status
from serving.exchange.conductor import Conductor
from tests.torture.hand_trades import PERSON
from tests.torture.judge import CLIENT
from tests.torture.silence import Looks

SILENCE_TOLD_S = 1.0  #: shares that are bare for less need no excuse


class NakedWatch:
    """Follows an exchange's book and account.

    By the market's clock shares are naked from one frame to the next if they are when the step to it is made: whoever
    asked for that step had its chance. By the wall clock they are from the fill until an order against them stands in
    the book; that is told while a daemon lives. What of it is the broker's own silence (`silence.py`) counts apart.
    """

    def __init__(self) -> None:
        self.market = timedelta(0)  #: longest by the market's clock, a daemon asked for the steps
        self.dead = timedelta(0)  #: the same while no daemon asked
        self.wall = 0.0  #: longest by the wall clock while a daemon took part, seconds
        self.silent = (
            0.0  #: longest that the broker did not tell of bare shares though it was asked, seconds of both clocks
        )
        self.silences = 0  #: how often that kept shares bare beyond a moment
        self.stories: list[str] = []
        self._looks: dict[str, Looks] = {}
        self._silent_before: dict[str, float] = defaultdict(float)
        self._traded: dict[str, int] = defaultdict(int)  # trades by symbol when it was last seen covered
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
            self._count(self._told(naked, venue.clock - before), venue.clock - before)
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
        self._looks.clear()

    def note_look(self, kind: str, symbol: str | None, true: bool) -> None:
        """The daemon looked into the broker's books; of one order `symbol` is its own."""
        now = time.monotonic()
        for name, looks in self._looks.items():
            looks.note(kind, now, true=true and symbol in (None, name))

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

    def _told(self, naked: list[str], lasts: timedelta) -> list[str]:
        """Without those of which the broker, asked in two ways, has told nothing true."""
        silent = [name for name in naked if self._attended and name in self._looks and self._looks[name].are_untrue]
        if silent:
            self.silences += len(silent)
            self.silent = max(self.silent, lasts.total_seconds())
        return [name for name in naked if name not in silent]

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
            self._looks.setdefault(symbol, Looks(now, now, ended_order=self._trades_of(symbol) == self._traded[symbol]))
        for symbol in [symbol for symbol in self._since if symbol not in naked]:
            silence = self._looks.pop(symbol).silence_s + self._silent_before.pop(symbol, 0.0)
            lasted = now - self._since.pop(symbol)
            self.wall = max(self.wall, lasted - silence)
            if lasted > SILENCE_TOLD_S:
                self.silent, self.silences = max(self.silent, silence), self.silences + (silence > 0)
        for symbol in {trade.order.symbol for trade in self._venue.book.trades} - set(naked):
            self._traded[symbol] = self._trades_of(symbol)

    def _trades_of(self, symbol: str) -> int:
        return sum(trade.order.symbol == symbol for trade in self._venue.book.trades)

    def _begin_anew(self, symbol: str) -> None:
        """An order that was taken has ended at once: shares that it was to cover are bare, and nobody has told."""
        if symbol in self._looks:
            now = time.monotonic()
            self._silent_before[symbol] += self._looks[symbol].silence_s
            self._looks[symbol] = Looks(now, now, ended_order=True)

    def _looking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def looking(*args: Any, **named: Any) -> Any:
            try:
                order = call(*args, **named)
                if order.status is Status.REJECTED:
                    self._begin_anew(order.symbol)
                return order
            finally:
                self._look()

        return looking
