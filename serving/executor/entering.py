"""From a bar's rows to entries: the policy decides, the rules judge, what is left of it is sent."""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from pipelines.domain.errors import TradeSageError
from pipelines.domain.orders import OrderType, Product, Purpose
from pipelines.domain.risk import Exposure, Proposal, review
from pipelines.domain.signals import Action, Decision, FeatureRow
from pipelines.journal.rows import features_hash
from serving.executor.books import Books
from serving.executor.desk import Desk
from serving.executor.policy_client import Answer
from serving.executor.sending import Sender
from serving.executor.trade import Trade


class Entering:
    """Takes decisions in and sends the entries that the rules allow.

    Parameters
    ----------
    desk, books, sender : of the session
    decide : function of rows and equity (rupees) to an answer; raises TradeSageError when there is none
    """

    def __init__(
        self,
        desk: Desk,
        books: Books,
        sender: Sender,
        decide: Callable[[Sequence[FeatureRow], Decimal], Answer],
    ):
        self._desk, self._books, self._sender, self._decide = desk, books, sender, decide
        self.pending: list[tuple[str, Decision]] = []  # decided, not yet sent: the market was closed or the rate full
        self.latencies_ms: list[float] = []
        self._sent_at: deque[datetime] = deque()
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
        hashes = {row.symbol: features_hash(row.values) for row in rows}
        self.pending.clear()  # what could not be sent before this bar is outdated by it
        with desk.journal.together():
            ids = [
                desk.journal.record_decision(desk.account, decision, answer.latency_ms, hashes.get(decision.symbol, ""))
                for decision in answer.decisions
            ]
        self._hashes = {name: hashes.get(made.symbol, "") for name, made in zip(ids, answer.decisions, strict=True)}
        for decision_id, decision in zip(ids, answer.decisions, strict=True):
            if decision.action is not Action.SKIP and decision.quantity > 0 and decision.side is not None:
                self.pending.append((decision_id, decision))

    def enter(self, equity: Decimal, day_opening_equity: Decimal) -> None:
        """Send what is pending, as far as the rules allow."""
        if not self._desk.market_open or self._waits_for_tomorrow():
            return
        waiting, self.pending = self.pending, []
        for decision_id, decision in waiting:
            if decision.symbol in self._desk.trades or self._is_lost(decision.symbol) or self._desk.held_back:
                continue  # one position an instrument; the policy does not know what is held
            if self._rate_is_full():
                self.pending.append((decision_id, decision))
                continue
            exposure = self._exposure(equity, day_opening_equity)
            quantity = self._judge(decision_id, decision, exposure)
            if quantity:
                self._open_trade(decision_id, decision, quantity)

    def _is_lost(self, symbol: str) -> bool:
        return any(lost.symbol == symbol for lost in self._books.lost.values())

    def _waits_for_tomorrow(self) -> bool:
        """Whether it is too late for today, but what is for delivery can be bought at the next opening."""
        return self._desk.late and self._desk.terms.product is Product.CNC and not self._desk.final

    def _judge(self, decision_id: str, decision: Decision, exposure: Exposure) -> int:
        """Shares the rules allow; what they refuse is journaled with its figures."""
        desk = self._desk
        assert desk.day is not None
        assert decision.side is not None
        instrument = desk.terms.instruments[decision.symbol]
        proposal = Proposal(
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
        )
        result = review(proposal, exposure, desk.terms.limits)
        for verdict in result.refusals:
            desk.journal.record_risk_event(desk.account, verdict, desk.now, decision.symbol, decision_id)
        return result.quantity

    def _exposure(self, equity: Decimal, day_opening_equity: Decimal) -> Exposure:
        gross = {
            symbol: max(trade.held, trade.entry.quantity if trade.entry.works or trade.entry.unresolved else 0)
            * self._desk.price_of(symbol, trade.decision.reference_price)
            for symbol, trade in self._desk.trades.items()
        }
        return Exposure(equity, day_opening_equity, gross, len(self._sent_at))

    def _rate_is_full(self) -> bool:
        while self._sent_at and self._desk.now - self._sent_at[0] >= timedelta(seconds=1):
            self._sent_at.popleft()
        return len(self._sent_at) >= self._desk.terms.limits.max_orders_per_second

    def _open_trade(self, decision_id: str, decision: Decision, quantity: int) -> None:
        assert decision.side is not None
        intent = self._sender.commit(
            decision_id, Purpose.ENTRY, decision.symbol, decision.side, quantity, OrderType.MARKET
        )
        entry = self._sender.send(intent)
        self._desk.trades[decision.symbol] = Trade(
            decision_id, decision, self._desk.terms.product, entry, features_hash=self._hashes.get(decision_id, "")
        )
        self._sent_at.append(self._desk.now)
