"""Who beats the time: plays the venue step by step, sends what happened to every connected client.

In lockstep a step is made on each `POST /paper/continue`, so the market never runs ahead of the client; who is silent
for too long is not waited for. At a numeric pace market time runs that many times faster than the wall clock.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from pipelines.domain.instruments import Instrument
from serving.exchange import answers, packets
from serving.exchange.market import Frame
from serving.exchange.packets import Mode
from serving.exchange.venue import State, Step, Venue

LOG = logging.getLogger("tradesage.exchange")
HEARTBEAT_SECONDS = 1.0
SETTLED_SECONDS = 0.05  #: after a subscription message another one may follow: subscribe, then the mode
MUTE_SECONDS = 1.0  #: a ticker that has not subscribed for so long does not want to
NIGHT = timedelta(minutes=30)  #: longer gaps between frames are skipped at a numeric pace

Pace = Literal["lockstep"] | float


class Wire(Protocol):
    """The part of a WebSocket that is written to."""

    async def send_text(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...


@dataclass(eq=False)
class Subscriber:
    """One connected ticker and what it wants to see, by instrument token."""

    wire: Wire
    modes: dict[int, Mode] = field(default_factory=dict)
    connected_at: float = field(default_factory=time.monotonic)
    spoke_at: float = field(default_factory=time.monotonic)

    @property
    def still_subscribing(self) -> bool:
        """Whether its wishes may still be under way: it has just connected or just spoken."""
        now = time.monotonic()
        return now - self.spoke_at < SETTLED_SECONDS or (not self.modes and now - self.connected_at < MUTE_SECONDS)

    def obey(self, message: Mapping) -> str | None:
        """Follow a subscribe, unsubscribe or mode message; gives the complaint if it cannot be understood."""
        self.spoke_at = time.monotonic()
        try:
            match message["a"]:
                case "subscribe":
                    self.modes |= {int(token): self.modes.get(int(token), Mode.QUOTE) for token in message["v"]}
                case "unsubscribe":
                    for token in message["v"]:
                        self.modes.pop(int(token), None)
                case "mode":
                    mode, tokens = message["v"]
                    self.modes |= {int(token): Mode(mode) for token in tokens}
                case other:
                    return f"unknown action {other!r}"
        except (KeyError, TypeError, ValueError):
            return "invalid message"
        return None


class Conductor:
    """Plays a venue at a pace and tells its subscribers.

    Parameters
    ----------
    venue : Venue
    pace : "lockstep", or how many times faster than the wall clock
    patience : float
        Seconds that a lockstep client may be silent before the market goes on without it.
    """

    def __init__(self, venue: Venue, pace: Pace, patience: float):
        self.venue, self.pace, self.patience = venue, pace, patience
        self.run_id = secrets.token_hex(4)  # a new exchange is a new account: its books begin empty
        self.subscribers: set[Subscriber] = set()
        self._lock = asyncio.Lock()
        self._started = asyncio.Event()
        self._last_sign = time.monotonic()
        self._index_tokens = {i.token for i in venue.listed.values() if not i.tradable}

    @property
    def lockstep(self) -> bool:
        return self.pace == "lockstep"

    async def go_on(self) -> dict:
        """A client is done with the frame it saw: make the next step in lockstep; the first call starts the market."""
        self._last_sign = time.monotonic()
        self._started.set()
        if self.lockstep:
            while any(subscriber.still_subscribing for subscriber in self.subscribers):
                await asyncio.sleep(0.01)  # its continue has overtaken what it asked for on the other connection
            await self._step()
        return {"step": self.venue.steps, "finished": self.venue.state is State.FINISHED}

    async def run(self) -> None:
        """Beat the time until the market ends; cancelled when the server stops."""
        await self._started.wait()
        if self.lockstep:
            await self._watch()
        else:
            await self._run_at_pace(float(self.pace))

    async def beat_heart(self) -> None:
        """A one-byte frame while nothing else is sent, as Kite does."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            async with self._lock:
                for subscriber in list(self.subscribers):
                    await self._deliver(subscriber, (), packets.HEARTBEAT)

    async def _watch(self) -> None:
        while self.venue.state is not State.FINISHED:
            silent = time.monotonic() - self._last_sign
            if silent >= self.patience:
                LOG.warning("no /paper/continue for %.0f s at step %d: going on", silent, self.venue.steps)
                self._last_sign = time.monotonic()
                await self._step()
            await asyncio.sleep(min(max(self.patience - silent, 0.01), self.patience))

    async def _run_at_pace(self, pace: float) -> None:
        while self.venue.state is not State.FINISHED:
            before = self.venue.clock
            step = await self._step()
            gap = step.frame.at - before
            await asyncio.sleep(0 if gap > NIGHT else max(gap.total_seconds(), 0.0) / pace)

    async def _step(self) -> Step:
        async with self._lock:
            if self.venue.state is State.FINISHED:
                return Step((), Frame(self.venue.phase, self.venue.clock))
            step = self.venue.advance()
            texts = [json.dumps(answers.order_update(state, event)) for state, event in step.updates]
            for subscriber in list(self.subscribers):
                await self._deliver(subscriber, texts, self._frame_for(subscriber, step.frame))
            return step

    async def _deliver(self, subscriber: Subscriber, texts: list[str] | tuple, frame: bytes) -> None:
        try:
            for text in texts:
                await subscriber.wire.send_text(text)
            await subscriber.wire.send_bytes(frame)
        except Exception as error:  # whatever a dead socket raises: this client is gone, the market is not
            LOG.info("a ticker is gone: %s", type(error).__name__)
            self.subscribers.discard(subscriber)

    def _frame_for(self, subscriber: Subscriber, frame: Frame) -> bytes:
        """Packets of what traded, and of every index, in the modes this client chose."""
        traded = [tick.instrument for tick in frame.ticks if tick.instrument.tradable]
        indices = [i for i in self.venue.listed.values() if not i.tradable]
        wanted = [(i, subscriber.modes[i.token]) for i in [*traded, *indices] if i.token in subscriber.modes]
        return packets.frame(self._packet(instrument, mode, frame) for instrument, mode in wanted)

    def _packet(self, instrument: Instrument, mode: Mode, frame: Frame) -> bytes:
        snapshot = self.venue.board.quotes[instrument.symbol].snapshot(frame.at)
        encode = packets.stock_packet if instrument.tradable else packets.index_packet
        return encode(snapshot, mode)


@contextlib.asynccontextmanager
async def conducting(conductor: Conductor):
    """Run the conductor's tasks while the server runs."""
    tasks = [asyncio.create_task(conductor.run()), asyncio.create_task(conductor.beat_heart())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
