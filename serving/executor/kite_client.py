"""The official client, held to the broker's limits: paced by route, with a deadline that suits what is asked.

A time-out of the client's own counts from byte to byte; here every call ends as a whole, however its answer comes. What
is no answer of its route is an error of the client's, as is one that it cannot read.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.deadlines import hold, within
from pipelines.pacing import RESERVED_READS, ReadPacer, Route
from serving.executor.kite_answers import fault_of

KITE = "https://api.kite.trade"
KITE_TICKER = "wss://ws.kite.trade"
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")

#: Seconds from a call to the whole of its answer. The client's own 7 s are too long for an order: a stop whose answer
#: is lost leaves its position bare for as long, and the order book tells sooner whether it arrived. Kite answers an
#: order in a few tenths of a second; one that takes longer than this is looked up in the book. History and the list of
#: all instruments are larger and nobody is exposed while they come.
DEADLINES_S: Mapping[Route, float] = {
    Route.ORDER: 3.0,
    Route.OTHER: 5.0,
    Route.QUOTE: 5.0,
    Route.HISTORICAL: 20.0,
}
LARGE_S = 20.0  #: for `market.instruments`, some ten megabytes
CONNECT_S = 2.0  #: of them, to connect
BOOK_ROUTES = frozenset({"orders", "trades"})  #: what stops follow from
ORDER_ROUTES = frozenset({"order.place", "order.modify", "order.cancel"})


def route_of(name: str) -> Route:
    """What a route of the official client is counted as."""
    if name in ORDER_ROUTES:
        return Route.ORDER
    if name.startswith("market.quote"):
        return Route.QUOTE
    return Route.HISTORICAL if name == "market.historical" else Route.OTHER


def deadline_of(name: str) -> float:
    """Seconds that a call of this route may take."""
    return LARGE_S if name.startswith("market.instruments") else DEADLINES_S[route_of(name)]


def client(api_key: str, root: str, reads: ReadPacer | None = None) -> Any:
    """The official client, whose times are left as text in its books and read quickly in its candles.

    It parses every time of every row by guessing its format, which took more than half of a session's work. Should a
    release name these methods otherwise, it is slow again and as right as before.

    Parameters
    ----------
    reads : ReadPacer or None
        None where the market waits for us: its time stands still while we ask
    """
    from kiteconnect import KiteConnect
    from kiteconnect.exceptions import DataException

    class Client(KiteConnect):
        def _request(self, route: str, *others: Any, **named: Any) -> Any:
            kind, seconds = route_of(route), deadline_of(route)
            self.timeout = (min(CONNECT_S, seconds), seconds)
            if reads is not None and kind is not Route.ORDER:  # orders have a pacer that knows which of them is urgent
                spares = kind is Route.OTHER and route not in BOOK_ROUTES
                reads.wait(kind, reserved=RESERVED_READS if spares else 0)
            try:
                with within(seconds):
                    answer = super()._request(route, *others, **named)
            except DataException:  # its text has all that came
                raise DataException(f"the answer to {route} is neither JSON nor a table") from None
            fault = fault_of(route, answer)
            if fault is not None:
                raise DataException(f"what answers {route} is no answer to it: {fault}")
            return answer

        def _format_response(self, data: Any) -> Any:
            return data  # `market_time` reads the few times that are wanted

        def _format_historical(self, data: dict[str, Any]) -> list[dict[str, Any]]:
            names = ("date", "open", "high", "low", "close", "volume", "oi")
            rows = ([datetime.fromisoformat(row[0]), *row[1:]] for row in data["candles"])
            return [dict(zip(names, row, strict=False)) for row in rows]

    kite = Client(api_key=api_key, root=root)
    hold(kite.reqsession)
    if root.startswith(LOOPBACK):
        kite.reqsession.trust_env = False  # proxies of the environment are not for what runs on this machine
    return kite


def ticker_root(root: str) -> str:
    """Where the ticker of a broker's API is: Kite's has a host of its own."""
    if root == KITE:
        return KITE_TICKER
    return root.replace("https://", "wss://", 1).replace("http://", "ws://", 1)
