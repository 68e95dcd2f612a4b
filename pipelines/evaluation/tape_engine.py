"""The backtest on a tape: the same decisions and the same purse, and between two closes every frame is played."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal

import pandas as pd

from pipelines.domain.charges import PAISA, Charges
from pipelines.domain.market_calendar import bar_times, session_on
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.positions import PRICE_PLACES
from pipelines.evaluation.engine import Engine, Rules
from pipelines.evaluation.open_trades import Pending, paise
from pipelines.evaluation.tape import Tape, TapeFrame, TapeOrder, TapeTrade, protected_order
from pipelines.evaluation.trades import ZERO, Trade
from pipelines.policy.labels import broker_time
from pipelines.policy.panel import Panel


@dataclass
class _OnTape:
    """A trade that is under way, the decision it came from, and what its ended orders were charged."""

    pending: Pending
    charges: Charges = field(default_factory=Charges)
    trade: TapeTrade = field(init=False)

    def add(self, due: Charges) -> None:
        self.charges += due

    @property
    def blocked(self) -> Decimal:
        """Rupees that the entry blocks as far as it still works."""
        working = self.trade.entry.left if self.trade.entry_works else 0
        return (self.pending.need * working / self.pending.quantity).quantize(PAISA, ROUND_CEILING)


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
        self._closes = market_closes(panel)
        self._bars_closed = 0  # how many of them have gone by
        ends = panel.table["session_end"]
        self._broker_times = {end.date(): broker_time(end.to_pydatetime()) for end in ends.unique()}

    def _meet_all(self, rows: Sequence[int]) -> None:
        close = self._time(rows[0], "close_time")
        for row in rows:
            self.mark[self.symbols[row]] = self.close[row]
            self.last_row[self.symbols[row]] = row
        while self._place < len(self._tape.frames):
            frame = self._tape.frames[self._place]
            if frame.at > close or (frame.at == close and frame.ticks):
                break
            self._play(frame)

    def _play(self, frame: TapeFrame) -> None:
        """First what the exchange and the broker do in a frame, then what the executor does about it."""
        self._place += 1
        if not frame.ticks:
            self._taken.clear()
        self._prices |= {symbol: tick.price for symbol, tick in frame.ticks.items()}
        leave, before = self._leave_at(frame.at), self._bars_closed
        self._bars_closed = bisect_right(self._closes, frame.at)
        broker_ends = bool(frame.ticks) and frame.at >= self._broker_times[frame.at.date()]
        closing = self._closes_the_day(frame)
        for symbol, held in list(self._open.items()):
            trade, tick = held.trade, frame.ticks.get(symbol)
            if broker_ends:
                trade.end_by_broker(frame.at)
            if tick is not None:
                trade.meet_broker(tick, frame.at, self.rules.fills)
                taken = self._taken.get(symbol, 0) if tick.bar_volume is not None else 0
                self._taken[symbol] = trade.meet(tick, frame.at, taken, self.rules.fills)
                trade.mark(tick.price)
            if closing:
                trade.close(self._prices.get(symbol, ZERO), frame.at)
            trade.count_bars(lambda entered: self._bars_closed - bisect_right(self._closes, entered))
            closed = self._bars_closed > before
            trade.react(frame.at, self._prices.get(symbol), self._tape.exits, closed=closed, leave=leave)
            if trade.over:
                del self._open[symbol]
                if trade.bought:
                    self.trades.append(self._told(held))

    def _closes_the_day(self, frame: TapeFrame) -> bool:
        """Whether a frame is its day's last: what is open then, the broker closes at the last price, for its fee."""
        ahead = self._tape.frames[self._place : self._place + 1]
        return not ahead or ahead[0].at.date() != frame.at.date()

    def _end_day(self, row: int, *, last: bool) -> None:
        """Plays the day to its end; nothing stays open."""
        day = self._day(row)
        while self._place < len(self._tape.frames) and self._tape.frames[self._place].at.date() == day:
            self._play(self._tape.frames[self._place])
        self._open.clear()  # sent after the last frame: nothing can come of it
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
            charge=lambda order: held.add(self._charged(order, row, squared_off=order is held.trade.ended_by_broker)),
        )
        return held

    def _charged(self, order: TapeOrder, row: int, *, squared_off: bool) -> Charges:
        """Charges are taken when an order ends, on its whole value: as the broker does."""
        due = self._charges(order.side, order.value, row, Charges(), squared_off=squared_off)
        self.cash -= due.total
        return due

    def _shares_held(self) -> Iterator[tuple[str, int, Decimal]]:
        for symbol, held in self._open.items():
            trade = held.trade
            if trade.quantity:
                yield symbol, trade.side.sign * trade.quantity, trade.entry_value / trade.bought

    def _last_price(self, symbol: str) -> Decimal:
        return self._prices.get(symbol, paise(self.mark[symbol]))

    def _free(self) -> Decimal:
        still_working = (held.blocked for held in self._open.values())
        return super()._free() - sum(still_working, ZERO)

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
            exit_row=self._row_at(trade.instrument.symbol, trade.exited_at),
            share=float(entry_price) * trade.bought / max(pending.equity, 1.0),
            signal=float(judged["signal"]),
            probability=float(judged["probability"]),
            expected_return=float(judged["expected_return"]),
        )

    def _row_at(self, symbol: str, moment: datetime) -> int:
        """The row of the bar in which a moment lies, or of the instrument's last one before it."""
        rows = self.panel.symbol_slices[symbol]
        opens = self.panel.table["open_time"].iloc[rows]
        return rows.start + max(int(opens.searchsorted(pd.Timestamp(moment), side="right")) - 1, 0)


def market_closes(panel: Panel) -> list[datetime]:
    """When every bar of the panel's days closes, by the calendar; of days that it does not know, as the bars do."""
    days, closes = panel.table["close_time"].dt.date, set(panel.table["close_time"].dt.to_pydatetime())
    for day in days.unique():
        session = session_on(day)
        closes |= {close for _, close in bar_times(session, panel.interval)} if session is not None else set()
    return sorted(closes)
