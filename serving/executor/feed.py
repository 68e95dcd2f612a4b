"""The ticker's thread hands frames and order updates to the session's queue, in the order in which they came."""

import queue
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.credentials import without_secrets
from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable
from serving.executor.bar_builder import Tick
from serving.executor.desk import Frame

CLOCK_TOKEN = 256265  #: Kite's token of NIFTY 50; its packets carry the market's time
RECONNECT_MAX_DELAY_S = 5  #: of the official ticker's own tries; its shortest
RECONNECT_TRIES = 300  #: its most; after these a new one is made
LATE = timedelta(seconds=5)  #: a frame further behind the newest tells only what is over


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: str


Event = Frame | OrderUpdate | Disconnected


class TradeFilter:
    """Tells packets that carry a new trade from those that repeat the last one or come after a newer one."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[datetime, int, Any]] = {}

    def is_trade(self, packet: Mapping[str, Any]) -> bool:
        at, total = packet.get("last_trade_time"), int(packet.get("volume_traded") or 0)
        if at is None:
            return False
        state = (at, total, packet["last_price"])
        before = self._seen.get(packet["instrument_token"])
        if before is not None and (before == state or _is_older(state, before)):
            return False
        self._seen[packet["instrument_token"]] = state
        return True


def _is_older(state: tuple[datetime, int, Any], before: tuple[datetime, int, Any]) -> bool:
    """By the time of the trade; within a second by the day's volume, which only grows."""
    return state[0] < before[0] or (state[0].date() == before[0].date() and state[1] < before[1])


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
    return Frame(max(stamps).astimezone(IST), ticks, _index_move(packets))


def _index_move(packets: Sequence[Mapping[str, Any]]) -> float | None:
    """Change of the index against its previous close, as a share; None if no packet tells both."""
    for packet in packets:
        if packet["instrument_token"] == CLOCK_TOKEN:
            close = (packet.get("ohlc") or {}).get("close")
            return float(packet["last_price"]) / float(close) - 1 if close and packet["last_price"] else None
    return None


def in_order(frame: Frame, newest: datetime | None) -> Frame | None:
    """The frame as it may be played after one stamped `newest`: time never runs backwards.

    One that comes a little late brings its trades at the present time; one that is too late brings nothing.
    """
    if newest is None or frame.at >= newest:
        return frame
    return Frame(newest, frame.ticks) if newest - frame.at <= LATE else None


class Feed:
    """The official ticker in its own thread. It reconnects by itself; a socket that fell mute is given up here.

    Parameters
    ----------
    root : WebSocket address, ws:// or wss://
    symbols : by instrument token, of what is traded
    mute_after_s : seconds without a packet, heartbeats included, after which a new connection is made
    """

    def __init__(self, root: str, api_key: str, symbols: Mapping[int, str], mute_after_s: float = 10.0):
        self.events: queue.Queue[tuple[Event, float]] = queue.Queue()
        self.received_at = 0.0  #: `time.perf_counter` when the event that was last handed on came in
        self.connections = 0  #: made so far; all but the first are reconnections
        self._symbols, self._trades = dict(symbols), TradeFilter()
        self._connected = queue.Queue[bool]()
        self._root, self._api_key, self._mute_after_s = root, api_key, mute_after_s
        self._ticker: Any = None
        self.access_token = ""  #: that the present connection was made with
        self._heard_at = time.monotonic()

    def start(self, access_token: str, patience_s: float = 15.0) -> None:
        """Connect and subscribe.

        Raises
        ------
        ServiceUnavailable : if there is no connection within `patience_s`.
        """
        self.connect(access_token)
        try:
            self._connected.get(timeout=patience_s)
        except queue.Empty:
            raise ServiceUnavailable(
                f"the ticker at {self._root} does not answer; check that the exchange runs"
            ) from None

    def connect(self, access_token: str) -> None:
        """Make a connection with this token; the present one, if any, is given up and heard no more."""
        from twisted.internet import reactor

        before, self.access_token = self._ticker, access_token
        self._ticker = self._new_ticker(access_token)
        self._heard_at = time.monotonic()
        if reactor.running:  # type: ignore[attr-defined]
            reactor.callFromThread(_change_over, before, self._ticker)  # type: ignore[attr-defined]
        else:
            self._ticker.connect(threaded=True)

    def next(self, timeout_s: float) -> Event | None:
        """The next event, None if nothing came; a mute socket is noticed here."""
        try:
            event, self.received_at = self.events.get(timeout=min(timeout_s, self._mute_after_s))
        except queue.Empty:
            silent = time.monotonic() - self._heard_at
            if silent < self._mute_after_s:
                return None
            self.connect(self.access_token)
            self.received_at = time.perf_counter()
            return Disconnected(f"no packet for {silent:.0f} s")
        return event

    @property
    def waits(self) -> bool:
        """Whether nothing is left to be handed on."""
        return self.events.empty()

    @property
    def silent_s(self) -> float:
        """Seconds since anything was heard of the ticker, heartbeats included."""
        return time.monotonic() - self._heard_at

    def close(self) -> None:
        """Give the connection up; the reactor runs on in its thread, for the next one."""
        from twisted.internet import reactor

        ticker, self._ticker = self._ticker, None
        if ticker is not None and reactor.running:  # type: ignore[attr-defined]
            reactor.callFromThread(_give_up, ticker)  # type: ignore[attr-defined]

    def _new_ticker(self, access_token: str) -> Any:
        from kiteconnect import KiteTicker

        ticker = KiteTicker(
            self._api_key,
            access_token,
            root=self._root,
            reconnect_max_delay=RECONNECT_MAX_DELAY_S,
            reconnect_max_tries=RECONNECT_TRIES,
        )
        ticker.on_connect = self._on_connect
        ticker.on_message = self._on_message
        ticker.on_ticks = self._on_ticks
        ticker.on_order_update = lambda ours, content: self._put(ours, OrderUpdate(content))
        ticker.on_close = lambda ours, code, reason: self._put(ours, Disconnected(_plain(code, reason)))
        return ticker

    def _put(self, ticker: Any, event: Event) -> None:
        if ticker is self._ticker:
            self.events.put((event, time.perf_counter()))

    def _on_connect(self, ticker: Any, response: Any) -> None:
        if ticker is not self._ticker:  # given up while it was still connecting
            _give_up(ticker)
            return
        tokens = [*self._symbols, CLOCK_TOKEN]
        ticker.subscribe(tokens)
        ticker.set_mode(ticker.MODE_FULL, tokens)
        self._heard_at = time.monotonic()
        self.connections += 1
        self._connected.put(True)

    def _on_message(self, ticker: Any, payload: bytes, is_binary: bool) -> None:
        if ticker is self._ticker:
            self._heard_at = time.monotonic()

    def _on_ticks(self, ticker: Any, packets: Sequence[Mapping[str, Any]]) -> None:
        if ticker is not self._ticker:
            return
        frame = frame_from(packets, self._symbols, self._trades)
        if frame is not None:
            self._put(ticker, frame)


def stop_reactor() -> None:
    """End the ticker's thread; after this no feed can connect in this process."""
    import sys

    if "twisted.internet.reactor" in sys.modules:
        from twisted.internet import reactor

        if reactor.running:  # type: ignore[attr-defined]
            reactor.callFromThread(reactor.stop)  # type: ignore[attr-defined, misc]


def _change_over(before: Any, after: Any) -> None:
    if before is not None:
        _give_up(before)
    after.connect(threaded=True)


def _give_up(ticker: Any) -> None:
    ticker.stop_retry()
    if ticker.ws is not None:
        ticker.ws.dropConnection(abort=True)


def _plain(code: Any, reason: Any) -> str:
    return without_secrets(f"{code}: {reason}")
