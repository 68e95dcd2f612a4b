"""A trading session: what happens is read from the broker's books, what to do is asked of `trade.py`, and is done.

Journal first: an intent is on disk before its order is sent, an exit's reason before its stop is turned. So after a
death at any moment the next start finds in journal and broker's books all it needs.
"""

import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

import structlog

from pipelines.domain.charges import Charges
from pipelines.domain.errors import BooksDiffer, TradeSageError
from pipelines.domain.instruments import Instrument
from pipelines.domain.market_calendar import Session as TradingDay
from pipelines.domain.market_calendar import session_on
from pipelines.domain.orders import (
    BookedOrder,
    Fill,
    Intent,
    IntentStatus,
    OrderStatus,
    OrderType,
    Product,
    Purpose,
    may_move,
)
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.risk import Exposure, Proposal, RiskLimits, review
from pipelines.domain.signals import Action, Decision, FeatureRow
from pipelines.domain.verdicts import Verdict
from pipelines.journal.memory import AnyJournal
from pipelines.journal.rows import features_hash
from serving.executor.bar_builder import BarBuilder, ClosedBars, Tick
from serving.executor.broker import LOOKS, Broker, Refused
from serving.executor.ledger import cash_after, charges_by_order
from serving.executor.policy_client import Answer
from serving.executor.reconcile import (
    cash_difference,
    fill_differences,
    foreign_orders,
    share_differences,
    status_of,
    unsent,
)
from serving.executor.trade import Do, Leg, Moment, Step, Trade, next_step, outcome_of

LOG = structlog.get_logger("executor")
MOST_STEPS = 12  #: per trade and frame; a trade that wants more is stuck and is told of


class Features(Protocol):
    """Rows at a bar's close, from bars and news up to it."""

    def update(self, closed: ClosedBars) -> list[FeatureRow]: ...


@dataclass(frozen=True, slots=True)
class Frame:
    """What one message of the feed tells: the market's time, and the trades since the one before."""

    at: datetime
    ticks: tuple[Tick, ...] = ()


@dataclass(frozen=True)
class Terms:
    """What the session is to trade and how."""

    account: str
    instruments: Mapping[str, Instrument]  #: by symbol
    product: Product
    limits: RiskLimits
    flatten_at_end: bool  #: whether everything is closed on the last day, also what is for delivery
    reconcile_every: int = 12  #: bars
    cash_is_a_ledger: bool = True  #: whether the broker's cash can be compared to the paisa at any time


@dataclass
class Prices:
    """Last trades of the present session."""

    last: dict[str, Decimal] = field(default_factory=dict)
    at: dict[str, datetime] = field(default_factory=dict)

    def take(self, tick: Tick) -> None:
        self.last[tick.symbol] = Decimal(str(tick.price))
        self.at[tick.symbol] = tick.at


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
        self.terms, self._broker, self._journal = terms, broker, journal
        self._builder, self._features, self._decide, self._last_day = builder, features, decide, last_day
        self.trades: dict[str, Trade] = {}  # open ones, by symbol
        self.pending: list[tuple[str, Decision]] = []  # decided, not yet sent: the market was closed or the rate full
        self.prices = Prices()
        self._now: datetime | None = None
        self.alarms: list[str] = []
        self.latencies_ms: list[float] = []
        self._orders: dict[str, BookedOrder] = {}  # all of the account, by id
        self._fills: dict[tuple[str, str], Fill] = {}
        self._intents: dict[str, Intent] = {}  # by tag
        self._charges: dict[str, Charges] = {}
        self._ended = 0  # orders that had ended when the charges were reckoned
        self._opening_cash = Decimal(0)
        self._day: TradingDay | None = None
        self._final = False
        self._day_opening_equity = Decimal(0)
        self._sent_at: deque[datetime] = deque()
        self._stale_books = False
        self._read_at: datetime | None = None  # market time
        self._lost: dict[str, Intent] = {}  # by tag: sent without an answer, and not in the book when we looked
        self._bars_since_reconciled = 0

    # --- start and end ---

    def start(self, at: datetime) -> None:
        """Read journal and broker until they agree, and take up what was going on.

        Raises
        ------
        BooksDiffer : if they do not agree; nothing may be traded then.
        """
        account = self.terms.account
        self._now = at
        self._opening_cash = self._journal.open_account(account, self._broker.cash(), at)
        self._orders = {order.order_id: order for order in self._journal.orders(account)}
        self._fills = {(fill.order_id, fill.trade_id): fill for fill in self._journal.fills(account)}
        self._intents = {intent.tag: intent for intent in self._journal.intents(account)}
        self._read_books()
        for intent in unsent(self._intents.values(), self._orders.values()):
            if intent.status is IntentStatus.SENT:
                self._lost[intent.tag] = intent
            self._move(intent, IntentStatus.ABANDONED, "not in the broker's order book at the start")
        self._take_up_trades()
        differences = self.reconcile()
        if differences:
            raise BooksDiffer(f"{'; '.join(differences)}; correct the journal or the account, then start again")
        LOG.info("books agree", account=account, open_trades=len(self.trades), cash=str(self.cash))

    def begin_at(self, symbol: str, volume_today: int, at: datetime) -> None:
        """In mid-session: shares traded so far belong to bars that the history tells."""
        self._builder.volume_seen(symbol, volume_today, at)

    def reconcile(self) -> list[str]:
        """Differences between our books and the broker's, in sentences; each is an alarm, too."""
        for look in range(LOOKS):  # a market that does not wait may trade between two of our reads
            differences = self._differences()
            if not differences:
                break
            time.sleep(0.2 * look)
        for order in foreign_orders(self._orders.values(), self._intents):
            self._alarm(f"order {order.order_id} on {order.symbol} is not ours (tag {order.tag})")
        for difference in differences:
            self._alarm(difference)
        self._bars_since_reconciled = 0
        return differences

    def _differences(self) -> list[str]:
        self._read_books()
        ours = self._our_fills()
        todays = [order for order in self._broker.orders() if order.order_id in self._orders]
        cash = cash_difference(self.cash, self._broker.cash()) if self.terms.cash_is_a_ledger else []
        return [*share_differences(ours, self._broker.shares()), *fill_differences(todays, ours), *cash]

    # --- events ---

    def on_order_update(self, update: Mapping[str, Any]) -> None:
        """The broker hints at a change; what is true stands in its books, which are read at the next chance."""
        order_id = str(update.get("order_id", ""))
        told = {name: update.get(name) for name in ("status", "filled_quantity", "tag", "status_message")}
        self._journal.record_order_event(self.terms.account, order_id, str(update.get("status")), told, self.now)
        self._stale_books = True

    def on_books_changed(self) -> None:
        """Act on order updates that came between two frames."""
        if self._stale_books:
            self._manage(bar_closed=False)

    def on_connection_lost(self) -> None:
        """Updates may have been lost with it: the books are read at the next chance."""
        self._stale_books = True

    def on_frame(self, frame: Frame) -> None:
        """Work one message of the feed off, wholly."""
        self._now = frame.at
        self._turn_day(frame.at)
        closed = self._builder.advance(frame.at)
        if self._stale_books or closed or self._awaits_news():
            self._read_books()
        for tick in frame.ticks:
            self._builder.add(tick)
            self.prices.take(tick)
            self._mark(tick)
        for bars in closed:
            with self._journal.together():
                self._count_bar(bars)
        self._manage(bar_closed=bool(closed))
        for bars in closed:
            self._decide_on(bars)
        self._enter()
        self._manage(bar_closed=False)
        if self._bars_since_reconciled >= self.terms.reconcile_every:
            self.reconcile()

    # --- figures ---

    @property
    def now(self) -> datetime:
        """Market time, as the last message told it."""
        assert self._now is not None, "start the session first"
        return self._now

    @property
    def cash(self) -> Decimal:
        """Cash by our own books."""
        return cash_after(self._opening_cash, self._our_fills(), self._charges)

    @property
    def equity(self) -> Decimal:
        """Cash and what is held at the last price."""
        worth = (
            trade.held * trade.side.sign * self._price_of(trade.symbol, trade.entry.average_price)
            for trade in self.trades.values()
        )
        return self.cash + sum(worth, Decimal(0))

    @property
    def open_positions(self) -> int:
        return sum(trade.held != 0 for trade in self.trades.values())

    # --- the day ---

    def _turn_day(self, at: datetime) -> None:
        if self._day is not None and self._day.day == at.date():
            return
        if self._day is not None:
            self._lost.clear()  # orders are good for a day
        self._day = session_on(at.date())
        self._final = self._last_day(at.date())
        self.prices = Prices()
        self._stale_books = True
        if self._day is None:
            self._alarm(f"{at:%Y-%m-%d} is no trading day in our calendar; nothing is traded")
        self._read_books()
        self._expire_orders(at)
        self._day_opening_equity = self.equity

    def _expire_orders(self, at: datetime) -> None:
        """Orders are good for a day. What still worked yesterday and is not in today's book has expired."""
        todays = {order.order_id for order in self._broker.orders()}
        for order in list(self._orders.values()):
            if order.status is OrderStatus.WORKING and order.order_id not in todays:
                self._note_order(replace(order, status=OrderStatus.CANCELLED, message="expired with its day"))
        self._refresh_trades()

    def _market_open(self) -> bool:
        return self._day is not None and self._day.open <= self.now <= self._day.end

    def _leave_now(self) -> ExitReason | None:
        """Before the session's end what is intraday is closed, and on the last day everything if that is asked for."""
        if self._day is None or self.now < self._day.close - self.terms.limits.square_off:
            return None
        if self.terms.product is Product.MIS:
            return ExitReason.SQUARE_OFF
        return ExitReason.FLATTEN if self._final and self.terms.flatten_at_end else None

    # --- bars and decisions ---

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
            self._journal.record_position(self.terms.account, held)

    def decide_on_history(self, rows: list[FeatureRow]) -> None:
        """Decide on the last bar before the session, as the backtest does: it fills at the opening."""
        self._decide_rows(rows)

    def _decide_on(self, closed: ClosedBars) -> None:
        try:
            rows = self._features.update(closed)
        except TradeSageError as error:
            self._alarm(f"no features at {closed.close_time:%H:%M}: {error}")
            return
        self._decide_rows(rows)

    def _decide_rows(self, rows: list[FeatureRow]) -> None:
        if not rows:
            return
        try:
            answer = self._decide(rows, self.equity.quantize(Decimal("0.01")))
        except TradeSageError as error:
            self._alarm(f"no decision at {rows[0].close_time:%H:%M}: {type(error).__name__}: {error}")
            return
        self.latencies_ms.append(answer.latency_ms)
        hashes = {row.symbol: features_hash(row.values) for row in rows}
        self.pending.clear()  # what could not be sent before this bar is outdated by it
        with self._journal.together():
            ids = [
                self._journal.record_decision(
                    self.terms.account, decision, answer.latency_ms, hashes.get(decision.symbol, "")
                )
                for decision in answer.decisions
            ]
        for decision_id, decision in zip(ids, answer.decisions, strict=True):
            if decision.action is not Action.SKIP and decision.quantity > 0 and decision.side is not None:
                self.pending.append((decision_id, decision))

    # --- entries ---

    def _enter(self) -> None:
        if not self._market_open() or self._waits_for_tomorrow():
            return
        waiting, self.pending = self.pending, []
        for decision_id, decision in waiting:
            if decision.symbol in self.trades or any(lost.symbol == decision.symbol for lost in self._lost.values()):
                continue  # one position an instrument; the policy does not know what is held
            if self._rate_is_full():
                self.pending.append((decision_id, decision))
                continue
            quantity = self._judge(decision_id, decision)
            if quantity:
                self._open_trade(decision_id, decision, quantity)

    def _waits_for_tomorrow(self) -> bool:
        """Whether it is too late for today, but what is for delivery can be bought at the next opening."""
        assert self._day is not None
        late = self.now >= self._day.close - self.terms.limits.square_off
        return late and self.terms.product is Product.CNC and not self._final

    def _judge(self, decision_id: str, decision: Decision) -> int:
        """Shares the rules allow; what they refuse is journaled with its figures."""
        assert self._day is not None
        assert decision.side is not None
        instrument = self.terms.instruments[decision.symbol]
        proposal = Proposal(
            symbol=decision.symbol,
            side=decision.side,
            quantity=decision.quantity,
            lot_size=instrument.lot_size,
            product=self.terms.product,
            reference_price=decision.reference_price,
            stop=decision.stop,
            last_price=self.prices.last.get(decision.symbol),
            last_trade_at=self.prices.at.get(decision.symbol),
            now=self.now,
            session_open=self._day.open,
            session_close=self._day.close,
        )
        result = review(proposal, self._exposure(), self.terms.limits)
        for verdict in result.refusals:
            self._journal.record_risk_event(self.terms.account, verdict, self.now, decision.symbol, decision_id)
        return result.quantity

    def _exposure(self) -> Exposure:
        gross = {
            symbol: max(trade.held, trade.entry.quantity if trade.entry.works else 0)
            * self._price_of(symbol, trade.decision.reference_price)
            for symbol, trade in self.trades.items()
        }
        return Exposure(self.equity, self._day_opening_equity, gross, len(self._sent_at))

    def _rate_is_full(self) -> bool:
        while self._sent_at and self.now - self._sent_at[0] >= timedelta(seconds=1):
            self._sent_at.popleft()
        return len(self._sent_at) >= self.terms.limits.max_orders_per_second

    def _open_trade(self, decision_id: str, decision: Decision, quantity: int) -> None:
        assert decision.side is not None
        intent = self._commit(
            decision_id, Purpose.ENTRY, decision.symbol, decision.side, quantity, OrderType.MARKET, None
        )
        self.trades[decision.symbol] = Trade(decision_id, decision, self.terms.product, self._send(intent))
        self._sent_at.append(self.now)

    # --- what has to be done about open trades ---

    def _manage(self, *, bar_closed: bool) -> None:
        """Bring every trade to where it should be; the books are read again after every round of orders."""
        for round_ in range(MOST_STEPS):
            if self._stale_books:
                self._read_books()
            self._close_finished()
            wanted = [(trade, step) for trade in self.trades.values() if (step := self._step(trade, bar_closed))]
            if not wanted:
                return
            for trade, step in wanted:
                self._carry_out(trade, step)
            self._stale_books = True
            if round_ == MOST_STEPS - 1:
                self._alarm(f"{wanted[0][0].symbol}: cannot {wanted[0][1].do.value}; trying again with the next tick")

    def _step(self, trade: Trade, bar_closed: bool) -> Step | None:
        moment = Moment(
            self.now, self._market_open(), self.prices.last.get(trade.symbol), bar_closed, self._leave_now()
        )
        step = next_step(trade, moment)
        if step is None or not step.do.changes_an_order:
            return step
        # an order is changed once a moment: the broker's book may lag behind what we asked for
        leg = {Do.CANCEL_ENTRY: trade.entry, Do.CANCEL_SPARE: trade.spare}.get(step.do, trade.resting)
        return None if leg is not None and leg.changed_at == self.now else step

    def _carry_out(self, trade: Trade, step: Step) -> None:
        if step.reason is not None and trade.position is not None and trade.position.exit_reason is None:
            trade = replace(trade, position=replace(trade.position, exit_reason=step.reason))
            self.trades[trade.symbol] = trade
            assert trade.position is not None
            self._journal.record_position(self.terms.account, trade.position)  # why, before what
        match step.do:
            case Do.PLACE_STOP | Do.PLACE_EXIT:
                self._place_way_out(trade, step)
            case Do.TURN_STOP:
                self._change(trade, step, lambda order_id: self._broker.turn_to_market(order_id, step.quantity))
            case Do.RESIZE_STOP:
                self._change(trade, step, lambda order_id: self._broker.resize(order_id, step.quantity))
            case Do.CANCEL_STOP | Do.CANCEL_SPARE:
                self._change(trade, step, self._broker.cancel)
            case Do.CANCEL_ENTRY:
                self._cancel_entry(trade)

    def _place_way_out(self, trade: Trade, step: Step) -> None:
        assert trade.position is not None
        stop = step.do is Do.PLACE_STOP
        intent = self._commit(
            trade.trade_id,
            Purpose.STOP if stop else Purpose.EXIT,
            trade.symbol,
            trade.side.opposite,
            step.quantity,
            OrderType.SL_M if stop else OrderType.MARKET,
            trade.position.stop if stop else None,
        )
        leg = self._send(intent)
        if leg.status is OrderStatus.REJECTED:
            self._alarm(f"{trade.symbol}: the broker refused the {intent.purpose} of {intent.quantity} shares")
        self.trades[trade.symbol] = trade.with_leg(leg)

    def _change(self, trade: Trade, step: Step, send: Callable[[str], Refused | None]) -> None:
        """Change the resting order; a refusal may mean that it was just filled, which the books will show."""
        leg = trade.spare if step.do is Do.CANCEL_SPARE else trade.resting
        assert leg is not None
        assert leg.order_id is not None
        detail = {"quantity": step.quantity, "reason": step.reason}
        self._journal.record_order_event(self.terms.account, leg.order_id, f"we {step.do.value}", detail, self.now)
        refused = send(leg.order_id)
        if refused is None and step.do in (Do.CANCEL_STOP, Do.CANCEL_SPARE):
            changed = replace(leg, changed_at=self.now)
        elif refused is None:
            changed = replace(leg, modifications=leg.modifications + 1, refused=0, changed_at=self.now)
        else:
            changed = replace(leg, refused=leg.refused + 1, changed_at=self.now)
            LOG.warning("order not changed", symbol=trade.symbol, order_id=leg.order_id, why=refused.message)
        self.trades[trade.symbol] = trade.with_leg(changed)

    def _cancel_entry(self, trade: Trade) -> None:
        assert trade.entry.order_id is not None
        order_id = trade.entry.order_id
        self._journal.record_order_event(self.terms.account, order_id, "we cancel the entry's rest", {}, self.now)
        refused = self._broker.cancel(order_id)
        self.trades[trade.symbol] = replace(trade, entry=replace(trade.entry, changed_at=self.now))
        if refused is not None:
            LOG.warning("entry not cancelled", symbol=trade.symbol, order_id=order_id, why=refused.message)

    def _close_finished(self) -> None:
        for symbol, trade in list(self.trades.items()):
            if not trade.over:
                continue
            del self.trades[symbol]
            if trade.position is None:
                LOG.info("entry without a fill", symbol=symbol, status=trade.entry.status)
                continue
            charges = sum(
                (self._charges[leg.order_id] for leg in trade.legs if leg.order_id in self._charges), Charges()
            )
            outcome = outcome_of(trade, charges)
            self._journal.record_outcome(self.terms.account, trade.trade_id, outcome)
            LOG.info("closed", symbol=symbol, why=outcome.exit_reason.value, net_inr=str(outcome.net_inr))

    # --- intents and orders ---

    def _commit(self, *what: Any) -> Intent:
        """Put the will to trade on disk."""
        decision_id, purpose, symbol, side, quantity, order_type, trigger = what
        intent = Intent(
            intent_id=uuid.uuid4().hex,
            tag=f"TS{uuid.uuid4().hex[:18]}",
            decision_id=decision_id,
            purpose=purpose,
            symbol=symbol,
            side=side,
            quantity=quantity,
            order_type=order_type,
            product=self.terms.product,
            limit_price=None,
            trigger_price=trigger,
            status=IntentStatus.PLANNED,
            created_at=self.now,
        )
        self._journal.commit_intent(self.terms.account, intent)
        self._intents[intent.tag] = intent
        return intent

    def _send(self, intent: Intent) -> Leg:
        """Send an intent's order, once."""
        self._move(intent, IntentStatus.SENT)
        began = time.perf_counter()
        answer = self._broker.place(intent)
        self._stale_books = True
        refused = isinstance(answer, Refused)
        LOG.info(
            "order",
            purpose=intent.purpose.value,
            symbol=intent.symbol,
            side=intent.side.value,
            quantity=intent.quantity,
            answer=answer.message if isinstance(answer, Refused) else answer,
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        if isinstance(answer, Refused):
            if answer.unclear:  # it stays sent: it may arrive yet
                self._lost[intent.tag] = self._intents[intent.tag]
            else:
                self._move(self._intents[intent.tag], IntentStatus.REJECTED, answer.message)
            self._note_refusal(intent, answer)
        return Leg(
            purpose=intent.purpose,
            intent_id=intent.intent_id,
            order_id=None if refused else str(answer),
            side=intent.side,
            quantity=intent.quantity,
            order_type=intent.order_type,
            status=OrderStatus.REJECTED if refused else OrderStatus.WORKING,
            changed_at=intent.created_at,
        )

    def _note_refusal(self, intent: Intent, answer: Refused) -> None:
        verdict = Verdict("the broker", False, None, None, answer.message)
        self._journal.record_risk_event(self.terms.account, verdict, self.now, intent.symbol, intent.decision_id)

    def _move(self, intent: Intent, to: IntentStatus, reason: str = "") -> None:
        self._journal.advance_intent(intent.intent_id, to, self.now, reason)
        self._intents[intent.tag] = replace(intent, status=to)

    # --- the broker's books ---

    def _read_books(self) -> None:
        """Take over the order book, then the trade book: of an order seen as ended, all fills are there then.

        The trade book is only asked for if the order book shows shares filled that we do not know yet.
        """
        self._stale_books, self._read_at = False, self._now
        orders = self._broker.orders()
        fills = self._broker.fills() if fill_differences(orders, self._our_fills()) else []
        late = [order for order in orders if order.tag in self._lost and order.order_id not in self._orders]
        with self._journal.together():
            for fill in fills:
                key = (fill.order_id, fill.trade_id)
                if key not in self._fills:
                    self._journal.record_fill(self.terms.account, fill)
                    self._fills[key] = fill
            for order in orders:
                if self._orders.get(order.order_id) != order:
                    self._note_order(order)
            for order in late:
                self._take_up_late(order)
            self._refresh_trades()

    def _awaits_news(self) -> bool:
        """Whether something should happen at the broker soon, so that a lost update must not leave us waiting."""
        if self._read_at is not None and self.now - self._read_at < timedelta(seconds=1):
            return False
        legs = (leg for trade in self.trades.values() for leg in trade.legs)
        return bool(self._lost) or any(leg.works and not leg.is_stop for leg in legs)

    def _take_up_late(self, order: BookedOrder) -> None:
        """An order that we held to be lost has arrived after all: its shares are looked after, or it is taken back."""
        intent = self._lost.pop(order.tag or "")
        self._alarm(f"{order.symbol}: order {order.order_id} ({intent.purpose}) arrived after it was held to be lost")
        trade = self.trades.get(order.symbol)
        if trade is not None and trade.trade_id == intent.decision_id:
            self.trades[order.symbol] = trade.with_leg(_leg_of(intent, order))
        elif trade is None and intent.purpose is Purpose.ENTRY and intent.decision_id is not None:
            decision = self._journal.decision(intent.decision_id)
            self.trades[order.symbol] = Trade(intent.decision_id, decision, self.terms.product, _leg_of(intent, order))
        elif not order.status.ended:
            self._broker.cancel(order.order_id)

    def _note_order(self, order: BookedOrder) -> None:
        self._journal.record_order(self.terms.account, order)
        self._orders[order.order_id] = order
        intent = self._intents.get(order.tag or "")
        if intent is None:
            self._adopt(order)
            return
        if intent.status is IntentStatus.PLANNED:
            self._move(intent, IntentStatus.SENT, "found in the order book")
            intent = self._intents[intent.tag]
        if may_move(intent.status, status_of(order)):
            self._move(intent, status_of(order), order.message)

    def _adopt(self, order: BookedOrder) -> None:
        """An order that is not ours takes our position back, e.g. the broker's square-off: its fills count."""
        trade = self.trades.get(order.symbol)
        if trade is None or order.side is trade.side or order.product is not trade.product:
            return
        if not any(leg.order_id == order.order_id for leg in trade.exits):
            self._alarm(f"{order.symbol}: the broker closes the position by its own order {order.order_id}")
            self.trades[order.symbol] = trade.with_leg(_foreign_leg(order))

    def _refresh_trades(self) -> None:
        ended = sum(order.status.ended for order in self._orders.values())
        if ended != self._ended:  # charges are taken when an order ends
            self._ended, self._charges = ended, charges_by_order(self._orders.values(), self._our_fills())
        by_order: dict[str, list[Fill]] = {}
        for fill in self._fills.values():
            by_order.setdefault(fill.order_id, []).append(fill)
        for symbol, trade in self.trades.items():
            before = trade.position
            for leg in trade.legs:
                if leg.order_id is not None:
                    read = leg.with_books(self._orders.get(leg.order_id), by_order.get(leg.order_id, ()))
                    trade = trade.with_leg(read)
            trade = trade.with_position()
            self.trades[symbol] = trade
            if trade.held < 0:
                self._alarm(f"{symbol}: {-trade.held} shares more were taken back than were held; close them by hand")
            if trade.position is not None and trade.position != before:
                self._journal.record_position(self.terms.account, trade.position)

    def _our_fills(self) -> Iterable[Fill]:
        return list(self._fills.values())

    def _take_up_trades(self) -> None:
        """Build the open trades again from the journal: an entry's intent, its orders, its position."""
        positions = {position.position_id: position for position in self._journal.open_positions(self.terms.account)}
        finished = {outcome.decision_id for outcome in self._journal.outcomes(self.terms.account)}
        order_of = {order.tag: order for order in self._orders.values() if order.tag}
        by_decision: dict[str, list[Intent]] = {}
        for intent in self._intents.values():
            if intent.decision_id is not None and intent.decision_id not in finished:
                by_decision.setdefault(intent.decision_id, []).append(intent)
        for decision_id, intents in by_decision.items():
            legs = [_leg_of(intent, order_of.get(intent.tag)) for intent in intents]
            entry = next((leg for leg in legs if leg.purpose is Purpose.ENTRY and leg.order_id), None)
            if entry is None:
                continue
            exits = tuple(leg for leg in legs if leg.purpose is not Purpose.ENTRY and leg.order_id)
            decision = self._journal.decision(decision_id)
            trade = Trade(decision_id, decision, self.terms.product, entry, exits, positions.get(decision_id))
            self.trades[decision.symbol] = trade
            self._refresh_trades()
            if self.trades[decision.symbol].over and self.trades[decision.symbol].position is None:
                del self.trades[decision.symbol]
        self._close_finished()

    def _price_of(self, symbol: str, otherwise: Decimal) -> Decimal:
        return self.prices.last.get(symbol, otherwise)

    def _alarm(self, sentence: str) -> None:
        if sentence not in self.alarms:
            self.alarms.append(sentence)
            LOG.warning("alarm", what=sentence)


def _leg_of(intent: Intent, order: BookedOrder | None) -> Leg:
    """A leg after a restart. How often it was modified is not known any more; the broker counts for itself."""
    return Leg(
        purpose=intent.purpose,
        intent_id=intent.intent_id,
        order_id=order.order_id if order else None,
        side=intent.side,
        quantity=order.quantity if order else intent.quantity,
        order_type=order.order_type if order else intent.order_type,
        status=order.status if order else OrderStatus.REJECTED,
        changed_at=intent.created_at,
    )


def _foreign_leg(order: BookedOrder) -> Leg:
    return Leg(
        purpose=Purpose.EXIT,
        intent_id=None,
        order_id=order.order_id,
        side=order.side,
        quantity=order.quantity,
        order_type=order.order_type,
        status=order.status,
        changed_at=order.placed_at,
    )
