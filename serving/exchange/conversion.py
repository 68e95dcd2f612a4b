"""Another product for what is open: intraday shares become delivery, delivery intraday; futures and options alike."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from pipelines.domain.instruments import Instrument
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.account import Account, Position
from serving.exchange.market import PAISA
from serving.exchange.order_forms import instrument_of, product_of, quantity_of, side_of
from serving.exchange.refusals import holding_error, input_error, margin_error, order_error
from serving.exchange.venue import Venue


@dataclass(frozen=True, slots=True)
class Conversion:
    instrument: Instrument
    side: Side  #: of the position
    quantity: int
    old: Product
    new: Product
    overnight: bool


def conversion_from(form: Mapping[str, str], instruments: Mapping[str, Instrument]) -> Conversion:
    """From the form that `KiteConnect.convert_position` sends."""
    instrument = instrument_of(form, instruments)
    if form.get("position_type") not in ("day", "overnight"):
        raise input_error("Invalid `position_type`: day or overnight.")
    wanted = Conversion(
        instrument,
        side_of(form),
        quantity_of(form, instrument),
        product_of(form, instrument, "old_product"),
        product_of(form, instrument, "new_product"),
        form["position_type"] == "overnight",
    )
    if wanted.old is wanted.new:
        raise input_error("Invalid `new_product`: the position is of that product already.")
    return wanted


def convert(venue: Venue, wanted: Conversion) -> None:
    """Move a part of a position to another product at its average price, if the account can carry it there.

    Charges of ended orders stay what they were: they were taken by the product of the order.

    Raises
    ------
    KiteError : InputException, if no such position is open; OrderException, if the market is closed or intraday is
        over; HoldingException, if delivery would sell what is not held; MarginException.
    """
    _check(venue, wanted)
    account, symbol = venue.account, wanted.instrument.symbol
    before = (account.cash, _copies(account), _available(venue))
    _move(account, wanted)
    available = _available(venue)
    if available < 0 and available < before[2]:
        account.cash, account.positions = before[0], before[1]
        raise margin_error(
            f"Insufficient funds. {symbol} in {wanted.new} needs {before[2] - available:.2f} more margin but available "
            f"margin is {before[2]:.2f}."
        )


def _check(venue: Venue, wanted: Conversion) -> None:
    account, symbol = venue.account, wanted.instrument.symbol
    if not venue.course.phase(wanted.instrument).takes_orders:
        raise order_error("Markets are closed right now: positions cannot be converted.")
    held = account.positions.get((symbol, wanted.old))
    if wanted.overnight:
        raise input_error("Invalid `position_type`: positions carried over the night have no other product.")
    open_today = held.day_quantity * wanted.side.sign if held is not None else 0
    whole = held.quantity * wanted.side.sign if held is not None else 0
    if wanted.quantity > min(open_today, whole):
        raise input_error(
            f"Invalid `quantity`: {max(min(open_today, whole), 0)} of {symbol} {wanted.old} are open on that side."
        )
    if wanted.new is Product.MIS and venue.intraday_is_over(wanted.instrument):
        raise order_error("Positions cannot be converted to intraday (MIS) after the square-off time.")
    delivery = (wanted.new is Product.CNC and wanted.side is Side.SELL) or (
        wanted.old is Product.CNC and wanted.side is Side.BUY
    )
    free = account.sellable(symbol, venue.book.committed()) if delivery else wanted.quantity
    if free < wanted.quantity:
        raise holding_error(f"Insufficient holdings: {max(free, 0)} of {symbol} are free.")


def _move(account: Account, wanted: Conversion) -> None:
    old = account.position(wanted.instrument, wanted.old)
    new = account.position(wanted.instrument, wanted.new)
    price = old.average_price.quantize(PAISA)
    account.cash += old.give(wanted.side, wanted.quantity, price)
    account.cash += new.take(wanted.side, wanted.quantity, price)
    if not (old.buy_quantity or old.sell_quantity or old.overnight_quantity or old.buy_value or old.sell_value):
        del account.positions[wanted.instrument.symbol, wanted.old]


def _available(venue: Venue) -> Decimal:
    return venue.account.margin_available(venue.book.committed(), venue.board.quotes)


def _copies(account: Account) -> dict[tuple[str, Product], Position]:
    return {key: replace(position) for key, position in account.positions.items()}
