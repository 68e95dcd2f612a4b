"""Autoslice: a quantity above the freeze quantity goes to the exchange in slices, each an order of its own."""

from dataclasses import dataclass, replace

from serving.exchange.acceptance import freeze_of
from serving.exchange.book import Order, OrderRequest, Variety
from serving.exchange.refusals import KiteError, input_error
from serving.exchange.venue import Venue

MAX_SLICES = 10  #: as at Kite


@dataclass(frozen=True, slots=True)
class Sliced:
    """What became of an order that could be sliced; some slices may have been refused, the others work."""

    order_id: str  #: the parent's, which is no order itself; without children the one order's
    children: tuple[Order | KiteError, ...] = ()


def place_sliced(venue: Venue, request: OrderRequest) -> Sliced:
    """Place an order, in slices if its quantity is above the freeze quantity.

    Raises
    ------
    KiteError : if more than 10 slices were needed, or if the order fits into one and that one is refused.
    """
    most = freeze_of(request, venue.view(request.instrument.symbol))
    if request.quantity <= most or request.variety is Variety.ICEBERG:  # in parts already
        return Sliced(venue.place(request).order_id)
    slices = -(-request.quantity // most)
    if slices > MAX_SLICES:
        raise input_error(
            f"Quantity {request.quantity} needs {slices} slices of {most}; at most {MAX_SLICES} are made."
        )
    parent = venue.book.new_id(venue.session.day)
    sizes = [min(most, request.quantity - most * place) for place in range(slices)]
    tags = ("autoslice", f"autoslice:{parent}")
    return Sliced(parent, tuple(_placed(venue, replace(request, quantity=size), tags) for size in sizes))


def _placed(venue: Venue, request: OrderRequest, tags: tuple[str, ...]) -> Order | KiteError:
    try:
        return venue.place(request, marks=tags)
    except KiteError as refused:
        return refused
