"""What clients send, checked for form: a wrong word or number is an InputException that names it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from pipelines.domain.charges import PRODUCTS_OF
from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import STOPS, TAKERS, OrderRequest, Validity, Variety
from serving.exchange.refusals import input_error

MAX_MAGNITUDE = 12  #: digits before and after the point; no price or quantity needs more
WHOLE = re.compile(f"-?[0-9]{{1,{MAX_MAGNITUDE}}}")
LONGEST_NUMBER = 40  #: characters
AMOUNT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
EXCHANGES = ("NSE", "NFO")
EXPIRED = "The instrument you are placing an order for has either expired or does not exist."
MAX_TAG = 20  #: characters, as at Kite
ICEBERG_LEGS = range(2, 11)  #: how many legs an iceberg may have, as at Kite
TTL_MINUTES = range(1, 24 * 60 + 1)  #: no session is longer; Kite's own bound is not known
DISCLOSED_SHARE = Decimal("0.10")  #: of the quantity that has to be shown at least, as on NSE
AUTO_PROTECTION = Decimal(-1)
Word = TypeVar("Word", bound=StrEnum)


def order_request(form: Mapping[str, str], instruments: Mapping[str, Instrument], variety: str) -> OrderRequest:
    """A new order from the fields of the form that `KiteConnect.place_order` sends."""
    kind = order_variety(variety)
    instrument = instrument_of(form, instruments)
    tag = form.get("tag")
    if tag is not None and len(tag) > MAX_TAG:
        raise input_error(f"Invalid `tag`. Maximum allowed length is {MAX_TAG} characters.")
    cover = kind is Variety.CO
    request = OrderRequest(
        instrument=instrument,
        side=_word(form, "transaction_type", Side),
        quantity=_whole(form, "quantity"),
        product=product_of(form, instrument),
        order_type=_word(form, "order_type", OrderType),
        validity=_word(form, "validity", Validity) if "validity" in form else Validity.DAY,
        price=price_field(form, "price"),
        trigger_price=None if cover else price_field(form, "trigger_price"),
        stop_price=price_field(form, "trigger_price") if cover else None,
        market_protection=_amount(form, "market_protection") or Decimal(0),
        disclosed_quantity=_count(form, "disclosed_quantity"),
        tag=tag,
        variety=kind,
        validity_ttl=_count(form, "validity_ttl"),
        iceberg_legs=_count(form, "iceberg_legs"),
        iceberg_quantity=_count(form, "iceberg_quantity"),
    )
    if cover:
        _check_cover(request)
    return checked(_with_legs(request) if kind is Variety.ICEBERG else request)


def instrument_of(form: Mapping[str, str], instruments: Mapping[str, Instrument]) -> Instrument:
    """What the fields `exchange` and `tradingsymbol` name."""
    if _given(form, "exchange") not in EXCHANGES:
        raise input_error(f"Invalid `exchange`: the paper exchange knows {' and '.join(EXCHANGES)}.")
    instrument = instruments.get(_given(form, "tradingsymbol"))
    if instrument is None or not instrument.tradable or instrument.exchange != form["exchange"]:
        raise input_error(EXPIRED)
    return instrument


def product_of(form: Mapping[str, str], instrument: Instrument, field: str = "product") -> Product:
    """A product that the instrument is traded in: CNC and MIS in the cash segment, NRML and MIS in derivatives."""
    product = _word(form, field, Product)
    traded = PRODUCTS_OF[instrument.kind]
    if product not in traded:
        raise input_error(f"Invalid `{field}`: {instrument.exchange} knows {' and '.join(traded)}.")
    return product


def side_of(form: Mapping[str, str]) -> Side:
    return _word(form, "transaction_type", Side)


def quantity_of(form: Mapping[str, str], instrument: Instrument) -> int:
    """A quantity above zero, in whole lots."""
    quantity = _whole(form, "quantity")
    if quantity <= 0 or quantity % instrument.lot_size:
        raise input_error(f"Invalid `quantity`: above zero and a multiple of {instrument.lot_size}.")
    return quantity


def wants_slices(form: Mapping[str, str]) -> bool:
    """Whether a quantity above the freeze quantity may be sent in slices: `KiteConnect.place_autoslice_order`."""
    return form.get("autoslice", "").lower() == "true"


def order_variety(variety: str) -> Variety:
    try:
        return Variety(variety)
    except ValueError:
        raise input_error(f"Invalid `variety`: one of {', '.join(Variety)}.") from None


def order_changes(form: Mapping[str, str], variety: str) -> dict[str, Any]:
    """The changed terms from the fields of the form that `KiteConnect.modify_order` sends."""
    order_variety(variety)
    changes: dict[str, Any] = {}
    if "quantity" in form:
        changes["quantity"] = _whole(form, "quantity")
    if "order_type" in form:
        changes["order_type"] = _word(form, "order_type", OrderType)
    if "validity" in form:
        changes["validity"] = _word(form, "validity", Validity)
    for name in ("price", "trigger_price"):
        if name in form:
            changes[name] = price_field(form, name)
    if "market_protection" in form:
        changes["market_protection"] = _amount(form, "market_protection") or Decimal(0)
    if "disclosed_quantity" in form:
        changes["disclosed_quantity"] = _count(form, "disclosed_quantity")
    if not changes:
        raise input_error("Nothing to modify: give quantity, price, trigger_price, order_type or validity.")
    return changes


def checked(request: OrderRequest) -> OrderRequest:
    """The request if its terms fit together and lie on the instrument's grid."""
    _check_quantity(request)
    _check_prices(request)
    _check_validity(request)
    if request.order_type in TAKERS and not _protected(request.market_protection):
        raise input_error(
            f"{request.order_type} orders without market protection are not allowed: "
            "give market_protection -1 (automatic) or a percentage up to 100."
        )
    return request


def _check_quantity(request: OrderRequest) -> None:
    lot, disclosed = request.instrument.lot_size, request.disclosed_quantity
    if request.quantity <= 0 or request.quantity % lot:
        raise input_error(f"Invalid `quantity`: above zero and a multiple of {lot}.")
    if disclosed and not DISCLOSED_SHARE * request.quantity <= disclosed <= request.quantity:
        raise input_error("Disclosed quantity should be at least 10% of the order quantity and not above it.")


def _check_prices(request: OrderRequest) -> None:
    instrument, order_type = request.instrument, request.order_type
    if order_type in (OrderType.LIMIT, OrderType.SL) and not request.price:
        raise input_error(f"Invalid `price`: a {order_type} order needs one above zero.")
    if order_type in STOPS and not request.trigger_price:
        raise input_error(f"Invalid `trigger_price`: a {order_type} order needs one above zero.")
    for price in (request.price, request.trigger_price, request.stop_price):
        if price is not None and price % instrument.tick_size:
            raise input_error(
                f"Tick size for this script is {instrument.tick_size}. "
                "Kindly enter price in the multiple of tick size for this script."
            )
    if order_type is OrderType.SL and request.price is not None and request.trigger_price is not None:
        gap = (request.price - request.trigger_price) * request.side.sign
        if gap < 0:
            raise input_error("Trigger price of a stop lies beyond its limit price.")


def _check_validity(request: OrderRequest) -> None:
    if request.validity is Validity.TTL and request.validity_ttl not in TTL_MINUTES:
        raise input_error(
            f"Invalid `validity_ttl`: an order of validity TTL needs its minutes, 1 to {TTL_MINUTES[-1]}."
        )
    if request.validity is Validity.IOC and (request.disclosed_quantity or request.variety is Variety.ICEBERG):
        raise input_error("IOC orders can be neither disclosed in part nor icebergs.")


def _check_cover(request: OrderRequest) -> None:
    if request.product is not Product.MIS or request.order_type in STOPS:
        raise input_error("Cover orders are MARKET or LIMIT orders of product MIS.")
    if not request.stop_price:
        raise input_error("Invalid `trigger_price`: a cover order needs one above zero.")


def _with_legs(request: OrderRequest) -> OrderRequest:
    """An iceberg with the size of its legs worked out."""
    if request.iceberg_legs not in ICEBERG_LEGS:
        raise input_error("Invalid `iceberg_legs`: 2 to 10.")
    lot = request.instrument.lot_size
    even = -(-request.quantity // (request.iceberg_legs * lot)) * lot
    quantity = request.iceberg_quantity or even
    if quantity != even or quantity * (request.iceberg_legs - 1) >= request.quantity:
        raise input_error("Invalid `iceberg_quantity`: the quantity split into the legs.")
    if request.order_type in STOPS or request.disclosed_quantity:
        raise input_error("Iceberg orders are LIMIT or MARKET orders without a disclosed quantity.")
    return replace(request, iceberg_quantity=quantity, iceberg_total=request.quantity)


def _protected(protection: Decimal) -> bool:
    return protection == AUTO_PROTECTION or 0 < protection <= 100


def _given(form: Mapping[str, str], name: str) -> str:
    if not form.get(name):
        raise input_error(f"Missing or empty field `{name}`")
    return form[name]


def _word(form: Mapping[str, str], name: str, words: type[Word]) -> Word:
    try:
        return words(_given(form, name))
    except ValueError:
        raise input_error(f"Invalid `{name}`: one of {', '.join(words)}.") from None


def _whole(form: Mapping[str, str], name: str) -> int:
    return whole_number(form.get(name, ""), name)


def whole_number(text: str, name: str) -> int:
    """A whole number in plain digits, by which Kite's own clients send it.

    Python itself would read "1e3", "1_000", " 10" and digits of other scripts as well.
    """
    if not WHOLE.fullmatch(text):
        raise input_error(f"Invalid `{name}`: a whole number of at most {MAX_MAGNITUDE} digits is expected.")
    return int(text)


def decimal_from(text: str) -> Decimal | None:
    """A finite number in plain digits, with a point or an exponent; None for anything else."""
    return Decimal(text) if len(text) <= LONGEST_NUMBER and AMOUNT.fullmatch(text) else None


def _count(form: Mapping[str, str], name: str) -> int:
    """A whole number not below zero; 0 if it is not given."""
    number = _whole(form, name) if form.get(name) else 0
    if number < 0:
        raise input_error(f"Invalid `{name}`: not below zero.")
    return number


def price_field(form: Mapping[str, str], name: str) -> Decimal | None:
    """A price of the form, None if it is not given or zero."""
    amount = _amount(form, name)
    if amount is not None and amount < 0:
        raise input_error(f"Invalid `{name}`: not below zero.")
    return amount or None


def _amount(form: Mapping[str, str], name: str) -> Decimal | None:
    if not form.get(name):
        return None
    amount = decimal_from(form[name])
    if amount is None:
        raise input_error(f"Invalid `{name}`: a number is expected.")
    if amount.adjusted() > MAX_MAGNITUDE or int(amount.as_tuple().exponent) < -MAX_MAGNITUDE:
        raise input_error(f"Invalid `{name}`: a number of at most {MAX_MAGNITUDE} digits is expected.")
    return amount
