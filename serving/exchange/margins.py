"""What orders and positions block of the account's money, by Kite's items.

Stocks block a share of their value, futures SPAN and exposure, bought options their premium, sold options SPAN and
exposure. SPAN is approximated by `pipelines.domain.margin_rates`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from decimal import ROUND_CEILING, Decimal

from pipelines.domain.instruments import Instrument, Kind, OptionType
from pipelines.domain.margin_rates import margin_rates_on
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.protection import automatic_percent, protected_limit
from pipelines.domain.signals import Side
from serving.exchange.book import OrderRequest
from serving.exchange.market import PAISA
from serving.exchange.order_forms import AUTO_PROTECTION
from serving.exchange.quotes import Quote

OUT_OF_THE_MONEY_FLOOR = Decimal("0.5")  #: of the full SPAN, the least a sold option blocks


@dataclass(frozen=True, slots=True)
class Margin:
    """Rupees blocked, by item; a premium that is received stands below zero."""

    var: Decimal = Decimal(0)
    span: Decimal = Decimal(0)
    exposure: Decimal = Decimal(0)
    option_premium: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return self.var + self.span + self.exposure + self.option_premium

    def __add__(self, other: "Margin") -> "Margin":
        return Margin(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))


@dataclass(frozen=True, slots=True)
class Leg:
    """A quantity of one instrument, as an order or as what is held."""

    instrument: Instrument
    product: Product
    side: Side
    quantity: int
    price: Decimal


def margin_of(leg: Leg, quotes: Mapping[str, Quote], day: date) -> Margin:
    """What a leg blocks that opens or enlarges a position, up to the next paisa. Delivery sales block nothing."""
    instrument, value = leg.instrument, leg.quantity * leg.price
    rates = margin_rates_on(instrument, leg.product, day)
    if instrument.kind is Kind.STOCK:
        delivered = leg.product is Product.CNC and leg.side is Side.SELL
        return Margin() if delivered else Margin(var=_up(value * rates.var))
    if instrument.kind is Kind.FUTURE:
        return Margin(span=_up(value * rates.span), exposure=_up(value * rates.exposure))
    if leg.side is Side.BUY:
        return Margin(option_premium=value)
    level = underlying_level(instrument, quotes)
    full = rates.span * level
    near = max(full - _out_of_the_money(instrument, level), full * OUT_OF_THE_MONEY_FLOOR)
    return Margin(span=_up(near * leg.quantity), exposure=_up(rates.exposure * level * leg.quantity))


def basket_margin(legs: Iterable[Leg], held: Iterable[Leg], quotes: Mapping[str, Quote], day: date) -> Margin:
    """What orders block together, beside what is held: opposite legs net, a bought option bounds what a sold one loses.

    Premiums of sold options count against those of bought ones, as in Kite's `final`. Never more than the orders
    block one by one.
    """
    wanted, standing = list(legs), list(held)
    one_by_one = sum((margin_of(leg, quotes, day) for leg in wanted), Margin())
    together = _portfolio_margin([*standing, *wanted], quotes, day)
    already = _portfolio_margin(standing, quotes, day)
    premium = sum((leg.side.sign * leg.quantity * leg.price for leg in wanted if _option(leg)), Decimal(0))
    return Margin(
        var=min(max(together.var - already.var, Decimal(0)), one_by_one.var),
        span=min(max(together.span - already.span, Decimal(0)), one_by_one.span),
        exposure=min(max(together.exposure - already.exposure, Decimal(0)), one_by_one.exposure),
        option_premium=min(premium, one_by_one.option_premium),
    )


def underlying_level(instrument: Instrument, quotes: Mapping[str, Quote]) -> Decimal:
    """Where the underlying stands; unquoted, a future's own price and an option's strike stand in."""
    found = quotes.get(instrument.underlying_symbol)
    if found is not None and found.last_price:
        return found.last_price
    if instrument.strike is not None:
        return instrument.strike
    return quotes[instrument.symbol].last_price


def order_price(request: OrderRequest, quote: Quote) -> Decimal:
    """The price that an order names, or the market's."""
    if request.order_type in (OrderType.LIMIT, OrderType.SL) and request.price is not None:
        return request.price
    if request.trigger_price is not None and request.side is Side.BUY:
        return max(request.trigger_price, quote.last_price)
    return quote.last_price


def reference_price(request: OrderRequest, quote: Quote, day: date) -> Decimal:
    """The price that an order's margin is reckoned at: of a purchase at the market the end of its protection, of a sale
    at least the market's price.
    """
    price = order_price(request, quote)
    if request.side is Side.SELL:
        return max(price, quote.last_price)
    at_the_market = request.order_type in (OrderType.MARKET, OrderType.SL_M) and request.market_protection
    if not at_the_market or not price:
        return price
    automatic = request.market_protection == AUTO_PROTECTION
    percent = automatic_percent(request.instrument, price, day) if automatic else request.market_protection
    return protected_limit(request.instrument, request.side, price, percent)


def _portfolio_margin(legs: list[Leg], quotes: Mapping[str, Quote], day: date) -> Margin:
    """Netted by instrument and product, then options of one underlying, expiry and type against each other."""
    net: dict[tuple[str, Product], Leg] = {}
    for leg in legs:
        key = (leg.instrument.symbol, leg.product)
        net[key] = _netted(net[key], leg) if key in net else leg
    standing = [leg for leg in net.values() if leg.quantity]
    plain = sum((margin_of(leg, quotes, day) for leg in standing if not _option(leg)), Margin())
    families: dict[tuple[str, object, object], list[Leg]] = {}
    for leg in standing:
        if _option(leg):
            family = (leg.instrument.underlying, leg.instrument.expiry, leg.instrument.option_type)
            families.setdefault(family, []).append(leg)
    return sum((_family_margin(family, quotes, day) for family in families.values()), plain)


def _family_margin(legs: list[Leg], quotes: Mapping[str, Quote], day: date) -> Margin:
    """Sold options against bought ones: where enough are bought, SPAN is no more than the strikes lie apart."""
    sold = [leg for leg in legs if leg.side is Side.SELL]
    bought = [leg for leg in legs if leg.side is Side.BUY]
    margin = sum((margin_of(leg, quotes, day) for leg in sold), Margin())
    if sold and sum(leg.quantity for leg in bought) >= sum(leg.quantity for leg in sold):
        worst = max((_strike_gap(one, other) for one in sold for other in bought), default=Decimal(0))
        bounded = worst * sum(leg.quantity for leg in sold)
        margin = replace(margin, span=min(margin.span, bounded))
    return margin


def _strike_gap(sold: Leg, bought: Leg) -> Decimal:
    """What a sold option can lose at most when a bought one of another strike stands against it, per unit."""
    assert sold.instrument.strike is not None
    assert bought.instrument.strike is not None
    gap = bought.instrument.strike - sold.instrument.strike
    return max(gap if sold.instrument.option_type is OptionType.CALL else -gap, Decimal(0))


def _netted(one: Leg, other: Leg) -> Leg:
    quantity = one.side.sign * one.quantity + other.side.sign * other.quantity
    side = Side.BUY if quantity >= 0 else Side.SELL
    return replace(
        one if one.side is side else other, side=side, quantity=abs(quantity), price=max(one.price, other.price)
    )


def _out_of_the_money(instrument: Instrument, level: Decimal) -> Decimal:
    assert instrument.strike is not None
    gap = instrument.strike - level
    return max(gap if instrument.option_type is OptionType.CALL else -gap, Decimal(0))


def _option(leg: Leg) -> bool:
    return leg.instrument.kind is Kind.OPTION


def _up(amount: Decimal) -> Decimal:
    return amount.quantize(PAISA, ROUND_CEILING)
