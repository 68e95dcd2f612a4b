"""A trading session: the feed's and the broker's events drive it from day to day; its parts do the work.

`books` knows the account, `entering` and `leaving` decide what is to be done, `sending` does it; `desk` is what they
share. Journal first: an intent is on disk before its order is sent, an exit's reason before its stop is turned. So
after a death at any moment the next start finds in journal and broker's books all it needs.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from pipelines.domain.errors import BooksDiffer, BrokerSilent, TradeSageError
from pipelines.domain.market_calendar import session_on
from pipelines.domain.signals import Decision, FeatureRow
from pipelines.journal.memory import AnyJournal
from serving.executor.bar_builder import BarBuilder, ClosedBars, Tick
from serving.executor.books import Books
from serving.executor.broker import LOOKS, Broker
from serving.executor.desk import LOG, Desk, Frame, Prices, Terms
from serving.executor.entering import Entering
from serving.executor.leaving import Leaving
from serving.executor.policy_client import Answer
from serving.executor.sending import Sender
from serving.executor.trade import Trade

__all__ = ["Features", "Frame", "Session", "Terms"]


class Features(Protocol):
    """Rows at a bar's close, from bars and news up to it."""

    def update(self, closed: ClosedBars) -> list[FeatureRow]: ...


class Session:
    """Plays one account through the events of feed and broker.

    Parameters
    ----------
    terms : Terms
    broker, journal : the account's books, theirs and ours
    builder : BarBuilder
    features : Features
    decide : function of rows and equity (rupees) to an answer; raises TradeSageError when there is none
    last_day : function of a day: whether it is the last that is traded; asked once a day
    """

    def __init__(
        self,
        terms: Terms,
        broker: Broker,
        journal: AnyJournal,
        builder: BarBuilder,
        features: Features,
        decide: Callable[[Sequence[FeatureRow], Decimal], Answer],
        last_day: Callable[[date], bool],
    ):
        self.terms = terms
        self.desk = Desk(terms, broker, journal)
        self.books = Books(self.desk)
        sender = Sender(self.desk, self.books)
        self.entering = Entering(self.desk, self.books, sender, decide)
        self.leaving = Leaving(self.desk, self.books, sender)
        self._builder, self._features, self._last_day = builder, features, last_day
        self._day_opening_equity = Decimal(0)
        self._day_begins = True  # the day's books are still to be read
        self._bars_since_reconciled = 0
        self.broker_silent = False  #: whether the broker's books could not be read at the last try

    # --- start and end ---

    def start(self, at: datetime) -> None:
        """Read journal and broker until they agree, and take up what was going on.

        Raises
        ------
        BooksDiffer : if they do not agree; nothing may be traded then.
        """
        self.desk.clock = at
        self.books.take_up(at)
        self.leaving.close_finished()
        differences = self.reconcile()
        if differences:
            raise BooksDiffer(f"{'; '.join(differences)}; correct the journal or the account, then start again")
        LOG.info("books agree", account=self.desk.account, open_trades=len(self.trades), cash=str(self.cash))

    def begin_at(self, symbol: str, volume_today: int, at: datetime) -> None:
        """In mid-session: shares traded so far belong to bars that the history tells."""
        self._builder.volume_seen(symbol, volume_today, at)

    def reconcile(self) -> list[str]:
        """Differences between our books and the broker's, in sentences; each is an alarm, too."""
        for look in range(LOOKS):  # a market that does not wait may trade between two of our reads
            differences = self.books.differences()
            if not differences:
                break
            time.sleep(0.2 * look)
        for order in self.books.foreign():
            self.desk.alarm(f"order {order.order_id} on {order.symbol} is not ours (tag {order.tag})")
        for difference in differences:
            self.desk.alarm(difference)
        self._bars_since_reconciled = 0
        return differences

    # --- events ---

    def on_order_update(self, update: Mapping[str, Any]) -> None:
        """The broker hints at a change; what is true stands in its books, which are read at the next chance."""
        order_id = str(update.get("order_id", ""))
        told = {name: update.get(name) for name in ("status", "filled_quantity", "tag", "status_message")}
        self.desk.journal.record_order_event(self.desk.account, order_id, str(update.get("status")), told, self.now)
        self.books.stale = True

    def on_books_changed(self) -> None:
        """Act on order updates that came between two frames."""
        if self.books.stale:
            self._with_broker(lambda: self.leaving.manage(bar_closed=False))

    def on_connection_lost(self) -> None:
        """Updates may have been lost with it: the books are read at the next chance."""
        self.books.stale = True

    def on_frame(self, frame: Frame) -> None:
        """Work one message of the feed off, wholly.

        While the broker is silent bars, features and decisions go on; nothing is sent, since what is held is not
        known. What stands at the broker protects it meanwhile.
        """
        self.desk.clock = frame.at
        self._turn_day(frame.at)
        closed = self._builder.advance(frame.at)
        reached = self._with_broker(lambda: self._read_books(bar_closed=bool(closed)))
        for tick in frame.ticks:
            self._builder.add(tick)
            self.desk.prices.take(tick)
            self._mark(tick)
        for bars in closed:
            with self.desk.journal.together():
                self._count_bar(bars)
        reached = reached and self._with_broker(lambda: self.leaving.manage(bar_closed=bool(closed)))
        for bars in closed:
            self._decide_on(bars)
        if reached:
            self._with_broker(self._enter)
        if self._bars_since_reconciled >= self.terms.reconcile_every:
            self._with_broker(self.reconcile)

    def _enter(self) -> None:
        self.entering.enter(self.equity, self._day_opening_equity)
        self.leaving.manage(bar_closed=False)

    def _with_broker(self, act: Callable[[], object]) -> bool:
        """Whether it could be done; a silent broker is told of, and its books are read at the next chance."""
        try:
            act()
        except BrokerSilent as error:
            self.books.stale = self.broker_silent = True
            self.desk.alarm(str(error))
            return False
        if self.broker_silent and not self.books.stale:
            self.broker_silent = False
            LOG.warning("the broker answers again")
        return True

    def decide_on_history(self, rows: list[FeatureRow]) -> None:
        """Decide on the last bar before the session, as the backtest does: it fills at the opening."""
        self.entering.decide_on(rows, self.equity)

    # --- figures ---

    @property
    def now(self) -> datetime:
        """Market time, as the last message told it."""
        return self.desk.now

    @property
    def trades(self) -> dict[str, Trade]:
        """Open ones, by symbol."""
        return self.desk.trades

    @property
    def pending(self) -> list[tuple[str, Decision]]:
        """Decided, not yet sent."""
        return self.entering.pending

    @property
    def alarms(self) -> list[str]:
        return self.desk.alarms

    @property
    def latencies_ms(self) -> list[float]:
        return self.entering.latencies_ms

    @property
    def cash(self) -> Decimal:
        """Cash by our own books."""
        return self.books.cash

    @property
    def equity(self) -> Decimal:
        """Cash and what is held at the last price."""
        worth = (
            trade.held * trade.side.sign * self.desk.price_of(trade.symbol, trade.entry.average_price)
            for trade in self.trades.values()
        )
        return self.cash + sum(worth, Decimal(0))

    @property
    def open_positions(self) -> int:
        return sum(trade.held != 0 for trade in self.trades.values())

    # --- the day ---

    def _turn_day(self, at: datetime) -> None:
        desk = self.desk
        if desk.day is not None and desk.day.day == at.date():
            return
        if desk.day is not None:
            self.books.lost.clear()  # orders are good for a day
        desk.day = session_on(at.date())
        desk.final = self._last_day(at.date())
        desk.prices = Prices()
        if desk.day is None:
            desk.alarm(f"{at:%Y-%m-%d} is no trading day in our calendar; nothing is traded")
        self._day_begins = True

    def _read_books(self, *, bar_closed: bool) -> None:
        if self._day_begins:
            self.books.read()
            self.books.expire_orders()
            self._day_opening_equity = self.equity
            self._day_begins = False
        elif self.books.stale or bar_closed or self._awaits_news():
            self.books.read()

    def _awaits_news(self) -> bool:
        """Whether something should happen at the broker soon, so that a lost update must not leave us waiting."""
        if self.books.read_at is not None and self.now - self.books.read_at < timedelta(seconds=1):
            return False
        legs = (leg for trade in self.trades.values() for leg in trade.legs)
        return bool(self.books.lost) or any(leg.works and not leg.is_stop for leg in legs)

    # --- bars ---

    def _mark(self, tick: Tick) -> None:
        trade = self.trades.get(tick.symbol)
        if trade is not None and trade.position is not None and trade.held:
            marked = trade.position.marked(Decimal(str(tick.price)))
            self.trades[tick.symbol] = replace(trade, position=marked)

    def _count_bar(self, closed: ClosedBars) -> None:
        """A bar has gone by for every position that was open before its close."""
        self._bars_since_reconciled += 1
        for symbol, trade in self.trades.items():
            position = trade.position
            if position is None or position.entered_at >= closed.close_time or not trade.held:
                continue
            held = replace(position, bars_held=position.bars_held + 1)
            self.trades[symbol] = replace(trade, position=held)
            self.desk.journal.record_position(self.desk.account, held)

    def _decide_on(self, closed: ClosedBars) -> None:
        try:
            rows = self._features.update(closed)
        except TradeSageError as error:
            self.desk.alarm(f"no features at {closed.close_time:%H:%M}: {error}")
            return
        self.entering.decide_on(rows, self.equity)
