"""How a working order meets a bar or a tick: the one matching rule of backtest and paper exchange.

Pessimistic where a bar hides the order of its prices: a limit must be traded through, a stop fills at the worse of its
trigger and the open, slippage leans against us, and no more than a share of the volume is ours.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType
from pipelines.domain.signals import Side


@dataclass(frozen=True, slots=True)
class PriceBar:
    """Prices (rupees) that were traded in an order's reach; a tick has four equal ones."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None  #: shares; None is unknown, then no participation cap

    @classmethod
    def from_floats(
        cls, open_: float, high: float, low: float, close: float, volume: int | None = None, places: int = 4
    ) -> "PriceBar":
        """From a table's float64 prices, rounded half up to `places` decimals: adjusted prices lie off the grid."""
        unit = Decimal(1).scaleb(-places)
        o, h, low_, c = (
            Decimal(repr(float(p))).quantize(unit, rounding=ROUND_HALF_UP) for p in (open_, high, low, close)
        )
        return cls(o, h, low_, c, volume)

    @classmethod
    def tick(cls, price: Decimal, volume: int | None = None) -> "PriceBar":
        return cls(price, price, price, price, volume)


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """The part of an order that still works at the exchange."""

    side: Side
    quantity: int  #: shares still to be filled, above zero
    order_type: OrderType
    limit_price: Decimal | None = None  #: of LIMIT and SL
    trigger_price: Decimal | None = None  #: of SL and SL-M
    triggered: bool = False  #: a stop order whose trigger was touched before

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise BadInput(f"a working order has shares left to fill, received {self.quantity}")
        if self.order_type in (OrderType.LIMIT, OrderType.SL) and self.limit_price is None:
            raise BadInput(f"a {self.order_type} order needs a limit price")
        if self.order_type in (OrderType.SL, OrderType.SL_M) and self.trigger_price is None:
            raise BadInput(f"a {self.order_type} order needs a trigger price")


@dataclass(frozen=True, slots=True)
class FillModel:
    slippage_bps: float  #: against us, on every order that takes liquidity
    participation: float  #: share of the volume that one order may take, in (0, 1]


@dataclass(frozen=True, slots=True)
class Match:
    quantity: int  #: shares filled; 0 with triggered=True means the order was only triggered
    price: Decimal  #: of the filled shares; where none were filled, the price that triggered
    triggered: bool  #: whether a stop order's trigger is touched by now


def match(order: WorkingOrder, bar: PriceBar, instrument: Instrument, model: FillModel) -> Match | None:
    """What a bar (or tick) does to a working order; None if nothing.

    MARKET fills at the open, moved against us by the slippage and to the next tick. LIMIT fills at its price if the bar
    trades strictly through it (the queue ahead of us is served first), or at the open if that is better. SL-M and SL
    trigger when touched and fill at the worse of trigger and open plus slippage, SL never beyond its limit. A price
    always lies in [low, high]. At most `participation` of the volume is filled, at least one lot if anything traded;
    the rest keeps working.
    """
    quantity = _quantity_within(order, bar, instrument, model)
    if order.order_type is OrderType.MARKET:
        return _filled(quantity, _slipped(bar.open, order.side, bar, instrument, model), triggered=False)
    if order.order_type is OrderType.LIMIT:
        return _limit(order, quantity, bar, triggered=False)
    if order.triggered:
        if order.order_type is OrderType.SL_M:
            return _filled(quantity, _slipped(bar.open, order.side, bar, instrument, model), triggered=True)
        return _limit(order, quantity, bar, triggered=True)
    return _stop(order, quantity, bar, instrument, model)


def _limit(order: WorkingOrder, quantity: int, bar: PriceBar, *, triggered: bool) -> Match | None:
    assert order.limit_price is not None
    limit = order.limit_price
    if order.side is Side.BUY:
        opens_better, traded_through = bar.open < limit, bar.low < limit
    else:
        opens_better, traded_through = bar.open > limit, bar.high > limit
    if opens_better:
        return _filled(quantity, bar.open, triggered=triggered)
    return _filled(quantity, limit, triggered=triggered) if traded_through else None


def _stop(order: WorkingOrder, quantity: int, bar: PriceBar, instrument: Instrument, model: FillModel) -> Match | None:
    assert order.trigger_price is not None
    trigger = order.trigger_price
    buying = order.side is Side.BUY
    if (bar.high < trigger) if buying else (bar.low > trigger):
        return None
    worse = max(trigger, bar.open) if buying else min(trigger, bar.open)
    price = _slipped(worse, order.side, bar, instrument, model)
    if order.order_type is OrderType.SL:
        assert order.limit_price is not None
        if (worse > order.limit_price) if buying else (worse < order.limit_price):
            return Match(0, worse, triggered=True)
        price = min(price, order.limit_price) if buying else max(price, order.limit_price)
    return Match(quantity, price, triggered=True)


def _filled(quantity: int, price: Decimal, *, triggered: bool) -> Match | None:
    return Match(quantity, price, triggered) if quantity > 0 else None


def _slipped(price: Decimal, side: Side, bar: PriceBar, instrument: Instrument, model: FillModel) -> Decimal:
    moved = price * (1 + side.sign * Decimal(str(model.slippage_bps)) / 10_000)
    on_grid = instrument.to_tick(moved, ROUND_CEILING if side is Side.BUY else ROUND_FLOOR)
    return min(max(on_grid, bar.low), bar.high)


def _quantity_within(order: WorkingOrder, bar: PriceBar, instrument: Instrument, model: FillModel) -> int:
    if bar.volume is None or not instrument.has_volume:
        return order.quantity
    if bar.volume <= 0:
        return 0
    lots = int(Decimal(bar.volume) * Decimal(str(model.participation))) // instrument.lot_size
    return min(order.quantity, max(lots, 1) * instrument.lot_size)
