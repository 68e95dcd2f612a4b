"""Open trades: what has to be done about each is asked of `trade.py`, and is done: stops, exits, outcomes."""

from collections.abc import Callable
from dataclasses import replace

from pipelines.domain.orders import OrderStatus, OrderType, Purpose
from serving.executor.books import Books
from serving.executor.broker import Refused
from serving.executor.desk import LOG, Desk
from serving.executor.sending import Sender
from serving.executor.trade import Do, Moment, Step, Trade, next_step, outcome_of

MOST_STEPS = 12  #: per trade and frame; a trade that wants more is stuck and is told of


class Leaving:
    """Keeps every open trade protected until it is left."""

    def __init__(self, desk: Desk, books: Books, sender: Sender):
        self._desk, self._books, self._sender = desk, books, sender

    def manage(self, *, bar_closed: bool) -> None:
        """Bring every trade to where it should be; the books are read again after every round of orders."""
        for round_ in range(MOST_STEPS):
            if self._books.stale:
                self._books.read()
            self.close_finished()
            wanted = [(trade, step) for trade in self._desk.trades.values() if (step := self._step(trade, bar_closed))]
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
            del desk.trades[symbol]
            if trade.position is None:
                LOG.info("entry without a fill", symbol=symbol, status=trade.entry.status)
                continue
            outcome = outcome_of(trade, self._books.charges_of(trade))
            desk.journal.record_outcome(desk.account, trade.trade_id, outcome)
            LOG.info("closed", symbol=symbol, why=outcome.exit_reason.value, net_inr=str(outcome.net_inr))

    def _step(self, trade: Trade, bar_closed: bool) -> Step | None:
        desk = self._desk
        moment = Moment(desk.now, desk.market_open, desk.prices.last.get(trade.symbol), bar_closed, desk.leave_now)
        step = next_step(trade, moment)
        if step is None or not step.do.changes_an_order:
            return step
        # an order is changed once a moment: the broker's book may lag behind what we asked for
        leg = {Do.CANCEL_ENTRY: trade.entry, Do.CANCEL_SPARE: trade.spare}.get(step.do, trade.resting)
        return None if leg is not None and leg.changed_at == desk.now else step

    def _carry_out(self, trade: Trade, step: Step) -> None:
        desk = self._desk
        if step.reason is not None and trade.position is not None and trade.position.exit_reason is None:
            trade = replace(trade, position=replace(trade.position, exit_reason=step.reason))
            desk.trades[trade.symbol] = trade
            assert trade.position is not None
            desk.journal.record_position(desk.account, trade.position)  # why, before what
        match step.do:
            case Do.PLACE_STOP | Do.PLACE_EXIT:
                self._place_way_out(trade, step)
            case Do.TURN_STOP:
                self._change(trade, step, lambda order_id: desk.broker.leave(order_id, step.quantity, None))
            case Do.RESIZE_STOP:
                self._change(trade, step, lambda order_id: desk.broker.resize(order_id, step.quantity))
            case Do.CANCEL_STOP | Do.CANCEL_SPARE:
                self._change(trade, step, desk.broker.cancel)
            case Do.CANCEL_ENTRY:
                self._cancel_entry(trade)

    def _place_way_out(self, trade: Trade, step: Step) -> None:
        assert trade.position is not None
        stop = step.do is Do.PLACE_STOP
        intent = self._sender.commit(
            trade.trade_id,
            Purpose.STOP if stop else Purpose.EXIT,
            trade.symbol,
            trade.side.opposite,
            step.quantity,
            OrderType.SL_M if stop else OrderType.MARKET,
            trigger_price=trade.position.stop if stop else None,
        )
        leg = self._sender.send(intent)
        if leg.status is OrderStatus.REJECTED:
            self._desk.alarm(f"{trade.symbol}: the broker refused the {intent.purpose} of {intent.quantity} shares")
        self._desk.trades[trade.symbol] = trade.with_leg(leg)

    def _change(self, trade: Trade, step: Step, send: Callable[[str], Refused | None]) -> None:
        """Change the resting order; a refusal may mean that it was just filled, which the books will show."""
        now = self._desk.now
        leg = trade.spare if step.do is Do.CANCEL_SPARE else trade.resting
        assert leg is not None
        assert leg.order_id is not None
        detail = {"quantity": step.quantity, "reason": step.reason}
        refused = self._sender.change(leg.order_id, step.do.value, detail, send)
        if refused is None and step.do in (Do.CANCEL_STOP, Do.CANCEL_SPARE):
            changed = replace(leg, changed_at=now)
        elif refused is None:
            changed = replace(leg, modifications=leg.modifications + 1, refused=0, changed_at=now)
        else:
            changed = replace(leg, refused=leg.refused + 1, changed_at=now)
            LOG.warning("order not changed", symbol=trade.symbol, order_id=leg.order_id, why=refused.message)
        self._desk.trades[trade.symbol] = trade.with_leg(changed)

    def _cancel_entry(self, trade: Trade) -> None:
        assert trade.entry.order_id is not None
        order_id = trade.entry.order_id
        refused = self._sender.change(order_id, Do.CANCEL_ENTRY.value, {}, self._desk.broker.cancel)
        entry = replace(trade.entry, changed_at=self._desk.now)
        self._desk.trades[trade.symbol] = replace(trade, entry=entry)
        if refused is not None:
            LOG.warning("entry not cancelled", symbol=trade.symbol, order_id=order_id, why=refused.message)
