"""The calendar of NSE's cash market: what is known of it, and that it agrees with what was observed."""

import csv
from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.bars import Interval
from pipelines.domain.market_calendar import (
    KNOWN_FROM,
    KNOWN_TO,
    bar_times,
    is_known,
    session_on,
    sessions_between,
    trading_days_before,
)
from tests.conftest import SHARED_DATA

CALENDAR = SHARED_DATA / "calendar"
needs_shared = pytest.mark.skipif(not CALENDAR.exists(), reason="observed calendars are not here")


def clock(day: str) -> tuple[str, str]:
    session = session_on(date.fromisoformat(day))
    assert session is not None
    return f"{session.open:%H:%M}", f"{session.close:%H:%M}"


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2009-06-15", ("09:55", "15:30")),
        ("2010-10-18", ("09:15", "15:30")),
        ("2026-07-31", ("09:15", "15:30")),
        ("2026-08-03", ("09:15", "15:15")),
    ],
)
def test_regular_hours_are_those_of_the_day(day, hours):
    assert clock(day) == hours


def test_stocks_without_derivatives_trade_on_after_the_closing_auction_came():
    before, after = session_on(date(2026, 7, 31)), session_on(date(2026, 8, 3))

    assert before.end == before.close
    assert f"{after.end:%H:%M}" == "15:30"


@pytest.mark.parametrize("day", ["2024-01-20", "2025-02-01", "2026-02-01"])
def test_weekends_with_a_full_session_trade(day):
    assert clock(day) == ("09:15", "15:30")
    assert session_on(date.fromisoformat(day)).kind == "special"


@pytest.mark.parametrize("day", ["2026-01-15", "2026-10-02", "2026-10-20", "2013-11-15", "2024-11-20", "2026-08-15"])
def test_holidays_and_weekends_are_closed(day):
    assert session_on(date.fromisoformat(day)) is None


def test_muhurat_is_an_evening_hour_on_a_holiday():
    session = session_on(date(2023, 11, 12))

    assert session.kind == "muhurat"
    assert clock("2023-11-12") == ("18:15", "19:15")
    assert len(bar_times(session, Interval.MIN_5)) == 12


def test_bars_leave_out_the_pause_of_a_broken_day():
    times = bar_times(session_on(date(2024, 3, 2)), Interval.MIN_5)

    assert len(times) == 21
    assert not any("10:00" <= f"{start:%H:%M}" < "11:30" for start, _ in times)


def test_last_bar_of_an_hour_is_short_before_the_closing_auction():
    before = bar_times(session_on(date(2026, 7, 31)), Interval.MIN_60)
    after = bar_times(session_on(date(2026, 8, 3)), Interval.MIN_60)

    assert before[-1][1] - before[-1][0] == timedelta(minutes=15)
    assert len(before) == Interval.MIN_60.bars_per_day == 7
    assert len(after) == 6


@given(day=st.dates(KNOWN_FROM, KNOWN_TO), interval=st.sampled_from(list(Interval)))
def test_bars_fill_the_session_without_overlap(day, interval):
    session = session_on(day)
    if session is None:
        return

    times = bar_times(session, interval)

    assert times[0][0] == session.open
    assert times[-1][1] == session.close
    assert all(start < end for start, end in times)
    assert all(one[1] <= two[0] for one, two in pairwise(times))


@given(day=st.dates(KNOWN_FROM + timedelta(days=400), KNOWN_TO), count=st.integers(0, 60))
def test_trading_days_before_are_the_last_ones_up_to_the_day(day, count):
    found = trading_days_before(day, count)

    assert len(found) == count
    assert found == sessions_between(found[0].day, day) if count else found == []


def test_outside_the_tables_weekdays_count_and_are_said_to_be_unknown():
    assert not is_known(date(2027, 1, 26))
    assert session_on(date(2027, 1, 26)) is not None
    assert session_on(date(2027, 1, 30)) is None


@needs_shared
def test_days_are_those_on_which_the_index_traded():
    with (CALENDAR / "sessions_observed_2000_2025.csv").open() as file:
        observed = [date.fromisoformat(row["date"]) for row in csv.DictReader(file)]

    ours = [session.day for session in sessions_between(observed[0], observed[-1])]

    assert ours == observed


@needs_shared
def test_hours_are_those_in_which_the_index_traded():
    observed = pd.read_csv(CALENDAR / "sessions_observed_2000_2025.csv").dropna(subset=["first_5min_bar"])

    for row in observed.itertuples():
        times = bar_times(session_on(date.fromisoformat(row.date)), Interval.MIN_5)

        assert (f"{times[0][0]:%H:%M}", f"{times[-1][0]:%H:%M}") == (row.first_5min_bar, row.last_5min_bar), row.date


@needs_shared
@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_published_holidays_are_closed_but_for_their_muhurat(year):
    published = pd.read_csv(CALENDAR / f"nse_holidays_{year}.csv", header=None)[0]

    traded = [session for day in pd.to_datetime(published, format="%d-%b-%Y") if (session := session_on(day.date()))]

    assert all(session.kind == "muhurat" for session in traded)
