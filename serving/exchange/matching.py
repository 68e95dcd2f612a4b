"""How the ticks of a market meet the orders that work in it, by the rule of `pipelines.domain.fills`."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from pipelines.domain.fills import FillModel, PriceBar
from pipelines.domain.signals import Side
from serving.exchange.book import Order
from serving.exchange.market import Tick


@dataclass
class VolumeShare:
    """What our orders have taken of the present bars' volumes, or of one tick's where no bar is known."""

    _of_bar: dict[str, int] = field(default_factory=dict)
    _of_tick: dict[str, int] = field(default_factory=dict)

    def next_frame(self) -> None:
        self._of_tick.clear()

    def next_bar(self) -> None:
        self._of_bar.clear()

    def taken(self, tick: Tick) -> int:
        return self._shares(tick).get(tick.instrument.symbol, 0)

    def take(self, tick: Tick, quantity: int) -> None:
        shares = self._shares(tick)
        shares[tick.instrument.symbol] = shares.get(tick.instrument.symbol, 0) + quantity

    def _shares(self, tick: Tick) -> dict[str, int]:
        return self._of_tick if tick.bar_volume is None else self._of_bar


def met_by(order: Order, tick: Tick, taken: int, *, unlimited: bool = False) -> PriceBar:
    """The prices that an order meets with a tick.

    A stop that waits sees the way from the price before, where prices moved on continuously: inside of a bar it is
    triggered at its trigger. On a jump, and for all other orders, only the tick's price counts. Slippage reaches as far
    as prices went in the tick's bar; of the bar's volume only what is left is there.
    """
    volume = None if unlimited else tick.quantity if tick.bar_volume is None else tick.bar_volume
    before = tick.path_from if order.waits_for_trigger and tick.path_from is not None else tick.price
    return PriceBar(
        open=before,
        high=max(before, tick.price),
        low=min(before, tick.price),
        close=tick.price,
        volume=volume,
        taken=0 if unlimited else taken,
        reach=(min(tick.bar_low, tick.price), max(tick.bar_high, tick.price)),
    )


def model_at(order: Order, tick: Tick, model: FillModel) -> FillModel:
    """The fill model of a tick: where the depth is known, who takes pays the best price of the other side.

    What stands there is taken at that price; a larger order pays its impact on top.
    """
    if tick.best is None:
        return model
    buying = order.request.side is Side.BUY
    away = tick.best.offer - tick.price if buying else tick.price - tick.best.bid
    there = tick.best.offer_quantity if buying else tick.best.bid_quantity
    # a hair less, so that rounding to the next tick ends on the quoted price and not beyond it
    bps = max(away / tick.price * 10_000 - Decimal("0.0001"), Decimal(0))
    impact = 0.0 if order.pending_quantity <= there else model.impact_bps
    return replace(model, slippage_bps=float(bps), impact_bps=impact)


def stood_before(order: Order, tick: Tick, price_before: Decimal | None) -> bool:
    """Whether a limit stood in the book when the market came to this tick: the price before lay beyond it.

    Then it fills at its price; without this, who sends it a step before a jump would get the better price behind it.
    A recorded bar's first tick has no price before: the order meets the open, as in the backtest.

    Parameters
    ----------
    price_before : rupees, of the instrument's trade before this one today; None if there was none
    """
    limit, before = order.request.price, price_before if tick.bar_volume is None else tick.path_from
    if limit is None or before is None or order.protected or order.waits_for_trigger:
        return False
    return before >= limit if order.request.side is Side.BUY else before <= limit


def rests_after(order: Order, tick: Tick) -> bool:
    """Whether an order that has met a tick and still works waits in the book at its limit from now on.

    A protected market order goes on taking while the market stays within its band; a limit has joined the queue.
    """
    limit = order.request.price
    if order.waits_for_trigger or limit is None:
        return False
    if not order.protected:
        return True
    return tick.price >= limit if order.request.side is Side.BUY else tick.price <= limit


def by_symbol(ticks: Iterable[Tick], orders: Iterable[Order]) -> dict[str, Tick]:
    """The ticks that concern working orders: few of thousands."""
    wanted = {order.symbol for order in orders}
    return {tick.instrument.symbol: tick for tick in ticks if tick.instrument.symbol in wanted}
