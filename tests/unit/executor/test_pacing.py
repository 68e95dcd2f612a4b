"""Calls are held back so that the broker never has to refuse them; exits and stops come before entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pacing import RESERVED_READS, ReadPacer, Route
from serving.executor.kite_client import client, route_of
from serving.executor.pacing import OrderPacer


class Wall:
    """A clock that only moves when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def pacer_at(wall: Wall, second: int = 8, minute: int = 380, day: int = 4900) -> OrderPacer:
    return OrderPacer(second, minute, day, clock=wall, sleep=wall.sleep)


@given(gaps=st.lists(st.floats(0, 0.4), min_size=30, max_size=80))
def test_no_second_holds_more_orders_than_allowed(gaps):
    wall, sent = Wall(), []
    pacer = pacer_at(wall)
    for gap in gaps:
        wall.now += gap
        if pacer.admit(urgent=True) is None:
            sent.append(wall.now)

    assert len(sent) == len(gaps)
    assert all(sum(at <= other < at + 1.0 for other in sent) <= 8 for at in sent)


def test_entries_leave_room_for_exits_within_the_same_second():
    wall = Wall()
    pacer = pacer_at(wall)
    for _ in range(6):
        assert pacer.admit(urgent=False) is None

    assert pacer.admit(urgent=True) is None
    assert pacer.admit(urgent=True) is None

    assert wall.now == 0.0, "the two stops did not wait"


def test_an_entry_is_refused_when_the_minute_is_used_up_and_an_exit_waits_for_it():
    wall = Wall()
    pacer = pacer_at(wall, second=100, minute=12)
    for _ in range(9):
        assert pacer.admit(urgent=False) is None

    refused = pacer.admit(urgent=False)

    assert refused == ("the broker takes no further order call for 60 s: 12 in 60 s are its limit, 3 of them for exits")
    for _ in range(3):
        assert pacer.admit(urgent=True) is None
    assert wall.now == 0.0
    assert pacer.admit(urgent=True) is None
    assert wall.now == pytest.approx(60.0, abs=0.01)


def test_an_entry_waits_for_room_for_all_stops_that_are_owed():
    wall = Wall()
    pacer = pacer_at(wall)
    entered = 0
    while pacer.has_room(owed=entered):
        assert pacer.admit(urgent=False) is None
        entered += 1

    for _ in range(entered):
        assert pacer.admit(urgent=True) is None

    assert entered == 4
    assert wall.now == 0.0, "every stop had its place in the same second"
    assert not pacer.has_room(owed=0)
    wall.now += 1.0
    assert pacer.has_room(owed=0)


def test_reads_of_the_books_find_room_beside_all_others():
    wall = Wall()
    pacer = ReadPacer(clock=wall, sleep=wall.sleep)
    for _ in range(RESERVED_READS + 1):
        pacer.wait(Route.OTHER, reserved=RESERVED_READS)

    for _ in range(RESERVED_READS):
        pacer.wait(Route.OTHER)

    assert wall.now == 0.0
    pacer.wait(Route.OTHER, reserved=RESERVED_READS)
    assert wall.now >= 1.0


def test_a_day_that_is_used_up_is_told_and_not_waited_for():
    wall = Wall()
    pacer = pacer_at(wall, second=100, minute=400, day=4)
    for _ in range(4):
        assert pacer.admit(urgent=True) is None

    assert pacer.admit(urgent=True) == "the broker takes no further order call for 86400 s: 4 in 86400 s are its limit"


@pytest.mark.parametrize(("route", "most"), [(Route.QUOTE, 1), (Route.HISTORICAL, 3), (Route.OTHER, 9)])
def test_reads_keep_to_the_limit_of_their_kind(route, most):
    wall, read = Wall(), []
    pacer = ReadPacer(clock=wall, sleep=wall.sleep)
    for _ in range(20):
        pacer.wait(route)
        read.append(wall.now)

    assert max(sum(at <= other < at + 1.0 for other in read) for at in read) == most


def test_every_route_of_the_official_client_is_counted_with_what_the_broker_counts_it_with():
    routes = client("key", "http://127.0.0.1:1")._routes

    counted = {kind: {name for name in routes if route_of(name) is kind} for kind in Route}

    assert counted[Route.ORDER] == {"order.place", "order.modify", "order.cancel"}
    assert counted[Route.QUOTE] == {"market.quote", "market.quote.ohlc", "market.quote.ltp"}
    assert counted[Route.HISTORICAL] == {"market.historical"}
