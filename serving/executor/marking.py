"""Ticks on their way to bars, prices and open trades: those that are believed, each where it belongs."""

from datetime import datetime
from decimal import Decimal

from serving.executor.bar_builder import BarBuilder
from serving.executor.desk import Desk, Frame
from serving.executor.price_sources import take_actions
from serving.executor.ticks import KnownPrices, TickFilter


class Marking:
    """Takes a session's ticks in.

    Parameters
    ----------
    desk : of the session
    builder : of its bars
    """

    def __init__(self, desk: Desk, builder: BarBuilder):
        self._desk, self._builder = desk, builder
        self.known = KnownPrices()
        self._ticks = TickFilter(desk.terms.late_after, desk.terms.most_jump, self.known)
        self._marked: set[str] = set()  # symbols of trades whose best or worst gain moved

    def start(self) -> None:
        """What the journal tells of the prices of open trades."""
        for symbol, trade in self._desk.trades.items():
            position = trade.position
            if position is None or not position.quantity:
                continue
            for gain in (position.mae_inr, position.mfe_inr, Decimal(0)):
                self.known.tell(symbol, float(position.entry_price + gain / position.quantity * position.side.sign))

    def turn_day(self, *, first: bool) -> None:
        """A day begins; the first one of a session keeps the bands that the broker tells of it."""
        if not first:
            self.known.next_day(self._ticks.last)
        take_actions(self.known, self._desk.ex_dates, self._desk.terms.instruments, self._desk.now)
        self._builder.doubts.forget()
        self._ticks = TickFilter(self._desk.terms.late_after, self._desk.terms.most_jump, self.known)
        self._desk.prices = self._desk.prices.next_session()

    def take(self, frame: Frame, now: datetime) -> None:
        """Into their bars go all ticks that are believed; only those that tell of now move prices and trades."""
        believed = self._ticks.believe(frame.ticks, now)
        self._doubt(frame)
        for tick, is_news in believed:
            self._builder.doubts.settle(tick.symbol, "shares", tick.at)  # with those of ticks that were dropped
            self._builder.add(tick)
            if is_news and tick.symbol not in self._desk.overtaken:  # its price is one of other shares than we count
                self._desk.prices.take(tick)
                self._mark(tick.symbol, Decimal(str(tick.price)))
        for level in frame.levels:
            self._builder.add(level)

    def _doubt(self, frame: Frame) -> None:
        """Bars lack what a packet told wrong: who looks at them is told."""
        doubts = self._builder.doubts
        for symbol in {tick.symbol for tick in frame.ticks}:
            since = self._ticks.doubted_since(symbol)
            doubts.end(symbol, "price")
            if since is not None:
                doubts.begin(symbol, "price", since)
        for tick in self._ticks.take_dropped():
            doubts.spoil(tick.symbol, tick.at)
            doubts.begin(tick.symbol, "shares", tick.at)
        for level in frame.doubtful_levels:
            doubts.spoil(level.symbol, level.at)

    def note(self) -> None:
        """New best and worst gains go to disk once a frame, after what is urgent."""
        desk = self._desk
        marked, self._marked = self._marked, set()
        positions = [desk.trades[symbol].position for symbol in marked if symbol in desk.trades]
        if positions:
            with desk.journal.together():
                for position in positions:
                    if position is not None:
                        desk.journal.record_position(desk.account, position)

    def _mark(self, symbol: str, price: Decimal) -> None:
        trade = self._desk.trades.get(symbol)
        if trade is None:
            return
        marked = trade.marked(price)
        if marked is not trade:
            self._desk.trades[symbol] = marked
            self._marked.add(symbol)
