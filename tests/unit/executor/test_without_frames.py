"""No frame comes, or what comes tells nothing: time goes on by another clock, and what it makes due is done."""

import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from pipelines.domain.orders import OrderType
from pipelines.domain.outcomes import ExitReason
from serving.executor import daemon as module
from serving.executor.bar_builder import Tick
from serving.executor.daemon import Daemon
from serving.executor.desk import Frame
from serving.executor.feed import Disconnected
from serving.executor.watch import Triggers
from tests.unit.executor.test_session import OPEN, Market

TRIGGERS = Triggers(
    max_drawdown=0.1,
    losses_in_a_row=3,
    slow_decision_ms=1e6,
    slow_decisions=5,
    feed_silence=timedelta(seconds=15),
    clock_skew=timedelta(seconds=5),
    skewed_frames=5,
    calm=timedelta(seconds=60),
)
CLOSE = OPEN.replace(hour=15, minute=15)


def test_intraday_positions_are_left_before_the_close_though_no_frame_comes():
    market = Market()
    market.decides(quantity=10)
    market.trades("100.00")

    market.session.on_clock(CLOSE - timedelta(minutes=5))

    assert [kind for kind, _ in market.working] == [OrderType.LIMIT]
    assert market.session.trades["TCS"].position.exit_reason is ExitReason.SQUARE_OFF


@pytest.mark.parametrize("silent_bars", [1, 2, 7])
def test_a_position_whose_bars_are_over_is_left_though_no_frame_comes(silent_bars):
    market = Market()
    market.decides(quantity=10, hold_bars=silent_bars)
    market.trades("100.00")

    for bar in range(1, silent_bars + 1):
        market.session.on_clock(OPEN + timedelta(minutes=5 * bar, seconds=1))

    assert market.session.trades["TCS"].position.bars_held == silent_bars
    assert market.session.trades["TCS"].position.exit_reason is ExitReason.TIME


def test_a_frame_that_comes_behind_the_other_clock_moves_no_time_back():
    market = Market()
    market.trades("100.00")

    market.session.on_clock(OPEN + timedelta(minutes=3))
    market.session.on_frame(Frame(OPEN + timedelta(minutes=2), (Tick("TCS", 101.0, 2000, OPEN),)))

    assert market.session.now == OPEN + timedelta(minutes=3)


@pytest.mark.parametrize(("lag", "leaves"), [(0, False), (4 * 3600, True), (-4 * 3600, False)])
def test_stamps_that_lag_behind_this_machine_do_not_delay_the_square_off(lag, leaves):
    at = CLOSE - timedelta(hours=3)
    market = Market(at=at, market_is_now=True)
    market.session.risk._wall = lambda: market.at + timedelta(seconds=lag)
    market.decides(quantity=10)

    market.trades("100.00")
    market.trades("100.00")

    assert market.session.desk.late is leaves


@pytest.mark.parametrize("skew_s", [30, -30, 3600, -7200])
def test_a_clock_that_is_wrong_halts_trading_and_one_wild_stamp_does_not(skew_s):
    def halted(*skews) -> bool:
        market = Market(market_is_now=True, triggers=TRIGGERS)
        for skew in skews:
            market.session.risk._wall = lambda skew=skew: market.at + timedelta(seconds=skew + 1)
            market.trades("100.00", seconds=1)
        return not market.session.desk.trading.may_enter().passed

    assert halted(*[skew_s] * 6)
    assert not halted(0, 0, skew_s, 0, 0, 0, 0)


# --- the daemon's course ---


class Place:
    """A market that goes by the clock and is over when the test says so."""

    root, lockstep = "http://127.0.0.1:1", False

    def __init__(self, seconds: float):
        self._until = time.monotonic() + seconds

    def now(self):
        return OPEN + timedelta(minutes=30)

    def go_on(self) -> bool:
        return False

    def is_over(self, last, *, quiet: bool) -> bool:
        return time.monotonic() > self._until


class Quiet:
    """A session that notes what it is told."""

    may_fill = broker_silent = False

    def __init__(self):
        self.clocks, self.silences, self.played = [], [], []
        self.latencies_ms, self.alarms = [], []
        self.desk = SimpleNamespace(market_open=True, alarm=self.alarms.append)

    def on_clock(self, at) -> None:
        self.clocks.append(at)

    def on_silence(self, seconds) -> None:
        self.silences.append(seconds)

    def on_frame(self, frame) -> None:
        self.played.append(frame)

    def on_connection_lost(self) -> None: ...
    def on_books_changed(self) -> None: ...


class Feed:
    """Hands on the same kind of event again and again."""

    access_token, waits, received_at, symbols = "token", True, 0.0, {}

    def __init__(self, event):
        self._event, self.packets_at, self.connected_at = event, {}, []

    def next(self, timeout_s):
        time.sleep(0.02)
        return self._event

    def connect(self, access_token) -> None: ...


def a_daemon(place) -> Daemon:
    daemon = Daemon.__new__(Daemon)
    daemon.place, daemon._done, daemon._began = place, None, OPEN
    daemon.journal = SimpleNamespace(away=None)
    daemon._played_at, daemon._played_wall = 0.0, OPEN
    daemon.params = SimpleNamespace(executor=SimpleNamespace(ticks_stop_after_seconds=20))
    quiet = SimpleNamespace(inc=lambda: None, observe=lambda value: None)
    daemon.metrics = SimpleNamespace(late_frames=quiet, frame_seconds=quiet, decide_ms=quiet)
    daemon.vitals = SimpleNamespace(enter=lambda state: None, look=lambda *what: None)
    daemon.calls = SimpleNamespace(in_hand=None)
    daemon._preparation = SimpleNamespace(policies=SimpleNamespace(changed=False))
    daemon._keep_logged_in = lambda feed: None
    return daemon


@pytest.mark.parametrize(
    "event",
    [
        None,
        Disconnected("1006: the connection was closed"),  # a socket that is made again and again
        Frame(OPEN),  # the same moment told for ever
        Frame(OPEN - timedelta(days=1)),  # yesterday's last packets
    ],
)
def test_time_goes_on_while_nothing_new_is_told(event, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_S", 0.2)
    session = Quiet()

    a_daemon(Place(seconds=1.0))._play(session, Feed(event))

    assert session.clocks
    assert set(session.clocks) == {OPEN + timedelta(minutes=30)}
    assert len(session.played) == 0 or event.at == OPEN
    assert max(session.silences) > 0.5, "a frame that is not played is none"
