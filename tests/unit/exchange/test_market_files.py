from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput, NotFound
from serving.exchange.market import FrameKind
from serving.exchange.replay import Choice, days_asked, replay_bars, replay_ticks
from tests.conftest import SHARED_DATA
from tests.unit.exchange.builders import some_rules

DAY = "2021-05-20"
DEFECTS = [
    (f"{DAY} 09:15:01", 100.00, 1000),
    (f"{DAY} 09:15:01", 100.00, 1000),  # an exact duplicate
    (f"{DAY} 09:15:03", 100.10, 1500),
    (f"{DAY} 09:15:02", 100.05, 1200),  # stamp and total step back
    (f"{DAY} 09:15:04", 100.20, 1400),  # the total steps back
    (f"{DAY} 09:15:05", 100.15, 1600),
    (f"{DAY} 09:15:05", 100.25, 1700),  # two rows with one stamp
    (f"{DAY} 09:16:00", 100.30, 1800),
    (f"{DAY} 09:17:30", 100.40, 1900),
    (f"{DAY} 15:45:00", 100.40, 1900),  # a stale repeat
    ("2021-05-22 10:00:00", 99.00, 10),  # a Saturday
]


def tick_file(folder, rows=DEFECTS, name="INFY_20_May.csv"):
    path = folder / name
    pd.DataFrame(rows, columns=["timestamp", "ltp", "volume"]).to_csv(path, index=False)
    return path


def bar_file(folder, name="SBIN.csv", days=("2023-04-03", "2023-04-05"), first=500.0):
    rows = []
    for day in days:
        start = pd.Timestamp(f"{day} 09:15:00+05:30")
        rows += [(start + timedelta(minutes=k), first, first + 1, first - 1, first + 0.5, 100) for k in range(375)]
        first += 10
    path = folder / name
    pd.DataFrame(rows, columns=["date", "open", "high", "low", "close", "volume"]).to_csv(path, index=False)
    return path


def frames_of(market):
    frames = []
    while not frames or frames[-1].kind is not FrameKind.POST_CLOSE:
        frames.append(market.next_frame())
    return frames


def test_a_recorder_s_defects_are_left_out_and_counted(tmp_path):
    replay = replay_ticks(tick_file(tmp_path), Choice())

    told = replay.told[0]
    assert told.startswith("6 ticks; left out: 1 exact duplicates, ")
    assert "1 days without a session, 1 outside the session's hours" in told
    assert "1 steps back of the running total, 1 earlier rows of one stamp; 2 put in order" in told


def test_a_tape_plays_a_frame_for_each_stamp_and_a_clock_frame_at_every_minute(tmp_path):
    replay = replay_ticks(tick_file(tmp_path), Choice())

    frames = frames_of(replay.market(4, 0))

    ticks = [(f"{frame.at:%H:%M:%S}", *frame.ticks) for frame in frames if frame.kind is FrameKind.TICKS]
    told = [(at, tick.price, tick.quantity) for at, tick in ticks]
    assert told == [
        ("09:15:01", Decimal("100.00"), 1000),
        ("09:15:02", Decimal("100.05"), 200),
        ("09:15:03", Decimal("100.10"), 300),
        ("09:15:05", Decimal("100.25"), 200),
        ("09:16:00", Decimal("100.30"), 100),
        ("09:17:30", Decimal("100.40"), 100),
    ]
    assert [frame.at for frame in frames] == sorted(frame.at for frame in frames)
    boundaries = [frame.at for frame in frames if frame.kind is FrameKind.BOUNDARY]
    assert [f"{at:%H:%M:%S}" for at in boundaries[:3]] == ["09:16:00", "09:17:00", "09:18:00"]
    assert len(boundaries) == 374
    order = [frame.kind.name[0] for frame in frames[:8]]
    assert "".join(order) == "OTTTTBTB", "the minute's clock comes before what is stamped with it"


def test_every_tick_of_a_tape_is_a_jump_without_a_bar(tmp_path):
    replay = replay_ticks(tick_file(tmp_path), Choice())

    ticks = [tick for frame in frames_of(replay.market(4, 0)) for tick in frame.ticks]

    assert {(tick.path_from, tick.bar_volume) for tick in ticks} == {(None, None)}


def test_tokens_and_tick_sizes_come_from_kite_s_dump_where_prices_keep_them(tmp_path):
    dump = tmp_path / "instruments.csv"
    dump.write_text(
        ",instrument_token,tradingsymbol,tick_size,exchange\n0,408065,INFY,0.1,NSE\n1,779521,SBIN,0.01,NSE\n"
    )

    ticks = replay_ticks(tick_file(tmp_path), Choice(), dump)
    bars = replay_bars(bar_file(tmp_path), Choice(), dump)

    assert [(i.token, i.tick_size) for i in ticks.instruments] == [(408065, Decimal("0.05"))]
    assert "today's tick size 0.1 does not fit" in ticks.told[-1]
    assert [(i.token, i.tick_size) for i in bars.instruments] == [(779521, Decimal("0.01"))]


def test_bars_of_a_day_are_played_and_those_before_are_its_history(tmp_path):
    bar_file(tmp_path)
    bar_file(tmp_path, "AXISBANK.csv", days=("2023-04-05",), first=800.0)

    replay = replay_bars(tmp_path, Choice(days=days_asked("2023-04-05")))

    venue = replay.venue(some_rules(), 4, 0)
    assert [day.day for day in replay.days] == [date(2023, 4, 5)]
    assert replay.interval is Interval.MIN_1
    assert replay.previous_closes == {"SBIN": Decimal("500.50")}
    while venue.state != "finished":
        venue.advance()
    assert venue.board.quotes["SBIN"].volume == 37_500
    assert venue.board.quotes["AXISBANK"].last_price == Decimal("800.50")


def test_daily_files_are_played_a_bar_a_session(tmp_path):
    days = ("2024-07-15", "2024-07-16", "2024-07-18")  # the 17th is a holiday
    rows = "".join(f"{day},100,104,99,{100 + n},5000\n" for n, day in enumerate(days))
    (tmp_path / "SBIN.csv").write_text(f"date,open,high,low,close,volume\n{rows}")

    replay = replay_bars(tmp_path, Choice())

    assert replay.interval is Interval.DAY
    assert [(day.day.isoformat(), f"{day.open:%H:%M}", f"{day.close:%H:%M}") for day in replay.days] == [
        (day, "09:15", "15:30") for day in days
    ]


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda folder: replay_ticks(folder / "none.csv", Choice()), NotFound, "is not there"),
        (lambda folder: replay_ticks(bar_file(folder), Choice()), BadInput, "holds no ticks"),
        (lambda folder: replay_ticks(tick_file(folder), Choice(days_asked("2021-05-21"))), NotFound, "--days"),
        (lambda folder: replay_ticks(tick_file(folder), Choice(symbols=frozenset({"TCS"}))), NotFound, "--symbols"),
        (lambda folder: replay_bars(bar_file(folder), Choice(days_asked("2023-05-02"))), NotFound, "--days"),
        (lambda folder: replay_bars(bar_file(folder), Choice(symbols=frozenset({"TCS"}))), NotFound, "TCS"),
        (lambda folder: days_asked("20 May"), BadInput, "2021-05-17"),
    ],
)
def test_what_is_not_in_the_files_is_refused_with_what_to_correct(tmp_path, ask, error, says):
    with pytest.raises(error, match=says):
        ask(tmp_path)


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the recorded ticks are not here")
def test_a_real_day_of_ticks_ends_at_its_last_price_and_total():
    replay = replay_ticks(SHARED_DATA / "ticks" / "INFY_16_April.csv", Choice())

    venue = replay.venue(some_rules(), 4, 0)
    while venue.state != "finished":
        venue.advance()

    assert [day.day for day in replay.days] == [date(2021, 4, 16)]
    assert replay.told[0].startswith("19510 ticks; left out: 4715 exact duplicates, ")
    quote = venue.board.quotes["INFY"]
    assert (quote.last_price, quote.volume) == (Decimal("1349.60"), 10_875_938)
