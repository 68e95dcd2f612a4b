"""Prices finer than bars for the backtest: every frame of a market, and what orders and the executor do in it.

A decision stays one of a bar's close. Its entry meets the ticks after it, is taken back at the next close as far as it
is unfilled, and from the first fill on a stop follows it. What the executor sees in one frame it does before the next:
an exit decided on a tick meets the following one, as a limit that chases the price by the executor's own schedule.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from pipelines.domain.exits import ExitSchedule
from pipelines.domain.fills import FillModel, Match, PriceBar, WorkingOrder, match
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType
from pipelines.domain.outcomes import ExitReason
from pipelines.domain.protection import automatic_percent, protected_limit
from pipelines.domain.signals import Side

ZERO = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class TapeTick:
    """One tick of one instrument, as the paper exchange plays it."""

    price: Decimal
    quantity: int  #: shares since the tick before
    low: Decimal  #: how far slippage may reach
    high: Decimal
    bar_volume: int | None  #: shares of the whole bar where one is known: then our share is counted over the bar
    path_from: Decimal | None  #: price before, where prices moved on continuously

    def met(self, *, waits_for_trigger: bool, taken: int) -> PriceBar:
        """The prices that an order meets with this tick; `taken` shares of its volume are gone."""
        before = self.path_from if waits_for_trigger and self.path_from is not None else self.price
        return PriceBar(
            open=before,
            high=max(before, self.price),
            low=min(before, self.price),
            close=self.price,
            volume=self.quantity if self.bar_volume is None else self.bar_volume,
            taken=taken,
            reach=(min(self.low, self.price), max(self.high, self.price)),
        )


@dataclass(frozen=True, slots=True)
class TapeFrame:
    at: datetime
    ticks: Mapping[str, TapeTick]  #: by symbol; none in a frame that only tells the time


@dataclass(frozen=True)
class Tape:
    """All frames of the days to be traded, in order, and how the executor tries."""

    frames: Sequence[TapeFrame]
    exits: ExitSchedule
    most_resizes: int  #: of a stop that follows its entry's fills; then the entry's rest is taken back


@dataclass
class TapeOrder:
    """An order at the exchange."""

    side: Side
    left: int  #: shares not filled yet
    order_type: OrderType
    changed_at: datetime
    limit: Decimal | None = None  #: of MARKET and SL-M the band of their market protection
    trigger: Decimal | None = None
    triggered: bool = False
    rested: bool = False
    value: Decimal = ZERO  #: rupees of the filled shares

    @property
    def waits_for_trigger(self) -> bool:
        return self.trigger is not None and not self.triggered

    def meet(self, tick: TapeTick, at: datetime, taken: int, instrument: Instrument, fills: FillModel) -> Match | None:
        order_type = OrderType.MARKET if self.triggered else self.order_type
        working = WorkingOrder(self.side, self.left, order_type, self.limit, self.trigger, self.triggered, self.rested)
        found = match(working, tick.met(waits_for_trigger=self.waits_for_trigger, taken=taken), instrument, fills)
        if found is not None:
            if self.waits_for_trigger and found.triggered:
                self.triggered, self.changed_at = True, at
            self.left -= found.quantity
            self.value += found.price * found.quantity
        self.rested = self.rested or self._rests_at(tick.price)
        return found if found is not None and found.quantity else None

    def _rests_at(self, price: Decimal) -> bool:
        """Whether it waits in the book from now on; who is protected takes what there is inside of the band."""
        if self.limit is None or self.waits_for_trigger:
            return False
        return self.order_type is OrderType.LIMIT or (price - self.limit) * self.side.sign >= 0


def protected_order(
    side: Side,
    quantity: int,
    at: datetime,
    price: Decimal | None,
    instrument: Instrument,
    trigger: Decimal | None = None,
) -> TapeOrder:
    """A market order at a last price, or a stop, with the broker's market protection as its limit."""
    base = trigger or price
    band = None
    if base is not None:
        band = protected_limit(instrument, side, base, automatic_percent(instrument, base, at.date()))
    order_type = OrderType.MARKET if trigger is None else OrderType.SL_M
    return TapeOrder(side, quantity, order_type, at, limit=band, trigger=trigger)


@dataclass
class TapeTrade:
    """One decision's orders: what the exchange does to them, and what the executor does about it."""

    instrument: Instrument
    side: Side
    stop: Decimal
    target: Decimal
    hold_bars: int
    entry: TapeOrder
    most_resizes: int
    pay: Callable[[Side, Match], None]  #: called with every fill
    charge: Callable[[TapeOrder], None]  #: called with every order that has ended after a fill
    exit: TapeOrder | None = None
    quantity: int = 0  #: shares held
    bought: int = 0
    entry_value: Decimal = ZERO
    exit_value: Decimal = ZERO
    entered_at: datetime | None = None
    exited_at: datetime | None = None
    reason: ExitReason | None = None
    bars_held: int = 0
    tries: int = 0
    ended_by_broker: TapeOrder | None = None  #: the broker's own order; nothing of ours is sent any more
    best: Decimal = ZERO  #: rupees of gain
    worst: Decimal = ZERO
    _entry_works: bool = field(default=True)
    _exit_used: bool = False
    _resizes: int = 0

    @property
    def over(self) -> bool:
        return not self._entry_works and self.quantity == 0

    @property
    def entry_works(self) -> bool:
        return self._entry_works

    # the exchange's side

    def meet(self, tick: TapeTick, at: datetime, taken: int, fills: FillModel) -> int:
        """The orders meet a tick, the older first; gives the shares of its volume that are gone then."""
        if self._entry_works:
            found = self.entry.meet(tick, at, taken, self.instrument, fills)
            if found is not None:
                taken += found.quantity
                self._entered(found, at)
        if self.exit is not None:
            found = self.exit.meet(tick, at, taken, self.instrument, fills)
            if found is not None:
                taken += found.quantity
                self._left(found, at)
        return taken

    def _entered(self, found: Match, at: datetime) -> None:
        self.pay(self.side, found)
        self.entered_at = self.entered_at or at
        self.quantity += found.quantity
        self.bought += found.quantity
        self.entry_value += found.price * found.quantity
        if not self.entry.left:
            self._end_entry()

    def _left(self, found: Match, at: datetime) -> None:
        assert self.exit is not None
        self.pay(self.side.opposite, found)
        self.exited_at = at
        self.quantity -= found.quantity
        self.exit_value += found.price * found.quantity
        self._exit_used = True
        if not self.exit.left:
            if self.exit.trigger is not None and self.reason is None:
                self.reason = ExitReason.STOP
            self.charge(self.exit)
            self.exit = None

    def _end_entry(self) -> None:
        self._entry_works = False
        if self.entry.value:
            self.charge(self.entry)

    def take_back(self) -> None:
        """All orders end as they are."""
        if self._entry_works:
            self._end_entry()
        if self.exit is not None and self.exit.value:
            self.charge(self.exit)
        self.exit = None

    def end_by_broker(self, at: datetime) -> None:
        """The broker takes our orders back and sends what is held to the market, at any volume."""
        if self.ended_by_broker is None:
            self.take_back()
            self.ended_by_broker = TapeOrder(self.side.opposite, self.quantity, OrderType.MARKET, at)

    def meet_broker(self, tick: TapeTick, at: datetime, fills: FillModel) -> None:
        """The broker's order meets a tick: it is filled whole."""
        order = self.ended_by_broker
        if order is None or not order.left:
            return
        bar = replace(tick.met(waits_for_trigger=False, taken=0), volume=None)
        found = match(WorkingOrder(order.side, order.left, OrderType.MARKET), bar, self.instrument, fills)
        assert found is not None
        self.close(found.price, at)

    def close(self, price: Decimal, at: datetime) -> None:
        """The broker closes what is held, whatever the volume."""
        self.end_by_broker(at)
        order = self.ended_by_broker
        if order is None or not order.left:
            return
        self.pay(self.side.opposite, Match(self.quantity, price, triggered=False))
        self.exit_value += price * self.quantity
        order.value, order.left = price * self.quantity, 0
        self.quantity, self.exited_at = 0, at
        self.reason = self.reason or ExitReason.EXTERNAL
        self.charge(order)

    # the executor's side

    def mark(self, price: Decimal) -> None:
        if self.quantity > 0:
            gain = self.side.sign * (self.exit_value + self.quantity * price - self.entry_value)
            self.best, self.worst = max(self.best, gain), min(self.worst, gain)

    def count_bars(self, closed_since: Callable[[datetime], int]) -> None:
        """The market's bars that have closed since the entry, whether anything traded in them or not."""
        if self.quantity and self.entered_at is not None:
            self.bars_held = closed_since(self.entered_at)

    def react(
        self, at: datetime, price: Decimal | None, schedule: ExitSchedule, *, closed: bool, leave: ExitReason | None
    ) -> None:
        """What the executor does in a frame, after it has read the books: first the entry, then the protection."""
        reason = self._reason(price, leave)
        if self._entry_works and self.entry.changed_at != at and (reason or leave or closed or self._stop_is_used):
            self._end_entry()
        if self.quantity <= 0 or self.ended_by_broker is not None:
            return
        hurried = leave is not None or reason is ExitReason.STOP
        if self.exit is None:
            if reason is None and price is not None and (self.stop - price) * self.side.sign >= 0:
                reason, hurried = ExitReason.STOP, True
            if reason is None:
                side = self.side.opposite
                self.exit = protected_order(side, self.quantity, at, price, self.instrument, trigger=self.stop)
            else:
                self._try_to_leave(at, price, reason, schedule, hurried=hurried)
        elif self.exit.changed_at == at:
            return
        elif reason is not None:
            waited = at - self.exit.changed_at >= schedule.patience(hurried=hurried)
            if self.exit.waits_for_trigger or waited or self.exit.left != self.quantity:
                self._try_to_leave(at, price, reason, schedule, hurried=hurried)
        elif self.exit.left != self.quantity:
            self.exit.left, self.exit.changed_at = self.quantity, at
            self._resizes += 1
            if self._entry_works and self._stop_is_used:
                self._end_entry()

    @property
    def _stop_is_used(self) -> bool:
        return self._exit_used or self._resizes >= self.most_resizes

    def _reason(self, price: Decimal | None, leave: ExitReason | None) -> ExitReason | None:
        if not self.quantity:
            return None
        if self.reason is not None:
            return self.reason
        if self.exit is not None and self.exit.trigger is not None and self.exit.triggered:
            return ExitReason.STOP
        if leave is not None:
            return leave
        if price is not None and (price - self.target) * self.side.sign >= 0:
            return ExitReason.TARGET
        return ExitReason.TIME if self.bars_held >= self.hold_bars else None

    def _try_to_leave(
        self, at: datetime, price: Decimal | None, reason: ExitReason, schedule: ExitSchedule, *, hurried: bool
    ) -> None:
        """The resting order becomes the next try: it keeps what it has filled, and counts as new to the market."""
        self.reason = reason
        side, limit = self.side.opposite, None
        if reason is not ExitReason.STOP:
            limit = schedule.limit_price(self.tries, side, price, self.instrument, hurried=hurried)
        value = self.exit.value if self.exit is not None else ZERO
        if limit is None:
            self.exit = protected_order(side, self.quantity, at, price, self.instrument)
        else:
            self.exit = TapeOrder(side, self.quantity, OrderType.LIMIT, at, limit=limit)
        self.exit.value = value
        self.tries += 1
