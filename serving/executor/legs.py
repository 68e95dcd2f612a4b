"""One order of a trade with its fills, as far as the books show it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from pipelines.domain.orders import BookedOrder, Fill, Intent, OrderStatus, OrderType, Purpose
from pipelines.domain.signals import Side

#: Kite takes 25 modifications an order; some are kept for the exit
MOST_RESIZES = 15
MOST_MODIFICATIONS = 24
STOPS = (OrderType.SL, OrderType.SL_M)


@dataclass(frozen=True, slots=True)
class Leg:
    """One order of a trade."""

    purpose: Purpose
    intent_id: str | None  #: None for an order that is not ours, e.g. the broker's square-off
    order_id: str | None  #: None if the broker never took it
    side: Side
    quantity: int
    order_type: OrderType
    status: OrderStatus
    changed_at: datetime  #: market time when it was sent or last changed by us
    touched_at: datetime | None = None  #: market time when we learned that its trigger was touched
    unresolved: bool = False  #: sent without an answer, and not in the book so far: it may arrive yet
    doubled: bool = False  #: the broker took the intent more than once, and another order of it came before
    recalled: bool = False  #: we took it back since it was one too many
    counts_from: datetime | None = None  #: of an order that is not ours: earlier fills are none of the trade's business
    touched: bool = False  #: the broker says that its trigger was touched
    trigger_price: Decimal | None = None  #: of a stop, as the order book shows it
    limit_price: Decimal | None = None
    asked: int = 0  #: shares that we asked for with our last change
    quantity_by_others: bool = False  #: the book shows a quantity that we never asked for
    modifications: int = 0
    refused: int = 0  #: modifications that the broker refused in a row
    vain: int = 0  #: changes in a row that were refused or had no answer
    tries: int = 0  #: how often it was sent or changed in order to leave
    filled: int = 0  #: by the trade book
    ahead: int = 0  #: further shares that the order book shows filled and the trade book does not tell of yet
    presumed: int = 0  #: of an entry that no book shows: further shares that only the positions tell of
    value: Decimal = Decimal(0)  #: rupees of the filled shares
    fills: tuple[Fill, ...] = ()  #: in order of time
    first_fill_at: datetime | None = None
    last_fill_at: datetime | None = None

    @property
    def ours(self) -> bool:
        return self.intent_id is not None

    @property
    def works(self) -> bool:
        return self.status is OrderStatus.WORKING

    @property
    def done(self) -> int:
        """Shares filled, by the book that knows more of it: either may be ahead of the other."""
        return self.filled + self.ahead

    @property
    def waits(self) -> bool:
        """Whether shares of it can still fill."""
        return self.works and self.done < self.quantity

    @property
    def is_stop(self) -> bool:
        """Whether it waits for a trigger."""
        return self.order_type in STOPS and not self.touched

    @property
    def triggered(self) -> bool:
        """Whether it is a stop on its way: protected, it rests as a limit at its band if nobody takes it there."""
        return self.purpose is Purpose.STOP and not self.tries and not self.is_stop

    @property
    def since(self) -> datetime:
        """Since when it stands in the market as it does."""
        return max(self.changed_at, self.touched_at or self.changed_at)

    @property
    def left_as_stop(self) -> bool:
        """Whether it was never turned into anything else."""
        return self.purpose is Purpose.STOP and (not self.tries or self.order_type in STOPS)

    @property
    def given_up(self) -> bool:
        """Whether the broker does not let us change it any more, so that we cancel it."""
        return self.refused >= 2 or self.modifications >= MOST_MODIFICATIONS

    @property
    def was_cancelled(self) -> bool:
        """Whether it was taken and ended otherwise than by a fill or by us."""
        return self.status is OrderStatus.CANCELLED and not self.given_up and not self.recalled

    @property
    def turned_down(self) -> bool:
        """Whether the broker did not want it: refused, or taken and cancelled, e.g. at its price band."""
        return self.status is OrderStatus.REJECTED or self.was_cancelled

    def is_same(self, other: "Leg") -> bool:
        """Whether both are one order: by its id, or by the intent as long as the id of one is not known."""
        if self.order_id is not None and other.order_id is not None:
            return self.order_id == other.order_id
        return self.intent_id is not None and self.intent_id == other.intent_id

    def with_books(self, order: BookedOrder | None, fills: Iterable[Fill], now: datetime) -> "Leg":
        """The leg as the order book and the trade book show it at `now`."""
        known = sorted(fills, key=lambda fill: (fill.filled_at, fill.trade_id))
        fills = tuple(fill for fill in known if self.counts_from is None or fill.filled_at >= self.counts_from)
        leg = replace(
            self,
            fills=fills,
            filled=sum(fill.quantity for fill in fills),
            value=sum((fill.price * fill.quantity for fill in fills), Decimal(0)),
            first_fill_at=fills[0].filled_at if fills else None,
            last_fill_at=fills[-1].filled_at if fills else None,
        )
        if order is None:
            return leg
        read = replace(
            leg,
            status=order.status,
            quantity=order.quantity,
            order_type=order.order_type,
            trigger_price=order.trigger_price,
            limit_price=order.limit_price,
            quantity_by_others=self._is_by_others(order),
            touched=order.triggered,
            ahead=max(order.filled_quantity - sum(fill.quantity for fill in known), 0),
        )
        return replace(read, touched_at=now) if read.triggered and not self.triggered else read

    def _is_by_others(self, order: BookedOrder) -> bool:
        """Whether somebody else has given our order its quantity."""
        if not self.ours or order.status.ended or order.quantity == self.asked:
            return False
        return order.quantity != self.quantity or self.quantity_by_others


def leg_of(intent: Intent, order: BookedOrder | None, *, unresolved: bool = False, doubled: bool = False) -> Leg:
    """A leg from what the books say of it."""
    return Leg(
        purpose=intent.purpose,
        intent_id=intent.intent_id,
        order_id=order.order_id if order else None,
        side=intent.side,
        quantity=order.quantity if order else intent.quantity,
        order_type=order.order_type if order else intent.order_type,
        status=order.status if order else OrderStatus.REJECTED,
        changed_at=intent.created_at,
        trigger_price=order.trigger_price if order else intent.trigger_price,
        limit_price=order.limit_price if order else intent.limit_price,
        unresolved=unresolved,
        doubled=doubled,
        touched=order.triggered if order else False,
        tries=1 if intent.purpose is Purpose.EXIT else 0,
    )


def foreign_leg(order: BookedOrder, counts_from: datetime) -> Leg:
    """An order that is not ours in the instrument of a trade; what it filled before the trade began does not count."""
    return Leg(
        purpose=Purpose.EXIT,
        intent_id=None,
        order_id=order.order_id,
        side=order.side,
        quantity=order.quantity,
        order_type=order.order_type,
        status=order.status,
        changed_at=order.placed_at,
        counts_from=counts_from,
    )
