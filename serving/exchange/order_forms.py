"""What clients send, checked for form: a wrong word or number is an InputException that names it."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeVar

from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import TAKERS, OrderRequest, Validity
from serving.exchange.refusals import input_error

MAX_TAG = 20  #: characters, as at Kite
AUTO_PROTECTION = Decimal(-1)
Word = TypeVar("Word", bound=StrEnum)


def order_request(form: Mapping[str, str], instruments: Mapping[str, Instrument], variety: str) -> OrderRequest:
    """A new order from the fields of the form that `KiteConnect.place_order` sends."""
    _check_variety(variety)
    if _given(form, "exchange") != "NSE":
        raise input_error("Invalid `exchange`: the paper exchange knows NSE.")
    instrument = instruments.get(_given(form, "tradingsymbol"))
    if instrument is None or not instrument.tradable:
        raise input_error("The instrument you are placing an order for has either expired or does not exist.")
    tag = form.get("tag")
    if tag is not None and len(tag) > MAX_TAG:
        raise input_error(f"Invalid `tag`. Maximum allowed length is {MAX_TAG} characters.")
    request = OrderRequest(
        instrument=instrument,
        side=_word(form, "transaction_type", Side),
        quantity=_whole(form, "quantity"),
        product=_word(form, "product", Product),
        order_type=_word(form, "order_type", OrderType),
        validity=_word(form, "validity", Validity) if "validity" in form else Validity.DAY,
        price=_price(form, "price"),
        trigger_price=_price(form, "trigger_price"),
        market_protection=_amount(form, "market_protection") or Decimal(0),
        disclosed_quantity=int(_amount(form, "disclosed_quantity") or 0),
        tag=tag,
    )
    return checked(request)


def order_changes(form: Mapping[str, str], variety: str) -> dict[str, Any]:
    """The changed terms from the fields of the form that `KiteConnect.modify_order` sends."""
    _check_variety(variety)
    changes: dict[str, Any] = {}
    if "quantity" in form:
        changes["quantity"] = _whole(form, "quantity")
    if "order_type" in form:
        changes["order_type"] = _word(form, "order_type", OrderType)
    if "validity" in form:
        changes["validity"] = _word(form, "validity", Validity)
    for name in ("price", "trigger_price"):
        if name in form:
            changes[name] = _price(form, name)
    if "market_protection" in form:
        changes["market_protection"] = _amount(form, "market_protection") or Decimal(0)
    if not changes:
        raise input_error("Nothing to modify: give quantity, price, trigger_price, order_type or validity.")
    return changes


def checked(request: OrderRequest) -> OrderRequest:
    """The request if its terms fit together and lie on the instrument's grid."""
    instrument, order_type = request.instrument, request.order_type
    if request.quantity <= 0 or request.quantity % instrument.lot_size:
        raise input_error(f"Invalid `quantity`: above zero and a multiple of {instrument.lot_size}.")
    if order_type in (OrderType.LIMIT, OrderType.SL) and not request.price:
        raise input_error(f"Invalid `price`: a {order_type} order needs one above zero.")
    if order_type in (OrderType.SL, OrderType.SL_M) and not request.trigger_price:
        raise input_error(f"Invalid `trigger_price`: a {order_type} order needs one above zero.")
    for price in (request.price, request.trigger_price):
        if price is not None and price % instrument.tick_size:
            raise input_error(
                f"Tick size for this script is {instrument.tick_size}. "
                "Kindly enter price in the multiple of tick size for this script."
            )
    if order_type is OrderType.SL and request.price is not None and request.trigger_price is not None:
        gap = (request.price - request.trigger_price) * request.side.sign
        if gap < 0:
            raise input_error("Trigger price of a stop lies beyond its limit price.")
    if order_type in TAKERS and not _protected(request.market_protection):
        raise input_error(
            f"{order_type} orders without market protection are not allowed: "
            "give market_protection -1 (automatic) or a percentage up to 100."
        )
    return request


def _protected(protection: Decimal) -> bool:
    return protection == AUTO_PROTECTION or 0 < protection <= 100


def _check_variety(variety: str) -> None:
    if variety != "regular":
        raise input_error("Invalid `variety`: the paper exchange knows regular.")


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
    amount = _amount(form, name)
    if amount is None or amount != amount.to_integral_value():
        raise input_error(f"Invalid `{name}`: a whole number is expected.")
    return int(amount)


def _price(form: Mapping[str, str], name: str) -> Decimal | None:
    amount = _amount(form, name)
    if amount is not None and amount < 0:
        raise input_error(f"Invalid `{name}`: not below zero.")
    return amount or None


def _amount(form: Mapping[str, str], name: str) -> Decimal | None:
    if not form.get(name):
        return None
    try:
        amount = Decimal(form[name])
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise input_error(f"Invalid `{name}`: a number is expected.")
    return amount
