"""What time a message of the feed tells, and which stamps move no clock."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.bars import IST
from pipelines.domain.errors import BrokerSilent
from serving.packet_time import NEAR_S, PacketTime

AT = datetime(2026, 10, 30, 10, 0, tzinfo=IST)
NOW = int(AT.timestamp())
INDEX, ALPHA, BETA = 256265, 257, 513
MINUTE, HOUR, DAY, TO_1970, TO_2106 = 60, 3600, 86_400, -NOW + 1, 2**32 - 1 - NOW


class Live:
    """Packets of now, this machine's clock so many seconds behind the exchange's."""

    def __init__(self, behind: int = 0):
        self.second = 0
        self.time = PacketTime(
            AT - timedelta(seconds=behind),
            wall=lambda: AT + timedelta(seconds=self.second - behind),
            beat=lambda: float(self.second),
        )

    def told(self, *packets: tuple[int, int], after: int = 1) -> int | None:
        """Seconds after AT that a message tells; each packet says the true time and an error."""
        self.second += after
        found = self.time.judge([(token, NOW + self.second + wrong) for token, wrong in packets])
        return None if found is None else found - NOW


@pytest.mark.parametrize("wrong", [MINUTE, HOUR, DAY, 20 * DAY, TO_2106, 10])
@pytest.mark.parametrize("beside", [[], [(INDEX, 0)], [(INDEX, 0), (BETA, 0)]])
def test_a_stamp_that_one_packet_alone_tells_moves_no_clock(wrong, beside):
    live = Live()
    live.told((INDEX, 0), (BETA, 0))

    wild = live.told((ALPHA, wrong), *beside)

    assert wild == (2 if beside else None)
    assert [live.told((INDEX, 0)), live.told((ALPHA, 0)), live.told((BETA, 0), (ALPHA, 0))] == [3, 4, 5]


@pytest.mark.parametrize("wrong", [-MINUTE, -HOUR, -DAY, TO_1970])
def test_a_stamp_from_the_past_never_moves_the_clock_back(wrong):
    live = Live()
    live.told((INDEX, 0))

    live.told((ALPHA, wrong))

    assert live.time.last == AT + timedelta(seconds=1)
    assert live.told((INDEX, 0), (ALPHA, wrong)) == 3


def test_one_instrument_that_is_always_ahead_is_never_believed_beside_others():
    live = Live()

    told = [live.told((INDEX, HOUR)) if second % 2 else live.told((ALPHA, 0), (BETA, 0)) for second in range(20)]

    assert [at for at in told if at is not None] == list(range(1, 21, 2))


@pytest.mark.parametrize("behind", [30, 600, 7200])
def test_a_wrong_clock_of_this_machine_is_outvoted_by_four_messages(behind):
    live = Live(behind)

    told = [live.told((INDEX, 0)), live.told((ALPHA, 0), (INDEX, 0)), live.told((BETA, 0)), live.told((INDEX, 0))]

    assert told == [None, None, None, 4]
    assert live.told((ALPHA, 0)) == 5


@pytest.mark.parametrize("wrong", [10, MINUTE, HOUR, DAY])
@pytest.mark.parametrize("wild", [(ALPHA,), (ALPHA, BETA), (ALPHA, BETA, INDEX)])
def test_three_messages_with_wild_stamps_of_most_instruments_move_no_clock(wrong, wild):
    live = Live()
    live.told((INDEX, 0), (ALPHA, 0), (BETA, 0))

    for _ in range(3):
        told = live.told(*((token, wrong if token in wild else 0) for token in (INDEX, ALPHA, BETA)))
        assert told in (None, live.second)

    assert live.told((INDEX, 0), (ALPHA, 0), (BETA, 0)) == 5
    assert live.time.last == AT + timedelta(seconds=5)


def test_a_burst_of_wild_messages_in_a_moment_moves_no_clock():
    live = Live()
    live.told((INDEX, 0), (ALPHA, 0))

    told = [live.told((INDEX, HOUR), (ALPHA, HOUR), after=0) for _ in range(20)]

    assert set(told) == {None}
    assert live.told((INDEX, 0)) == 2


def test_a_whole_message_stamped_ahead_is_doubted_until_the_next_one():
    live = Live()
    live.told((INDEX, 0), (ALPHA, 0))

    assert live.told((INDEX, HOUR), (ALPHA, HOUR), (BETA, HOUR)) is None
    assert live.told((INDEX, 0)) == 3


def test_time_goes_on_in_silence_and_a_late_message_is_believed():
    live = Live()
    live.told((INDEX, 0))

    assert live.told((ALPHA, 0), after=900) == 901


class Played:
    """A market whose next message may be minutes on; its own clock can be asked."""

    def __init__(self, answers: bool = True):
        self.true, self.answers, self.asked = 0, answers, 0
        self.time = PacketTime(AT, ask=self._ask, beat=lambda: 0.0)

    def _ask(self) -> datetime:
        self.asked += 1
        if not self.answers:
            raise BrokerSilent("no answer")
        return AT + timedelta(seconds=self.true)

    def told(self, true: int, *stamps: tuple[int, int]) -> int | None:
        self.true = true
        found = self.time.judge([(token, NOW + stamp) for token, stamp in stamps])
        return None if found is None else found - NOW


def test_a_played_clock_that_was_asked_once_goes_on_by_agreement():
    played = Played()

    assert played.told(300, (INDEX, 300), (ALPHA, 300)) == 300
    assert played.told(600, (INDEX, 600), (ALPHA, 600)) == 600
    assert played.told(900, (INDEX, 900), (ALPHA, 900), (BETA, 900)) == 900
    assert played.asked == 2, "how far it was from the start to the first message says nothing of the next"


@pytest.mark.parametrize("wrong", [MINUTE, HOUR, DAY, TO_2106, -MINUTE, -DAY])
@pytest.mark.parametrize("wild", [(ALPHA, BETA), (ALPHA, BETA, INDEX)])
def test_instruments_that_are_wild_together_outvote_nobody(wrong, wild):
    played = Played()
    played.told(-1000, (INDEX, -1000), (ALPHA, -1000))
    played.told(0, (INDEX, 0), (ALPHA, 0))
    played.told(50, (INDEX, 50), (ALPHA, 50))

    told = played.told(100, *((token, 100 + wrong if token in wild else 100) for token in (INDEX, ALPHA, BETA)))

    assert told == 100
    assert played.told(150, (INDEX, 150), (ALPHA, 150), (BETA, 150)) == 150


@pytest.mark.parametrize("wrong", [MINUTE, HOUR, DAY, TO_2106])
def test_a_lone_stamp_of_a_played_market_is_held_against_its_own_clock(wrong):
    played = Played()

    assert played.told(300, (INDEX, 300)) == 300
    assert played.told(360, (INDEX, 360 + wrong)) == 360
    assert played.told(420, (INDEX, 420 + wrong), (ALPHA, 420)) == 420
    assert played.told(3 * DAY, (INDEX, 3 * DAY), (ALPHA, 3 * DAY)) == 3 * DAY


@pytest.mark.parametrize("wrong", [-MINUTE, -DAY, TO_1970])
def test_a_lone_stamp_from_the_past_leaves_a_played_clock_where_the_market_is(wrong):
    played = Played()
    played.told(300, (INDEX, 300), (ALPHA, 300))

    assert played.told(310, (INDEX, 310 + wrong)) == 310
    assert played.told(320, (INDEX, 320 + wrong), (ALPHA, 320), (BETA, 320)) == 320


def test_while_a_played_market_cannot_be_asked_the_next_message_confirms():
    played = Played(answers=False)

    assert played.told(300, (INDEX, 300)) is None
    assert played.told(350, (INDEX, 350), (ALPHA, 350)) == 350
    assert played.told(400, (ALPHA, 400 + HOUR)) is None
    assert played.told(450, (ALPHA, 450), (INDEX, 450)) == 450


@given(st.lists(st.tuples(st.sampled_from([INDEX, ALPHA, BETA]), st.integers(-NOW, 2**32 - 1 - NOW)), max_size=20))
def test_lone_wrong_stamps_of_any_size_leave_the_clock_where_it_should_be(packets):
    live = Live()
    live.told((INDEX, 0), (ALPHA, 0), (BETA, 0))

    for token, wrong in packets:
        others = [(other, 0) for other in (INDEX, ALPHA, BETA) if other != token]
        live.told((token, wrong))
        assert live.told(*others) == live.second

    assert live.time.last <= AT + timedelta(seconds=live.second + NEAR_S)
