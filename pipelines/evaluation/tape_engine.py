"""The backtest on a tape: the same decisions and the same purse, and between two closes every frame is played."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import pandas as pd

from pipelines.domain.charges import Charges, order_charges
from pipelines.domain.market_calendar import session_on
from pipelines.domain.orders import Product
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.positions import PRICE_PLACES
from pipelines.evaluation.engine import ZERO, Engine, Pending, Rules, Trade, paise
from pipelines.evaluation.tape import Tape, TapeFrame, TapeOrder, TapeTrade, protected_order
from pipelines.policy.panel import Panel


@dataclass
class _OnTape:
    """A trade that is under way, the decision it came from, and what its ended orders were charged."""

    pending: Pending
    charges: Charges = field(default_factory=Charges)
    trade: TapeTrade = field(init=False)

    def add(self, due: Charges) -> None:
        self.charges += due


class TapeEngine(Engine):
    """The same decisions and purse; between two closes every frame of the tape is played."""

    def __init__(
        self, panel: Panel, decisions: pd.DataFrame, rules: Rules, first_us: int, last_us: int, tape: Tape
    ) -> None:
        super().__init__(panel, decisions, rules, first_us, last_us)
        self._tape = tape
        self._place = 0  # of the next frame
        self._open: dict[str, _OnTape] = {}
        self._prices: dict[str, Decimal] = {}
        self._taken: dict[str, int] = {}  # shares that our orders have had of the present bars' volumes

    def _meet_all(self, rows: Sequence[int]) -> None:
        close = self._time(rows[0], "close_time")
        for row in rows:
            self.mark[self.symbols[row]] = self.close[row]
        while self._place < len(self._tape.frames):
            frame = self._tape.frames[self._place]
            if frame.at > close or (frame.at == close and frame.ticks):
                break
            self._place += 1
            self._play(frame, closes=frame.at == close)

    def _play(self, frame: TapeFrame, *, closes: bool) -> None:
        if not frame.ticks:
            self._taken.clear()
        self._prices |= {symbol: tick.price for symbol, tick in frame.ticks.items()}
        leave = self._leave_at(frame.at)
        for symbol, held in list(self._open.items()):
            trade, tick = held.trade, frame.ticks.get(symbol)
            if tick is not None:
                taken = self._taken.get(symbol, 0) if tick.bar_volume is not None else 0
                self._taken[symbol] = trade.meet(tick, frame.at, taken, self.rules.fills)
                trade.mark(tick.price)
            if closes:
                trade.count_bar(frame.at)
            trade.react(frame.at, self._prices.get(symbol), self._tape.exits, closed=closes, leave=leave)
            if trade.over:
                del self._open[symbol]
                if trade.bought:
                    self.trades.append(self._told(held))

    def _end_day(self, row: int) -> None:
        """Plays the day to its end; what is open then, the broker closes at the last price, for its fee."""
        day = self._day(row)
        while self._place < len(self._tape.frames) and self._tape.frames[self._place].at.date() == day:
            self._place += 1
            self._play(self._tape.frames[self._place - 1], closes=False)
        for symbol, held in list(self._open.items()):
            trade, last = held.trade, self._tape.frames[self._place - 1].at
            trade.take_back()
            if trade.quantity:
                quantity, price = trade.quantity, self._prices[symbol]
                trade.close(price, last)
                due = order_charges(
                    product=Product.MIS, side=trade.side.opposite, value=price * quantity, day=day, squared_off=True
                )
                self.cash -= due.total
                held.add(due)
            del self._open[symbol]
            if trade.bought:
                self.trades.append(self._told(held))
        self._prices.clear()

    def _leave_at(self, at: datetime) -> ExitReason | None:
        session = session_on(at.date())
        late = session is None or at >= session.close - timedelta(minutes=self.rules.square_off_minutes)
        return ExitReason.SQUARE_OFF if late else None

    def _decide_at(self, rows: Sequence[int]) -> None:
        super()._decide_at([row for row in rows if self.symbols[row] not in self._open])
        for symbol, pending in self.pending.items():
            self._open[symbol] = self._sent(symbol, pending)
        self.pending.clear()

    def _sent(self, symbol: str, pending: Pending) -> _OnTape:
        row = pending.row
        at, instrument = self._time(row, "close_time"), self._instrument(symbol)
        entry = protected_order(pending.side, pending.quantity, at, paise(self.close[row]), instrument)
        held = _OnTape(pending)
        held.trade = TapeTrade(
            instrument=instrument,
            side=pending.side,
            stop=pending.stop,
            target=pending.target,
            hold_bars=self.rules.hold_bars,
            entry=entry,
            most_resizes=self._tape.most_resizes,
            pay=lambda side, found: self._pay(side, found, Charges()),
            charge=lambda order: held.add(self._charged(order, row)),
        )
        return held

    def _charged(self, order: TapeOrder, row: int) -> Charges:
        """Charges are taken when an order ends, on its whole value: as the broker does."""
        due = self._charges(order.side, order.value, row, Charges())
        self.cash -= due.total
        return due

    def _equity(self) -> Decimal:
        held = (
            t.trade.side.sign * t.trade.quantity * self._prices.get(s, paise(self.mark[s]))
            for s, t in self._open.items()
        )
        return self.cash + sum(held, ZERO)

    def _equity_estimate(self) -> float:
        return float(self._equity())

    def _gross(self) -> float:
        held = sum(max(t.trade.quantity, t.trade.entry.left) * self.mark[s] for s, t in self._open.items())
        return held + sum(p.value for p in self.pending.values())

    def _told(self, held: _OnTape) -> Trade:
        trade, pending = held.trade, held.pending
        assert trade.entered_at is not None
        assert trade.exited_at is not None
        judged, sign = self.decisions[pending.row], trade.side.sign
        gross = sign * (trade.exit_value - trade.entry_value)
        entry_price = (trade.entry_value / trade.bought).quantize(PRICE_PLACES)
        outcome = Outcome(
            symbol=trade.instrument.symbol,
            side=trade.side,
            quantity=trade.bought,
            decision_id=None,
            policy_version=str(judged["policy_version"]),
            catalogue_hash=str(self.panel.catalogue["hash"]),
            regime=str(judged["regime"]),
            decision_price=paise(self.close[pending.row]),
            entry_price=entry_price,
            exit_price=(trade.exit_value / trade.bought).quantize(PRICE_PLACES),
            entered_at=trade.entered_at,
            exited_at=trade.exited_at,
            exit_reason=trade.reason or ExitReason.STOP,
            gross_inr=gross,
            charges=held.charges.as_dict(),
            net_inr=gross - held.charges.total,
            mfe_inr=max(trade.best, gross),
            mae_inr=min(trade.worst, gross),
            hold_bars=trade.bars_held,
        )
        return Trade(
            outcome=outcome,
            entry_row=pending.row + 1,
            exit_row=min(pending.row + 1 + trade.bars_held, self.last_row[trade.instrument.symbol]),
            share=float(entry_price) * trade.bought / max(pending.equity, 1.0),
            signal=float(judged["signal"]),
            probability=float(judged["probability"]),
            expected_return=float(judged["expected_return"]),
        )
