"""Price alerts of the account: told once when the market meets their condition; an ATO alert also places its orders.

An alert compares one instrument with a number or with another instrument. It is looked at with every frame of ticks, on
the prices of the present session, and is disabled when it was met; changing it enables it again.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import count
from operator import eq, ge, gt, le, lt
from typing import Any, Protocol

from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import OrderType
from serving.exchange.book import Order, OrderRequest, Status
from serving.exchange.gtt import json_field, price_of
from serving.exchange.order_forms import AUTO_PROTECTION, order_request
from serving.exchange.quotes import Quote
from serving.exchange.refusals import KiteError, input_error

MOST_ALERTS = 200  #: of an account, disabled ones too: support.zerodha.com, what are Kite alerts
MOST_ITEMS = 20  #: orders in a basket, as at Kite
MAX_NAME = 100  #: characters; Kite's own bound is not known
INDICES = "INDICES"  #: the exchange under which alerts know indices
OPERATORS: Mapping[str, Callable[[Decimal, Decimal], bool]] = {"<=": le, ">=": ge, "<": lt, ">": gt, "==": eq}
ATTRIBUTES: Mapping[str, Callable[[Quote], Decimal]] = {
    "LastTradedPrice": lambda quote: quote.last_price,
    "OpenPrice": lambda quote: quote.open,
    "HighPrice": lambda quote: quote.high,
    "LowPrice": lambda quote: quote.low,
    "ClosePrice": lambda quote: quote.previous_close,
}


class AlertType(StrEnum):
    SIMPLE = "simple"
    ATO = "ato"  #: alert triggers order


class AlertStatus(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"  #: was met
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Figure:
    """What stands on one side of the comparison: a figure of an instrument's quote."""

    instrument: Instrument
    attribute: str

    @property
    def exchange(self) -> str:
        return exchange_of(self.instrument)

    def value(self, quotes: Mapping[str, Quote]) -> Decimal:
        return ATTRIBUTES[self.attribute](quotes[self.instrument.symbol])

    def __str__(self) -> str:
        return f'{self.attribute}("{self.exchange}:{self.instrument.symbol}")'


@dataclass(frozen=True, slots=True)
class Item:
    """One order of an ATO alert's basket."""

    number: int
    weight: int
    order: OrderRequest


@dataclass(frozen=True, slots=True)
class AlertTerms:
    """What a client asks for."""

    name: str
    type: AlertType
    left: Figure
    operator: str
    right: Figure | None  #: None: the number
    constant: Decimal
    basket: tuple[Item, ...] = ()

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (self.left,) if self.right is None else (self.left, self.right)

    def is_met(self, quotes: Mapping[str, Quote]) -> bool:
        """Whether the condition holds; never before each side has a price."""
        right = self.right.value(quotes) if self.right is not None else self.constant
        left = self.left.value(quotes)
        return bool(left and right) and OPERATORS[self.operator](left, right)

    def __str__(self) -> str:
        right = str(self.right) if self.right is not None else f"{self.constant.normalize():f}"
        return f"{self.left} {self.operator} {right}"


@dataclass(frozen=True, slots=True)
class Alert:
    alert_id: str
    terms: AlertTerms
    status: AlertStatus
    created_at: datetime
    updated_at: datetime
    times_met: int = 0


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one order of a basket."""

    item: Item
    order_id: str  #: empty if none was taken
    rejection: str  #: empty if it was


@dataclass(frozen=True, slots=True)
class Met:
    """One time at which an alert's condition was met."""

    alert: Alert  #: as it was then
    at: datetime
    quotes: tuple[Quote, ...]  #: of its sides, copied
    orders: tuple[Placed, ...]


class Broker(Protocol):
    """Who takes the orders."""

    def place(self, request: OrderRequest) -> Order: ...


class Alerts:
    """All alerts of the account and when they were met."""

    def __init__(self) -> None:
        self._all: dict[str, Alert] = {}
        self._met: dict[str, list[Met]] = {}

    def add(self, terms: AlertTerms, quotes: Mapping[str, Quote], at: datetime) -> Alert:
        if len(self.all()) >= MOST_ALERTS:
            raise input_error(f"No more than {MOST_ALERTS} alerts can be kept; delete some first.")
        _refuse_met(terms, quotes)
        return self._put(Alert(str(uuid.uuid4()), terms, AlertStatus.ENABLED, at, at))

    def modify(self, alert_id: str, terms: AlertTerms, quotes: Mapping[str, Quote], at: datetime) -> Alert:
        alert = self.find(alert_id)
        _refuse_met(terms, quotes)
        return self._put(replace(alert, terms=terms, status=AlertStatus.ENABLED, updated_at=at))

    def delete(self, alert_ids: Sequence[str], at: datetime) -> None:
        """All of them, or none if one is not there."""
        for alert in [self.find(alert_id) for alert_id in alert_ids]:
            self._put(replace(alert, status=AlertStatus.DELETED, updated_at=at))

    def find(self, alert_id: str) -> Alert:
        alert = self._all.get(alert_id)
        if alert is None or alert.status is AlertStatus.DELETED:
            raise input_error("Couldn't find that alert `uuid`.")
        return alert

    def all(self, status: AlertStatus | None = None) -> list[Alert]:
        """The newest first; deleted ones only if they are asked for."""
        wanted = {status} if status is not None else {AlertStatus.ENABLED, AlertStatus.DISABLED}
        return [alert for alert in reversed(self._all.values()) if alert.status in wanted]

    def history(self, alert_id: str) -> list[Met]:
        """When an alert was met, the newest first."""
        return self._met.get(self.find(alert_id).alert_id, [])[::-1]

    def meet(self, quotes: Mapping[str, Quote], at: datetime, broker: Broker) -> None:
        """Tell of what today's prices meet, and place the orders that hang on it."""
        for alert in [alert for alert in self._all.values() if alert.status is AlertStatus.ENABLED]:
            sides = [quotes[figure.instrument.symbol] for figure in alert.terms.figures]
            if all(quote.traded for quote in sides) and alert.terms.is_met(quotes):
                orders = tuple(_placed(item, broker) for item in alert.terms.basket)
                met = replace(alert, status=AlertStatus.DISABLED, updated_at=at, times_met=alert.times_met + 1)
                self._put(met)
                self._met.setdefault(alert.alert_id, []).append(Met(met, at, tuple(map(replace, sides)), orders))

    def _put(self, alert: Alert) -> Alert:
        self._all[alert.alert_id] = alert
        return alert


def alert_terms(form: Mapping[str, str], instruments: Mapping[str, Instrument]) -> AlertTerms:
    """From the fields of the form that creates or changes an alert.

    Raises
    ------
    KiteError : InputException that names the field.
    """
    name = form.get("name", "").strip()
    if not 0 < len(name) <= MAX_NAME:
        raise input_error(f"Invalid `name`: 1 to {MAX_NAME} characters.")
    kind = _one_of(form, "type", [each.value for each in AlertType])
    operator = _one_of(form, "operator", list(OPERATORS))
    constant, right = Decimal(0), None
    if _one_of(form, "rhs_type", ["constant", "instrument"]) == "constant":
        constant = price_of(form.get("rhs_constant"), "rhs_constant")
    else:
        right = _figure(form, "rhs", instruments)
    basket = _basket(form, instruments) if kind == AlertType.ATO else ()
    return AlertTerms(name, AlertType(kind), _figure(form, "lhs", instruments), operator, right, constant, basket)


def exchange_of(instrument: Instrument) -> str:
    """How alerts call an instrument's exchange."""
    return INDICES if instrument.kind is Kind.INDEX else instrument.exchange


def _one_of(form: Mapping[str, str], name: str, words: list[str]) -> str:
    if form.get(name) not in words:
        raise input_error(f"Invalid `{name}`: one of {', '.join(words)}.")
    return form[name]


def _figure(form: Mapping[str, str], side: str, instruments: Mapping[str, Instrument]) -> Figure:
    attribute = _one_of(form, f"{side}_attribute", list(ATTRIBUTES))
    instrument = instruments.get(form.get(f"{side}_tradingsymbol", ""))
    if instrument is None or form.get(f"{side}_exchange") != exchange_of(instrument):
        raise input_error(f"Invalid `{side}_tradingsymbol`: no such instrument at `{side}_exchange`.")
    return Figure(instrument, attribute)


def _basket(form: Mapping[str, str], instruments: Mapping[str, Instrument]) -> tuple[Item, ...]:
    items = json_field(form, "basket", dict).get("items")
    if not isinstance(items, list) or not 0 < len(items) <= MOST_ITEMS:
        raise input_error(f"Invalid `basket`: 1 to {MOST_ITEMS} items.")
    numbers = count(1)
    return tuple(_item(row, next(numbers), instruments) for row in items)


def _item(row: Any, number: int, instruments: Mapping[str, Instrument]) -> Item:
    params = row.get("params") if isinstance(row, dict) else None
    if not isinstance(params, dict):
        raise input_error("Invalid `basket`: an item has `tradingsymbol`, `exchange` and `params`.")
    weight = row.get("weight", 0)
    if isinstance(weight, bool) or not isinstance(weight, int) or abs(weight) > 10**9:
        raise input_error("Invalid `weight`: a whole number is expected.")
    told = {name: str(value) for name, value in params.items() if isinstance(value, str | int | float)}
    place = {name: str(row.get(name, "")) for name in ("exchange", "tradingsymbol")}
    if told.get("order_type") in (OrderType.MARKET, OrderType.SL_M):
        told["market_protection"] = told.get("market_protection", str(AUTO_PROTECTION))
    for name in ("squareoff", "stoploss", "trailing_stoploss"):
        if told.get(name, "0") not in ("0", "0.0"):
            raise input_error(f"Invalid `{name}`: bracket orders are not taken.")
    return Item(number, weight, order_request(told | place, instruments, told.get("variety", "regular")))


def _placed(item: Item, broker: Broker) -> Placed:
    try:
        order = broker.place(item.order)
    except KiteError as error:
        return Placed(item, "", error.message)
    return Placed(item, order.order_id, order.status_message or "" if order.status is Status.REJECTED else "")


def _refuse_met(terms: AlertTerms, quotes: Mapping[str, Quote]) -> None:
    if terms.is_met(quotes):
        raise input_error("Rule condition is already met.")
