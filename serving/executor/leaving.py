"""Open trades: what has to be done about each is asked of `next_steps.py`, and is done: stops, exits, outcomes."""

import time
from dataclasses import replace

from pipelines.domain.orders import OrderStatus, OrderType, Purpose
from serving.executor.books import Books
from serving.executor.broker import Refused
from serving.executor.closing import outcome_of
from serving.executor.desk import LOG, Desk
from serving.executor.legs import Leg
from serving.executor.moved_stops import changes_by_others
from serving.executor.next_steps import Do, Moment, Step, next_steps
from serving.executor.protection import Protection
from serving.executor.sending import Sender
from serving.executor.trade import Trade

PAUSE_S = 0.1  #: of the wall clock, before what just failed is tried again
MOST_INSISTING = 8
MOST_STEPS = 12  #: per trade and frame; a trade that wants more is stuck and is told of
MOST_IN_VAIN = 3  #: changes of one order that fail in one moment
PURPOSES = {Do.PLACE_STOP: Purpose.STOP, Do.PLACE_EXIT: Purpose.EXIT, Do.PLACE_CORRECTION: Purpose.CORRECTION}


class Leaving:
    """Keeps every open trade protected until it is left."""

    def __init__(self, desk: Desk, books: Books, sender: Sender):
        self._desk, self._books, self._sender = desk, books, sender
        self.protection = Protection()
        self._insisted, self._insisted_at = 0, desk.clock

    def manage(self, *, bar_closed: bool) -> None:
        """Bring every trade to where it should be; the books are read again after every round of orders.

        Raises
        ------
        BrokerSilent : if they cannot be read; nothing is sent then, since what to do follows from them.
        """
        for round_ in range(MOST_STEPS):
            if self._books.stale:
                self._books.read()
            self.protection.look(self._desk.trades.values(), self._desk.now)
            self._tell_of_others()
            self.close_finished()
            wanted = self._wanted(bar_closed=bar_closed)
            if not wanted and self._may_insist() and self._wanted(insisting=True):
                time.sleep(PAUSE_S)  # nothing is more urgent than shares that no order takes back
                self._insisted += 1
                self._books.read()
                wanted = self._wanted(insisting=True)
            if not wanted:
                return
            for trade, step in wanted:
                self._carry_out(trade, step)
            self._books.stale = True
            if round_ == MOST_STEPS - 1:
                symbol, do = wanted[0][0].symbol, wanted[0][1].do
                self._desk.alarm(f"{symbol}: cannot {do.value}; trying again with the next tick")

    def close_finished(self) -> None:
        """Turn every trade that is over into its outcome."""
        desk = self._desk
        for symbol, trade in list(desk.trades.items()):
            if not trade.over:
                continue
            if trade.position is None:
                self._books.close(trade, None)
                LOG.info("entry without a fill", symbol=symbol, status=trade.entry.status)
            else:
                outcome = outcome_of(trade, self._books.charges_of(trade))
                desk.journal.record_outcome(desk.account, trade.trade_id, outcome)
                self._books.close(trade, outcome)
                desk.results.append(outcome.net_inr)
                desk.on_outcome(outcome)
                LOG.info("closed", symbol=symbol, why=outcome.exit_reason.value, net_inr=str(outcome.net_inr))
            desk.overtaken.pop(symbol, None)

    def _tell_of_others(self) -> None:
        """What somebody else has done to our stops."""
        desk = self._desk
        if desk.day is None or not desk.day.open <= desk.now < desk.day.close:
            return
        for trade in desk.trades.values():
            for sentence in changes_by_others(trade, desk.now.date()):
                desk.alarm(sentence)

    def _may_insist(self) -> bool:
        """A few times at one moment of the market: it may stand still, and the broker may need a moment."""
        if self._insisted_at != self._desk.now:
            self._insisted, self._insisted_at = 0, self._desk.now
        return self._insisted < MOST_INSISTING

    def _wanted(self, *, bar_closed: bool = False, insisting: bool = False) -> list[tuple[Trade, Step]]:
        trades = self._desk.trades.values()
        return [(trade, step) for trade in trades if (step := self._step(trade, bar_closed, insisting))]

    def _step(self, trade: Trade, bar_closed: bool, insisting: bool) -> Step | None:
        desk = self._desk
        if trade.symbol in desk.overtaken:
            return None
        moment = Moment(
            now=desk.now,
            open=desk.market_open,
            price=desk.prices.last.get(trade.symbol),
            bar_closed=bar_closed,
            schedule=desk.terms.exits,
            instrument=desk.terms.instruments[trade.symbol],
            leave=desk.leave_now(trade.symbol),
            halted=bool(desk.no_policy) or not desk.trading.may_enter().passed,
            close=desk.day.close if desk.day is not None else None,
            insisting=insisting,
        )
        steps = next_steps(trade, moment)
        return next((step for step in steps if step.leg is None or not self._was_just_changed(trade, step.leg)), None)

    def _was_just_changed(self, trade: Trade, leg: Leg) -> bool:
        """An order is changed once a moment: the broker's book may lag behind what we asked for.

        What was asked in vain is asked again at once while shares are bare, but not without end.
        """
        if leg.doubled and not leg.recalled and not leg.vain:
            return False  # it was never changed: the broker made it of our one request
        asks_again = trade.uncovered > 0 and 0 < leg.vain < MOST_IN_VAIN
        return leg.changed_at == self._desk.now and not asks_again

    def _carry_out(self, trade: Trade, step: Step) -> None:
        desk = self._desk
        if step.reason is not None:
            leaving = trade.leaving_for(step.reason, desk.prices.last.get(trade.symbol))
            if leaving is not trade:
                trade = desk.trades[trade.symbol] = leaving
                assert trade.position is not None
                desk.journal.record_position(desk.account, trade.position)  # why, before what
        if step.leg is None:
            self._place(trade, step)
        else:
            self._change(trade, step)

    def _place(self, trade: Trade, step: Step) -> None:
        purpose = PURPOSES[step.do]
        stop, limit = purpose is Purpose.STOP, step.limit_price
        otherwise = OrderType.MARKET if limit is None else OrderType.LIMIT
        intent = self._sender.commit(
            trade.trade_id,
            purpose,
            trade.symbol,
            trade.side if trade.held < 0 else trade.side.opposite,
            step.quantity,
            OrderType.SL_M if stop else otherwise,
            limit_price=limit,
            trigger_price=trade.stop if stop else None,
        )
        leg = self._sender.send(intent)
        if leg.status is OrderStatus.REJECTED:
            self._desk.alarm(f"{trade.symbol}: the broker refused the {intent.purpose} of {intent.quantity} shares")
        self._desk.trades[trade.symbol] = trade.with_leg(leg)

    def _change(self, trade: Trade, step: Step) -> None:
        """Change an order; a refusal may mean that it was just filled, which the books will show."""
        leg, now = step.leg, self._desk.now
        assert leg is not None
        assert leg.order_id is not None
        detail = {"quantity": step.quantity, "reason": step.reason, "limit_price": step.limit_price}
        refused = self._sender.change(leg.order_id, step.do.value, detail, lambda order_id: self._ask(order_id, step))
        self._books.note_changed(leg.order_id)
        if refused is not None:
            LOG.warning("order not changed", symbol=trade.symbol, order_id=leg.order_id, why=refused.message)
        asked = leg.asked if step.do.cancels else step.quantity
        changed = replace(leg, changed_at=now, asked=asked, vain=leg.vain + 1 if refused is not None else 0)
        if step.do is Do.CANCEL_SPARE and refused is None:
            changed = replace(changed, recalled=True)
        if refused is not None and not refused.unclear:
            changed = replace(changed, refused=0 if step.do is Do.CANCEL_ENTRY else leg.refused + 1)
        elif not step.do.cancels:
            tried = 0 if step.do in (Do.RESIZE_STOP, Do.RESTORE_STOP) else 1
            changed = replace(changed, modifications=leg.modifications + 1, tries=leg.tries + tried, refused=0)
        self._desk.trades[trade.symbol] = trade.with_leg(changed)

    def _ask(self, order_id: str, step: Step) -> Refused | None:
        broker = self._desk.broker
        if step.do.cancels:
            return broker.cancel(order_id)
        if step.do is Do.RESIZE_STOP:
            return broker.resize(order_id, step.quantity)
        if step.do is Do.RESTORE_STOP:
            return broker.restore(order_id, step.quantity, step.trigger_price)
        return broker.leave(order_id, step.quantity, step.limit_price)
