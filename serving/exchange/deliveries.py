"""What is sent to connected tickers: order updates as text, a frame of packets for each step, a heartbeat.

Each text is encoded once, each frame once for all subscribers that want the same.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from serving.exchange import answers, packets
from serving.exchange.book import Order
from serving.exchange.faults import EVENTS, STAMPS, TICKERS, TICKS, FaultKind, Faults, Injection, Purpose, order_purpose
from serving.exchange.market import Frame
from serving.exchange.packets import Mode, Snapshot
from serving.exchange.spoilt_ticks import WILD_FACTOR, spoilt_packet
from serving.exchange.venue import State, Step, Venue

LOG = logging.getLogger("tradesage.exchange")
SETTLED_SECONDS = 0.05  #: after a subscription message another one may follow: subscribe, then the mode
MUTE_SECONDS = 1.0  #: a ticker that has not subscribed for so long does not want to
DEAF_SECONDS = 10.0  #: a ticker that takes nothing for so long is gone; the market does not wait longer for it
LATE_STEPS = 2  #: by which a late order update is behind
EXPIRED = 1008  #: WebSocket close code: policy violation

__all__ = ["WILD_FACTOR", "Deliveries", "Subscriber", "Updates", "Wire"]
Updates = Sequence[tuple[Order, str]]  #: an order and the event that is told of it


class Wire(Protocol):
    """The part of a WebSocket that is written to."""

    async def send_text(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...

    async def close(self, code: int = 1000) -> None: ...


@dataclass(eq=False)
class Subscriber:
    """One connected ticker and what it wants to see, by instrument token."""

    wire: Wire
    modes: dict[int, Mode] = field(default_factory=dict)
    most: int | None = None  #: instruments it may ask for
    allowed: Callable[[], bool] = lambda: True  #: whether its access token lives
    break_off: Callable[[], None] | None = None  #: ends its connection without a word
    connected_at: float = field(default_factory=time.monotonic)
    spoke_at: float = field(default_factory=time.monotonic)
    mute_until: float = 0.0  #: on the monotonic clock
    heartbeats: bool = True
    stopped_until: float = 0.0  #: packets of `stopped` do not come, on the monotonic clock
    stopped: int | None = None  #: token of what does not come; None: anything
    _wants: frozenset[tuple[int, Mode]] | None = None

    @property
    def still_subscribing(self) -> bool:
        """Whether its wishes may still be under way: it has just connected or just spoken."""
        now = time.monotonic()
        return now - self.spoke_at < SETTLED_SECONDS or (not self.modes and now - self.connected_at < MUTE_SECONDS)

    @property
    def mute(self) -> bool:
        return self.mute_until > 0 and time.monotonic() < self.mute_until

    @property
    def hears(self) -> Mapping[int, Mode]:
        """What it is told of what it asked for."""
        if time.monotonic() >= self.stopped_until:
            return self.modes
        return {token: mode for token, mode in self.modes.items() if self.stopped not in (None, token)}

    @property
    def wants(self) -> frozenset[tuple[int, Mode]]:
        if self._wants is None:
            self._wants = frozenset(self.modes.items())
        return self._wants

    def obey(self, message: Any) -> str | None:
        """Follow a subscribe, unsubscribe or mode message; gives the complaint if it cannot be followed."""
        self.spoke_at = time.monotonic()
        self._wants = None
        try:
            match message["a"]:
                case "subscribe":
                    return self._ask({int(token): self.modes.get(int(token), Mode.QUOTE) for token in message["v"]})
                case "unsubscribe":
                    for token in message["v"]:
                        self.modes.pop(int(token), None)
                case "mode":
                    mode, tokens = message["v"]
                    return self._ask({int(token): Mode(mode) for token in tokens})
                case other:
                    return f"unknown action {other!r}"
        except (KeyError, TypeError, ValueError, OverflowError):
            return "invalid message"
        return None

    def _ask(self, modes: dict[int, Mode]) -> str | None:
        together = self.modes | modes
        if self.most is not None and len(together) > self.most:
            return f"at most {self.most} instruments a connection: {len(together)} were asked for"
        self.modes = together
        return None


@dataclass(frozen=True, slots=True)
class _Late:
    """An order update that a fault holds back."""

    text: str
    step: int
    at: float  #: on the monotonic clock


class Deliveries:
    """Sends what a step brought to every subscriber.

    Parameters
    ----------
    venue : Venue
        Its faults may lose, hold back or spoil what is sent.
    """

    def __init__(self, venue: Venue):
        self.venue = venue
        self.subscribers: set[Subscriber] = set()
        self._late: list[_Late] = []
        self._before: dict[str, Snapshot] = {}  # as of the frame before, while there are faults

    @property
    def faults(self) -> Faults:
        return self.venue.faults

    async def tell(self, step: Step) -> None:
        """Order updates first, then one frame."""
        await self._turn_away()
        if self.faults.active:
            await self._break_tickers()
        texts, behind = self._updates(step.updates)
        spoilt = self._spoilt(step.frame) if self.faults.active else {}
        frames: dict[frozenset[tuple[int, Mode]], bytes] = {}
        encoded: dict[tuple[int, Mode], bytes] = {}
        for subscriber in list(self.subscribers):
            if subscriber.stopped_until:
                hears = subscriber.hears
                frame = self._frame_for(hears, step.frame, spoilt, encoded) if hears else None
                await self._deliver(subscriber, texts, frame, behind)
                continue
            if subscriber.wants not in frames:
                frames[subscriber.wants] = self._frame_for(subscriber.modes, step.frame, spoilt, encoded)
            await self._deliver(subscriber, texts, frames[subscriber.wants], behind)

    async def tell_updates(self, updates: Updates) -> None:
        """Order updates between two frames."""
        texts, behind = self._updates(updates)
        for subscriber in list(self.subscribers):
            await self._deliver(subscriber, texts, None, behind)

    async def beat(self) -> None:
        """A one-byte frame while nothing else is sent, as Kite does."""
        for subscriber in list(self.subscribers):
            await self._deliver(subscriber, (), packets.HEARTBEAT, (), heartbeat=True)

    async def _turn_away(self) -> None:
        """A ticker whose access token has died is dropped, as at Kite."""
        for subscriber in [s for s in self.subscribers if not s.allowed()]:
            self.subscribers.discard(subscriber)
            LOG.info("a ticker's access token has expired: closed")
            try:
                await subscriber.wire.close(EXPIRED)
            except Exception as error:  # whatever a dead socket raises
                LOG.info("a ticker is gone: %s", type(error).__name__)

    async def _deliver(
        self,
        subscriber: Subscriber,
        texts: Sequence[str],
        frame: bytes | None,
        behind: Sequence[str],
        *,
        heartbeat: bool = False,
    ) -> None:
        if subscriber.mute and not (heartbeat and subscriber.heartbeats):
            return
        try:
            async with asyncio.timeout(DEAF_SECONDS):
                for text in texts:
                    await subscriber.wire.send_text(text)
                if frame is not None:
                    await subscriber.wire.send_bytes(frame)
                for text in behind:
                    await subscriber.wire.send_text(text)
        except Exception as error:  # whatever a dead socket raises: this client is gone, the market is not
            LOG.info("a ticker is gone: %s", type(error).__name__)
            self.subscribers.discard(subscriber)
            if subscriber.break_off is not None:  # or it would wait for ticks on a connection that brings none
                subscriber.break_off()

    # frames

    def _frame_for(
        self,
        modes: Mapping[int, Mode],
        frame: Frame,
        spoilt: Mapping[str, Snapshot],
        encoded: dict[tuple[int, Mode], bytes],
    ) -> bytes:
        """Packets of what traded, and of every index, in the modes that were chosen."""
        traded = [tick.instrument for tick in frame.ticks if tick.instrument.tradable]
        indices = [i for i in self.venue.listed.values() if not i.tradable]
        bodies = []
        for instrument in [*traded, *indices]:
            mode = modes.get(instrument.token)
            if mode is None:
                continue
            key = instrument.token, mode
            if key not in encoded:
                snapshot = spoilt.get(instrument.symbol) or self._snapshot(instrument.symbol, frame)
                encode = packets.stock_packet if instrument.tradable else packets.index_packet
                encoded[key] = encode(snapshot, mode)
            bodies.append(encoded[key])
        return packets.frame(bodies)

    def _snapshot(self, symbol: str, frame: Frame) -> Snapshot:
        return self.venue.board.quotes[symbol].snapshot(frame.at)

    # faults

    async def _break_tickers(self) -> None:
        found = self.faults.decide(TICKERS, "frame", about=self._now())
        if found is None:
            return
        for subscriber in list(self.subscribers):
            if found.kind is FaultKind.TICKER_MUTE:
                subscriber.mute_until = time.monotonic() + found.seconds
                subscriber.heartbeats = found.fault.heartbeats
                continue
            if found.kind is FaultKind.TICKS_STOP:
                named = self.venue.listed.get(found.fault.symbol or "")
                subscriber.stopped_until = time.monotonic() + found.seconds
                subscriber.stopped = named.token if named is not None else None
                continue
            self.subscribers.discard(subscriber)
            if subscriber.break_off is not None:
                subscriber.break_off()
            else:
                await subscriber.wire.close(1011)

    def _updates(self, updates: Updates) -> tuple[list[str], list[str]]:
        """What is told before the frame, and what comes behind it."""
        told, behind = self._due(), []
        for state, event in updates:
            text = json.dumps(answers.order_update(state, event))
            found = self._event_fault(state, event) if self.faults.active else None
            match found.kind if found else None:
                case FaultKind.EVENT_LOST:
                    pass
                case FaultKind.EVENT_LATE if found:
                    self._late.append(_Late(text, self.venue.steps + LATE_STEPS, time.monotonic() + found.seconds))
                case FaultKind.EVENT_REORDER:
                    behind.append(text)
                case FaultKind.EVENT_DUPLICATE:
                    told += [text, text]
                case _:
                    told.append(text)
        return told, behind

    def _due(self) -> list[str]:
        """Late updates whose time has come; at the market's end all of them."""
        if not self._late:
            return []
        over, now = self.venue.state is State.FINISHED, time.monotonic()
        due = [late for late in self._late if over or (self.venue.steps >= late.step and now >= late.at)]
        self._late = [late for late in self._late if late not in due]
        return [late.text for late in due]

    def _event_fault(self, state: Order, event: str) -> Injection | None:
        about = self._now() | {"order_id": state.order_id, "event": event}
        return self.faults.decide(EVENTS, "event", purpose=self._purpose(state), symbol=state.symbol, about=about)

    def _purpose(self, state: Order) -> Purpose:
        """By the position as it was before this order filled."""
        held = self.venue.account.net_quantity(state.symbol, state.request.product)
        return order_purpose(state.request, held - state.request.side.sign * state.filled_quantity)

    def _spoilt(self, frame: Frame) -> dict[str, Snapshot]:
        """The snapshots that a fault puts in the place of the true ones, by symbol.

        A wrong stamp may be any packet's, the index's too; a wrong trade only that of what has just traded.
        """
        traded = [tick.instrument for tick in frame.ticks if tick.instrument.tradable]
        stamped = [*traded, *(i for i in self.venue.listed.values() if not i.tradable)]
        before: dict[str, Snapshot] = {}
        found = self.faults.decide(STAMPS, "stamp", about=self._now())
        if traded:
            found = self.faults.decide(TICKS, "frame", about=self._now()) or found
            before, self._before = self._before, {i.symbol: self._snapshot(i.symbol, frame) for i in traded}
        among = stamped if found is not None and found.kind is FaultKind.TICK_STAMP else traded
        if found is None:
            return {}
        wild = found.choices([i.symbol for i in among])
        true = {i: self._snapshot(i.symbol, frame) for i in among if i.symbol in wild}
        return {i.symbol: spoilt_packet(i, one, before.get(i.symbol, one), found) for i, one in true.items()}

    def _now(self) -> dict[str, Any]:
        return {"step": self.venue.steps, "clock": self.venue.clock.isoformat()}
