"""Alarms that are on, that are over, and that come back."""

import pytest
from structlog.testing import capture_logs

from serving.executor.alarms import FADES_S, MOST_KEPT, REMINDS_S, Alarms


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


def test_an_alarm_that_lasts_is_told_once(clock):
    alarms = Alarms(clock)

    with capture_logs() as lines:
        for _ in range(100):
            alarms.tell("the broker does not answer")
            clock.seconds += 1.0

    assert [line["what"] for line in lines] == ["the broker does not answer"]
    assert alarms.on() == ["the broker does not answer"]
    assert alarms.over() == []


def test_an_alarm_that_comes_back_after_it_was_over_is_told_anew(clock):
    alarms = Alarms(clock)
    alarms.tell("the broker does not answer")
    clock.seconds += FADES_S + 1
    over = alarms.over()

    with capture_logs() as lines:
        alarms.tell("the broker does not answer")

    assert [alarm["what"] for alarm in over] == ["the broker does not answer"]
    assert [(line["what"], line["times"]) for line in lines] == [("the broker does not answer", 2)]
    assert alarms.on() == ["the broker does not answer"]
    assert list(alarms) == ["the broker does not answer"]


def test_an_alarm_is_over_when_what_it_tells_of_is(clock):
    alarms, silent = Alarms(clock), [True]
    alarms.tell("the broker does not answer", lambda: silent[0])
    clock.seconds += 10 * FADES_S
    lasting = alarms.on()
    silent[0] = False
    over = alarms.on()

    with capture_logs() as lines:
        silent[0] = True
        alarms.tell("the broker does not answer", lambda: silent[0])

    assert (lasting, over) == (["the broker does not answer"], [])
    assert len(lines) == 1, "it came back within the minute and is told anew"


def test_a_state_that_was_over_and_comes_back_is_told_anew_though_it_stands_by_then(clock):
    alarms, away = Alarms(clock), [True]
    alarms.tell("the journal does not answer", lambda: away[0])
    assert alarms.on()
    away[0] = False
    assert alarms.on() == []

    with capture_logs() as lines:
        away[0] = True  # set before it is told, as whoever finds it does
        alarms.tell("the journal does not answer", lambda: away[0])

    assert [line["times"] for line in lines] == [2]
    assert alarms.on() == ["the journal does not answer"]


def test_an_alarm_that_is_over_does_not_come_back_with_another_of_its_kind(clock):
    alarms, halted = Alarms(clock), [True]
    alarms.tell("trading is HALTED by hand: lunch", lambda: halted[0])
    assert alarms.on()
    halted[0] = False
    assert alarms.on() == []

    halted[0] = True
    alarms.tell("trading is HALTED by hand: odd prices", lambda: halted[0])

    assert alarms.on() == ["trading is HALTED by hand: odd prices"]


def test_an_alarm_that_lasts_for_long_is_written_again_now_and_then(clock):
    alarms = Alarms(clock)

    with capture_logs() as lines:
        for _ in range(int(4 * REMINDS_S)):
            alarms.tell("the journal cannot be written")
            clock.seconds += 1.0

    assert len(lines) == 4


def test_what_is_kept_of_alarms_is_bounded(clock):
    alarms = Alarms(clock)

    for number in range(3 * MOST_KEPT):
        alarms.tell(f"order {number} is not ours " + "x" * 5000)

    assert len(alarms) == len(alarms.on()) == MOST_KEPT
    assert max(map(len, alarms)) <= 600


def test_a_condition_of_a_session_that_is_gone_fades(clock):
    alarms = Alarms(clock)
    alarms.tell("the broker does not answer", lambda: True)

    alarms.let_go()
    clock.seconds += FADES_S + 1

    assert alarms.on() == []
