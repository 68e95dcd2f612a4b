"""The grid agrees with the calendar bar by bar, pauses and short days included."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.market_calendar import bar_times, session_on, sessions_between
from pipelines.domain.session_grid import bar_numbers, bars_in_sessions, shifted, slots

REGULAR, OUTAGE, MUHURAT = date(2024, 1, 2), date(2021, 2, 24), date(2022, 10, 24)


@pytest.mark.parametrize("day", [REGULAR, OUTAGE, MUHURAT])
@pytest.mark.parametrize("interval", list(Interval))
def test_every_bar_of_a_session_is_its_own_slot(day, interval):
    session = session_on(day)
    assert session is not None
    times = pd.DataFrame(bar_times(session, interval), columns=["open_time", "close_time"]).astype(TIME_DTYPE)

    place = slots(times["open_time"], interval)

    assert place["inside"].all()
    assert place["open_time"].tolist() == times["open_time"].tolist()
    assert place["close_time"].tolist() == times["close_time"].tolist()
    assert bars_in_sessions(day, day, interval) == {day: len(times)}


def test_moments_before_after_and_in_the_pause_are_outside():
    outage = session_on(OUTAGE)
    assert outage is not None
    assert outage.pause is not None
    moments = [outage.open - timedelta(minutes=1), outage.pause[0], outage.end, outage.pause[1]]

    place = slots(pd.Series(moments).astype(TIME_DTYPE), Interval.MIN_5)

    assert place["inside"].tolist() == [False, False, False, True]


def test_a_closed_day_does_not_trade_and_an_unknown_weekday_does():
    moments = pd.Series(["2024-01-26 10:00", "1995-03-01 10:00"], dtype="datetime64[us]").dt.tz_localize("Asia/Kolkata")

    place = slots(moments.astype(TIME_DTYPE), Interval.MIN_5)

    assert place["trades"].tolist() == [False, True]


def clocks_on(day: str, *times: str) -> pd.Series:
    return pd.Series([pd.Timestamp(f"{day} {clock}", tz="Asia/Kolkata") for clock in times], dtype=TIME_DTYPE)


@pytest.mark.parametrize(
    ("clocks", "off"),
    [
        (("03:45", "06:00", "09:15", "09:59"), True),  # UTC taken for ours
        (("09:45", "12:00", "15:20", "15:45"), True),  # half an hour late
        (("08:45", "12:00", "14:20", "14:45"), True),  # half an hour early
        (("09:08", "09:15", "12:00", "15:29"), False),  # a value before the open
        (("10:30", "12:00", "15:20", "15:30"), False),  # a recorder that began late, and a stray at the close
        (("09:15", "12:00", "15:29", "18:00", "18:01"), True),  # too many for strays
    ],
)
def test_a_day_off_its_session_is_taken_for_one_of_another_zone(clocks, off):
    times = clocks_on("2024-01-02", *clocks)
    place = slots(times, Interval.MIN_1)

    found = shifted(times, np.zeros(len(times)), ~place["inside"].to_numpy())

    assert found.tolist() == [off] * len(times)


def test_a_shifted_day_of_one_instrument_says_nothing_of_another_or_of_the_next_day():
    times = pd.concat([clocks_on("2024-01-02", "03:45", "09:20"), clocks_on("2024-01-02", "09:15", "09:20"),
                       clocks_on("2024-01-03", "09:15")], ignore_index=True)  # fmt: skip
    owners = np.array(["SBIN", "SBIN", "TCS", "TCS", "SBIN"])
    outside = ~slots(times, Interval.MIN_1)["inside"].to_numpy()

    assert shifted(times, owners, outside).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("interval", [Interval.MIN_5, Interval.MIN_60, Interval.DAY])
def test_bars_that_follow_each_other_differ_by_one(interval):
    sessions = sessions_between(date(2021, 2, 22), date(2021, 3, 1))  # 2021-02-24 has a pause, one is a weekend
    opens = [opened for session in sessions for opened, _ in bar_times(session, interval)]

    numbers = bar_numbers(pd.Series(opens).astype(TIME_DTYPE), interval)

    assert np.diff(numbers).tolist() == [1] * (len(opens) - 1)


@pytest.mark.parametrize("interval", [Interval.MIN_5, Interval.MIN_60, Interval.DAY])
def test_a_bar_keeps_its_distance_when_others_are_missing(interval):
    sessions = sessions_between(date(2026, 7, 27), date(2026, 8, 10))  # over the first day of the closing auction
    opens = pd.Series([opened for session in sessions for opened, _ in bar_times(session, interval)]).astype(TIME_DTYPE)
    kept = np.flatnonzero(np.random.default_rng(3).random(len(opens)) < 0.3)

    whole, some = bar_numbers(opens, interval), bar_numbers(opens.iloc[kept], interval)

    assert np.diff(some).tolist() == np.diff(whole[kept]).tolist()


def test_a_session_without_any_bar_counts_and_a_holiday_with_bars_too():
    days = pd.to_datetime(["2026-01-13", "2026-01-15", "2026-01-19"]).tz_localize("Asia/Kolkata")  # 15th: closed

    numbers = bar_numbers(pd.Series(days + pd.Timedelta(hours=9, minutes=15)).astype(TIME_DTYPE), Interval.DAY)

    assert np.diff(numbers).tolist() == [2, 2]
