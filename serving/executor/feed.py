"""The ticker's thread hands frames and order updates to the session's queue, in the order in which they came."""

import queue
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pipelines.credentials import without_secrets
from pipelines.domain.errors import ServiceUnavailable
from serving.executor.desk import Frame
from serving.executor.packet_reader import CLOCK_TOKEN, PacketReader
from serving.packet_time import PacketTime

RECONNECT_MAX_DELAY_S = 5  #: of the official ticker's own tries; its shortest
RECONNECT_TRIES = 300  #: its most; after these a new one is made
HEARTBEAT_BYTES = 1  #: of a message that only says that the connection lives
LATE = timedelta(seconds=5)  #: a frame further behind the newest tells only what is over


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Disconnected:
    reason: str


Event = Frame | OrderUpdate | Disconnected


def in_order(frame: Frame, newest: datetime | None) -> Frame | None:
    """The frame as it may be played after one stamped `newest`: time never runs backwards.

    One that comes a little late brings its trades at the present time; one that is too late brings nothing.
    """
    if newest is None or frame.at >= newest:
        return frame
    return replace(frame, at=newest, index_move=None) if newest - frame.at <= LATE else None


class Feed:
    """The official ticker in its own thread. It reconnects by itself; a socket that fell mute is given up here.

    Parameters
    ----------
    root : WebSocket address, ws:// or wss://
    symbols : by instrument token, of what is traded, and of the indices that features look at
    mute_after_s : seconds without a packet, heartbeats included, after which a new connection is made
    time_of_packets : judges their stamps; without it each is believed
    """

    def __init__(
        self,
        root: str,
        api_key: str,
        symbols: Mapping[int, str],
        mute_after_s: float = 10.0,
        time_of_packets: PacketTime | None = None,
    ):
        self.events: queue.Queue[tuple[Event | bytes, float]] = queue.Queue()
        self.received_at = 0.0  #: `time.perf_counter` when the event that was last handed on came in
        self.connections = 0  #: made so far; all but the first are reconnections
        self.connected_at: deque[float] = deque(maxlen=50)  #: when the last ones were made, monotonic seconds
        self.packets_at: dict[int, float] = {}  #: when each token's last packet came in, monotonic seconds
        self._symbols, self._reader = dict(symbols), PacketReader(symbols, time_of_packets)
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
        """The next event, None if nothing came; a mute socket is noticed here.

        Messages are read here, in the thread that acts on them: whether a stamp is believed may need another source.
        """
        deadline = time.monotonic() + min(timeout_s, self._mute_after_s)
        while True:
            try:
                event, self.received_at = self.events.get(timeout=max(deadline - time.monotonic(), 0.0))
            except queue.Empty:
                return self._as_mute()
            if not isinstance(event, bytes):
                return event
            frame = self._reader.read(event)
            self.packets_at |= dict.fromkeys(self._reader.heard, time.monotonic())
            if frame is not None:
                return frame

    def _as_mute(self) -> Disconnected | None:
        """Nothing came: whether nothing has come for so long that a new connection is made."""
        silent = self.silent_s
        if silent < self._mute_after_s:
            return None
        self.connect(self.access_token)
        self.received_at = time.perf_counter()
        return Disconnected(f"no packet for {silent:.0f} s")

    @property
    def waits(self) -> bool:
        """Whether nothing is left to be handed on."""
        return self.events.empty()

    @property
    def symbols(self) -> Mapping[int, str]:
        """By token, what was asked for."""
        return self._symbols

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
        ticker.on_message = self._on_message  # without `on_ticks` the client does not parse the packets itself
        ticker.on_order_update = lambda ours, content: self._put(ours, OrderUpdate(content))
        ticker.on_close = lambda ours, code, reason: self._put(ours, Disconnected(_plain(code, reason)))
        return ticker

    def _put(self, ticker: Any, event: Event | bytes) -> None:
        if ticker is self._ticker:
            self.events.put((event, time.perf_counter()))

    def _on_connect(self, ticker: Any, response: Any) -> None:
        if ticker is not self._ticker:  # given up while it was still connecting
            _give_up(ticker)
            return
        tokens = list(dict.fromkeys([*self._symbols, CLOCK_TOKEN]))
        ticker.subscribe(tokens)
        ticker.set_mode(ticker.MODE_FULL, tokens)
        self._heard_at = time.monotonic()
        self.connected_at.append(self._heard_at)
        self.connections += 1
        self._connected.put(True)

    def _on_message(self, ticker: Any, payload: bytes, is_binary: bool) -> None:
        if ticker is not self._ticker:
            return
        self._heard_at = time.monotonic()
        if is_binary and len(payload) > HEARTBEAT_BYTES:
            self._put(ticker, payload)


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
