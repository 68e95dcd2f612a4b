"""Wild numbers in any field, of half the instruments, in three messages in a row: the day goes on as it was."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.executor.packet_reader import CLOCK_TOKEN
from tests.unit.executor.test_session import OPEN
from tests.unit.executor.wild_day import (
    BEGIN,
    CLOSES,
    EXTREMES,
    INDICES,
    STOCKS,
    SYMBOLS,
    Played,
    Wild,
    a_day,
    play,
    spoilt,
)

DAY = a_day(seed=7)
MESSAGES = len(DAY)
PLACES = range(4, 184, 4)  #: of all numbers of a packet but its token
STAMPS = (28, 44, 60)


@pytest.fixture(scope="module")
def clean() -> Played:
    return play(DAY)


def must_equal(wild: Played, clean: Played) -> None:
    """Bars are those of the day without, or told as doubtful; nothing was left, halted or stopped."""
    assert wild.closes == clean.closes
    differing = {key for key in clean.bars.keys() | wild.bars.keys() if clean.bars.get(key) != wild.bars.get(key)}
    assert differing <= wild.doubtful
    assert (wild.left_at, wild.halted) == (clean.left_at, clean.halted) == (None, "")
    behind = [(truth - told).total_seconds() for truth, told in zip(clean.times, wild.times, strict=True)]
    assert min(behind) >= 0
    assert max(behind) <= 3
    for told, truth in zip(wild.prices, clean.prices, strict=True):
        assert all(abs(float(price / truth[symbol]) - 1) < 0.1 for symbol, price in told.items() if symbol in truth)


def wilds() -> st.SearchStrategy[list[Wild]]:
    numbers = st.one_of(st.sampled_from(EXTREMES), st.integers(0, 2**32 - 1))
    times = st.sampled_from([0.0, 0.1, 0.5, 2.0, 3.0, 10.0, 1000.0])
    one = st.builds(
        Wild,
        first=st.integers(0, MESSAGES // 12 - 1).map(lambda n: 12 * n),  # between two nine sound ones
        count=st.integers(1, 3),
        tokens=st.frozensets(st.sampled_from(sorted(SYMBOLS)), min_size=1, max_size=len(SYMBOLS) // 2),
        words=st.dictionaries(st.sampled_from(PLACES), numbers, max_size=3),
        relative=st.dictionaries(st.sampled_from([4, 16, 20, 24, 28, 40]), times, max_size=2),
    )
    return st.lists(one, max_size=12, unique_by=lambda wild: wild.first)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=wilds())
def test_a_day_with_wild_packets_is_the_day_without(clean, found):
    must_equal(play(spoilt(DAY, found)), clean)


@pytest.mark.parametrize("first", [0, 20, 317])
@pytest.mark.parametrize("place", [4, 16, 20, 28, 40, 44, 60])
@pytest.mark.parametrize("number", EXTREMES)
def test_extremes_at_the_days_edges_leave_no_trace(clean, first, place, number):
    tokens = frozenset([0x101, 0x201, CLOCK_TOKEN])

    must_equal(play(spoilt(DAY[:400], [Wild(first, 3, tokens, {place: number})])), _until(clean, 400))


@pytest.mark.parametrize("tokens", [frozenset(SYMBOLS), frozenset(STOCKS), frozenset(INDICES), frozenset([0x101])])
@pytest.mark.parametrize("by_s", [60, 3600, 86_400, -60, -3600, -86_400])
def test_stamps_that_are_wrong_together_move_no_time(clean, tokens, by_s):
    at = int(DAY[400][0].timestamp())
    wild = Wild(
        400, 3, tokens, dict.fromkeys(STAMPS[1:], at + by_s) | ({28: at + by_s} if tokens <= INDICES.keys() else {})
    )

    played = play(spoilt(DAY[:700], [wild]))

    must_equal(played, _until(clean, 700))


@pytest.mark.parametrize("start", [30, 305, 319])
def test_a_start_or_reconnection_into_wild_packets_leaves_no_trace(start):
    began = BEGIN + timedelta(seconds=start)
    tokens = frozenset([0x101, 0x301, CLOCK_TOKEN])
    for place, times in ((4, 3.0), (16, 10.0), (16, 0.1), (40, 3.0), (28, 1.05)):
        wild = play(spoilt(DAY[:700], [Wild(start, 3, tokens, {}, {place: times})]), start=began)

        must_equal(wild, play(DAY[:700], start=began))


def _until(clean: Played, messages: int) -> Played:
    """A day that ends earlier."""
    end = DAY[messages - 1][0]
    return Played(
        bars={key: bar for key, bar in clean.bars.items() if key[0] <= end},
        closes=[close for close in clean.closes if close <= end],
        times=clean.times[:messages],
        prices=clean.prices[:messages],
    )


# --- the truth is believed ---


def moved(times: float, from_second: int) -> list:
    """The day with prices of all stocks that jump by a factor, and stay there."""
    first = 20 + from_second
    return spoilt(DAY, [Wild(first, MESSAGES, frozenset(STOCKS), {}, {4: times})])


@pytest.mark.parametrize("times", [0.8, 1.2, 0.5, 2.0])
@pytest.mark.parametrize("second", [0, 400])
def test_a_real_jump_is_believed_with_the_fourth_packet(times, second):
    played = play(moved(times, second))

    for symbol in STOCKS.values():
        fell = next(n for n in range(20 + second, MESSAGES) if _is_near(played.prices[n].get(symbol), symbol, times))
        assert fell - (20 + second) <= 6  # a stock that does not trade in a second tells nothing
    assert played.halted == ""


@pytest.mark.parametrize("times", [0.94, 1.06])
def test_a_jump_of_the_index_is_believed_with_the_fourth_message(times):
    played = play(spoilt(DAY, [Wild(400, MESSAGES, frozenset(INDICES), {}, {4: times})]))

    assert played.session.risk.told()["index_move"] == pytest.approx(times - 1, abs=0.005)


def test_a_target_that_is_reached_is_left_at_in_the_same_second():
    plain = play(DAY, target="100.30")
    beside = Wild(100, 3, frozenset([0x201, 0x301, CLOCK_TOKEN]), {}, {4: 3.0, 16: 10.0})

    assert plain.left_at is not None
    assert play(spoilt(DAY, [beside]), target="100.30").left_at == plain.left_at


def test_two_minutes_without_a_message_are_gone_over():
    gap = [*DAY[:400], *DAY[520:]]

    played = play(gap)

    assert played.times[-1] == DAY[-1][0]
    assert played.times[400] == DAY[520][0]
    assert played.halted == ""


def _is_near(price: Decimal | None, symbol: str, times: float) -> bool:
    return price is not None and abs(float(price) / (CLOSES[symbol] / 100 * times) - 1) < 0.05


def test_the_day_itself_is_sound(clean):
    assert clean.closes == [OPEN + timedelta(minutes=5 * n) for n in (1, 2, 3)]
    assert len(clean.bars) == 3 * len(SYMBOLS)
    assert not clean.doubtful
