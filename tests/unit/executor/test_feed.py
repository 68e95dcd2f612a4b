"""What the ticker brings: trades once and in order; a connection that falls mute or is lost is made anew."""

import json
import struct
import threading
import time
from datetime import datetime, timedelta

from websockets.sync.server import serve

from pipelines.domain.bars import IST
from serving.executor.desk import Frame
from serving.executor.feed import Disconnected, Feed, OrderUpdate, in_order
from serving.executor.packet_reader import CLOCK_TOKEN
from serving.process import free_port

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)


def test_time_never_runs_backwards():
    frame, late, too_late = (Frame(NOON + timedelta(seconds=seconds)) for seconds in (0, -5, -6))

    assert in_order(frame, None) is frame
    assert in_order(frame, NOON) is frame
    assert in_order(late, NOON) == Frame(NOON), "its trades count at the present time"
    assert in_order(too_late, NOON) is None


class Broker:
    """Speaks the ticker's protocol: counts connections, and does to each what the test wants."""

    def __init__(self, behave):
        self.port, self.tokens, self._behave = free_port(), [], behave
        self._server = serve(self._serve, "127.0.0.1", self.port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, socket) -> None:
        self.tokens.append(socket.request.path.partition("access_token=")[2])
        self._behave(len(self.tokens), socket)

    def close(self) -> None:
        self._server.shutdown()


def index_packet(at: datetime) -> bytes:
    body = struct.pack(">8i", CLOCK_TOKEN, 2_500_000, 0, 0, 0, 0, 0, int(at.timestamp()))
    return struct.pack(">hh", 1, len(body)) + body


def talk(socket, at: datetime = NOON, seconds: float = 5.0) -> None:
    """A frame, an order update, then heartbeats."""
    socket.send(index_packet(at))
    socket.send(json.dumps({"type": "order", "data": {"order_id": "1", "status": "COMPLETE"}}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        socket.send(b"\x00")
        time.sleep(0.1)


def events_of(feed: Feed, wanted: int, seconds: float = 15.0) -> list:
    found, deadline = [], time.monotonic() + seconds
    while len(found) < wanted and time.monotonic() < deadline:
        event = feed.next(0.5)
        if event is not None:
            found.append(event)
    return found


def feed_at(broker: Broker, mute_after_s: float = 1.0) -> Feed:
    return Feed(f"ws://127.0.0.1:{broker.port}", "key", {1: "TCS"}, mute_after_s)


def test_a_mute_socket_is_given_up_and_a_new_one_made():
    broker = Broker(lambda number, socket: time.sleep(5) if number == 1 else talk(socket))
    feed = feed_at(broker)
    feed.start("token")

    mute, frame, update = events_of(feed, 3)
    feed.close()
    broker.close()

    assert isinstance(mute, Disconnected)
    assert mute.reason.startswith("no packet for")
    assert frame.at == NOON
    assert isinstance(update, OrderUpdate)
    assert (len(broker.tokens), feed.connections) == (2, 2)


def test_heartbeats_alone_keep_a_connection():
    broker = Broker(lambda number, socket: talk(socket))
    feed = feed_at(broker)
    feed.start("token")

    events = events_of(feed, 3, seconds=2.5)
    feed.close()
    broker.close()

    assert [type(event) for event in events] == [Frame, OrderUpdate]
    assert len(broker.tokens) == 1


def test_a_connection_that_is_lost_is_made_again_by_the_official_ticker():
    broker = Broker(lambda number, socket: None if number == 1 else talk(socket))
    feed = feed_at(broker, mute_after_s=8.0)
    feed.start("token")

    lost, frame, _ = events_of(feed, 3)
    feed.close()
    broker.close()

    assert isinstance(lost, Disconnected)
    assert isinstance(frame, Frame)
    assert broker.tokens == ["token", "token"]


def test_a_new_token_makes_a_new_connection_and_the_old_one_is_heard_no_more():
    broker = Broker(lambda number, socket: talk(socket, NOON + timedelta(minutes=number)))
    feed = feed_at(broker)
    feed.start("old")
    first = events_of(feed, 2)[0]

    feed.connect("new")
    second = events_of(feed, 2)[0]
    feed.close()
    broker.close()

    assert (first.at, second.at) == (NOON + timedelta(minutes=1), NOON + timedelta(minutes=2))
    assert broker.tokens == ["old", "new"]
