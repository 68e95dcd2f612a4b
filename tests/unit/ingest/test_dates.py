"""Ways in which exchanges, sites and spreadsheets write times."""

import pandas as pd
import pytest

from pipelines.ingest.stamps import read_stamps

WAYS = [
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%d-%m-%Y", "%d/%m/%y",
    "%d.%m.%Y",
    "%m/%d/%Y", "%m/%d/%y", "%m-%d-%Y", "%b %d, %Y", "%B %d, %Y", "%a, %d %b %Y", "%d%b%Y", "%d/%m/%Y %H:%M",
    "%m/%d/%Y %I:%M %p", "%Y%m%d %H%M%S", "%Y-%m-%dT%H:%M:%S", "%d-%b-%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S IST", "%Y-%m-%dT%H:%M:%S.000Z",
]  # fmt: skip


def read(texts):
    return read_stamps(pd.Series(texts, name="date"), "x.csv", pd.Series(range(len(texts))))


@pytest.mark.parametrize("way", WAYS)
def test_a_way_of_writing_is_read(way):
    days = pd.bdate_range("2024-01-02", periods=40)
    times = days + pd.Timedelta(hours=9, minutes=15) if "%H" in way or "%I" in way else days

    found = read(times.strftime(way)).times

    zone = "UTC" if way.endswith("Z") else "Asia/Kolkata"
    assert found.tolist() == times.tz_localize(zone).tz_convert("Asia/Kolkata").tolist()


@pytest.mark.parametrize("first", ["2024-01-02", "2024-02-01", "2023-12-01"])
@pytest.mark.parametrize("way", ["%d/%m/%Y", "%m/%d/%Y"])
def test_days_up_to_twelve_are_read_by_the_sessions_they_meet(first, way):
    days = pd.bdate_range(first, periods=8)

    assert read(days.strftime(way)).times.dt.date.tolist() == list(days.date)


def test_a_month_before_the_day_is_told():
    days = pd.bdate_range("2024-01-02", periods=40)

    assert "month first, e.g. 01-02-2024 as 02 Jan 2024" in read(days.strftime("%m/%d/%Y")).note


def test_excels_days_are_read():
    assert read(["45322.3854166667", "45323"]).times.dt.strftime("%Y-%m-%d %H:%M").tolist() == [
        "2024-01-31 09:15",
        "2024-02-01 00:00",
    ]


@pytest.mark.parametrize("digits", [10, 13, 16, 19])
def test_an_epoch_of_any_fineness_is_read(digits):
    found = read([str(1_704_167_100 * 10 ** (digits - 10))] * 2)

    assert found.times.iloc[0] == pd.Timestamp("2024-01-02 09:15", tz="Asia/Kolkata")


@pytest.mark.parametrize(
    "text", ["2024-01-02 25:00", "2024-02-30", "0000-00-00", "99999-01-01", "-1", "2023-13-01", "1e9", ""]
)
def test_what_is_no_time_stays_unread(text):
    assert pd.isna(read(["2024-01-03", "2024-01-04", text]).times.iloc[2])
