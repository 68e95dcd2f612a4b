"""The heart: one trade from its entry to its outcome, and what has to be done next about it. Pure.

A trade is an entry order and the orders that take it back: first the protective stop, which is turned into the exit.
What is done next follows from what the broker's book shows, never from what we hoped for, so that a restart needs
nothing but the books.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pipelines.domain.charges import Charges
from pipelines.domain.orders import BookedOrder, Fill, OrderStatus, OrderType, Product, Purpose
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.positions import PRICE_PLACES, Position
from pipelines.domain.signals import Decision, Side

#: Kite takes 25 modifications an order; some are kept for the exit
MOST_RESIZES = 15
MOST_MODIFICATIONS = 24
CHASE_AFTER = timedelta(seconds=60)  #: market time that a marketable exit may stay unfilled before it is sent again
RETRY_AFTER = timedelta(seconds=5)  #: market time before a refused exit is tried again


@dataclass(frozen=True, slots=True)
class Leg:
    """One of our orders with its fills, as far as the books show them."""

    purpose: Purpose
    intent_id: str | None  #: None for an order of the broker's own, e.g. its square-off
    order_id: str | None  #: None if the broker never took it
    side: Side
    quantity: int
    order_type: OrderType
    status: OrderStatus
    changed_at: datetime  #: market time when it was sent or last changed by us
    modifications: int = 0
    refused: int = 0  #: modifications that the broker refused in a row
    filled: int = 0
    value: Decimal = Decimal(0)  #: rupees of the filled shares
    first_fill_at: datetime | None = None
    last_fill_at: datetime | None = None

    @property
    def works(self) -> bool:
        return self.status is OrderStatus.WORKING

    @property
    def waits(self) -> bool:
        """Whether shares of it can still fill. The trade book is read after the order book and may be ahead of it."""
        return self.works and self.filled < self.quantity

    @property
    def is_stop(self) -> bool:
        """Whether it waits for a trigger. A marketable order may be shown as LIMIT once it is protected."""
        return self.order_type in (OrderType.SL, OrderType.SL_M)

    @property
    def given_up(self) -> bool:
        """Whether the broker does not let us change it any more, so that we cancel it."""
        return self.refused >= 2 or self.modifications >= MOST_MODIFICATIONS

    @property
    def turned_down(self) -> bool:
        """Whether the broker did not want it: refused, or taken and cancelled, e.g. at its price band."""
        return self.status is OrderStatus.REJECTED or (self.status is OrderStatus.CANCELLED and not self.given_up)

    @property
    def average_price(self) -> Decimal:
        return (self.value / self.filled).quantize(PRICE_PLACES) if self.filled else Decimal(0)

    def with_books(self, order: BookedOrder | None, fills: Iterable[Fill]) -> "Leg":
        """The leg as the order book and the trade book show it."""
        fills = sorted(fills, key=lambda fill: fill.filled_at)
        leg = replace(
            self,
            filled=sum(fill.quantity for fill in fills),
            value=sum((fill.price * fill.quantity for fill in fills), Decimal(0)),
            first_fill_at=fills[0].filled_at if fills else None,
            last_fill_at=fills[-1].filled_at if fills else None,
        )
        if order is None:
            return leg
        return replace(leg, status=order.status, quantity=order.quantity, order_type=order.order_type)


@dataclass(frozen=True, slots=True)
class Trade:
    """What one decision led to."""

    trade_id: str  #: of the decision
    decision: Decision
    product: Product
    entry: Leg
    exits: tuple[Leg, ...] = ()
    position: Position | None = None  #: None until the first fill

    @property
    def symbol(self) -> str:
        return self.decision.symbol

    @property
    def side(self) -> Side:
        return self.entry.side

    @property
    def held(self) -> int:
        """Shares that are open."""
        return self.entry.filled - sum(leg.filled for leg in self.exits)

    @property
    def resting(self) -> Leg | None:
        """The order at the broker that takes the position back; ours before one of the broker's or of a person."""
        working = [leg for leg in reversed(self.exits) if leg.works]
        return next((leg for leg in working if leg.intent_id is not None), working[0] if working else None)

    @property
    def spare(self) -> Leg | None:
        """One of our orders that would take back what is not held, or what another of them takes back already."""
        waiting = [leg for leg in self.exits if leg.waits and leg.intent_id is not None]
        needed = 1 if self.held > 0 else 0
        return waiting[0] if len(waiting) > needed else None

    @property
    def legs(self) -> tuple[Leg, ...]:
        return (self.entry, *self.exits)

    @property
    def over(self) -> bool:
        return self.held == 0 and not any(leg.works for leg in self.legs)

    def with_leg(self, changed: Leg) -> "Trade":
        """The trade with one leg in its newer state."""
        if changed.intent_id == self.entry.intent_id and changed.purpose is Purpose.ENTRY:
            return replace(self, entry=changed)
        same = [_same(leg, changed) for leg in self.exits]
        exits = tuple(changed if found else leg for leg, found in zip(self.exits, same, strict=True))
        return replace(self, exits=exits if any(same) else (*self.exits, changed))

    def with_position(self) -> "Trade":
        """The trade with its position brought up to what the entry's fills say."""
        if not self.entry.filled:
            return self
        if self.position is None:
            decision = self.decision
            assert decision.stop is not None
            assert self.entry.first_fill_at is not None
            opened = Position(
                position_id=self.trade_id,
                symbol=self.symbol,
                side=self.side,
                quantity=self.entry.filled,
                product=self.product,
                entry_price=self.entry.average_price,
                entered_at=self.entry.first_fill_at,
                stop=decision.stop,
                target=decision.target,
                hold_bars=decision.hold_bars,
            )
            return replace(self, position=opened)
        grown = replace(self.position, quantity=self.entry.filled, entry_price=self.entry.average_price)
        return replace(self, position=grown)


class Do(StrEnum):
    """What can be done about a trade."""

    PLACE_STOP = "place stop"
    PLACE_EXIT = "place exit"
    RESIZE_STOP = "resize stop"
    TURN_STOP = "turn the stop into the exit"
    CANCEL_ENTRY = "cancel the entry's rest"
    CANCEL_STOP = "cancel the stop, which cannot be changed"
    CANCEL_SPARE = "cancel an exit that is one too many"

    @property
    def changes_an_order(self) -> bool:
        return self not in (Do.PLACE_STOP, Do.PLACE_EXIT)


@dataclass(frozen=True, slots=True)
class Step:
    do: Do
    quantity: int = 0  #: of the order as a whole, filled part included
    reason: ExitReason | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What the market and the clock say."""

    now: datetime
    open: bool  #: whether orders are taken
    price: Decimal | None  #: of the last trade in this session
    bar_closed: bool  #: whether a bar has just closed: an entry that still works then has had its time
    leave: ExitReason | None = None  #: everything has to be closed, e.g. before the session's end


def reason_to_leave(trade: Trade, moment: Moment) -> ExitReason | None:
    """Why the position should be left, the first reason found standing for good; None to stay."""
    position = trade.position
    if position is None or trade.held == 0:
        return None
    if position.exit_reason is not None:
        return position.exit_reason
    if moment.leave is not None:
        return moment.leave
    if moment.price is not None and position.reached_target(moment.price):
        return ExitReason.TARGET
    return ExitReason.TIME if position.expired() else None


def next_step(trade: Trade, moment: Moment) -> Step | None:
    """What has to be done now; None if nothing. Ask again after it was done and the books were read.

    First the entry: what is left of it is taken back when a bar closes over it, when the position is being left, or
    when the stop cannot follow it any more. Then the protection: there is always one order at the broker for exactly
    the shares held, a stop while we stay and a marketable one when we leave.
    """
    if not moment.open:
        return None
    reason = reason_to_leave(trade, moment)
    if trade.entry.works and (reason or moment.leave or moment.bar_closed or _stop_is_used(trade)):
        return Step(Do.CANCEL_ENTRY)
    if trade.spare is not None and (trade.held > 0 or not trade.entry.works):
        return Step(Do.CANCEL_SPARE)
    if trade.held <= 0:
        return None
    resting = trade.resting
    if resting is None:
        return _protect(trade, moment, reason)
    if reason is not None:
        return _leave(trade, resting, moment, reason)
    whole = resting.filled + trade.held
    if resting.quantity == whole:
        return None
    if resting.given_up:
        return Step(Do.CANCEL_STOP)  # a new one of the right size follows at once
    return Step(Do.RESIZE_STOP, whole)


def _protect(trade: Trade, moment: Moment, reason: ExitReason | None) -> Step | None:
    """No order takes the position back: place one."""
    assert trade.position is not None
    last = trade.exits[-1] if trade.exits else None
    refused = last is not None and last.turned_down and moment.now - last.changed_at < RETRY_AFTER
    if refused and last is not None and last.purpose is Purpose.EXIT:
        return None  # not again at the same moment
    if reason is not None:
        return Step(Do.PLACE_EXIT, trade.held, reason)
    too_late = moment.price is not None and trade.position.passed_stop(moment.price)
    if refused or too_late:  # a stop would be refused, the price is beyond it: leave at once
        return Step(Do.PLACE_EXIT, trade.held, ExitReason.STOP)
    return Step(Do.PLACE_STOP, trade.held)


def _leave(trade: Trade, resting: Leg, moment: Moment, reason: ExitReason) -> Step | None:
    whole = resting.filled + trade.held
    if resting.given_up:
        return Step(Do.CANCEL_STOP, reason=reason)
    if resting.is_stop or resting.quantity != whole:
        return Step(Do.TURN_STOP, whole, reason)
    if moment.now - resting.changed_at >= CHASE_AFTER:
        return Step(Do.TURN_STOP, whole, reason)
    return None


def _stop_is_used(trade: Trade) -> bool:
    return any(leg.filled for leg in trade.exits) or any(leg.modifications >= MOST_RESIZES for leg in trade.exits)


def _left_because(left: Iterable[Leg], wanted: ExitReason | None) -> ExitReason:
    """What took the position back: the stop, if it was filled as one before it could be turned."""
    if wanted is None or all(leg.purpose is Purpose.STOP and leg.is_stop for leg in left):
        return ExitReason.STOP
    return wanted


def _same(leg: Leg, other: Leg) -> bool:
    if leg.intent_id is not None:
        return leg.intent_id == other.intent_id
    return leg.order_id == other.order_id


def outcome_of(trade: Trade, charges: Charges) -> Outcome:
    """What became of a trade that is over.

    Parameters
    ----------
    trade : over, with at least one fill
    charges : of all its orders
    """
    position, entry = trade.position, trade.entry
    assert trade.over
    assert position is not None
    assert entry.first_fill_at is not None
    left = [leg for leg in trade.exits if leg.filled]
    shares, value = sum(leg.filled for leg in left), sum((leg.value for leg in left), Decimal(0))
    gross = (value - entry.value) * trade.side.sign
    return Outcome(
        symbol=trade.symbol,
        side=trade.side,
        quantity=entry.filled,
        decision_id=trade.trade_id,
        policy_version=trade.decision.policy_version,
        catalogue_hash=trade.decision.catalogue_hash,
        regime=trade.decision.regime,
        decision_price=trade.decision.reference_price,
        entry_price=entry.average_price,
        exit_price=(value / shares).quantize(PRICE_PLACES),
        entered_at=entry.first_fill_at,
        exited_at=max(leg.last_fill_at for leg in left if leg.last_fill_at is not None),
        exit_reason=_left_because(left, position.exit_reason),
        gross_inr=gross,
        charges=charges.as_dict(),
        net_inr=gross - charges.total,
        mfe_inr=max(position.mfe_inr, gross),  # the exit's own price counts, too
        mae_inr=min(position.mae_inr, gross),
        hold_bars=position.bars_held,
    )
