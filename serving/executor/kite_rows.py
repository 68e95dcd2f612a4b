"""Rows of Kite's books in our words. A row that cannot be read is named and left out; the others are read."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from pipelines.domain.bars import IST
from pipelines.domain.errors import BrokerSilent
from pipelines.domain.orders import BookedOrder, Fill, OrderStatus, OrderType, Product
from pipelines.domain.signals import Side
from serving.executor.kite_answers import is_number, is_word

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
MOST_SHARES = 10**9
HIGHEST_PRICE = 1e8  #: rupees a share
MOST_NAMED = 3  #: rows of one book that cannot be read
LONGEST_MESSAGE = 500  #: characters
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
        order_id=text_of(row, "order_id"),
        tag=text_of(row, "tag") if row.get("tag") else None,
        symbol=text_of(row, "tradingsymbol"),
        side=Side(row["transaction_type"]),
        quantity=_count(row, "quantity", least=1),
        filled_quantity=_count(row, "filled_quantity") if row["filled_quantity"] is not None else 0,
        order_type=order_type,
        product=Product(row["product"]),
        status=status_from(str(row["status"])),
        trigger_price=_price(row.get("trigger_price")),
        placed_at=market_time(row["order_timestamp"]),
        message=plain(row.get("status_message") or ""),
        limit_price=_price(row.get("price")),
        triggered=stop and row["status"] == "OPEN",
    )


def traded(row: Row) -> Fill:
    """One row of Kite's trade book."""
    return Fill(
        trade_id=text_of(row, "trade_id"),
        order_id=text_of(row, "order_id"),
        symbol=text_of(row, "tradingsymbol"),
        side=Side(row["transaction_type"]),
        quantity=_count(row, "quantity", least=1),
        price=_paid(row["average_price"]),
        filled_at=market_time(row["fill_timestamp"]),
    )


def is_ours_to_read(row: Row, exchange: str) -> bool:
    """Whether a row is of the exchange and of a product that we trade; any other cannot touch our positions.

    What is no row at all, or has no words there, is ours to read: it is named by who reads it.
    """
    if not isinstance(row, Mapping):
        return True
    where, product = row.get("exchange", exchange), row.get("product")
    is_elsewhere = isinstance(where, str) and where != exchange
    return not is_elsewhere and (not isinstance(product, str) or product in PRODUCTS)


def read_rows(rows: Iterable[Row], read: Callable[[Row], Read], name: str) -> tuple[list[Read], list[str]]:
    """The rows that can be read, and a sentence for each that cannot: a missing field, None, a word or no number."""
    found: list[Read] = []
    faults: list[str] = []
    for row in rows:
        try:
            found.append(read(row))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            faults.append(_fault(row, name, error))
    return found, faults


def require(faults: list[str]) -> None:
    """Raises BrokerSilent if a row that must be understood was not: the book counts as not read."""
    if faults:
        more = f"; and {len(faults) - MOST_NAMED} more" if len(faults) > MOST_NAMED else ""
        raise BrokerSilent("; ".join(faults[:MOST_NAMED]) + more)


def shares_of(row: Row, name: str) -> int:
    """Shares held, below zero when short.

    Raises
    ------
    ValueError : if it is no whole number, or more than can be.
    """
    found = row[name]
    if not is_number(found, -MOST_SHARES, MOST_SHARES) or found != int(found):
        raise ValueError(f"{name} is {_shown(found)}")
    return int(found)


def plain(found: Any) -> str:
    """What the broker says, short and on one line."""
    text = found if isinstance(found, str) else _shown(found)
    return "".join(letter if letter.isprintable() else " " for letter in text[:LONGEST_MESSAGE])


def _count(row: Row, name: str, least: int = 0) -> int:
    count = shares_of(row, name)
    if count < least:
        raise ValueError(f"{name} is {count}")
    return count


def _price(found: float | None) -> Decimal | None:
    """Kite says 0 where there is no price."""
    return _paid(found) if found else None


def _paid(found: Any) -> Decimal:
    if not is_number(found, 0, HIGHEST_PRICE) or not found:
        raise ValueError(f"a price is {_shown(found)}")
    return Decimal(str(found))


def text_of(row: Row, name: str) -> str:
    """A short text. Raises ValueError if it is none, KeyError if there is none."""
    found = row[name]
    if found is None:
        raise KeyError(name)
    if isinstance(found, int) and not isinstance(found, bool) and abs(found) < 10**30:
        found = str(found)  # ids are numbers in some of Kite's books
    if not is_word(found):
        raise ValueError(f"{name} is {_shown(found)}")
    return str(found)


def _shown(found: Any) -> str:
    """A few characters of it; what is huge or nested is not written out."""
    if isinstance(found, str):
        return repr(found[:40])
    if found is None or isinstance(found, bool | float) or (isinstance(found, int) and abs(found) < 10**18):
        return repr(found)
    return f"a huge {type(found).__name__}" if isinstance(found, int) else f"a {type(found).__name__}"


def _fault(row: Any, name: str, error: Exception) -> str:
    which = _shown(row.get("order_id", "without an id")).strip("'") if isinstance(row, Mapping) else _shown(row)
    what = f"has no {error.args[0]}" if isinstance(error, KeyError) else plain(f"{type(error).__name__}: {error}")
    return f"row {which} of the broker's {name} cannot be read ({what}); look at it in Kite"


def market_time(found: datetime | str) -> datetime:
    """Kite's times are those of India, without a zone."""
    moment = found if isinstance(found, datetime) else datetime.fromisoformat(found)
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)
