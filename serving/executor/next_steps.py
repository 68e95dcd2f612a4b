"""What has to be done next about a trade. Pure.

It follows from what the broker's book shows, never from what we hoped for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pipelines.domain.exits import ExitSchedule
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import Purpose
from pipelines.domain.outcomes import ExitReason
from serving.executor.legs import MOST_RESIZES, Leg
from serving.executor.moved_stops import is_loosened
from serving.executor.trade import Trade

RETRY_AFTER = timedelta(seconds=1)  #: market time before a refused exit is tried again
AT_ANY_PRICE = frozenset({ExitReason.STOP, ExitReason.EMERGENCY})  #: no limit is tried first


class Do(StrEnum):
    """What can be done about a trade."""

    PLACE_STOP = "place stop"
    PLACE_EXIT = "place exit"
    PLACE_CORRECTION = "take back what is too much"
    RESIZE_STOP = "resize stop"
    RESTORE_STOP = "put the stop back"
    TURN_STOP = "turn the stop into the exit"
    CHASE_CORRECTION = "chase with the correction"
    CANCEL_ENTRY = "cancel the entry's rest"
    CANCEL_STOP = "cancel the stop, which cannot be changed"
    CANCEL_SPARE = "cancel an order that is one too many"

    @property
    def cancels(self) -> bool:
        return self in (Do.CANCEL_ENTRY, Do.CANCEL_STOP, Do.CANCEL_SPARE)


@dataclass(frozen=True, slots=True)
class Step:
    do: Do
    leg: Leg | None = None  #: the order that is changed
    quantity: int = 0  #: of the order as a whole, filled part included
    reason: ExitReason | None = None
    limit_price: Decimal | None = None  #: of an exit; None: a protected market order
    trigger_price: Decimal | None = None  #: of a stop that is put back


@dataclass(frozen=True, slots=True)
class Moment:
    """What the market and the clock say, and how exits are tried."""

    now: datetime
    open: bool  #: whether orders are taken
    price: Decimal | None  #: of the last trade in this session
    bar_closed: bool  #: whether a bar has just closed: an entry that still works then has had its time
    schedule: ExitSchedule
    instrument: Instrument
    leave: ExitReason | None = None  #: everything has to be closed, e.g. before the session's end
    halted: bool = False  #: no entries: one that still works is taken back
    close: datetime | None = None  #: end of continuous trading
    insisting: bool = False  #: whether what just failed is tried again at the same moment


def reason_to_leave(trade: Trade, moment: Moment) -> ExitReason | None:
    """Why the position should be left, the first reason found standing for good; None to stay."""
    position = trade.position
    if position is None or trade.held <= 0:
        return moment.leave if trade.held > 0 else None
    if position.exit_reason is not None:
        return position.exit_reason
    if trade.resting is not None and _is_due(trade, trade.resting, moment):
        return ExitReason.STOP
    if moment.leave is not None:
        return moment.leave
    if moment.price is not None and position.reached_target(moment.price):
        return ExitReason.TARGET
    return ExitReason.TIME if position.expired() else None


def _is_due(trade: Trade, resting: Leg, moment: Moment) -> bool:
    """Whether the stop is on its way, and may rest at its band; or the price is where somebody moved it away from."""
    if is_loosened(trade, resting):
        return moment.price is not None and trade.passed_stop(moment.price)
    return resting.triggered


def next_steps(trade: Trade, moment: Moment) -> Iterator[Step]:
    """What has to be done now, the most urgent first; the first one is carried out, then this is asked anew.

    First the entry: what is left of it is taken back when a bar closes over it, when the position is being left, when
    trading is halted, or when the stop cannot follow it any more. Then the protection: there is always one order at
    the broker for exactly the shares held, a stop while we stay and one that chases the price when we leave. What was
    taken back beyond what was held is bought back; what an order brought that the broker took twice is taken back.

    A step that was asked for and that no book confirms yet is passed over: so the shares that are held do not wait
    for it. Only what is to be bought back waits for the entry, which may still bring it.
    """
    if not moment.open:
        return
    reason = reason_to_leave(trade, moment)
    entry_has_had_its_time = reason or moment.leave or moment.halted or moment.bar_closed
    entry_is_enough = trade.held < 0 or trade.entry_is_full or _stop_is_used(trade)
    taken_back = trade.entry.works and bool(entry_has_had_its_time or entry_is_enough)
    if taken_back:
        yield Step(Do.CANCEL_ENTRY, trade.entry)
    spare = trade.spare
    if spare is not None and (trade.held != 0 or spare.doubled or not trade.entry.works):
        yield Step(Do.CANCEL_SPARE, spare)
    if trade.held < 0 and not taken_back:
        yield from _of(_correct(trade, trade.buy_backs, -trade.held, moment))
    if trade.held > 0:
        # the surplus first: should it not be taken, the stop that follows covers all
        yield from _of(_close_surplus(trade, moment, reason))
        yield from _of(_protection(trade, moment, reason))


def _of(step: Step | None) -> tuple[Step, ...]:
    return () if step is None else (step,)


def _protection(trade: Trade, moment: Moment, reason: ExitReason | None) -> Step | None:
    resting, shares = trade.resting, _to_protect(trade, moment, reason)
    if resting is None:
        return _protect(trade, shares, moment, reason) if shares else None
    if not resting.ours:
        return None  # never touched
    if reason is not None:
        return _leave(trade, resting, shares, moment, reason)
    whole = resting.done + shares
    loosened = is_loosened(trade, resting)
    if (resting.quantity == whole and not loosened) or not shares:
        return None
    if resting.given_up:
        return Step(Do.CANCEL_STOP, resting)  # a new one of the right size follows at once
    if loosened:
        return Step(Do.RESTORE_STOP, resting, whole, trigger_price=trade.stop)
    return Step(Do.RESIZE_STOP, resting, whole)


def _to_protect(trade: Trade, moment: Moment, reason: ExitReason | None) -> int:
    """Shares that the stop or the exit takes back: all but those that an order for the surplus does, or is to do."""
    if reason is not None or (not trade.closing and _surplus_waits(trade, moment)):
        return max(trade.held - trade.closing, 0)
    return max(trade.held - max(trade.surplus, trade.closing), 0)


def _surplus_waits(trade: Trade, moment: Moment) -> bool:
    return bool(trade.surplus_orders) and _just_failed(trade.surplus_orders[-1], moment)


def _close_surplus(trade: Trade, moment: Moment, reason: ExitReason | None) -> Step | None:
    """What an order brought that was taken twice is sold again; once we leave, by the exit of all that is held."""
    if not trade.surplus or (reason is not None and not trade.closing):
        return None
    return _correct(trade, trade.surplus_orders, trade.surplus, moment)


def _protect(trade: Trade, shares: int, moment: Moment, reason: ExitReason | None) -> Step | None:
    """No order takes the position back: place one."""
    if _failed(trade, Purpose.EXIT, moment):
        return None  # not again at the same moment
    if reason is None and moment.price is not None and trade.passed_stop(moment.price):
        reason = ExitReason.STOP  # a stop would be refused, the price is beyond it
    if reason is None and _is_over_for(trade, moment):
        return None
    if reason is None and _failed(trade, Purpose.STOP, replace(moment, insisting=False)):
        reason = ExitReason.EMERGENCY
    if reason is None:
        return Step(Do.PLACE_STOP, quantity=shares)
    return Step(Do.PLACE_EXIT, None, shares, reason, _limit(trade, moment, reason))


def _leave(trade: Trade, resting: Leg, shares: int, moment: Moment, reason: ExitReason) -> Step | None:
    if not shares:
        return None
    whole = resting.done + shares
    waited = moment.now - resting.since >= moment.schedule.patience(hurried=_hurried(moment, reason))
    if not (resting.is_stop or resting.quantity != whole or waited):
        return None
    if resting.given_up:
        return Step(Do.CANCEL_STOP, resting, reason=reason)
    return Step(Do.TURN_STOP, resting, whole, reason, _limit(trade, moment, reason))


def _correct(trade: Trade, orders: tuple[Leg, ...], shares: int, moment: Moment) -> Step | None:
    """So many shares are too much, taken back or held: the other way round at once, by an order of its own."""
    working = next((leg for leg in orders if leg.works), None)
    if working is not None:
        whole = working.done + shares
        waited = moment.now - working.changed_at >= moment.schedule.hurried_wait
        if working.given_up:
            return Step(Do.CANCEL_SPARE, working) if waited else None
        return Step(Do.CHASE_CORRECTION, working, whole) if waited or working.quantity != whole else None
    if orders and _just_failed(orders[-1], moment):
        return None
    return Step(Do.PLACE_CORRECTION, quantity=shares)


def _limit(trade: Trade, moment: Moment, reason: ExitReason) -> Decimal | None:
    if reason in AT_ANY_PRICE:
        return None
    return moment.schedule.limit_price(
        trade.tries, trade.side.opposite, moment.price, moment.instrument, hurried=_hurried(moment, reason)
    )


def _hurried(moment: Moment, reason: ExitReason) -> bool:
    return moment.leave is not None or reason in AT_ANY_PRICE


def _just_failed(leg: Leg, moment: Moment) -> bool:
    return leg.turned_down and moment.now - leg.changed_at < RETRY_AFTER and not moment.insisting


def _failed(trade: Trade, purpose: Purpose, moment: Moment) -> bool:
    """Whether the broker has just refused an order of this purpose, or left two of them without an answer.

    After one without an answer a second is sent at once: shares in the hand are not left bare for it. Should both
    arrive, one of them is cancelled, and what they took back too much is bought back.
    """
    failed = [leg for leg in trade.ways_out if leg.purpose is purpose and _just_failed(leg, moment)]
    return len(failed) > 1 or any(not leg.unresolved for leg in failed)


def _is_over_for(trade: Trade, moment: Moment) -> bool:
    """Whether stops are refused since continuous trading has ended: no emergency, the next session takes one."""
    stops = (leg for leg in trade.ways_out if leg.purpose is Purpose.STOP and leg.turned_down)
    closed = moment.close
    return closed is not None and moment.now >= closed and any(leg.changed_at >= closed for leg in stops)


def _stop_is_used(trade: Trade) -> bool:
    return any(leg.done for leg in trade.ways_out) or any(leg.modifications >= MOST_RESIZES for leg in trade.ways_out)
