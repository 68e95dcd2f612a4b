"""Who beats the time: plays the venue step by step and has what happened told to every connected client.

In lockstep a step is made on each `POST /paper/continue`, so the market never runs ahead of the client; who is silent
for too long is not waited for. At a numeric pace market time runs that many times faster than the wall clock.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from datetime import datetime, timedelta
from typing import Literal

from pipelines.domain.bars import IST
from serving.exchange.deliveries import Deliveries, Subscriber, Updates, Wire
from serving.exchange.live_market import LiveMarket
from serving.exchange.market import Frame
from serving.exchange.postbacks import Postbacks
from serving.exchange.venue import State, Step, Venue

__all__ = ["Conductor", "Pace", "Subscriber", "Wire", "conducting"]
LOG = logging.getLogger("tradesage.exchange")
HEARTBEAT_SECONDS = 1.0
CHATTER_SECONDS = 2.0  #: a ticker that goes on asking for so long is not waited for
TOLD_SECONDS = 0.02  #: at a numeric pace an order update is told so soon
FOLLOW_SECONDS = 0.01  #: between two looks for a live market's next frame
NIGHT = timedelta(minutes=30)  #: longer gaps between frames are skipped at a numeric pace

Pace = Literal["lockstep", "max", "live"] | float


class Conductor:
    """Plays a venue at a pace and tells its subscribers.

    Parameters
    ----------
    venue : Venue
    pace : "lockstep", "max" (as fast as it goes), "live" (as its frames come), or how many times
        faster than the wall clock
    patience : float
        Seconds that a lockstep client may be silent before the market goes on without it.
    postbacks : Postbacks, or None where the app has no address for them
    start_now : bool
        Whether the market starts with the server, and not on the first continue; only at a numeric pace.
    """

    def __init__(
        self,
        venue: Venue,
        pace: Pace,
        patience: float,
        *,
        postbacks: Postbacks | None = None,
        start_now: bool = False,
    ):
        self.venue, self.pace, self.patience = venue, pace, patience
        self.run_id = secrets.token_hex(4)  # a new exchange is a new account: its books begin empty
        self.deliveries = Deliveries(venue)
        self.postbacks = postbacks
        self._lock = asyncio.Lock()
        self._started = asyncio.Event()
        self._last_sign = time.monotonic()
        self.failure: str | None = None  #: why the market stands still for good
        if start_now:
            self._started.set()

    @property
    def lockstep(self) -> bool:
        return self.pace == "lockstep"

    @property
    def subscribers(self) -> set[Subscriber]:
        return self.deliveries.subscribers

    @subscribers.setter
    def subscribers(self, subscribers: set[Subscriber]) -> None:
        self.deliveries.subscribers = subscribers

    async def go_on(self) -> dict:
        """A client is done with the frame it saw: make the next step in lockstep; the first call starts the market."""
        self._last_sign = time.monotonic()
        self._started.set()
        if self.lockstep:
            until = self._last_sign + CHATTER_SECONDS
            while time.monotonic() < until and any(one.still_subscribing for one in self.subscribers):
                await asyncio.sleep(0.01)  # its continue has overtaken what it asked for on the other connection
            await self._step()
        return {"step": self.venue.steps, "finished": self.venue.state is State.FINISHED}

    async def run(self) -> None:
        """Beat the time until the market ends; cancelled when the server stops."""
        await self._started.wait()
        if self.lockstep:
            await self._watch()
        elif self.pace == "live":
            await asyncio.gather(self._follow(), self._tell_soon())
        else:
            pace = float("inf") if self.pace == "max" else float(self.pace)
            await asyncio.gather(self._run_at_pace(pace), self._tell_soon())

    async def beat_heart(self) -> None:
        """A one-byte frame while nothing else is sent, as Kite does."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            async with self._lock:
                await self.deliveries.beat()

    async def _watch(self) -> None:
        while self.venue.state is not State.FINISHED:
            silent = time.monotonic() - self._last_sign
            if silent >= self.patience:
                LOG.warning("no /paper/continue for %.0f s at step %d: going on", silent, self.venue.steps)
                self._last_sign = time.monotonic()
                await self._step()
            await asyncio.sleep(min(max(self.patience - silent, 0.01), self.patience))

    async def _follow(self) -> None:
        """Play a live market's frames as they come."""
        market = self.venue.market
        assert isinstance(market, LiveMarket)
        while self.venue.state is not State.FINISHED:
            market.close_if_over(datetime.now(IST))
            while market.waiting:
                await self._step()
            await asyncio.sleep(FOLLOW_SECONDS)

    async def _run_at_pace(self, pace: float) -> None:
        while self.venue.state is not State.FINISHED:
            before, waited_for = self.venue.clock, self.venue.steps > 0  # what is before the first opening is skipped
            step = await self._step()
            gap = step.frame.at - before
            await asyncio.sleep(max(gap.total_seconds(), 0.0) / pace if waited_for and gap <= NIGHT else 0)

    async def _tell_soon(self) -> None:
        """Where nobody waits for the next frame, what a call did to an order is told at once, not with the frame."""
        while self.venue.state is not State.FINISHED:
            async with self._lock:
                updates = self.venue.take_updates()
                if updates:
                    await self.deliveries.tell_updates(updates)
                    self._post(updates)
            await asyncio.sleep(TOLD_SECONDS)

    def _post(self, updates: Updates) -> None:
        if self.postbacks is not None:
            self.postbacks.put(updates)

    async def _step(self) -> Step:
        async with self._lock:
            if self.venue.state is State.FINISHED:
                return Step((), Frame(self.venue.phase, self.venue.clock))
            step = self.venue.advance()
            await self.deliveries.tell(step)
            self._post(step.updates)
            return step

    def watch_over(self, task: asyncio.Task) -> None:
        """Tell if a task that should live as long as the server has died: /healthz says so from then on."""
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        self.failure = f"{type(error).__name__}: {error}"
        LOG.error("the market stands still: %s", self.failure, exc_info=error)


@contextlib.asynccontextmanager
async def conducting(conductor: Conductor):
    """Run the conductor's tasks while the server runs."""
    tasks = [asyncio.create_task(conductor.run()), asyncio.create_task(conductor.beat_heart())]
    if conductor.postbacks is not None:
        tasks.append(asyncio.create_task(conductor.postbacks.run()))
    for task in tasks:
        task.add_done_callback(conductor.watch_over)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
