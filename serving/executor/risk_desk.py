"""What the rules are asked with, kept up to date by the session; and what stops trading by itself."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from pipelines.domain.affordability import Need, reckoned_price
from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import adjusted
from pipelines.domain.correlation import Correlations
from pipelines.domain.equity import EquityDay, first_day
from pipelines.domain.errors import BadInput, TradeSageError
from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.domain.market_halt import MarketHalt
from pipelines.domain.portable_math import log
from pipelines.domain.restrictions import Restriction, restriction_of
from pipelines.domain.risk import Exposure, Held, Proposal, Review, review
from pipelines.domain.risk.sizes import margin_rate
from pipelines.domain.signals import Decision
from pipelines.domain.verdicts import Verdict
from serving.executor.bar_builder import ClosedBars
from serving.executor.desk import LOG, Desk, Frame
from serving.executor.legs import Leg
from serving.executor.watch import (
    Watch,
    drawdown,
    equal_books,
    losses_in_a_row,
    skewed_clock,
    slow_decisions,
    stale_feed,
)

KEPT_SKEWS = 100


class RiskDesk:
    """The risk side of a session.

    Parameters
    ----------
    desk : of the session
    wall : function that gives this machine's time, with a zone
    """

    def __init__(self, desk: Desk, wall: Callable[[], datetime] = lambda: datetime.now(IST)):
        self._desk, self._wall = desk, wall
        triggers = desk.terms.triggers
        self._watch = Watch(desk.trading, triggers.calm if triggers is not None else timedelta(0))
        self.correlations = Correlations(desk.terms.correlation_window)
        log(1.0)  # compiled here: the first correlation is asked for while an entry may have filled
        self.equity_day: EquityDay | None = None
        self._market = MarketHalt()
        self._index_seen = False
        self._restrictions: tuple[Restriction, ...] = ()
        self._margin: tuple[datetime, Decimal] | None = None  # when it was read, rupees
        self._skews_s: list[float] = []
        self._verdicts: dict[Cause, Verdict] = {}  # as each trigger said last

    # --- the session's course ---

    def warm_up(self, history: Mapping[str, pd.DataFrame]) -> None:
        """Closed bars before the session, by symbol, sorted by time: correlations are known from the first entry."""
        for symbol, frame in history.items():
            last = adjusted(frame.tail(self._desk.terms.correlation_window + 1))
            times = (close_time.to_pydatetime() for close_time in last["close_time"])
            self.correlations.add_history(symbol, zip(times, last["close"].astype(float), strict=True))

    def start(self, at: datetime) -> None:
        """Take up what the journal knows: who halted trading, the day's equity, results and order calls so far.

        Raises
        ------
        BadInput : if the restricted list cannot be read and nothing is open; else nothing is entered until it can.
        """
        desk = self._desk
        desk.trading.poll(at)
        try:
            self._restrictions = desk.terms.restrictions()
        except BadInput as error:
            if not desk.trades:
                raise
            desk.restrictions_lacking = str(error)
        self._read_lacking_restrictions()
        self.equity_day = desk.journal.last_equity(desk.account)
        desk.order_calls.begin(
            at.date(), sum(intent.created_at.date() == at.date() for intent in desk.journal.intents(desk.account))
        )
        desk.results[:] = [outcome.net_inr for outcome in desk.journal.outcomes(desk.account)]
        triggers = desk.terms.triggers
        if triggers is not None and Cause.LOSSES not in desk.trading.state.standing:
            found = int(losses_in_a_row(desk.results, triggers).measured or 0)
            accepted = found - found % triggers.losses_in_a_row  # a person has looked at those and gone on
            desk.results[:] = desk.results[len(desk.results) - found + accepted :]
        if not desk.trading.may_enter().passed:
            desk.alarm(
                f"trading is {desk.trading.mode}: {desk.trading.state.reason}",
                lambda: not desk.trading.may_enter().passed,
            )

    def _read_lacking_restrictions(self) -> None:
        """A list that could not be read is tried again with every bar."""
        desk = self._desk
        if not desk.restrictions_lacking:
            return
        try:
            self._restrictions, desk.restrictions_lacking = desk.terms.restrictions(), ""
        except TradeSageError as error:
            desk.restrictions_lacking = why = str(error)
            desk.alarm(f"nothing is entered: {why}", lambda: desk.restrictions_lacking == why)

    def turn_day(self, equity: Decimal) -> None:
        """A day begins, or the session does: with the equity of yesterday's end, so that a gap counts."""
        desk = self._desk
        self.equity_day = first_day(equity, desk.now) if self.equity_day is None else self.equity_day.turned(desk.now)
        self._keep_equity()
        self._margin = None
        try:
            self._restrictions = desk.terms.restrictions()
        except TradeSageError as error:
            if desk.restrictions_lacking:
                return  # there is none of yesterday
            desk.alarm(f"the restricted list of yesterday stays: {error}")

    def take_frame(self, frame: Frame) -> None:
        """Before anything is done with a frame: what was said about trading, where the index is, what time it is."""
        self.hear(self._desk.now)
        if frame.index_move is not None:
            self._market.update(frame.at, frame.index_move)
            self._index_seen = True
        if self._desk.terms.market_is_now:
            self._desk.wall = wall = self._wall()
            self._skews_s = [*self._skews_s[1 - KEPT_SKEWS :], (wall - frame.at).total_seconds()]

    def hear(self, at: datetime) -> None:
        """What was said about trading since the last look, also while no frame comes."""
        for event in self._desk.trading.poll(at):
            self._hear(event)

    def take_bars(self, closed: ClosedBars) -> None:
        for bar in closed.bars.values():
            self.correlations.add(bar.symbol, bar.close_time, bar.close * bar.adjustment)
        self._read_lacking_restrictions()
        self._keep_equity()

    def check(self, equity: Decimal, latencies_ms: list[float]) -> None:
        """Ask every trigger; after this `trading.may_enter` holds for the frame."""
        desk, triggers = self._desk, self._desk.terms.triggers
        if self.equity_day is None:
            return  # the broker has been silent since the start; nothing is entered
        if self._all_priced() and self.equity_day.day == desk.now.date():
            self.equity_day = self.equity_day.marked(equity, desk.now)
        if triggers is None:
            return
        self._judge(Cause.DRAWDOWN, drawdown(self.equity_day, triggers))
        self._judge(Cause.LOSSES, losses_in_a_row(desk.results, triggers))
        self._judge(Cause.SLOW_DECISIONS, slow_decisions(latencies_ms, triggers))
        self._judge(Cause.STALE_FEED, stale_feed(0.0, triggers))
        if desk.market_open:  # outside of hours packets repeat old stamps
            self._judge(Cause.CLOCK_SKEW, skewed_clock(self._skews_s, triggers))

    def take_silence(self, seconds: float) -> None:
        """No packet came for so long, of the wall clock, since the last one."""
        triggers = self._desk.terms.triggers
        if triggers is not None and self._desk.market_open:
            self._judge(Cause.STALE_FEED, stale_feed(seconds, triggers))

    def take_differences(self, differences: list[str]) -> None:
        """What a comparison of the books found; the broker's margin is read anew at the same chance."""
        self._margin = None
        self._judge(Cause.RECONCILIATION, equal_books(differences))

    # --- an entry ---

    def judge(self, decision: Decision, equity: Decimal) -> Review:
        """What the rules make of a decision. If the margin cuts it, it is read again: exits may have freed some."""
        exposure = self._exposure(decision, equity)
        found = review(self._proposal(decision), exposure, self._desk.terms.limits)
        short = any(verdict.gate == "margin" and _cuts(verdict) for verdict in found.verdicts)
        if short and self._margin is not None and self._margin[0] != self._desk.now:
            self._margin = None
            found = review(self._proposal(decision), self._exposure(decision, equity), self._desk.terms.limits)
        return found

    def entered(self, decision: Decision, quantity: int) -> None:
        """An entry was sent: what it blocks is not available any more, whatever the broker told before."""
        if self._margin is not None:
            at, available = self._margin
            self._margin = (at, available - self._need(decision).of(quantity))

    def _need(self, decision: Decision) -> Need:
        """What shares of it block at the broker."""
        desk, side, terms = self._desk, decision.side, self._desk.terms
        assert side is not None
        instrument, day = terms.instruments[decision.symbol], desk.now.date()
        last = desk.prices.last.get(decision.symbol, decision.reference_price)
        price = reckoned_price(instrument, side, last, day)
        return Need(instrument, terms.product, side, price, day, margin_rate(terms.product, terms.limits))

    def _proposal(self, decision: Decision) -> Proposal:
        desk = self._desk
        assert desk.day is not None
        assert decision.side is not None
        instrument = desk.terms.instruments[decision.symbol]
        restriction = restriction_of(decision.symbol, desk.now.date(), self._restrictions)
        decided, day = decision.close_time.date(), desk.day
        ex_date = desk.ex_dates.against_entry(decision.symbol, decided, day.day, day.open)
        return Proposal(
            symbol=decision.symbol,
            side=decision.side,
            quantity=decision.quantity,
            lot_size=instrument.lot_size,
            product=desk.terms.product,
            reference_price=decision.reference_price,
            stop=decision.stop,
            last_price=desk.prices.last.get(decision.symbol),
            last_trade_at=desk.prices.at.get(decision.symbol),
            now=desk.now,
            session_open=desk.day.open,
            session_close=desk.day.close,
            sector=instrument.sector,
            market_trade_at=max(desk.prices.at.values(), default=None),
            market_halt_until=self._market.until(desk.now),
            index_move=self._market.move if self._index_seen else None,
            restricted=restriction.reason if restriction else None,
            ex_date=str(ex_date) if ex_date else desk.actions_lacking or None,
            others=desk.others_hold(decision.symbol),
            others_owe=desk.others_owe(decision.symbol),
            need=self._need(decision),
        )

    def _exposure(self, decision: Decision, equity: Decimal) -> Exposure:
        desk = self._desk
        assert self.equity_day is not None
        held = {
            symbol: Held(
                value=max(trade.held, trade.entry.quantity if _still_fills(trade.entry) else 0)
                * desk.price_of(symbol, trade.decision.reference_price),
                side=trade.side,
                sector=desk.terms.instruments[symbol].sector,
                correlation=self.correlations.between(symbol, decision.symbol),
            )
            for symbol, trade in desk.trades.items()
        }
        return Exposure(
            equity=equity,
            day_opening_equity=self.equity_day.opening,
            peak_equity=self.equity_day.peak,
            held=held,
            orders=desk.order_calls.so_far(desk.now),
            margin_available=self._margin_available(),
        )

    def _margin_available(self) -> Decimal | None:
        if self._margin is None:
            try:
                self._margin = (self._desk.now, self._desk.broker.margin())
            except TradeSageError as error:
                self._desk.alarm(f"the broker's margin cannot be read: {error}")
                return None
        return self._margin[1]

    # --- triggers ---

    def told(self) -> dict[str, Any]:
        """What /health, the metrics and the session's summary say of trading and risk."""
        desk, day = self._desk, self.equity_day
        standing = [
            {
                "cause": cause.value,
                "reason": event.reason,
                "actor": event.actor,
                "since": event.at.isoformat(),
                "still": cause in self._verdicts and not self._verdicts[cause].passed,
            }
            for cause, event in desk.trading.state.standing.items()
        ]
        return {
            "mode": desk.trading.mode.value,
            "may_enter": desk.trading.may_enter().passed,
            "standing": standing,
            "drawdown": round(day.drawdown, 6) if day is not None else None,
            "loss_today": round(day.loss_today, 6) if day is not None else None,
            "index_move": self._market.move if self._index_seen else None,
            "refused": dict(sorted(desk.refused.items())),
            "overtaken": dict(sorted(desk.overtaken.items())),
        }

    def _judge(self, cause: Cause, verdict: Verdict) -> None:
        desk = self._desk
        self._verdicts[cause] = verdict
        if self._watch.judge(cause, verdict, desk.now):
            sentence = f"trading is {desk.trading.mode}: {cause}: {verdict.evidence}"
            desk.alarm(sentence, lambda: cause in desk.trading.state.standing)
            desk.refuse(verdict)
            self._keep_equity()

    def _hear(self, event: HaltEvent) -> None:
        """A person who lets trading go on has seen the losses; by force, the drawdown, too."""
        at = event.at.isoformat()  # one word is not another that says the same
        LOG.warning("trading", word=event.word.value, cause=event.cause.value, by=event.actor, why=event.reason, at=at)
        if event.cause is not Cause.BY_HAND:
            return
        if event.word is not Word.RESUME:
            sentence = f"trading is {self._desk.trading.mode} by hand: {event.reason} ({event.actor})"
            self._desk.alarm(sentence, lambda: Cause.BY_HAND in self._desk.trading.state.standing)
            return
        self._desk.results.clear()
        if event.forced and self.equity_day is not None:
            self.equity_day = self.equity_day.accepted()
            self._keep_equity()

    def _keep_equity(self) -> None:
        if self.equity_day is not None:
            self._desk.journal.record_equity(self._desk.account, self.equity_day)

    def _all_priced(self) -> bool:
        """Whether what is held has traded today: at yesterday's prices an equity is no loss and no peak.

        What an ex-date has overtaken counts at its entry's price.
        """
        held: Iterable[str] = (symbol for symbol, trade in self._desk.trades.items() if trade.held)
        return all(symbol in self._desk.prices.last or symbol in self._desk.overtaken for symbol in held)


def _cuts(verdict: Verdict) -> bool:
    """Whether a rule of size leaves less than was asked for."""
    asked, allowed = verdict.measured, verdict.limit
    return asked is not None and allowed is not None and allowed < asked


def _still_fills(entry: Leg) -> bool:
    return entry.works or entry.unresolved or entry.ahead > 0
