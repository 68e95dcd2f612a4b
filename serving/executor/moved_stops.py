"""A stop of ours that somebody else has changed at the broker, in Kite's app or by another program. Pure.

| what the order book shows | what is done |
|---|---|
| a trigger further from the price than ours, more risk | put back; if the price has passed ours, the position is left |
| a trigger nearer to the price, less risk | left as it is for as long as that order lives |
| a limit that would fill on the better side of our trigger, so no stop any more | made a stop again |
| another quantity | brought back to the shares that are held |
| cancelled | another one is placed |

Each is told.
"""

from datetime import date

from serving.executor.legs import Leg
from serving.executor.trade import Trade


def is_loosened(trade: Trade, leg: Leg) -> bool:
    """Whether our resting stop protects less than it should: its trigger is further away, or it has none any more."""
    if not _rests_as_stop(leg):
        return False
    if leg.is_stop:
        return leg.trigger_price is not None and (trade.stop - leg.trigger_price) * trade.side.sign > 0
    return leg.limit_price is not None and (leg.limit_price - trade.stop) * trade.side.sign > 0


def is_tightened(trade: Trade, leg: Leg) -> bool:
    """Whether its trigger is nearer to the price than ours."""
    if not (_rests_as_stop(leg) and leg.is_stop) or leg.trigger_price is None:
        return False
    return (leg.trigger_price - trade.stop) * trade.side.sign > 0


def changes_by_others(trade: Trade, today: date) -> list[str]:
    """What others have done to the stop of a trade, in sentences; a stop of an earlier day has ended by itself."""
    told = []
    for leg in trade.ways_out:
        where = f"{trade.symbol}: our stop {leg.order_id}"
        if is_loosened(trade, leg):
            now = f"the trigger {leg.trigger_price}" if leg.is_stop else f"a limit of {leg.limit_price}"
            told.append(f"{where} was given {now} by somebody else; it is put back to {trade.stop}")
        if is_tightened(trade, leg):
            told.append(
                f"{where} was moved to {leg.trigger_price} by somebody else, nearer than {trade.stop}; it stays"
            )
        if leg.quantity_by_others:
            told.append(f"{where} was given the quantity {leg.quantity} by somebody else; it follows what is held")
    last = trade.ways_out[-1] if trade.ways_out else None
    if trade.held > 0 and last is not None and _was_cancelled_as_stop(last) and last.changed_at.date() == today:
        told.append(f"{trade.symbol}: our stop {last.order_id} was cancelled, and not by us; another one is placed")
    return told


def _was_cancelled_as_stop(leg: Leg) -> bool:
    return leg.left_as_stop and not leg.tries and leg.was_cancelled


def _rests_as_stop(leg: Leg) -> bool:
    """A stop that we have not turned into an exit; what was triggered shows a limit beyond its trigger."""
    return leg.works and leg.left_as_stop and not leg.tries and not leg.touched
