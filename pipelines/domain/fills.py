"""How a working order meets a bar or a tick: the one matching rule of backtest and paper exchange.

Pessimistic where a bar hides the order of its prices: a limit must be traded through, a stop fills at the worse of its
trigger and the open, slippage leans against us and grows with our share of the volume, and no more than a share of the
volume is ours.
"""

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType
from pipelines.domain.signals import Side


@dataclass(frozen=True, slots=True)
class PriceBar:
    """Prices (rupees) that an order meets; a tick has four equal ones."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int | None  #: shares; None is unknown, then no participation cap
    taken: int = 0  #: shares of the volume that other orders of ours, or this one before, have had
    reach: tuple[Decimal, Decimal] | None = None  #: lowest and highest price that slippage may find, if wider

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
    limit_price: Decimal | None = None  #: of LIMIT and SL; of MARKET and SL-M the band of their market protection
    trigger_price: Decimal | None = None  #: of SL and SL-M
    triggered: bool = False  #: a stop order whose trigger was touched before
    rested: bool = False  #: waits in the book at its limit: it has met the market before, beyond or short of it

    def __post_init__(self) -> None:
        if self.quantity <= 0:
            raise BadInput(f"a working order has shares left to fill, received {self.quantity}")
        if self.order_type in (OrderType.LIMIT, OrderType.SL) and self.limit_price is None:
            raise BadInput(f"a {self.order_type} order needs a limit price")
        if self.order_type in (OrderType.SL, OrderType.SL_M) and self.trigger_price is None:
            raise BadInput(f"a {self.order_type} order needs a trigger price")


@dataclass(frozen=True, slots=True)
class FillModel:
    slippage_bps: float  #: half the spread, against us, on every order that takes liquidity
    participation: float  #: share of the volume that our orders may take, in (0, 1]
    impact_bps: float = 0.0  #: on top of the slippage when the whole share is taken; less in proportion


@dataclass(frozen=True, slots=True)
class Match:
    quantity: int  #: shares filled; 0 with triggered=True means the order was only triggered
    price: Decimal  #: of the filled shares; where none were filled, the price that triggered
    triggered: bool  #: whether a stop order's trigger is touched by now


def match(order: WorkingOrder, bar: PriceBar, instrument: Instrument, model: FillModel) -> Match | None:
    """What a bar (or tick) does to a working order; None if nothing.

    Who takes liquidity pays for it: the open (a stop: the worse of its trigger and the open) moved against us by
    slippage and impact to the next tick, within [low, high] and never beyond a limit. That is MARKET and a triggered
    SL-M while the market stays within their protection, and a LIMIT that is marketable when it first meets the market.
    A limit that waits fills at its price, never better, once the market trades strictly through it: the queue ahead of
    us is served first. If the market jumped over it, that price may lie outside of the bar it jumped to.
    A stop beyond whose limit the market has jumped waits at it like any other. At most `participation` of the volume is
    filled, at least one lot if anything traded; the rest keeps working.
    """
    allowed = _allowed(bar, instrument, model)
    quantity = order.quantity if allowed is None else min(order.quantity, max(allowed - bar.taken, 0))
    share = (bar.taken + quantity) / allowed if allowed else 0.0
    if order.order_type in (OrderType.SL, OrderType.SL_M) and not order.triggered:
        return _stop(order, quantity, share, bar, instrument, model)
    price = _price(order, bar, share, instrument, model)
    return Match(quantity, price, order.triggered) if price is not None and quantity else None


def _price(
    order: WorkingOrder, bar: PriceBar, share: float, instrument: Instrument, model: FillModel
) -> Decimal | None:
    """What an order that is no untriggered stop pays in this bar; None if the bar stays beyond its limit."""
    limit = order.limit_price
    if limit is None:
        return _slipped(bar.open, order, bar, share, instrument, model)
    if _better(bar.open, limit, order.side) and not order.rested:
        return _slipped(bar.open, order, bar, share, instrument, model)
    best = bar.low if order.side is Side.BUY else bar.high
    return limit if _better(best, limit, order.side) else None


def _stop(
    order: WorkingOrder, quantity: int, share: float, bar: PriceBar, instrument: Instrument, model: FillModel
) -> Match | None:
    assert order.trigger_price is not None
    trigger, limit = order.trigger_price, order.limit_price
    buying = order.side is Side.BUY
    if (bar.high < trigger) if buying else (bar.low > trigger):
        return None
    worse = max(trigger, bar.open) if buying else min(trigger, bar.open)
    if limit is not None and _better(limit, worse, order.side):  # the open jumped beyond it: now it waits there
        came_back = _better(bar.low if buying else bar.high, limit, order.side)
        return Match(quantity if came_back else 0, limit if came_back else worse, triggered=True)
    return Match(quantity, _slipped(worse, order, bar, share, instrument, model), triggered=True)


def _better(price: Decimal, than: Decimal, side: Side) -> bool:
    """Whether who trades on this side would rather have the first price."""
    return price < than if side is Side.BUY else price > than


def _slipped(
    price: Decimal, order: WorkingOrder, bar: PriceBar, share: float, instrument: Instrument, model: FillModel
) -> Decimal:
    bps = Decimal(str(model.slippage_bps + model.impact_bps * share))
    moved = price * (1 + order.side.sign * bps / 10_000)
    on_grid = instrument.to_tick(moved, ROUND_CEILING if order.side is Side.BUY else ROUND_FLOOR)
    low, high = bar.reach or (bar.low, bar.high)
    within = min(max(on_grid, low), high)
    limit = order.limit_price
    return limit if limit is not None and _better(limit, within, order.side) else within


def _allowed(bar: PriceBar, instrument: Instrument, model: FillModel) -> int | None:
    """The most shares that our orders may have of the bar's volume, in whole lots; None if there is no cap."""
    if bar.volume is None or not instrument.has_volume:
        return None
    if bar.volume <= 0:
        return 0
    lots = int(Decimal(bar.volume) * Decimal(str(model.participation))) // instrument.lot_size
    return max(lots, 1) * instrument.lot_size
