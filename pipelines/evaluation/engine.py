"""The backtest: decisions meet bars one by one, with one account, real charges and the paper exchange's matching.

A bar is the market's: one in which an instrument has no trade counts all the same. A decision at a bar's close is a
market order, with the broker's protection, that is good for the market's next bar. What that bar does not give is
cancelled. From the fill on a stop rests; inside a bar the stop comes before the target. The time barrier and the
square-off are market orders at the next open. Whatever is intraday and not left by then the broker ends for its fee, at
the last price if nothing trades any more. What is left when the period ends is closed at its last bar's close; so is
what is for delivery before an ex-date that was announced, see `domain/ex_dates.py`. Nothing is bought that the account
cannot pay, see `domain/affordability.py`.

Cash is `Decimal` and moves by fills and charges alone, but for the fractions of shares that a split or bonus leaves
over which something is held, since it was learnt too late: before the first bar of its ex-date what is held and what
was decided are restated, shares times the ratio, stop and target over it. A closed trade is told in shares and prices
of its entry. Of a step in price that is no ratio of shares a position gets the worse reading.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

import numpy as np
import pandas as pd

from pipelines.domain.affordability import Need
from pipelines.domain.charges import PAISA, Charges, order_charges
from pipelines.domain.corporate_actions import adjustments, cash_for, price_after, share_ratio, shares_after
from pipelines.domain.errors import BadInput
from pipelines.domain.fills import FillModel, Match, PriceBar, WorkingOrder, match
from pipelines.domain.instruments import Instrument
from pipelines.domain.margin_rates import margin_rates_on
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.protection import automatic_percent, protected_limit
from pipelines.domain.signals import Action, Side
from pipelines.evaluation.open_trades import Pending, Position, as_bought, paise
from pipelines.evaluation.tape import Tape
from pipelines.evaluation.trades import ZERO, Trade
from pipelines.policy.labels import by_broker, session_bars, session_days, squared_off
from pipelines.policy.overnight import ex_date_rows
from pipelines.policy.panel import Panel
from pipelines.policy.sizing import size_position, stop_and_target

PLACES = 2  #: prices are whole paise; adjusted prices of a source are rounded to them


@dataclass(frozen=True, slots=True)
class Rules:
    """How the engine trades; thresholds and sizes are the policy's."""

    opening_equity_inr: Decimal
    fills: FillModel
    max_gross: float  #: of equity
    risk_per_trade: float
    max_position: float
    hold_bars: int
    square_off_minutes: int
    margin_buffer: float = 0.0  #: share of equity that entries leave unblocked
    min_share_of_decision: float = 0.5  #: an entry that money cuts to less of its size is left out


@dataclass(frozen=True)
class Backtest:
    equity: pd.DataFrame  #: day, equity (rupees, marked at the day's last closes), exposure (gross over equity)
    trades: tuple[Trade, ...]
    cash: Decimal  #: at the end, when nothing is held
    traded_inr: Decimal  #: value of all fills


def run_backtest(
    panel: Panel, decisions: pd.DataFrame, rules: Rules, first_us: int, last_us: int, tape: Tape | None = None
) -> Backtest:
    """Trade decisions over the bars that close within [first_us, last_us].

    Parameters
    ----------
    panel : Panel
    decisions : DataFrame
        What `judge` says, for any rows of the panel (index = row number of the panel), plus `policy_version`; rows that
        are skipped, or outside of the period, are ignored.
    rules : Rules
    first_us, last_us : int
        Close times, microseconds since 1970 UTC.
    tape : Tape or None
        With it orders, stops and targets meet the finer prices, with the reactions of the executor; decisions stay on
        the closes of bars. Intraday only, and it must hold a frame at every bar's close.

    Returns
    -------
    Backtest : flat at the end, so that cash = opening equity + gross - charges, to the paisa.
    """
    if tape is None:
        return Engine(panel, decisions, rules, first_us, last_us).run()
    if panel.product is not Product.MIS:
        raise BadInput(f"a tape is for intraday trades; the panel has {panel.interval} bars: run it without one")
    from pipelines.evaluation.tape_engine import TapeEngine  # late: it is an engine, too

    return TapeEngine(panel, decisions, rules, first_us, last_us, tape).run()


class Engine:
    """One run over the bars; see `run_backtest`."""

    def __init__(self, panel: Panel, decisions: pd.DataFrame, rules: Rules, first_us: int, last_us: int) -> None:
        self.panel, self.rules = panel, rules
        table = panel.table
        self.open, self.high, self.low, self.close = (
            table[name].to_numpy(np.float64) for name in ("open", "high", "low", "close")
        )
        self.volume = table["volume"].to_numpy()
        self.adjustment = adjustments(table)
        self.ex_dates = ex_date_rows(panel)
        self.symbols = table["symbol"].to_numpy()
        self.days = session_days(panel)
        self.squared = squared_off(panel, rules.square_off_minutes)
        self.by_broker = by_broker(panel)
        self.numbers = panel.bar_numbers
        self.squared_from, self.session_last, self.too_late = session_bars(panel, rules.square_off_minutes)
        self.intraday = panel.product is Product.MIS
        self.first_us, self.last_us = first_us, last_us
        self.rows = np.flatnonzero((panel.closes >= first_us) & (panel.closes <= last_us))
        self.final_number = int(self.numbers[self.rows].max()) if len(self.rows) else 0
        chosen = decisions[decisions["action"] != Action.SKIP]
        self.decisions: dict[int, Mapping] = dict(zip(chosen.index, chosen.to_dict("records"), strict=True))
        self.cash = rules.opening_equity_inr
        self.traded = ZERO
        self.pending: dict[str, Pending] = {}
        self.positions: dict[str, Position] = {}
        self.mark: dict[str, float] = {}
        self.last_row: dict[str, int] = {}  # of each symbol, so far
        self.trades: list[Trade] = []
        self.delivered: set[tuple[str, date]] = set()

    def run(self) -> Backtest:
        order = self.rows[np.argsort(self.panel.closes[self.rows], kind="stable")]
        closes = self.panel.closes[order]
        starts = np.flatnonzero(np.r_[True, closes[1:] != closes[:-1]]) if len(order) else np.array([], int)
        ends = np.r_[starts[1:], len(order)]
        books, exposures = [], []
        for i, (a, b) in enumerate(zip(starts, ends, strict=True)):
            rows = [int(r) for r in order[a:b]]
            self._meet_all(rows)
            self._decide_at([row for row in rows if row in self.decisions])
            ends = i + 1 == len(starts) or self.days[order[starts[i + 1]]] != self.days[rows[0]]
            if ends:
                self._end_day(rows[0], last=i + 1 == len(starts))
            exposures.append(self._gross() / max(self._equity_estimate(), 1.0))
            if ends:
                books.append((self._day(rows[0]), float(self._equity()), float(np.mean(exposures))))
                exposures = []
        equity = pd.DataFrame(books, columns=["day", "equity", "exposure"])
        return Backtest(equity, tuple(self.trades), self.cash, self.traded)

    def _end_day(self, row: int, *, last: bool) -> None:
        """After the last bar of a day, of which `row` is one: the broker ends what is intraday and was not left."""
        if self.intraday:
            self.pending.clear()
        for symbol in list(self.positions) if self.intraday or last else ():
            position, met = self.positions[symbol], self.last_row[symbol]
            if self.intraday:
                self._end_by_broker(position, met)
            else:
                self._close_at_close(position, met, ExitReason.FLATTEN)
            self._finish(symbol, met)

    # one bar of every instrument

    def _meet_all(self, rows: Sequence[int]) -> None:
        """What was sent before the bar meets its open in the order it was sent: exits, then entries; stops and targets
        come as the bar goes. What is pending and had no trade by the bar's end is outdated.
        """
        for row in rows:
            symbol = self.symbols[row]
            self.mark[symbol], self.last_row[symbol] = self.close[row], row
            if row and self.adjustment[row] != self.adjustment[row - 1]:
                self._restate(symbol, row)
            if (position := self.positions.get(symbol)) is not None:
                self._leave_at_open(position, row)
        of_symbol = {self.symbols[row]: row for row in rows} if self.pending else {}
        for symbol, pending in list(self.pending.items()):
            row = of_symbol.get(symbol, -1)
            if row >= 0 and self._may_enter(pending, row):
                self._enter(symbol, pending, row)
        for row in rows:
            self._go_through(row)
        now = self.numbers[rows[0]]
        self.pending = {symbol: p for symbol, p in self.pending.items() if self.numbers[p.row] >= now}

    def _go_through(self, row: int) -> None:
        """The stop and the target inside of a bar, and its close."""
        symbol = self.symbols[row]
        position = self.positions.get(symbol)
        if position is None:
            return
        if position.quantity:
            self._advance(position, row)
        if position.quantity and self.ex_dates.left[row]:
            self._close_at_close(position, row, ExitReason.EX_DATE)
        if not position.quantity:
            self._finish(symbol, row)

    def _finish(self, symbol: str, row: int) -> None:
        self.trades.append(self._closed(self.positions.pop(symbol), row))

    def _may_enter(self, pending: Pending, row: int) -> bool:
        """Whether a row is the bar that a decision is good for: the market's next one, of the session if intraday."""
        if self.numbers[row] != self.numbers[pending.row] + 1:
            return False
        return self._same_session(pending.row, row) if self.intraday else not self.ex_dates.refused[row]

    def _restate(self, symbol: str, row: int) -> None:
        """Before the first bar after a corporate action: shares, stop and target of what is held or decided.

        A ratio that is none of shares is a step in price, perhaps a real one: an entry is dropped, a position keeps
        its shares if that makes it lose and counts no gain if that would make it gain.
        """
        step = float(self.adjustment[row] / self.adjustment[row - 1])
        ratio = share_ratio(step)
        pending, position = self.pending.get(symbol), self.positions.get(symbol)
        if pending is not None:
            if ratio is None:
                del self.pending[symbol]
            else:
                self._restate_pending(pending, ratio, symbol)
        if position is not None and (ratio is not None or (step > 1) != (position.side is Side.BUY)):
            self._restate_position(position, ratio or Fraction(step), symbol, row)

    def _restate_pending(self, pending: Pending, ratio: Fraction, symbol: str) -> None:
        pending.quantity = self._whole_lots(shares_after(pending.quantity, ratio)[0], symbol)
        pending.stop, pending.target = self._levels_after(pending, ratio, symbol)
        pending.ratio *= ratio
        if not pending.quantity:
            del self.pending[symbol]

    def _restate_position(self, position: Position, ratio: Fraction, symbol: str, row: int) -> None:
        position.quantity, fraction = shares_after(position.quantity, ratio)
        position.stop, position.target = self._levels_after(position, ratio, symbol)
        position.ratio *= ratio
        cash = cash_for(fraction, paise(self.open[row]))
        position.exit_value += cash
        self.cash += position.side.sign * cash

    def _whole_lots(self, shares: int, symbol: str) -> int:
        return shares - shares % self._instrument(symbol).lot_size

    def _levels_after(self, held: Pending | Position, ratio: Fraction, symbol: str) -> tuple[Decimal, Decimal]:
        """Stop and target on the tick grid again, each moved to the farther side if between two ticks."""
        below, above = (ROUND_FLOOR, ROUND_CEILING) if held.side is Side.BUY else (ROUND_CEILING, ROUND_FLOOR)
        to_tick = self._instrument(symbol).to_tick
        return to_tick(price_after(held.stop, ratio), below), to_tick(price_after(held.target, ratio), above)

    def _same_session(self, decided: int, row: int) -> bool:
        return self.days[decided] == self.days[row] and not self.squared[row]

    def _enter(self, symbol: str, pending: Pending, row: int) -> None:
        band = self._protection(pending, row)
        order = WorkingOrder(pending.side, pending.quantity, OrderType.MARKET, band)
        found = match(order, self._bar(row), self._instrument(symbol), self.rules.fills)
        if found is not None:
            found = self._paid_for(found, pending.side, symbol, row)
        if found is None:
            return
        charges = self._charges(pending.side, found.price * found.quantity, row, Charges())
        self._pay(pending.side, found, charges)
        self.positions[symbol] = Position(
            side=pending.side,
            quantity=found.quantity,
            entered=row,
            entry_price=found.price,
            bought=found.quantity,
            stop=pending.stop,
            target=pending.target,
            pending=pending,
            charges=charges,
            best=found.price,
            worst=found.price,
        )

    def _protection(self, pending: Pending, row: int) -> Decimal | None:
        """How far from the decision's close the broker's market protection lets an entry go: not with the bar's open,
        if that jumped beyond it. An order for another day's opening is protected by the opening price itself.
        """
        if not self.intraday:
            return None
        instrument, close = self._instrument(self.symbols[row]), paise(self.close[pending.row])
        percent = automatic_percent(instrument, close, self._day(row))
        return protected_limit(instrument, pending.side, close, percent)

    def _paid_for(self, found: Match, side: Side, symbol: str, row: int) -> Match | None:
        """A fill as far as the account can pay for it: what opens above the protection it was reckoned at is cut."""
        if self.intraday or side is Side.SELL:
            return found
        need = Need(self._instrument(symbol), self.panel.product, side, found.price, self._day(row), Decimal(1))
        quantity = need.most(found.quantity, self.cash)
        return replace(found, quantity=quantity) if quantity else None

    def _leave_at_open(self, position: Position, row: int) -> None:
        """What was sent before this bar: an exit under way, the time barrier, the square-off, a stop that it opens
        beyond. An exit that nobody took before the broker's time is the broker's, which takes any volume for its fee.
        """
        reason = position.leaving or self._reason_to_leave(position, row)
        if reason is not None and self.by_broker[row]:
            self._leave_by_broker(position, row, reason)
        elif reason is not None:
            self._leave(position, row, reason, OrderType.MARKET)
        elif position.side.sign * (self.open[row] - float(position.stop)) <= 0:
            self._leave(position, row, ExitReason.STOP, OrderType.SL_M)

    def _reason_to_leave(self, position: Position, row: int) -> ExitReason | None:
        """The time barrier or the square-off, whichever came first; it may have come in a bar without a trade."""
        expired = self.numbers[position.entered] + self.rules.hold_bars
        squared = self.squared_from[row] if self.intraday else expired + 1
        if self.numbers[row] < min(expired, squared):
            return None
        return ExitReason.TIME if expired < squared else ExitReason.SQUARE_OFF

    def _advance(self, position: Position, row: int) -> None:
        """What a bar does to a position as it goes: the stop, the target."""
        if position.leaving is None and self._touches(position.stop, row, below=position.side is Side.BUY):
            self._leave(position, row, ExitReason.STOP, OrderType.SL_M)
        if (
            position.quantity
            and position.leaving is None
            and self._touches(position.target, row, below=position.side is Side.SELL)
        ):
            self._take_target(position, row)
        if position.quantity:
            bar = self._bar(row)
            position.best, position.worst = self._extremes(position, bar.high, bar.low)

    def _touches(self, price: Decimal, row: int, *, below: bool) -> bool:
        """A quick look with a paisa of tolerance; `match` decides exactly."""
        return self.low[row] <= float(price) + 0.01 if below else self.high[row] >= float(price) - 0.01

    def _leave(self, position: Position, row: int, reason: ExitReason, order_type: OrderType) -> None:
        trigger = position.stop if order_type is OrderType.SL_M else None
        order = WorkingOrder(position.side.opposite, position.quantity, order_type, None, trigger)
        found = match(order, self._exit_bar(position, row), self._instrument(self.symbols[row]), self.rules.fills)
        if found is not None:
            position.leaving = reason
            self._fill_exit(position, found, row)
        elif order_type is OrderType.MARKET:
            position.leaving = reason

    def _take_target(self, position: Position, row: int) -> None:
        """Traded through the target: sent to the market at that price, so slippage comes on top."""
        bar, instrument = self._exit_bar(position, row), self._instrument(self.symbols[row])
        side = position.side.opposite
        limit = WorkingOrder(side, position.quantity, OrderType.LIMIT, position.target, rested=True)
        if match(limit, bar, instrument, self.rules.fills) is None:
            return
        reached = max(bar.open, position.target) if side is Side.SELL else min(bar.open, position.target)
        market = WorkingOrder(side, position.quantity, OrderType.MARKET)
        found = match(market, replace(bar, open=reached), instrument, self.rules.fills)
        if found is not None:
            position.leaving = ExitReason.TARGET
            self._fill_exit(position, found, row)

    def _close_at_close(self, position: Position, row: int, reason: ExitReason, *, squared_off: bool = False) -> None:
        """The last bar it may be held in: closed at its close, whatever its volume."""
        close = paise(self.close[row])
        self._leave_at_any_volume(position, row, reason, close, squared_off=squared_off)

    def _leave_by_broker(self, position: Position, row: int, reason: ExitReason) -> None:
        self._leave_at_any_volume(position, row, reason, paise(self.open[row]), squared_off=True)

    def _leave_at_any_volume(
        self, position: Position, row: int, reason: ExitReason, price: Decimal, *, squared_off: bool
    ) -> None:
        bar = replace(self._bar(row), open=price, volume=None)
        order = WorkingOrder(position.side.opposite, position.quantity, OrderType.MARKET)
        found = match(order, bar, self._instrument(self.symbols[row]), self.rules.fills)
        assert found is not None
        position.leaving = position.leaving or reason
        self._fill_exit(position, found, row, squared_off=squared_off)

    def _end_by_broker(self, position: Position, row: int) -> None:
        """At the session's end the broker ends what no trade has reached at the last price, for its fee."""
        reason = position.leaving or self._reason_at_end(position, row)
        if self.squared[row]:
            self._close_at_close(position, row, reason, squared_off=True)
        else:
            position.leaving = reason
            last = Match(position.quantity, paise(self.close[row]), triggered=False)
            self._fill_exit(position, last, row, squared_off=True)
            position.ended_at = self.panel.table["session_end"].iloc[row].to_pydatetime()

    def _reason_at_end(self, position: Position, row: int) -> ExitReason:
        expired = self.numbers[position.entered] + self.rules.hold_bars
        return ExitReason.TIME if expired < self.squared_from[row] else ExitReason.SQUARE_OFF

    def _fill_exit(self, position: Position, found: Match, row: int, *, squared_off: bool = False) -> None:
        if not found.quantity:
            return
        day = self._day(row)
        if squared_off or position.order_day != day:  # the broker's is an order of its own
            position.order_day, position.order_value, position.order_charges = day, ZERO, Charges()
        position.order_value += found.price * found.quantity
        side = position.side.opposite
        of_today = self.days[position.entered] == self.days[row]
        due = self._charges(
            side, position.order_value, row, position.order_charges, squared_off=squared_off, of_today=of_today
        )
        position.order_charges += due
        position.charges += due
        position.exit_value += found.price * found.quantity
        position.quantity -= found.quantity
        position.best, position.worst = self._extremes(position, found.price, found.price)
        self._pay(side, found, due)

    def _extremes(self, position: Position, high: Decimal, low: Decimal) -> tuple[Decimal, Decimal]:
        """Best and worst price so far, for one share as it was bought."""
        high, low = (as_bought(price, position.ratio) for price in (high, low))
        if position.side is Side.BUY:
            return max(position.best, high), min(position.worst, low)
        return min(position.best, low), max(position.worst, high)

    # decisions

    def _decide_at(self, rows: Sequence[int]) -> None:
        """Orders for the next bar, the most promising first, as long as gross exposure allows.

        What does not fit into it whole is left out, so none is too small for its charges; the executor cuts it. What
        the money does not carry both cut, to no less than `min_share_of_decision`.
        """
        if not rows:
            return
        equity, gross = float(self._equity()), self._gross()
        free = self._free() - self._equity() * Decimal(str(self.rules.margin_buffer))
        for row in sorted(rows, key=lambda r: (-self.decisions[r]["expected_return"], self.symbols[r])):
            symbol, judged = self.symbols[row], self.decisions[row]
            if symbol in self.positions or symbol in self.pending or self.numbers[row] == self.final_number:
                continue
            if self.intraday and self.too_late[row]:
                continue
            if self.ex_dates.foreseen[row]:  # it would be refused at the opening, and takes no room
                continue
            instrument = self._instrument(symbol)
            asked = size_position(
                equity_inr=equity,
                price=float(self.close[row]),
                stop_distance=float(judged["stop_distance"]),
                risk_per_trade=self.rules.risk_per_trade,
                max_position=self.rules.max_position,
                action=Action(judged["action"]),
                instrument_lot=instrument.lot_size,
            )
            side = Side.BUY if judged["side"] > 0 else Side.SELL
            need = Need.of_order(instrument, self.panel.product, side, paise(self.close[row]), self._day(row))
            quantity = need.most(asked, free)
            value = quantity * float(self.close[row])
            too_little = quantity < asked and quantity / asked < self.rules.min_share_of_decision
            if not quantity or too_little or gross + value > self.rules.max_gross * equity:
                continue
            gross, blocked = gross + value, need.of(quantity)
            free -= blocked
            stop, target = stop_and_target(
                float(self.close[row]),
                side.sign,
                float(judged["stop_distance"]),
                float(judged["target_distance"]),
                instrument,
            )
            self.pending[symbol] = Pending(row, side, quantity, stop, target, value, equity, blocked)

    # books

    def _pay(self, side: Side, found: Match, charges: Charges) -> None:
        value = found.price * found.quantity
        self.cash -= side.sign * value + charges.total
        self.traded += value

    def _free(self) -> Decimal:
        """Rupees that new orders may block, as the broker reckons them: intraday shares give back their value and block
        their margin and their open loss.
        """
        free = self.cash - sum((p.need for p in self.pending.values()), ZERO)
        if not self.intraday:
            return free
        for symbol, signed, paid in self._shares_held():
            rate = margin_rates_on(self._instrument(symbol), self.panel.product, self._day(self.last_row[symbol])).var
            loss = min(signed * (self._last_price(symbol) - paid), ZERO)
            free += signed * paid + loss - (abs(signed) * paid * rate).quantize(PAISA, ROUND_CEILING)
        return free

    def _shares_held(self) -> Iterator[tuple[str, int, Decimal]]:
        """By symbol the shares, below zero if they are sold short, and what one was bought or sold for."""
        for symbol, position in self.positions.items():
            yield symbol, position.side.sign * position.quantity, position.average_paid

    def _last_price(self, symbol: str) -> Decimal:
        return paise(self.mark[symbol])

    def _charges(
        self,
        side: Side,
        order_value: Decimal,
        row: int,
        charged: Charges,
        *,
        squared_off: bool = False,
        of_today: bool = False,
    ) -> Charges:
        """What an order owes now that it has filled `order_value` rupees, less what it was charged before.

        Shares `of_today` were never delivered: their sale pays no DP charge.
        """
        day, symbol = self._day(row), self.symbols[row]
        delivered = self.panel.product is Product.CNC and side is Side.SELL and not of_today
        first = delivered and (charged.dp > 0 or (symbol, day) not in self.delivered)
        if delivered:
            self.delivered.add((symbol, day))
        due = order_charges(
            product=self.panel.product,
            side=side,
            value=order_value,
            day=day,
            first_delivery_sale=first,
            squared_off=squared_off,
        )
        return due - charged

    def _equity(self) -> Decimal:
        held = (p.side.sign * p.quantity * paise(self.mark[s]) for s, p in self.positions.items())
        return self.cash + sum(held, ZERO)

    def _equity_estimate(self) -> float:
        return float(self.cash) + sum(p.side.sign * p.quantity * self.mark[s] for s, p in self.positions.items())

    def _gross(self) -> float:
        held = sum(p.quantity * self.mark[s] for s, p in self.positions.items())
        return held + sum(p.value for p in self.pending.values())

    def _closed(self, position: Position, row: int) -> Trade:
        pending, judged = position.pending, self.decisions[position.pending.row]
        shares, sign = position.bought, position.side.sign
        decision_price = as_bought(paise(self.close[pending.row]), 1 / pending.ratio)
        gross = sign * (position.exit_value - position.entry_price * shares)
        entered_at, exited_at = self._time(position.entered, "open_time"), position.ended_at
        left = self.numbers[row] if exited_at is None else self.session_last[row]
        exited_at = exited_at or self._time(row, "close_time")
        outcome = Outcome(
            symbol=str(self.symbols[row]),
            side=position.side,
            quantity=shares,
            decision_id=None,
            policy_version=str(judged["policy_version"]),
            catalogue_hash=str(self.panel.catalogue["hash"]),
            regime=str(judged["regime"]),
            decision_price=decision_price,
            entry_price=position.entry_price,
            exit_price=position.exit_value / shares,
            entered_at=entered_at,
            exited_at=exited_at,
            exit_reason=position.leaving or ExitReason.FLATTEN,
            gross_inr=gross,
            charges=position.charges.as_dict(),
            net_inr=gross - position.charges.total,
            mfe_inr=max(ZERO, sign * (position.best - position.entry_price) * shares),
            mae_inr=min(ZERO, sign * (position.worst - position.entry_price) * shares),
            hold_bars=int(left - self.numbers[position.entered]),
            entry_slippage_inr=sign * (position.entry_price - decision_price) * shares,
            holding_seconds=(exited_at - entered_at).total_seconds(),
        )
        return Trade(
            outcome=outcome,
            entry_row=position.entered,
            exit_row=row,
            share=float(position.entry_price) * shares / max(pending.equity, 1.0),
            signal=float(judged["signal"]),
            probability=float(judged["probability"]),
            expected_return=float(judged["expected_return"]),
        )

    # looking things up

    def _bar(self, row: int) -> PriceBar:
        return PriceBar.from_floats(
            self.open[row], self.high[row], self.low[row], self.close[row], int(self.volume[row]), PLACES
        )

    def _exit_bar(self, position: Position, row: int) -> PriceBar:
        """The bar as an exit meets it: what an entry has taken of its volume is gone."""
        return replace(self._bar(row), taken=position.bought) if row == position.entered else self._bar(row)

    def _instrument(self, symbol: str) -> Instrument:
        return self.panel.instruments[symbol]

    def _day(self, row: int) -> date:
        return date.fromordinal(date(1970, 1, 1).toordinal() + int(self.days[row]))

    def _time(self, row: int, column: str) -> datetime:
        return self.panel.table[column].iloc[row].to_pydatetime()
