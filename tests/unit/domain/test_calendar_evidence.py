"""The calendar against every list of days at hand, and against another calendar as a cross-check."""

import json
from datetime import date

import pandas as pd
import pytest

from pipelines.domain.market_calendar import KNOWN_FROM, KNOWN_TO, session_on, sessions_between
from tests.conftest import SHARED_DATA

CALENDAR = SHARED_DATA / "calendar"
needs_shared = pytest.mark.skipif(not CALENDAR.exists(), reason="observed calendars are not here")


def days_in(name: str, column: str) -> list[date]:
    table = pd.read_csv(CALENDAR / name, skipinitialspace=True)
    return [day.date() for day in pd.to_datetime(table[column].dropna())]


@needs_shared
def test_listed_holidays_are_closed_but_for_the_days_on_which_trading_was_seen():
    listed = days_in("nse_holidays_2007_2022.csv", "date")
    seen = {*days_in("traded_on_holidays.csv", "Nifty"), *days_in("sessions_observed_2000_2025.csv", "date")}

    traded = {day for day in listed if session_on(day) is not None}

    assert len(set(listed)) == 233
    assert traded <= seen
    assert {session_on(day).kind for day in traded} == {"muhurat", "regular"}


@needs_shared
@pytest.mark.parametrize("name", ["traded_on_holidays.csv", "traded_on_weekends.csv"])
def test_days_on_which_trading_was_seen_are_sessions(name):
    assert all(session_on(day) is not None for day in days_in(name, "Nifty"))


@needs_shared
def test_weekdays_on_which_nothing_traded_are_closed():
    closures = days_in("weekday_closures_observed_2000_2025.csv", "date")

    assert len(closures) == 345
    assert [day for day in closures if session_on(day) is not None] == []


@needs_shared
def test_the_exchanges_own_list_of_2025_agrees():
    content = json.loads((CALENDAR / "nse_holiday_master_2025.json").read_text(encoding="utf-8"))
    listed = [pd.Timestamp(row["tradingDate"]).date() for row in content["CM"]]

    open_days = {day: session_on(day) for day in listed if session_on(day) is not None}

    assert {str(day): session.kind for day, session in open_days.items()} == {"2025-10-21": "muhurat"}
    assert f"{open_days[date(2025, 10, 21)].open:%H:%M}" == "13:45"


def test_another_calendar_differs_on_special_days_and_where_the_index_was_seen_to_trade():
    from exchange_calendars import get_calendar

    theirs = {day.date() for day in get_calendar("XBOM", start=str(KNOWN_FROM), end=str(KNOWN_TO)).sessions}
    ours = {session.day: session for session in sessions_between(KNOWN_FROM, KNOWN_TO)}

    assert {str(day) for day in ours.keys() - theirs if ours[day].kind == "regular"} == {
        "2001-01-01",
        "2004-01-01",
        "2013-11-14",  # it has the next day instead; NIFTY 50 traded on this one
    }
    assert {str(day) for day in theirs - ours.keys()} == {"2013-11-15"}
