"""What the exchange and the broker hold against an order's terms: price bands, triggers, freeze quantity.

Each check gives the sentence that the client reads, or None. What the account can carry is the venue's to ask.
"""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from pipelines.domain.freeze import freeze_quantity
from pipelines.domain.orders import OrderType
from pipelines.domain.protection import automatic_percent, limit_price_range, protected_limit
from pipelines.domain.signals import Side
from serving.exchange.book import OrderRequest
from serving.exchange.order_forms import AUTO_PROTECTION
from serving.exchange.quotes import Quote

LPP_CANCELLED = (
    "The order was cancelled by the exchange because the price is outside the current allowed limit price protection "
    "range."
)


@dataclass(frozen=True, slots=True)
class MarketView:
    """What is known of an instrument's market when an order comes: its quote and the day's price band."""

    quote: Quote
    day: date
    circuit: Decimal  #: share of the previous close

    @property
    def limits(self) -> tuple[Decimal, Decimal]:
        return self.quote.circuit(self.circuit)


def refused_at_the_exchange(request: OrderRequest, view: MarketView) -> str | None:
    """Why the exchange rejects an order that the broker has let through."""
    stop = _stop_beyond_market(request, view) or _cover_beyond_entry(request, view)
    return outside_circuit(request, view) or stop or outside_lpp(request, view)


def above_freeze_quantity(request: OrderRequest, view: MarketView) -> str | None:
    most = freeze_of(request, view)
    if request.quantity <= most:
        return None
    return (
        f"Quantity {request.quantity} is above the freeze quantity: {request.instrument.symbol} takes at most "
        f"{most} in one order. Split it, or ask for autoslice."
    )


def freeze_of(request: OrderRequest, view: MarketView) -> int:
    """The largest quantity of one order, valued at its price or at the last one."""
    return freeze_quantity(request.instrument, request.price or view.quote.last_price, view.day)


def outside_lpp(request: OrderRequest, view: MarketView) -> str | None:
    """Limits of futures and options must lie near the last price; a stop is looked at when it is triggered."""
    if request.order_type is not OrderType.LIMIT or request.price is None or not view.quote.last_price:
        return None
    allowed = limit_price_range(request.instrument, view.quote.last_price, view.day)
    if allowed is None:
        return None
    low, high = allowed
    beyond = request.price > high if request.side is Side.BUY else request.price < low
    return LPP_CANCELLED if beyond else None


def protected(request: OrderRequest, view: MarketView, price: Decimal) -> tuple[OrderRequest, dict[str, Any]]:
    """An order as the broker sends it on at a market price: with its market protection made a limit.

    A MARKET order becomes a LIMIT at the band; a stop keeps its band until it is triggered. Every
    other order passes unchanged. Nothing is protected where no price is known.
    """
    plain = {"protected": False, "band": None, "protection": None}
    stop = request.order_type is OrderType.SL_M
    base = request.trigger_price if stop else price
    if not (stop or request.order_type is OrderType.MARKET) or not request.market_protection or not base:
        return request, plain
    automatic = request.market_protection == AUTO_PROTECTION
    percent = automatic_percent(request.instrument, base, view.day) if automatic else request.market_protection
    limit = protected_limit(request.instrument, request.side, base, percent)
    lower, upper = view.limits
    if upper:
        limit = min(max(limit, lower), upper)
    if stop:
        return request, {"protected": False, "band": limit, "protection": percent}
    limited = replace(request, order_type=OrderType.LIMIT, price=limit)
    return limited, {"protected": True, "band": None, "protection": percent}


def outside_circuit(request: OrderRequest, view: MarketView) -> str | None:
    lower, upper = view.limits
    for price in (request.price, request.trigger_price, request.stop_price):
        if price is None or not upper:
            continue
        if price > upper:
            return f"Your order price is higher than the current upper circuit limit of {upper}."
        if price < lower:
            return f"Your order price is lower than the current lower circuit limit of {lower}."
    return None


def _stop_beyond_market(request: OrderRequest, view: MarketView) -> str | None:
    """A stop whose trigger the market has passed already is not taken: it would protect nothing."""
    last = view.quote.last_price
    if request.trigger_price is None or (request.trigger_price - last) * request.side.sign > 0:
        return None
    where = "higher" if request.side is Side.BUY else "lower"
    return f"Trigger price for stoploss {request.side.lower()} orders should be {where} than the last price {last}."


def _cover_beyond_entry(request: OrderRequest, view: MarketView) -> str | None:
    """A cover order's stop lies on the losing side of where its entry may fill."""
    known = [price for price in (request.price, view.quote.last_price) if price]
    if request.stop_price is None or not known:
        return None
    worst = min(known) if request.side is Side.BUY else max(known)
    if (worst - request.stop_price) * request.side.sign > 0:
        return None
    where = "lower" if request.side is Side.BUY else "higher"
    return f"Trigger price of a {request.side.lower()} cover order should be {where} than {worst}."
