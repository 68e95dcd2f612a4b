import asyncio
import json

import pytest
from kiteconnect import KiteTicker

from serving.exchange import conductor as module
from serving.exchange.conductor import Conductor, Pace, Subscriber, conducting
from serving.exchange.packets import Mode
from serving.exchange.venue import State, Venue
from tests.unit.exchange.builders import ALPHA, BETA, DAY, NEXT_DAY, a_request, a_venue, flat_bars

CLOCK = 256265


class Wire:
    """A WebSocket that keeps what it was sent, or is broken."""

    def __init__(self, broken: bool = False):
        self.sent: list[str | bytes] = []
        self.broken = broken

    async def send_text(self, data: str) -> None:
        self.sent.append(data)

    async def send_bytes(self, data: bytes) -> None:
        if self.broken:
            raise RuntimeError("closed")
        self.sent.append(data)


def conducted(venue: Venue, pace: Pace = "lockstep", patience: float = 60.0, wires: int = 1, broken: bool = False):
    conductor = Conductor(venue, pace, patience)
    modes = {ALPHA.token: Mode.QUOTE, CLOCK: Mode.FULL}
    conductor.subscribers |= {Subscriber(Wire(broken), dict(modes)) for _ in range(wires)}
    return conductor, [subscriber.wire for subscriber in conductor.subscribers]


def parsed(frame: bytes) -> list[dict]:
    return KiteTicker("key", "token")._parse_binary(frame)


def test_a_lockstep_step_is_the_order_updates_then_exactly_one_frame():
    venue = a_venue(flat_bars("ALPHA", DAY))
    conductor, (wire,) = conducted(venue)

    async def two_steps():
        await conductor.go_on()
        venue.place(a_request(tag="mine"))
        wire.sent.clear()
        return await conductor.go_on()

    answer = asyncio.run(two_steps())

    texts, frame = wire.sent[:-1], wire.sent[-1]
    assert answer == {"step": 2, "finished": False}
    assert [json.loads(text)["data"]["status"] for text in texts] == ["OPEN", "COMPLETE"]
    assert {json.loads(text)["data"]["tag"] for text in texts} == {"mine"}
    assert [tick["instrument_token"] for tick in parsed(frame)] == [ALPHA.token, CLOCK]


def test_a_subscriber_sees_what_it_asked_for_in_its_mode():
    subscriber = Subscriber(Wire())

    complaints = [
        subscriber.obey(message)
        for message in (
            {"a": "subscribe", "v": [ALPHA.token, BETA.token, CLOCK]},
            {"a": "mode", "v": ["full", [ALPHA.token]]},
            {"a": "unsubscribe", "v": [BETA.token]},
            {"a": "mode", "v": ["loud", [ALPHA.token]]},
            {"a": "shout", "v": []},
            {"b": 1},
        )
    ]

    assert subscriber.modes == {ALPHA.token: Mode.FULL, CLOCK: Mode.QUOTE}
    assert [bool(complaint) for complaint in complaints] == [False, False, False, True, True, True]


def test_nothing_plays_before_the_first_continue_and_nothing_after_the_end():
    venue = a_venue(flat_bars("ALPHA", DAY, count=1))
    conductor, (wire,) = conducted(venue)

    async def to_the_end():
        async with conducting(conductor):
            await asyncio.sleep(0.05)
            before = venue.steps
            answers = [await conductor.go_on() for _ in range(9)]
            return before, answers

    before, answers = asyncio.run(to_the_end())

    frames = [sent for sent in wire.sent if len(sent) > 4]
    assert before == 0
    assert [answer["finished"] for answer in answers] == [False] * 6 + [True] * 3
    assert len(frames) == answers[-1]["step"] == 7


def test_a_silent_client_is_not_waited_for():
    venue = a_venue(flat_bars("ALPHA", DAY))
    conductor, _ = conducted(venue, patience=0.05)

    async def silent():
        async with conducting(conductor):
            await conductor.go_on()
            await asyncio.sleep(0.5)

    asyncio.run(silent())

    assert venue.steps >= 3


@pytest.mark.parametrize("wires", [0, 1])
def test_at_a_numeric_pace_the_market_runs_to_its_end_without_the_night(wires):
    venue = a_venue(flat_bars("ALPHA", DAY, count=3), flat_bars("ALPHA", NEXT_DAY, count=3))
    conductor, _ = conducted(venue, pace=1e6, wires=wires)

    async def run():
        async with conducting(conductor):
            await conductor.go_on()
            for _ in range(200):
                if venue.state is State.FINISHED:
                    break
                await asyncio.sleep(0.01)

    asyncio.run(run())

    assert venue.state is State.FINISHED
    assert venue.session.day == NEXT_DAY


def test_the_first_step_waits_for_a_ticker_that_is_still_subscribing():
    venue = a_venue(flat_bars("ALPHA", DAY))
    conductor = Conductor(venue, "lockstep", 60.0)
    subscriber = Subscriber(Wire())
    conductor.subscribers.add(subscriber)

    async def late_subscription():
        going = asyncio.create_task(conductor.go_on())
        await asyncio.sleep(0.1)
        subscriber.obey({"a": "subscribe", "v": [CLOCK]})
        await asyncio.sleep(0.02)
        subscriber.obey({"a": "mode", "v": ["full", [CLOCK]]})
        await going

    asyncio.run(late_subscription())

    (tick,) = parsed(subscriber.wire.sent[-1])
    assert tick["mode"] == "full"


def test_a_dead_ticker_is_dropped_and_the_market_goes_on():
    venue = a_venue(flat_bars("ALPHA", DAY))
    conductor, _ = conducted(venue, broken=True)

    asyncio.run(conductor.go_on())

    assert venue.steps == 1
    assert not conductor.subscribers


def test_a_ticker_that_never_stops_asking_does_not_stop_the_market(monkeypatch):
    monkeypatch.setattr(module, "CHATTER_SECONDS", 0.2)
    conductor, _ = conducted(a_venue(flat_bars("ALPHA", DAY)))
    (subscriber,) = conductor.subscribers

    async def chatter() -> None:
        while True:
            subscriber.obey({"a": "subscribe", "v": [CLOCK]})
            await asyncio.sleep(0.01)

    async def go_on() -> dict:
        talking = asyncio.create_task(chatter())
        try:
            return await asyncio.wait_for(conductor.go_on(), timeout=2)
        finally:
            talking.cancel()

    assert asyncio.run(go_on())["step"] == 1
