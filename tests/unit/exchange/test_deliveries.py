import asyncio
import json
from decimal import Decimal

import pytest
from kiteconnect import KiteTicker

from pipelines.domain.orders import Product
from serving.exchange import deliveries as module
from serving.exchange import packets
from serving.exchange.conductor import Conductor, conducting
from serving.exchange.deliveries import WILD_FACTOR, Deliveries, Subscriber
from serving.exchange.faults import Fault, FaultKind
from serving.exchange.packets import Mode
from serving.exchange.venue import State, Venue
from tests.unit.exchange.builders import ALPHA, BETA, DAY, a_request, a_venue, bars_of, flat_bars

CLOCK = 256265
RISING = bars_of("ALPHA", DAY, [(100.0 + k, 101.0 + k, 100.0 + k, 101.0 + k) for k in range(20)])


class Wire:
    """A WebSocket that keeps what it was sent; a deaf one never takes anything."""

    def __init__(self, deaf: bool = False):
        self.sent: list[str | bytes] = []
        self.closed: int | None = None
        self.deaf = deaf

    async def send_text(self, data: str) -> None:
        self.sent.append(data)

    async def send_bytes(self, data: bytes) -> None:
        if self.deaf:
            await asyncio.sleep(60)
        self.sent.append(data)

    async def close(self, code: int = 1000) -> None:
        self.closed = code


def connected(deliveries: Deliveries, mode: Mode = Mode.FULL, **fields) -> Wire:
    wire = Wire(fields.pop("deaf", False))
    deliveries.subscribers.add(Subscriber(wire, {ALPHA.token: mode, BETA.token: mode, CLOCK: Mode.FULL}, **fields))
    return wire


def told(deliveries: Deliveries, steps: int = 1) -> None:
    async def tell() -> None:
        for _ in range(steps):
            await deliveries.tell(deliveries.venue.advance())

    asyncio.run(tell())


def statuses(wire: Wire) -> list[str]:
    return [json.loads(sent)["data"]["status"] for sent in wire.sent if isinstance(sent, str)]


def prices(wire: Wire) -> list[float]:
    """Of ALPHA, frame by frame."""
    ticker = KiteTicker("key", "token")
    packets_of = [ticker._parse_binary(sent) for sent in wire.sent if isinstance(sent, bytes)]
    return [p["last_price"] for frame in packets_of for p in frame if p["instrument_token"] == ALPHA.token]


def test_who_wants_the_same_is_sent_the_same_frame_encoded_once():
    deliveries = Deliveries(a_venue(RISING))
    alike, other = [connected(deliveries) for _ in range(3)], connected(deliveries, Mode.LTP)

    told(deliveries, 2)

    assert alike[0].sent[-1] is alike[1].sent[-1] is alike[2].sent[-1]
    assert len(other.sent[-1]) < len(alike[0].sent[-1])


def test_a_changed_wish_is_followed_in_the_next_frame():
    deliveries = Deliveries(a_venue(RISING))
    wire = connected(deliveries)
    told(deliveries, 2)
    (subscriber,) = deliveries.subscribers

    subscriber.obey({"a": "unsubscribe", "v": [ALPHA.token]})
    told(deliveries)

    assert len(prices(wire)) == 1


def test_who_takes_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(module, "DEAF_SECONDS", 0.05)
    deliveries = Deliveries(a_venue(RISING))
    broken_off: list[str] = []
    deaf = connected(deliveries, deaf=True, break_off=lambda: broken_off.append("deaf"))
    hearing = connected(deliveries, break_off=lambda: broken_off.append("hearing"))

    told(deliveries, 2)

    assert not deaf.sent
    assert broken_off == ["deaf"]
    assert len(hearing.sent) == 2
    assert len(deliveries.subscribers) == 1


def test_who_is_no_longer_allowed_is_closed_and_told_nothing():
    deliveries = Deliveries(a_venue(RISING))
    wire = connected(deliveries, allowed=lambda: False)

    told(deliveries)

    assert wire.closed == 1008
    assert not wire.sent
    assert not deliveries.subscribers


def test_a_stale_packet_tells_the_price_of_the_frame_before_and_the_next_one_the_truth():
    venue = a_venue(RISING)
    deliveries, true = Deliveries(venue), Deliveries(a_venue(RISING))
    wire, honest = connected(deliveries), connected(true)
    venue.faults.arm(Fault(FaultKind.TICK_STALE, symbol="ALPHA", after=3))

    told(deliveries, 6)
    told(true, 6)

    expected = prices(honest)
    assert prices(wire) == [*expected[:3], expected[2], *expected[4:]]
    assert expected[2] != expected[3]
    assert venue.board.quotes["ALPHA"].last_price == true.venue.board.quotes["ALPHA"].last_price


def test_a_packet_out_of_range_tells_a_price_that_no_circuit_allows_and_the_quote_stays_right():
    venue = a_venue(RISING)
    deliveries = Deliveries(venue)
    wire = connected(deliveries)
    venue.faults.arm(Fault(FaultKind.TICK_OUT_OF_RANGE))

    told(deliveries, 3)

    wild, right = prices(wire)
    assert wild > 100 * (WILD_FACTOR - 0.1) or wild < 102 / (WILD_FACTOR - 0.1)
    assert Decimal(str(right)) == venue.board.quotes["ALPHA"].last_price


@pytest.mark.parametrize("heartbeats", [True, False])
def test_a_mute_ticker_gets_heartbeats_only_if_asked_for(heartbeats):
    venue = a_venue(RISING)
    deliveries = Deliveries(venue)
    wire = connected(deliveries)
    venue.faults.arm(Fault(FaultKind.TICKER_MUTE, seconds=60.0, heartbeats=heartbeats))

    told(deliveries, 2)
    asyncio.run(deliveries.beat())

    assert wire.sent == ([packets.HEARTBEAT] if heartbeats else [])


def test_a_late_update_comes_at_the_markets_end_at_the_latest():
    venue = a_venue(flat_bars("ALPHA", DAY, count=1))
    deliveries = Deliveries(venue)
    wire = connected(deliveries)
    told(deliveries)
    venue.faults.arm(Fault(FaultKind.EVENT_LATE, seconds=600.0))
    venue.place(a_request(product=Product.CNC))

    told(deliveries, 6)

    assert venue.state is State.FINISHED
    assert statuses(wire)[-1] == "OPEN"
    assert sorted(statuses(wire)) == ["COMPLETE", "OPEN"]


def test_a_market_that_breaks_is_told_by_the_conductor(monkeypatch):
    venue = a_venue(RISING)
    conductor = Conductor(venue, 1000.0, 60.0, start_now=True)
    monkeypatch.setattr(venue, "advance", lambda: 1 / 0)

    async def play() -> None:
        async with conducting(conductor):
            await asyncio.sleep(0.1)

    asyncio.run(play())

    assert conductor.failure == "ZeroDivisionError: division by zero"


def told_between_frames(venue: Venue) -> Wire:
    conductor = Conductor(venue, 0.001, 60.0, start_now=True)  # the next frame is hours away
    wire = connected(conductor.deliveries)

    async def play() -> None:
        async with conducting(conductor):
            await asyncio.sleep(0.1)
            venue.place(a_request())
            await asyncio.sleep(0.2)

    asyncio.run(play())
    return wire


def test_at_a_numeric_pace_what_becomes_of_an_order_is_told_before_the_next_frame():
    venue = a_venue(RISING)

    wire = told_between_frames(venue)

    assert statuses(wire) == ["OPEN"]
    assert venue.steps <= 2
