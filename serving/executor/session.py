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
from functools import partial
from typing import Any, Protocol

from pipelines.domain.bars import IST
from pipelines.domain.errors import BooksDiffer, BrokerSilent, TradeSageError
from pipelines.domain.market_calendar import session_on, trading_day_before, why_no_session
from pipelines.domain.orders import Product
from pipelines.domain.signals import Decision, FeatureRow
from pipelines.journal.memory import AnyJournal
from serving.executor.alarms import Alarms
from serving.executor.bar_builder import BarBuilder, ClosedBars
from serving.executor.books import Books
from serving.executor.broker import LOOKS, Broker
from serving.executor.desk import LOG, Desk, Frame, Terms
from serving.executor.entering import Entering
from serving.executor.kite_answers import is_number
from serving.executor.kite_rows import plain
from serving.executor.leaving import Leaving
from serving.executor.marking import Marking
from serving.executor.overnight import Overnight
from serving.executor.policy_client import Answer
from serving.executor.risk_desk import RiskDesk
from serving.executor.sending import Sender
from serving.executor.ticks import KnownPrices
from serving.executor.trade import Trade

__all__ = ["Features", "Frame", "Session", "Terms"]
END_PATIENCE_S = 6.0  #: that a broker may be late in telling of the session's last fills
END_PAUSE_S = 0.2


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
        self.risk = RiskDesk(self.desk)
        self.overnight = Overnight(self.desk)
        sender = Sender(self.desk, self.books)
        self.entering = Entering(self.desk, self.books, sender, self.risk, decide)
        self.leaving = Leaving(self.desk, self.books, sender)
        self._builder, self._features, self._last_day = builder, features, last_day
        self._day_begins = True  # the day's books are still to be read
        self._has_turned = False  # the first day
        self._differences: list[str] = []  # of the books when they were last compared
        self._seen_until: datetime | None = None  # the market's bars that closed by then have been counted
        self._bar_closed = False  # since trades were last managed
        self.books_equal: bool | None = None  #: whether our books were the broker's at the last comparison
        self.broker_silent = False  #: whether the broker's books could not be read at the last try
        self._bars_since_reconciled = 0
        self._reconciled_at = (datetime.min.replace(tzinfo=IST), 0.0)  # market time, monotonic clock
        self._marking = Marking(self.desk, builder)
        self._journal_away: str | None = None  # the alarm of an outage after which the books were not compared yet
        self._moved_to: datetime | None = None  # the time that somebody else than the feed told last
        self._silent = False  # no frame has come since then

    # --- start and end ---

    def start(self, at: datetime) -> None:
        """Read journal and broker until they agree, and take up what was going on.

        Raises
        ------
        BooksDiffer : if they do not agree and nothing of ours is open. With an open position the session begins,
            enters nothing, and protects what there is, but for what an ex-date has overtaken.
        """
        self.desk.clock = at
        self._turn_day(at)
        self.overnight.read()
        self.books.take_up(at)
        self.overnight.look()
        self.leaving.close_finished()
        self._marking.start()
        self.desk.trading.poll(at)
        differences = self.reconcile()
        self.overnight.compare(self.books.held_otherwise)
        if differences and not self.trades:
            raise BooksDiffer(f"{'; '.join(differences)}; correct the journal or the account, then start again")
        self._with_broker(lambda: self.leaving.manage(bar_closed=False))  # a death may have left shares bare
        self._take_up_decisions(at)  # the journal is asked for no more before they have their stops
        self.risk.start(at)
        told = {"agree": not differences, "open_trades": len(self.trades), "cash": str(self.cash)}
        LOG.info("books read", account=self.desk.account, **told)

    def begin_at(self, symbol: str, volume_today: int, at: datetime) -> None:
        """In mid-session: shares traded so far belong to bars that the history tells; before it, to the first bar."""
        if self.desk.day is None or at >= self.desk.day.open:
            self._builder.volume_seen(symbol, volume_today, at)

    @property
    def known_prices(self) -> KnownPrices:
        """What others than the feed tell of prices: the first packets are held against it."""
        return self._marking.known

    def end(self) -> list[str]:
        """The session is over: give up what was never answered, note the last outcomes, compare the books.

        Returns
        -------
        Differences between our books and the broker's, in sentences.
        """
        deadline = time.monotonic() + END_PATIENCE_S
        self._take_the_last()
        while self.reconcile() and time.monotonic() < deadline:  # the broker may be late in telling of the last fills
            time.sleep(END_PAUSE_S)
            self._take_the_last()
        for tag in list(self.books.lost):
            self.books.give_up(tag, "not in the order book at the end of its session")
        self._take_the_last()
        return self.reconcile()

    def _take_the_last(self) -> None:
        self.books.read()
        self.leaving.close_finished()

    def reconcile(self) -> list[str]:
        """Differences between our books and the broker's, in sentences; each is an alarm, too.

        While there are any nothing is entered; what is open goes on to be protected and closed.
        """
        self._bars_since_reconciled, self._reconciled_at = 0, (self.now, time.monotonic())
        differences: list[str] = []
        for look in range(LOOKS):  # a market that does not wait may trade between two of our reads
            time.sleep(0.2 * look)
            differences = self.books.differences()
            if not differences:
                break
            if not self._day_begins:  # what has filled meanwhile is not left bare for our pauses
                self.leaving.manage(bar_closed=False)
        self._differences = differences
        for difference in differences:
            self.desk.alarm(difference, partial(self._differs, difference))
        self.risk.take_differences(differences)
        self.overnight.release(self.books.unequal)
        self.books_equal = not differences
        return differences

    def _differs(self, sentence: str) -> bool:
        """Whether the last comparison of the books found it."""
        return sentence in self._differences

    def _take_up_decisions(self, at: datetime) -> None:
        """What was decided for delivery at the last close and not sent yet still holds for the next session."""
        if self.terms.product is not Product.CNC:
            return
        for decision_id, decision in self.desk.journal.unsent_decisions(self.desk.account):
            outdated = self._builder.closes_between(decision.close_time, at) > 0  # by a bar that was not decided on
            if _is_for(decision, at) and not outdated:
                self.pending.append((decision_id, decision))

    def _is_outdated(self, decision: Decision) -> bool:
        """Whether the bar, for delivery the session, that a decision is good for is over."""
        if self.terms.product is Product.CNC:
            return not _is_for(decision, self.now)
        return self._builder.closes_between(decision.close_time, self.now) > 0

    # --- events ---

    def on_order_update(self, update: Mapping[str, Any]) -> None:
        """The broker hints at a change; what is true stands in its books, which are read at the next chance."""
        self.books.stale = True
        if not isinstance(update, Mapping):
            return
        order_id, status = plain(update.get("order_id", "")), plain(update.get("status"))
        told = {name: update.get(name) for name in ("filled_quantity", "tag", "status_message")}
        told = {name: value if is_number(value) else plain(value) for name, value in told.items() if value is not None}
        self.desk.journal.record_order_event(self.desk.account, order_id, status, told | {"status": status}, self.now)

    def on_books_changed(self) -> None:
        """Act on order updates that came between two frames; what comes too soon is looked at a moment later."""
        if self.books.stale and time.monotonic() - self.books.looked_at >= self.terms.look_every_s:
            self._with_broker(lambda: self.leaving.manage(bar_closed=False))

    def on_connection_lost(self) -> None:
        """Updates may have been lost with it: the books are read at the next chance."""
        self.books.stale = True

    def on_silence(self, seconds: float) -> None:
        """No frame came for so long, of the wall clock, since the last one."""
        self.risk.take_silence(seconds)

    def on_clock(self, at: datetime) -> None:
        """No frame comes, but time goes on, as somebody else tells: what it makes due is done, nothing is entered.

        Bars close, so that positions whose time is over are left, and near the session's end all that is intraday.
        """
        desk, before = self.desk, self.now
        if desk.day is None or at.date() != desk.day.day or at <= before:
            return
        self._builder.not_seen(before, at)
        desk.clock = self._moved_to = at
        self._silent = True
        self._ask_for_journal()
        self.risk.hear(at)
        closed = self._builder.advance(at)
        bar_closed = self._bars_go_by(at)
        reached = self._with_broker(lambda: self._read_books(bar_closed=bar_closed))
        if bar_closed:
            self._count_bars(at)
        for bars in closed:
            with desk.journal.together():
                self.risk.take_bars(bars)
        reached = reached and self._with_broker(lambda: self.leaving.manage(bar_closed=self._bar_closed))
        self._bar_closed = self._bar_closed and not reached
        for bars in closed:
            self._decide_on(bars)
        self.entering.drop(self._is_outdated)
        self._marking.note()

    def on_frame(self, frame: Frame) -> None:
        """Work one message of the feed off, wholly.

        While the broker is silent bars, features and decisions go on; nothing is sent, since what is held is not
        known. What stands at the broker protects it meanwhile.
        """
        at = frame.at if self._moved_to is None else max(frame.at, self._moved_to)
        if self._silent:
            self._silent = False
            self._builder.not_seen(self.now, at)
        self.desk.clock = at
        self._ask_for_journal()
        self._turn_day(at)
        self.risk.take_frame(frame)
        closed = self._builder.advance(at)
        bar_closed = self._bars_go_by(at)
        reached = self._with_broker(lambda: self._read_books(bar_closed=bar_closed))
        self._marking.take(frame, at)
        if bar_closed:
            self._count_bars(at)
        for bars in closed:
            with self.desk.journal.together():
                self.risk.take_bars(bars)
        self.risk.check(self.equity, self.latencies_ms)
        reached = reached and self._with_broker(lambda: self.leaving.manage(bar_closed=self._bar_closed))
        self._bar_closed = self._bar_closed and not reached
        for bars in closed:
            self._decide_on(bars)
        self.entering.drop(self._is_outdated)
        if reached:
            self._with_broker(self._enter)
        self._marking.note()
        if self._reconciliation_is_due():
            self._with_broker(self.reconcile)

    def _ask_for_journal(self) -> None:
        """While the journal is away nothing is entered; when it is back, the books are compared before it goes on."""
        if self._has_no_time_for_journal() or not self.desk.journal.recover(self.desk.account):
            if self._journal_away is None:
                self._journal_away = f"nothing is entered: the journal cannot be written: {self.desk.journal.away}"
            self.desk.alarm(self._journal_away, lambda: self.desk.journal.away is not None)
        elif self._journal_away is not None and self._with_broker(self._compare_again):
            self._journal_away = None

    def _compare_again(self) -> None:
        """The journal is back."""
        self.overnight.count_again()
        self.reconcile()

    def _has_no_time_for_journal(self) -> bool:
        """A try to reach one that hangs takes a moment, which bare shares have not."""
        return self.desk.journal.away is not None and any(trade.uncovered for trade in self.trades.values())

    def _enter(self) -> None:
        self.entering.enter(self.equity)
        self.leaving.manage(bar_closed=False)

    def _with_broker(self, act: Callable[[], object]) -> bool:
        """Whether it could be done; a silent broker is told of, and its books are read at the next chance."""
        try:
            act()
        except BrokerSilent as error:
            self.books.stale = self.broker_silent = True
            self.desk.alarm(str(error), lambda: self.broker_silent)
            return False
        if self.broker_silent and not self.books.stale:
            self.broker_silent = False
            LOG.info("the broker answers again")
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
    def alarms(self) -> Alarms:
        return self.desk.alarms

    @property
    def latencies_ms(self) -> list[float]:
        return self.entering.latencies_ms

    @property
    def cash(self) -> Decimal:
        """Cash of the account by our books."""
        return self.books.cash

    @property
    def equity(self) -> Decimal:
        """Cash of our own book and what it holds at the last price; what others do in the account is none of it."""
        worth = (
            trade.held_by_fills * trade.side.sign * self.desk.price_of(trade.symbol, trade.average_entry)
            for trade in self.trades.values()
        )
        return self.books.own.cash + sum(worth, Decimal(0))

    @property
    def naked_seconds_max(self) -> float:
        """The longest that shares were held without an order that takes them back."""
        return self.leaving.protection.longest_s

    @property
    def open_positions(self) -> int:
        return sum(trade.held != 0 for trade in self.trades.values())

    # --- the day ---

    def _turn_day(self, at: datetime) -> None:
        desk = self.desk
        if desk.day is not None and desk.day.day == at.date():
            return
        first = not self._has_turned
        self._has_turned = True
        desk.day = session_on(at.date())
        desk.final = self._last_day(at.date())
        self._marking.turn_day(first=first)
        if desk.day is None:
            desk.alarm(f"{why_no_session(at.date())}; nothing is traded")
        self._day_begins = True

    def _read_books(self, *, bar_closed: bool) -> None:
        if self._day_begins:
            self.overnight.turn_day()
            self.books.read()
            self.books.turn_day(self.now.date())
            self.risk.turn_day(self.equity)
            if self.overnight.held_over:
                self.reconcile()
                self.overnight.compare(self.books.held_otherwise)
            self._day_begins = False
        elif self.books.stale or bar_closed or self.awaits_news:
            self.books.read()
        self.books.expire_lost(self.terms.lost_after)

    @property
    def awaits_news(self) -> bool:
        """Whether something should happen at the broker soon, so that a lost update must not leave us waiting."""
        if self.books.read_at is not None and self.now - self.books.read_at < timedelta(seconds=1):
            return False
        return self.may_fill

    @property
    def may_fill(self) -> bool:
        """Whether an order of ours may fill at any moment, or be found that had no answer."""
        legs = (leg for trade in self.trades.values() for leg in trade.legs)
        return (
            bool(self.books.lost)
            or self.books.may_show_late
            or any(leg.ahead or (leg.works and not leg.is_stop) for leg in legs)
        )

    def _reconciliation_is_due(self) -> bool:
        """After some bars in a market that is played quickly; every few seconds in one that goes by the clock."""
        if self._bars_since_reconciled >= self.terms.reconcile_every:
            return True
        after = self.terms.reconcile_after
        market, wall = self._reconciled_at
        return self.now - market >= after and time.monotonic() - wall >= after.total_seconds()

    # --- bars ---

    def _bars_go_by(self, now: datetime) -> bool:
        """Whether bars of the market have closed since the frame before, or at our first frame while nobody looked.

        A bar is the market's: it goes by for every instrument, whether anything traded in it or not.
        """
        since, self._seen_until = self._seen_until, now
        gone_by = self._builder.closes_between(since, now) if since is not None else 0
        self._bars_since_reconciled += gone_by
        self._bar_closed = self._bar_closed or gone_by > 0
        return since is None or gone_by > 0

    def _count_bars(self, now: datetime) -> None:
        """How many bars have gone by for every position since it was opened."""
        with self.desk.journal.together():
            for symbol, trade in self.trades.items():
                position = trade.position
                if position is None or not trade.held:
                    continue
                gone_by = self._builder.closes_between(position.entered_at, now)
                if gone_by > position.bars_held:
                    held = replace(position, bars_held=gone_by)
                    self.trades[symbol] = replace(trade, position=held)
                    self.desk.journal.record_position(self.desk.account, held)

    def _decide_on(self, closed: ClosedBars) -> None:
        try:
            rows = self._features.update(closed)
        except TradeSageError as error:
            self.desk.alarm(f"no features at {closed.close_time:%H:%M}: {error}")
            return
        self.entering.decide_on(rows, self.equity)


def _is_for(decision: Decision, at: datetime) -> bool:
    """Whether a decision can still be entered: in what is left of its day, or in the session that follows it."""
    decided = decision.close_time.date()
    if decided == at.date():
        return True
    return trading_day_before(at.date()) == decided
