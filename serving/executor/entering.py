"""From a bar's rows to entries: the policy decides, the rules judge, what is left of it is sent."""

import time
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from pipelines.domain.errors import JournalAway, TradeSageError
from pipelines.domain.orders import OrderType, Product, Purpose
from pipelines.domain.risk.rules import for_entries
from pipelines.domain.signals import Action, Decision, FeatureRow
from pipelines.journal.rows import features_hash
from serving.executor.books import Books
from serving.executor.desk import Desk
from serving.executor.policy_client import Answer
from serving.executor.risk_desk import RiskDesk
from serving.executor.sending import Sender
from serving.executor.trade import Trade

FILLS_WITHIN_S = 2.0  #: of the wall clock: an entry at the market that has not filled by then waits for its price


class Entering:
    """Takes decisions in and sends the entries that the rules allow.

    Parameters
    ----------
    desk, books, sender, risk : of the session
    decide : function of rows and equity (rupees) to an answer; raises TradeSageError when there is none
    """

    def __init__(
        self,
        desk: Desk,
        books: Books,
        sender: Sender,
        risk: RiskDesk,
        decide: Callable[[Sequence[FeatureRow], Decimal], Answer],
    ):
        self._desk, self._books, self._sender, self._risk, self._decide = desk, books, sender, risk, decide
        self.pending: list[tuple[str, Decision]] = []  # decided, not yet sent: the market was closed or the rate full
        self.latencies_ms: list[float] = []
        self._sent_at: dict[str, float] = {}  # monotonic seconds, by decision
        self._hashes: dict[str, str] = {}  # of features, by pending decision

    def decide_on(self, rows: list[FeatureRow], equity: Decimal) -> None:
        """Ask the policy about the rows of one close and note what it says."""
        desk = self._desk
        if not rows:
            return
        try:
            answer = self._decide(rows, equity.quantize(Decimal("0.01")))
        except TradeSageError as error:
            desk.alarm(f"no decision at {rows[0].close_time:%H:%M}: {type(error).__name__}: {error}")
            return
        self.latencies_ms.append(answer.latency_ms)
        if answer.faults:
            desk.alarm(
                f"{len(answer.faults)} of the policy's answers at {rows[0].close_time:%H:%M} are no decisions and are "
                f"left out: {'; '.join(answer.faults[:3])}"
            )
        self.pending.clear()  # what could not be sent before this bar is outdated by it
        try:
            self._take_in(answer, {row.symbol: features_hash(row.values) for row in rows})
        except JournalAway as error:
            desk.alarm(f"decisions of {rows[0].close_time:%H:%M} are not acted on: {error}")

    def _take_in(self, answer: Answer, hashes: Mapping[str, str]) -> None:
        """Note the decisions, all or none, and make those pending that are to be entered."""
        desk = self._desk
        with desk.journal.together():
            ids = [
                desk.journal.record_decision(
                    desk.account, decision, answer.latency_ms, hashes.get(decision.symbol, ""), desk.terms.stage
                )
                for decision in answer.decisions
            ]
        self._hashes = {name: hashes.get(made.symbol, "") for name, made in zip(ids, answer.decisions, strict=True)}
        entered = {own.decision_id for own in self._books.intents.values() if own.purpose is Purpose.ENTRY}
        noted = zip(ids, answer.decisions, strict=True)
        for decision_id, decision in sorted(noted, key=lambda one: _most_promising_first(one[1])):
            if decision_id in entered:
                continue  # of a bar that was decided on before: one entry a decision
            if decision.action is not Action.SKIP and decision.quantity > 0 and decision.side is not None:
                self.pending.append((decision_id, decision))

    def drop(self, outdated: Callable[[Decision], bool]) -> None:
        """What was decided for a bar of the market that is over is not entered any more, though it was never sent."""
        self.pending = [(decision_id, decision) for decision_id, decision in self.pending if not outdated(decision)]

    def enter(self, equity: Decimal) -> None:
        """Send what is pending, as far as the rules allow; while trading is halted all of it is refused for good."""
        may_enter = self._desk.trading.may_enter()
        if not may_enter.passed:
            for decision_id, decision in self.pending:
                self._desk.refuse(may_enter, decision.symbol, decision_id)
            self.pending.clear()
            return
        if self._desk.no_policy or self._desk.restrictions_lacking:
            return  # what was decided before may be sent when there is one again, if it still holds then
        if not self._desk.market_open or self._waits_for_tomorrow() or self._desk.journal.away is not None:
            return
        waiting, self.pending = self.pending, []
        for decision_id, decision in waiting:
            if decision.symbol in self._desk.trades or self._is_lost(decision.symbol):
                continue  # one position an instrument; the policy does not know what is held
            if self._rate_is_full() or not self._desk.terms.takes_entry(self._owed_stops()):
                self.pending.append((decision_id, decision))
                continue
            quantity = self._judge(decision_id, decision, equity)
            if quantity:
                try:
                    self._open_trade(decision_id, decision, quantity)
                except JournalAway as error:
                    return self._desk.alarm(f"{decision.symbol}: not entered, {error}")

    def _is_lost(self, symbol: str) -> bool:
        return any(lost.symbol == symbol for lost in self._books.lost.values())

    def _waits_for_tomorrow(self) -> bool:
        """Whether it is too late for today, but what is for delivery can be bought at the next opening."""
        return self._desk.late and self._desk.terms.product is Product.CNC and not self._desk.final

    def _judge(self, decision_id: str, decision: Decision, equity: Decimal) -> int:
        """Shares the rules allow; what they refuse is journaled with its figures."""
        found = self._risk.judge(decision, equity)
        for verdict in found.refusals:
            self._desk.refuse(verdict, decision.symbol, decision_id)
        return found.quantity

    def _rate_is_full(self) -> bool:
        """Whether entries have to wait for a moment; what is full for the day is refused by its rule."""
        sent, limits = self._desk.order_calls.so_far(self._desk.now), self._desk.terms.limits
        return sent.last_second >= for_entries(limits.max_orders_per_second, limits) or (
            sent.last_minute >= for_entries(limits.max_orders_per_minute, limits)
        )

    def _owed_stops(self) -> int:
        """Stops that are to follow soon: of bare shares, and of entries that were sent a moment ago."""
        now = time.monotonic()
        self._sent_at = {name: at for name, at in self._sent_at.items() if now - at < FILLS_WITHIN_S}
        trades = self._desk.trades.values()
        return sum(t.uncovered > 0 or (t.entry.works and t.trade_id in self._sent_at) for t in trades)

    def _open_trade(self, decision_id: str, decision: Decision, quantity: int) -> None:
        assert decision.side is not None
        intent = self._sender.commit(
            decision_id, Purpose.ENTRY, decision.symbol, decision.side, quantity, OrderType.MARKET
        )
        self._sent_at[decision_id] = time.monotonic()
        entry = self._sender.send(intent)
        self._desk.trades[decision.symbol] = Trade(
            decision_id, decision, self._desk.terms.product, entry, features_hash=self._hashes.get(decision_id, "")
        )
        self._risk.entered(decision, quantity)


def _most_promising_first(decision: Decision) -> tuple[float, str]:
    """As the backtest sends them: what money and limits do not carry is the least promising."""
    return -decision.expected_return, decision.symbol
