"""Ticks that stop while heartbeats go on."""

from serving.executor.feed_watch import FeedWatch


class Ticker:
    access_token = "token"

    def __init__(self):
        self.second = 0.0
        self.symbols = {1: "TCS", 2: "INFY", 3: "ITC"}
        self.packets_at: dict[int, float] = {}
        self.connected_at: list[float] = []

    def connect(self, access_token: str) -> None:
        self.connected_at.append(self.second)


class Course:
    """A feed second by second; the test says who is heard."""

    def __init__(self, stop_after_s: float = 20.0):
        self.ticker = Ticker()
        self.watch = FeedWatch(self.ticker, stop_after_s, lambda: self.ticker.second)
        self.told: list[str] = []

    def go(self, seconds: int, *tokens: int, every: int = 1, in_session: bool = True) -> None:
        for _ in range(seconds):
            self.ticker.second += 1
            if self.ticker.second % every == 0:
                self.ticker.packets_at |= dict.fromkeys(tokens, self.ticker.second)
            said = self.watch.look(in_session)
            self.told += [said] if said else []


def test_ticks_that_stop_in_the_session_make_a_new_connection_after_the_stated_time():
    course = Course()
    course.go(60, 1, 2, 3)

    course.go(19)
    assert course.ticker.connected_at == []
    course.go(200)

    assert course.ticker.connected_at == [80, 120, 200]
    assert course.told[0].startswith("ticks have stopped")


def test_ticks_that_never_came_in_a_session_are_missed_too():
    course = Course()

    course.go(300, in_session=False)
    course.go(21)

    assert course.ticker.connected_at == [320]


def test_after_ticks_came_back_the_next_stop_is_met_as_soon_as_the_first():
    course = Course()
    course.go(5, 1)
    course.go(70)
    before = len(course.ticker.connected_at)

    course.go(5, 1)
    course.go(21)

    assert len(course.ticker.connected_at) == before + 1


def test_one_instrument_that_falls_silent_while_others_go_on_is_missed_and_named():
    course = Course()
    course.go(120, 1, 2, 3)

    course.go(55, 1, 3)
    assert course.told == []
    course.go(10, 1, 3)

    assert course.told == ["ticks of INFY have stopped: the ticker is connected anew"]
    course.go(200, 1, 3)
    assert len(course.ticker.connected_at) == 1, "not again at once"


def test_an_instrument_that_trades_now_and_then_is_not_missed():
    course = Course()
    for _ in range(30):
        course.go(29, 1)
        course.go(1, 1, 2)

    course.go(280, 1)

    assert course.told == []


def test_while_we_are_behind_ourselves_nobody_else_is_silent():
    course = Course()
    course.go(60, 1, 2, 3)

    course.ticker.second += 45  # a frame took so long
    course.go(15)

    assert course.told == []


def test_a_socket_that_is_made_again_and_again_is_told_of():
    course = Course()
    course.go(10, 1)

    for _ in range(6):
        course.ticker.connected_at.append(course.ticker.second)
        course.go(2, 1)

    assert course.told
    assert "again and again" in course.told[-1]
