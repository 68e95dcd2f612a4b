"""Stamps at the end of bars are found from each day's own session, whatever its hours."""

from datetime import date, timedelta

import pandas as pd
import pytest

from pipelines.domain.bars import IST, TIME_DTYPE, Interval
from pipelines.domain.market_calendar import bar_times, sessions_between
from pipelines.ingest.bar_ends import at_their_open
from tests.unit.ingest.test_files import read

BEFORE, SINCE = (date(2026, 6, 1), date(2026, 7, 31)), (date(2026, 8, 3), date(2026, 10, 30))
MINUTES = {Interval.MIN_1: 1, Interval.MIN_5: 5, Interval.MIN_15: 15, Interval.MIN_60: 60}


def bars_of(days: tuple[date, date], interval: Interval) -> pd.DataFrame:
    """Opens and closes of all bars of the sessions between two days."""
    times = [pair for session in sessions_between(*days) for pair in bar_times(session, interval)]
    return pd.DataFrame(times, columns=["open", "close"]).astype(TIME_DTYPE)


def plain_stock(days: tuple[date, date], minutes: int = 5) -> pd.DataFrame:
    """The same of a stock that trades on to 15:30 beside the closing auction."""
    step = timedelta(minutes=minutes)
    times = []
    for session in sessions_between(*days):
        opened = session.open
        while opened < session.end:
            times.append((opened, min(opened + step, session.end)))
            opened += step
    return pd.DataFrame(times, columns=["open", "close"]).astype(TIME_DTYPE)


@pytest.mark.parametrize("interval", list(MINUTES))
@pytest.mark.parametrize(
    "days",
    [
        BEFORE,
        SINCE,
        (date(2026, 7, 1), date(2026, 9, 30)),
        (date(2008, 1, 1), date(2008, 3, 31)),  # from 09:55
        (date(2010, 2, 1), date(2010, 4, 30)),  # from 09:00, a short Saturday among them
        (date(2023, 11, 6), date(2023, 11, 17)),  # Muhurat among them
        (date(2024, 2, 26), date(2024, 3, 7)),  # a day in two parts
    ],
)
def test_ends_become_the_opens_and_opens_stay(days, interval):
    bars = bars_of(days, interval)

    ends, starts = (at_their_open(bars[name], MINUTES[interval]) for name in ("close", "open"))

    assert ends.times.tolist() == bars["open"].tolist()
    assert "mark the end" in ends.note
    assert starts.times.tolist() == bars["open"].tolist()
    assert starts.note == ""


@pytest.mark.parametrize("days", [BEFORE, SINCE])
def test_stocks_that_trade_on_beside_the_auction_are_told_apart_too(days):
    bars = plain_stock(days)

    assert at_their_open(bars["close"], 5).times.tolist() == bars["open"].tolist()
    assert at_their_open(bars["open"], 5).note == ""


def test_the_note_tells_the_first_and_last_stamp_as_they_are():
    notes = [at_their_open(bars_of(days, Interval.MIN_5)["close"], 5).note for days in (BEFORE, SINCE)]

    assert "first 09:20, last 15:30" in notes[0]
    assert "first 09:20, last 15:15" in notes[1]
    assert "first 10:15, last 15:15" in at_their_open(bars_of(SINCE, Interval.MIN_60)["close"], 60).note


def test_stamps_a_second_before_the_end_mark_the_end():
    bars = bars_of(SINCE, Interval.MIN_1)

    assert at_their_open(bars["close"] - pd.Timedelta(seconds=1), 1).times.tolist() == bars["open"].tolist()


def test_stray_rows_of_the_auctions_decide_nothing():
    bars = bars_of(SINCE, Interval.MIN_5)
    days = pd.Series(bars["open"].dt.normalize().unique()).sample(3, random_state=1)
    stray = pd.concat([days + pd.Timedelta(hours=9, minutes=15), days + pd.Timedelta(hours=15, minutes=30)])

    moved = at_their_open(pd.concat([bars["close"], stray.astype(TIME_DTYPE)], ignore_index=True), 5)

    assert moved.times[: len(bars)].tolist() == bars["open"].tolist()


@pytest.mark.parametrize("first", [date(2027, 1, 4), date(2026, 8, 3)])
def test_days_that_no_table_knows_are_judged_by_the_hours_of_then(first):
    days = [pd.Timestamp(first, tz=IST) + pd.Timedelta(days=n) for n in range(5)]
    opens = pd.Series([day + pd.Timedelta(hours=9, minutes=15 + 5 * k) for day in days for k in range(72)])
    ends = (opens + pd.Timedelta(minutes=5)).astype(TIME_DTYPE)

    assert at_their_open(ends, 5).times.tolist() == opens.tolist()
    assert at_their_open(opens.astype(TIME_DTYPE), 5).note == ""


def test_what_a_person_says_of_the_stamps_holds():
    bars = bars_of(SINCE, Interval.MIN_5)

    assert at_their_open(bars["close"], 5, "start").note == ""
    assert at_their_open(bars["close"].iloc[3:40], 5, "end").times.tolist() == bars["open"].iloc[3:40].tolist()


@pytest.mark.parametrize("days", [BEFORE, SINCE])
def test_a_file_stamped_at_the_end_is_read_as_the_same_bars(days, tmp_path):
    bars = bars_of(days, Interval.MIN_5)
    prices = pd.Series(range(len(bars))) % 50 / 10 + 100
    table = pd.DataFrame({"open": prices, "high": prices + 1, "low": prices - 1, "close": prices, "volume": 100})
    for name, column in (("starts", "open"), ("ends", "close")):
        (tmp_path / name).mkdir()
        stamped = table.assign(date=bars[column].dt.strftime("%Y-%m-%d %H:%M:%S"))
        stamped.to_csv(tmp_path / name / "SBIN.csv", index=False)

    starts, ends = (read(tmp_path / name) for name in ("starts", "ends"))

    kept = ["open_time", "close_time", "open", "close", "volume"]
    pd.testing.assert_frame_equal(starts.bars["SBIN"][kept], ends.bars["SBIN"][kept])
    assert any("mark the end" in note for note in ends.left_out)
