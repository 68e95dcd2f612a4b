"""How many shares: so few that the stop costs no more than the risk share, and no position is too large."""

from decimal import Decimal

from pipelines.domain.instruments import Instrument
from pipelines.domain.signals import Action


def size_position(
    *,
    equity_inr: float | Decimal,
    price: float,
    stop_distance: float,
    risk_per_trade: float,
    max_position: float,
    action: Action,
    instrument_lot: int = 1,
) -> int:
    """Shares to trade, whole lots, possibly 0.

    Parameters
    ----------
    equity_inr : rupees
    price : rupees a share
    stop_distance : from price to stop, as a share of the price, above zero
    risk_per_trade : share of equity lost when the stop is hit
    max_position : largest position as a share of equity
    action : TAKE the full size, REDUCE to half, SKIP to none
    instrument_lot : shares a lot
    """
    if action is Action.SKIP or not (price > 0 and stop_distance > 0):
        return 0
    equity = max(float(equity_inr), 0.0)
    value = min(equity * risk_per_trade / stop_distance, equity * max_position)
    if action is Action.REDUCE:
        value /= 2
    return int(value / price) // instrument_lot * instrument_lot


def stop_and_target(
    close: float, side_sign: int, stop_distance: float, target_distance: float, instrument: Instrument
) -> tuple[Decimal, Decimal]:
    """Stop and target on the tick grid; distances are shares of the close."""
    stop = instrument.to_tick(round(close * (1 - side_sign * stop_distance), 6))
    target = instrument.to_tick(round(close * (1 + side_sign * target_distance), 6))
    return max(stop, instrument.tick_size), max(target, instrument.tick_size)
