"""Rows of Kite's books in our words. A row that cannot be read is named and left out; the others are read."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from pipelines.domain.bars import IST
from pipelines.domain.errors import BrokerSilent
from pipelines.domain.orders import BookedOrder, Fill, OrderStatus, OrderType, Product
from pipelines.domain.signals import Side

#: Kite's words for an order that may still fill. The transitional ones come and go within moments (forum 34014; the
#: recorded order_info.json has most of them); UPDATE is of the ticker's messages.
WORKING = frozenset(
    {
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "TRIGGER PENDING",
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "MODIFIED",
        "NOT MODIFIED",
        "CANCEL PENDING",
        "NOT CANCELLED",
        "AMO REQ RECEIVED",
        "MODIFY AMO REQ RECEIVED",
        "AFTER MARKET ORDER REQ RECEIVED",
        "MODIFY AFTER MARKET ORDER REQ RECEIVED",
        "UPDATE",
    }
)
ENDED = {
    "COMPLETE": OrderStatus.COMPLETE,
    "REJECTED": OrderStatus.REJECTED,
    "CANCELLED": OrderStatus.CANCELLED,
    "CANCELLED AMO": OrderStatus.CANCELLED,
    "LAPSED": OrderStatus.CANCELLED,
}
KINDS = frozenset(kind.value for kind in OrderType)
PRODUCTS = frozenset(product.value for product in Product)
Row = Mapping[str, Any]
Read = TypeVar("Read")


def status_from(word: str) -> OrderStatus:
    """Where an order stands. A word that we do not know counts as working: what may still fill is looked after."""
    return ENDED.get(word, OrderStatus.WORKING)


def is_known(word: str) -> bool:
    return word in ENDED or word in WORKING


def booked(row: Row) -> BookedOrder:
    """One row of Kite's order book.

    A type of order that we do not place (an external one) is read as a limit order: it rests and may fill.
    """
    word = str(row["order_type"])
    order_type = OrderType(word) if word in KINDS else OrderType.LIMIT
    stop = order_type in (OrderType.SL, OrderType.SL_M)
    return BookedOrder(
        order_id=_text(row, "order_id"),
        tag=row.get("tag") or None,
        symbol=_text(row, "tradingsymbol"),
        side=Side(row["transaction_type"]),
        quantity=int(row["quantity"]),
        filled_quantity=int(row["filled_quantity"] or 0),
        order_type=order_type,
        product=Product(row["product"]),
        status=status_from(str(row["status"])),
        trigger_price=_price(row.get("trigger_price")),
        placed_at=market_time(row["order_timestamp"]),
        message=row.get("status_message") or "",
        limit_price=_price(row.get("price")),
        triggered=stop and row["status"] == "OPEN",
    )


def traded(row: Row) -> Fill:
    """One row of Kite's trade book."""
    return Fill(
        trade_id=_text(row, "trade_id"),
        order_id=_text(row, "order_id"),
        symbol=_text(row, "tradingsymbol"),
        side=Side(row["transaction_type"]),
        quantity=int(row["quantity"]),
        price=Decimal(str(row["average_price"])),
        filled_at=market_time(row["fill_timestamp"]),
    )


def is_ours_to_read(row: Row, exchange: str) -> bool:
    """Whether a row is of the exchange and of a product that we trade; any other cannot touch our positions."""
    return row.get("exchange", exchange) == exchange and (row.get("product") is None or row["product"] in PRODUCTS)


def read_rows(rows: Iterable[Row], read: Callable[[Row], Read], name: str) -> tuple[list[Read], list[str]]:
    """The rows that can be read, and a sentence for each that cannot: a missing field, None, a word or no number."""
    found: list[Read] = []
    faults: list[str] = []
    for row in rows:
        try:
            found.append(read(row))
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            faults.append(_fault(row, name, error))
    return found, faults


def require(faults: list[str]) -> None:
    """Raises BrokerSilent if a row that must be understood was not: the book counts as not read."""
    if faults:
        raise BrokerSilent("; ".join(faults))


def _price(found: float | None) -> Decimal | None:
    """Kite says 0 where there is no price."""
    return Decimal(str(found)) if found else None


def _text(row: Row, name: str) -> str:
    if row[name] is None:
        raise KeyError(name)
    return str(row[name])


def _fault(row: Any, name: str, error: Exception) -> str:
    which = row.get("order_id", "without an id") if isinstance(row, Mapping) else repr(row)[:40]
    what = f"has no {error.args[0]}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
    return f"row {which} of the broker's {name} cannot be read ({what}); look at it in Kite"


def market_time(found: datetime | str) -> datetime:
    """Kite's times are those of India, without a zone."""
    moment = found if isinstance(found, datetime) else datetime.fromisoformat(found)
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)
