"""The broker: thin over the official `kiteconnect` client, whose root is Kite or the paper exchange.

Kite has no idempotency key. After an unclear answer the order book is read by our tag; nothing is sent again blindly.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlparse

from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable
from pipelines.domain.orders import BookedOrder, Fill, Intent, OrderStatus, OrderType, Product
from pipelines.domain.signals import Side

EXCHANGE = "NSE"
VARIETY = "regular"
AUTO_PROTECTION = -1  #: the broker chooses the band of a marketable order; without protection it is refused
LOOKS = 3  #: times the order book is read after an unclear answer
PAUSE_S = 0.3
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Refused:
    """The broker said no, or never got it: the order is not in its book."""

    message: str
    unclear: bool = False  #: there was no answer; the book was read and did not show it


class Broker(Protocol):
    """What the session asks of a broker; `tests` have a small honest one in memory."""

    def place(self, intent: Intent) -> str | Refused: ...

    def leave(self, order_id: str, quantity: int, limit_price: Decimal | None) -> Refused | None: ...

    def resize(self, order_id: str, quantity: int) -> Refused | None: ...

    def cancel(self, order_id: str) -> Refused | None: ...

    def orders(self) -> list[BookedOrder]: ...

    def fills(self) -> list[Fill]: ...

    def shares(self) -> dict[str, int]: ...

    def cash(self) -> Decimal: ...


class KiteBroker:
    """Zerodha, or whatever speaks its protocol.

    Parameters
    ----------
    kite : kiteconnect.KiteConnect with an access token
    orders_per_second : int or None
        Of the wall clock, over placing, modifying and cancelling: more are held back, since the broker would refuse.
        None where the market waits for us: its time stands still while we order.
    """

    def __init__(self, kite: Any, orders_per_second: int | None):
        self._kite = kite
        self._per_second = orders_per_second
        self._sent: deque[float] = deque()
        self._read: dict[str, tuple[dict[str, Any], BookedOrder]] = {}  # rows of the order book as last read, by id

    def place(self, intent: Intent) -> str | Refused:
        """Send an order; its id once it is in the broker's book."""
        price = {"price": float(intent.limit_price)} if intent.limit_price is not None else {}
        trigger = {"trigger_price": float(intent.trigger_price)} if intent.trigger_price is not None else {}
        protection = {"market_protection": AUTO_PROTECTION} if _takes(intent.order_type) else {}

        def send() -> str:
            return self._kite.place_order(
                variety=VARIETY,
                exchange=EXCHANGE,
                tradingsymbol=intent.symbol,
                transaction_type=intent.side.value,
                quantity=intent.quantity,
                product=intent.product.value,
                order_type=intent.order_type.value,
                validity="DAY",
                tag=intent.tag,
                **price,
                **trigger,
                **protection,
            )

        answer = self._ordering(send)
        if isinstance(answer, Refused):
            # also after a clear refusal: some refused orders stay in the book, and a book beats a message
            found = self._find(intent.tag, looks=LOOKS if answer.unclear else 1)
            return found if found is not None else answer
        return str(answer)

    def leave(self, order_id: str, quantity: int, limit_price: Decimal | None) -> Refused | None:
        """Change a resting order into an exit of `quantity` shares, filled ones included.

        With a price it becomes a limit, without one a protected market order.
        """
        if limit_price is None:
            terms = {"order_type": OrderType.MARKET.value, "market_protection": AUTO_PROTECTION}
        else:
            terms = {"order_type": OrderType.LIMIT.value, "price": float(limit_price)}
        return self._changing(
            lambda: self._kite.modify_order(
                variety=VARIETY, order_id=order_id, quantity=quantity, validity="DAY", **terms
            )
        )

    def resize(self, order_id: str, quantity: int) -> Refused | None:
        return self._changing(
            lambda: self._kite.modify_order(
                variety=VARIETY, order_id=order_id, quantity=quantity, market_protection=AUTO_PROTECTION
            )
        )

    def cancel(self, order_id: str) -> Refused | None:
        return self._changing(lambda: self._kite.cancel_order(variety=VARIETY, order_id=order_id))

    def orders(self) -> list[BookedOrder]:
        """The order book of the day."""
        return [self._booked(row) for row in self._reading(self._kite.orders)]

    def fills(self) -> list[Fill]:
        """The trade book of the day."""
        return [traded(row) for row in self._reading(self._kite.trades)]

    def shares(self) -> dict[str, int]:
        """Shares held by symbol, below zero when short: what was held at the day's start and what the day changed."""
        held: dict[str, int] = {}
        for row in self._reading(self._kite.holdings):
            held[row["tradingsymbol"]] = int(row["opening_quantity"])
        for row in self._reading(self._kite.positions)["net"]:
            symbol = row["tradingsymbol"]
            held[symbol] = held.get(symbol, 0) + int(row["quantity"])
        return {symbol: quantity for symbol, quantity in held.items() if quantity}

    def cash(self) -> Decimal:
        """The cash ledger, in rupees."""
        return Decimal(str(self._reading(self._kite.margins)["equity"]["available"]["cash"])).quantize(Decimal("0.01"))

    def _booked(self, row: dict[str, Any]) -> BookedOrder:
        """Most rows of a book are as they were at the last look."""
        before, order = self._read.get(row["order_id"], (None, None))
        if order is None or before != row:
            order = booked(row)
            self._read[row["order_id"]] = (row, order)
        return order

    def _find(self, tag: str, looks: int) -> str | None:
        for look in range(looks):
            if look:
                time.sleep(PAUSE_S)
            found = [order.order_id for order in self.orders() if order.tag == tag]
            if found:
                return found[0]
        return None

    def _changing(self, send: Callable[[], Any]) -> Refused | None:
        answer = self._ordering(send)
        return answer if isinstance(answer, Refused) else None

    def _ordering(self, send: Callable[[], Answer]) -> Answer | Refused:
        """Send one order call; a 429 was surely not carried out and is sent once more."""
        from kiteconnect.exceptions import KiteException
        from requests import RequestException

        for attempt in range(3):
            self._pace()
            try:
                return send()
            except KiteException as error:
                code = int(getattr(error, "code", 500) or 500)
                if code == 429 and attempt < 2:
                    time.sleep(1.0)
                    continue
                return Refused(str(error), unclear=code >= 500)
            except RequestException as error:
                return Refused(f"no answer: {type(error).__name__}", unclear=True)
        raise AssertionError("the loop returns")

    def _reading(self, read: Callable[[], Answer]) -> Answer:
        """A call without effect, tried again a few times."""
        from kiteconnect.exceptions import KiteException
        from requests import RequestException

        for look in range(LOOKS):
            try:
                return read()
            except (KiteException, RequestException) as error:
                if look == LOOKS - 1:
                    name = getattr(read, "__name__", "read")
                    raise ServiceUnavailable(
                        f"the broker at {self._kite.root} does not answer {name} ({type(error).__name__}: {error}); "
                        "check that it runs and that the log-in is of today"
                    ) from None
                time.sleep(PAUSE_S)
        raise AssertionError("the loop returns")

    def _pace(self) -> None:
        if self._per_second is None:
            return
        now = time.monotonic()
        while self._sent and now - self._sent[0] >= 1.0:
            self._sent.popleft()
        if len(self._sent) >= self._per_second:
            time.sleep(max(1.0 - (now - self._sent[0]), 0.0))
            self._sent.popleft()
        self._sent.append(time.monotonic())


def log_in(root: str, api_key: str, api_secret: str) -> Any:
    """A client with an access token. The paper exchange logs in by itself; at Kite a person does, in a browser.

    Raises
    ------
    ServiceUnavailable : if it does not answer or refuses the keys.
    """
    import requests
    from kiteconnect.exceptions import KiteException

    kite = client(api_key, root)
    try:
        answer = requests.get(
            f"{root}/connect/login", params={"v": "3", "api_key": api_key}, allow_redirects=False, timeout=7
        )
        token = parse_qs(urlparse(answer.headers.get("location", "")).query).get("request_token", [""])[0]
        kite.set_access_token(kite.generate_session(token, api_secret)["access_token"])
    except (requests.RequestException, KiteException) as error:
        raise ServiceUnavailable(
            f"cannot log in at {root} ({type(error).__name__}); start the exchange, with the same credentials"
        ) from None
    return kite


def client(api_key: str, root: str) -> Any:
    """The official client, whose times are left as text in its books and read quickly in its candles.

    It parses every time of every row by guessing its format, which took more than half of a session's work. Should a
    release name these two methods otherwise, it is slow again and as right as before.
    """
    from kiteconnect import KiteConnect

    class Client(KiteConnect):
        def _format_response(self, data: Any) -> Any:
            return data  # `market_time` reads the few times that are wanted

        def _format_historical(self, data: dict[str, Any]) -> list[dict[str, Any]]:
            names = ("date", "open", "high", "low", "close", "volume", "oi")
            rows = ([datetime.fromisoformat(row[0]), *row[1:]] for row in data["candles"])
            return [dict(zip(names, row, strict=False)) for row in rows]

    kite = Client(api_key=api_key, root=root)
    if root.startswith(LOOPBACK):
        kite.reqsession.trust_env = False  # proxies of the environment are not for what runs on this machine
    return kite


def booked(row: dict[str, Any]) -> BookedOrder:
    """One row of Kite's order book."""
    order_type = OrderType(row["order_type"])
    stop = order_type in (OrderType.SL, OrderType.SL_M)
    return BookedOrder(
        order_id=str(row["order_id"]),
        tag=row.get("tag") or None,
        symbol=row["tradingsymbol"],
        side=Side(row["transaction_type"]),
        quantity=int(row["quantity"]),
        filled_quantity=int(row["filled_quantity"]),
        order_type=order_type,
        product=Product(row["product"]),
        status=_status(row["status"]),
        trigger_price=_price(row.get("trigger_price")),
        placed_at=market_time(row["order_timestamp"]),
        message=row.get("status_message") or "",
        limit_price=_price(row.get("price")),
        triggered=stop and row["status"] == "OPEN",
    )


def traded(row: dict[str, Any]) -> Fill:
    """One row of Kite's trade book."""
    return Fill(
        trade_id=str(row["trade_id"]),
        order_id=str(row["order_id"]),
        symbol=row["tradingsymbol"],
        side=Side(row["transaction_type"]),
        quantity=int(row["quantity"]),
        price=Decimal(str(row["average_price"])),
        filled_at=market_time(row["fill_timestamp"]),
    )


def market_time(found: datetime | str) -> datetime:
    """Kite's times are those of India, without a zone."""
    moment = datetime.fromisoformat(found) if isinstance(found, str) else found
    return moment.replace(tzinfo=IST) if moment.tzinfo is None else moment.astimezone(IST)


def _price(found: float | None) -> Decimal | None:
    """Kite says 0 where there is no price."""
    return Decimal(str(found)) if found else None


def _status(word: str) -> OrderStatus:
    if word == "COMPLETE":
        return OrderStatus.COMPLETE
    if word == "REJECTED":
        return OrderStatus.REJECTED
    return OrderStatus.CANCELLED if word.startswith("CANCELLED") else OrderStatus.WORKING


def _takes(order_type: OrderType) -> bool:
    return order_type in (OrderType.MARKET, OrderType.SL_M)
