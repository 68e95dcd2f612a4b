"""Orders that come in parts: an iceberg shows one leg after the other, a cover order's stop follows its entry."""

from dataclasses import replace

from pipelines.domain.orders import OrderType
from serving.exchange.book import Order, OrderRequest, Status, Validity, Variety
from serving.exchange.order_forms import AUTO_PROTECTION


def first_leg(request: OrderRequest) -> OrderRequest:
    """What is sent of an order at once: of an iceberg its first leg, else the whole."""
    if request.variety is not Variety.ICEBERG:
        return request
    return replace(request, quantity=request.iceberg_quantity)


def next_leg(placed: OrderRequest, ended: Order) -> OrderRequest | None:
    """The leg that follows when one has ended; None if it was no iceberg, not filled, or the last.

    Parameters
    ----------
    placed : the leg's request as it came from the client, not as it was protected
    ended : the leg's last state
    """
    rest = placed.iceberg_total - ended.leg * placed.iceberg_quantity
    if placed.variety is not Variety.ICEBERG or ended.status is not Status.COMPLETE or rest <= 0:
        return None
    terms = placed if ended.protected else ended.request  # a changed price holds for the legs that follow
    return replace(terms, quantity=min(placed.iceberg_quantity, rest))


def cover_request(entry: Order) -> OrderRequest:
    """The stop of a cover order for the shares that its entry has so far."""
    return replace(
        entry.request,
        side=entry.request.side.opposite,
        quantity=entry.filled_quantity,
        order_type=OrderType.SL_M,
        price=None,
        trigger_price=entry.request.stop_price,
        stop_price=None,
        validity=Validity.DAY,
        validity_ttl=0,
        market_protection=AUTO_PROTECTION,
    )
