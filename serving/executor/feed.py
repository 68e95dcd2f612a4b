"""The ticker's thread hands frames and order updates to the session's queue, in the order in which they came."""

import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable
from serving.executor.bar_builder import Tick
from serving.executor.session import Frame

CLOCK_TOKEN = 256265  #: Kite's token of NIFTY 50; its packets carry the market's time


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: str


Event = Frame | OrderUpdate | Disconnected


class TradeFilter:
    """Tells packets that carry a new trade from those that only repeat the last one."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, ...]] = {}

    def is_trade(self, packet: Mapping[str, Any]) -> bool:
        state = (packet.get("last_trade_time"), packet.get("volume_traded"), packet["last_price"])
        if packet.get("last_trade_time") is None or self._seen.get(packet["instrument_token"]) == state:
            return False
        self._seen[packet["instrument_token"]] = state
        return True


def frame_from(packets: Sequence[Mapping[str, Any]], symbols: Mapping[int, str], trades: TradeFilter) -> Frame | None:
    """A frame from the packets of one message; None if none of them carries a time.

    The official client gives times without a zone, in that of this machine; they are turned into those of the market.
    """
    stamps = [moment for packet in packets if (moment := packet.get("exchange_timestamp")) is not None]
    if not stamps:
        return None
    ticks = tuple(
        Tick(
            symbols[packet["instrument_token"]],
            float(packet["last_price"]),
            int(packet.get("volume_traded", 0)),
            min(packet["last_trade_time"], packet["exchange_timestamp"]).astimezone(IST),
        )
        for packet in packets
        if packet["instrument_token"] in symbols and packet.get("exchange_timestamp") and trades.is_trade(packet)
    )
    return Frame(max(stamps).astimezone(IST), ticks)


class Feed:
    """The official ticker in its own thread.

    Parameters
    ----------
    root : WebSocket address, ws:// or wss://
    symbols : by instrument token, of what is traded
    """

    def __init__(self, root: str, api_key: str, access_token: str, symbols: Mapping[int, str]):
        from kiteconnect import KiteTicker

        self.events: queue.Queue[Event] = queue.Queue()
        self._symbols, self._trades = dict(symbols), TradeFilter()
        self._connected = queue.Queue[bool]()
        self._root = root
        self._ticker = KiteTicker(api_key, access_token, root=root)
        self._ticker.on_connect = self._on_connect
        self._ticker.on_ticks = self._on_ticks
        self._ticker.on_order_update = lambda _, content: self.events.put(OrderUpdate(content))
        self._ticker.on_close = lambda _, code, reason: self.events.put(Disconnected(f"{code}: {reason}"))

    def start(self, patience_s: float = 15.0) -> None:
        """Connect and subscribe.

        Raises
        ------
        ServiceUnavailable : if there is no connection within `patience_s`.
        """
        self._ticker.connect(threaded=True)
        try:
            self._connected.get(timeout=patience_s)
        except queue.Empty:
            raise ServiceUnavailable(
                f"the ticker at {self._root} does not answer; check that the exchange runs"
            ) from None

    def next(self, timeout_s: float) -> Event | None:
        try:
            return self.events.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def close(self) -> None:
        from twisted.internet import reactor

        self._ticker.stop_retry()
        reactor.callFromThread(reactor.stop)  # type: ignore[attr-defined, misc]

    def _on_connect(self, ticker: Any, response: Any) -> None:
        tokens = [*self._symbols, CLOCK_TOKEN]
        ticker.subscribe(tokens)
        ticker.set_mode(ticker.MODE_FULL, tokens)
        self._connected.put(True)

    def _on_ticks(self, ticker: Any, packets: Sequence[Mapping[str, Any]]) -> None:
        frame = frame_from(packets, self._symbols, self._trades)
        if frame is not None:
            self.events.put(frame)


def older_than(frame: Frame, moment: datetime | None) -> bool:
    """Whether a frame tells nothing new: after a reconnection the last one may come again."""
    return moment is not None and frame.at < moment
