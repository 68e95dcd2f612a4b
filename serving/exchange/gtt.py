"""Orders that wait at the broker until a price is touched (GTT): one leg, or two of which one cancels the other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import count
from typing import Any, Protocol

from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType
from serving.exchange.book import Order, OrderRequest, Status
from serving.exchange.order_forms import MAX_MAGNITUDE, decimal_from, instrument_of, order_request
from serving.exchange.quotes import Quote
from serving.exchange.refusals import KiteError, input_error

VALIDITY = timedelta(days=365)  #: as at Kite
NEAREST = Decimal("0.0025")  #: share of the last price that a trigger must lie away from it, as at Kite
MAX_ACTIVE = 500  #: of an account; Kite's number was raised several times, this one is recalled
LEGS = {"single": 1, "two-leg": 2}


class TriggerStatus(StrEnum):
    ACTIVE = "active"
    TRIGGERED = "triggered"
    DISABLED = "disabled"  #: by the broker, after a corporate action; does not happen here
    EXPIRED = "expired"
    CANCELLED = "cancelled"  #: by the broker; does not happen here
    REJECTED = "rejected"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Fired:
    """What became of a leg's order when its trigger was touched."""

    at: datetime
    price: Decimal  #: that touched it
    order_id: str  #: empty if none was taken
    rejection: str  #: empty if it was


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client asks for."""

    instrument: Instrument
    type: str  #: single or two-leg
    values: tuple[Decimal, ...]  #: one for each leg; of two the lower first
    last_price: Decimal  #: as the client saw it: says from which side a single trigger is touched
    orders: tuple[OrderRequest, ...]


@dataclass(frozen=True, slots=True)
class Trigger:
    trigger_id: int
    terms: Terms
    status: TriggerStatus
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    fired: Mapping[int, Fired] = field(default_factory=dict)  #: by leg

    def leg_touched_by(self, price: Decimal) -> int | None:
        """The leg whose trigger a price touches, if one does."""
        values = self.terms.values
        if len(values) == 2:
            return 0 if price <= values[0] else 1 if price >= values[1] else None
        rises = values[0] > self.terms.last_price
        return 0 if (price >= values[0] if rises else price <= values[0]) else None


class Broker(Protocol):
    """Who takes the orders."""

    def place(self, request: OrderRequest) -> Order: ...


class Triggers:
    """All triggers of the account, ended ones too."""

    def __init__(self) -> None:
        self._all: dict[int, Trigger] = {}
        self._numbers = count(1)

    def add(self, terms: Terms, at: datetime) -> Trigger:
        if sum(trigger.status is TriggerStatus.ACTIVE for trigger in self._all.values()) >= MAX_ACTIVE:
            raise input_error(f"No more than {MAX_ACTIVE} triggers can be active.")
        return self._put(
            Trigger(next(self._numbers), terms, TriggerStatus.ACTIVE, at, at, _expires_at(terms.instrument, at))
        )

    def modify(self, trigger_id: int, terms: Terms, at: datetime) -> Trigger:
        trigger = self._active(trigger_id)
        if terms.instrument != trigger.terms.instrument:
            raise input_error("Invalid `condition`: a trigger's instrument cannot be changed.")
        return self._put(replace(trigger, terms=terms, updated_at=at))

    def delete(self, trigger_id: int, at: datetime) -> Trigger:
        return self._put(replace(self._active(trigger_id), status=TriggerStatus.DELETED, updated_at=at))

    def find(self, trigger_id: int) -> Trigger:
        if trigger_id not in self._all:
            raise input_error("Couldn't find that `trigger_id`.")
        return self._all[trigger_id]

    def all(self) -> list[Trigger]:
        """The newest first, as Kite lists them."""
        return list(reversed(self._all.values()))

    def meet(self, quotes: Mapping[str, Quote], at: datetime, broker: Broker) -> None:
        """Place the orders of what today's prices touch; what is too old expires."""
        for trigger in [trigger for trigger in self._all.values() if trigger.status is TriggerStatus.ACTIVE]:
            quote = quotes[trigger.terms.instrument.symbol]
            if trigger.expires_at <= at:
                self._put(replace(trigger, status=TriggerStatus.EXPIRED, updated_at=at))
            elif quote.traded and (leg := trigger.leg_touched_by(quote.last_price)) is not None:
                self._fire(trigger, leg, quote.last_price, at, broker)

    def _fire(self, trigger: Trigger, leg: int, price: Decimal, at: datetime, broker: Broker) -> None:
        try:
            order = broker.place(trigger.terms.orders[leg])
            wrong = order.status_message or "" if order.status is Status.REJECTED else ""
            fired = Fired(at, price, order.order_id, wrong)
        except KiteError as error:
            fired = Fired(at, price, "", error.message)
        self._put(replace(trigger, status=TriggerStatus.TRIGGERED, updated_at=at, fired={leg: fired}))

    def _active(self, trigger_id: int) -> Trigger:
        trigger = self.find(trigger_id)
        if trigger.status is not TriggerStatus.ACTIVE:
            raise input_error(f"The trigger cannot be changed: it is {trigger.status}.")
        return trigger

    def _put(self, trigger: Trigger) -> Trigger:
        self._all[trigger.trigger_id] = trigger
        return trigger


def terms_from(form: Mapping[str, str], instruments: Mapping[str, Instrument]) -> Terms:
    """From the form that `KiteConnect.place_gtt` sends: `type`, and `condition` and `orders` as JSON texts."""
    kind = form.get("type", "")
    if kind not in LEGS:
        raise input_error("Invalid `type`: single or two-leg.")
    condition, orders = json_field(form, "condition", dict), json_field(form, "orders", list)
    instrument = instrument_of({name: str(value) for name, value in condition.items()}, instruments)
    values = condition.get("trigger_values")
    if not isinstance(values, list) or len(values) != LEGS[kind] or len(orders) != LEGS[kind]:
        raise input_error(f"Invalid `trigger_values`: {kind} takes {LEGS[kind]}, and as many orders.")
    terms = Terms(
        instrument,
        kind,
        tuple(price_of(value, "trigger_values") for value in values),
        price_of(condition.get("last_price"), "last_price"),
        tuple(_order(row, instrument, instruments) for row in orders),
    )
    _check_values(terms)
    return terms


def _check_values(terms: Terms) -> None:
    last = terms.last_price
    if any(abs(value - last) < last * NEAREST for value in terms.values):
        raise input_error("Trigger price was too close to the last price: at least 0.25% lie between them.")
    if len(terms.values) == 2 and not terms.values[0] < last < terms.values[1]:
        raise input_error("Invalid `trigger_values`: the last price lies between the two, the lower one first.")


def _order(row: Any, instrument: Instrument, instruments: Mapping[str, Instrument]) -> OrderRequest:
    if not isinstance(row, dict):
        raise input_error("Invalid `orders`: a JSON list of orders is expected.")
    order = order_request(
        {name: str(value) for name, value in row.items() if value is not None}, instruments, "regular"
    )
    if order.instrument != instrument:
        raise input_error("Invalid `orders`: they are of the condition's instrument.")
    if order.order_type is not OrderType.LIMIT:
        raise input_error("Invalid `order_type`: a trigger places LIMIT orders.")
    return order


def json_field(form: Mapping[str, str], name: str, shape: type) -> Any:
    """A field of a form that holds JSON of a list or an object."""
    try:
        found = json.loads(form.get(name, ""))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, shape):
        raise input_error(f"Invalid `{name}`: JSON is expected.")
    return found


def price_of(value: Any, name: str) -> Decimal:
    """A number above zero, in a form or in JSON."""
    price = decimal_from(str(value))
    if price is None or not 0 < price < 10**MAX_MAGNITUDE or price.as_tuple().exponent < -MAX_MAGNITUDE:  # type: ignore[operator]
        raise input_error(f"Invalid `{name}`: a number above zero is expected.")
    return price


def _expires_at(instrument: Instrument, at: datetime) -> datetime:
    """After a year, or with the instrument."""
    end = at + VALIDITY
    if instrument.expiry is None:
        return end
    return min(end, datetime.combine(instrument.expiry + timedelta(days=1), datetime.min.time(), at.tzinfo))
