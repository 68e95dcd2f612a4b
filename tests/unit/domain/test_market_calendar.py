"""The calendar of NSE's cash market: what is known of it, and that it agrees with what was observed."""

import csv
from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.bars import Interval
from pipelines.domain.fact_tables import FACTS
from pipelines.domain.market_calendar import (
    KNOWN_FROM,
    KNOWN_TO,
    bar_times,
    count_trading_days,
    hours_of_bars,
    is_known,
    may_trade,
    regular_bars,
    session_on,
    sessions_between,
    trades_on,
    trading_day_after,
    trading_day_before,
    trading_days_before,
    why_no_session,
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
    assert len(before) == regular_bars(date(2026, 7, 31), Interval.MIN_60) == 7
    assert len(after) == regular_bars(date(2026, 8, 3), Interval.MIN_60) == 6


@pytest.mark.parametrize(
    ("day", "bars"),
    [("2008-03-03", 67), ("2010-02-01", 78), ("2026-07-31", 75), ("2026-08-03", 72), ("2027-03-01", 72)],
)
def test_bars_a_day_are_those_of_the_hours_of_then(day, bars):
    assert regular_bars(date.fromisoformat(day), Interval.MIN_5) == bars
    assert regular_bars(date.fromisoformat(day), Interval.DAY) == 1


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


@pytest.mark.parametrize("day", [date(2027, 1, 4), date(2027, 1, 26), date(2031, 3, 5), date(1999, 12, 31)])
def test_outside_the_tables_no_session_is_assumed(day):
    assert not is_known(day)
    assert trades_on(day) is None
    assert may_trade(day), "who only asks or looks may"
    assert session_on(day) is None
    assert str(KNOWN_TO) in why_no_session(day)


def test_a_session_whose_hours_nobody_found_is_on_at_no_time():
    muhurat = date(2026, 11, 8)

    assert trades_on(muhurat)
    assert not is_known(muhurat)
    assert session_on(muhurat) is None
    assert "hours" in why_no_session(muhurat)


def test_the_calendar_reaches_as_far_as_its_list_of_holidays():
    with (FACTS / "market_closures.csv").open(encoding="utf-8", newline="") as file:
        last = max(row["day"] for row in csv.DictReader(file))

    assert date(int(last[:4]), 12, 31) == KNOWN_TO


def test_the_next_day_of_trading_is_unknown_where_the_tables_end():
    assert trading_day_after(date(2026, 11, 6)) == date(2026, 11, 8)
    assert trading_day_before(date(2026, 11, 9)) == date(2026, 11, 8)
    assert trading_day_after(KNOWN_TO) is None
    assert trading_day_before(KNOWN_FROM) is None
    assert count_trading_days(date(2026, 11, 5), date(2026, 11, 10)) == 4
    assert count_trading_days(date(2026, 12, 30), date(2027, 1, 4)) is None
    assert len(trading_days_before(date(2000, 1, 5), 10)) == 3


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2027-01-04", "09:15 15:15 15:30"), ("2026-10-02", "09:15 15:15 15:30"), ("2026-11-08", "09:00 20:00 20:00")],
)
def test_bars_of_days_without_a_known_session_are_measured_by_the_hours_of_then(day, hours):
    assert " ".join(f"{moment:%H:%M}" for moment in hours_of_bars(date.fromisoformat(day))) == hours


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
