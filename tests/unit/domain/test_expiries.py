import csv
import json
from datetime import date, datetime

import pytest

from pipelines.domain.expiries import (
    in_last_days_of_month,
    is_budget_day,
    last_budget,
    last_monthly_expiry,
    next_monthly_expiry,
    next_weekly_expiry,
)
from pipelines.domain.fact_tables import fact_rows
from pipelines.domain.market_calendar import KNOWN_TO, session_on
from tests.conftest import SHARED_DATA


@pytest.mark.parametrize(
    ("day", "expiry"),
    [
        (date(2025, 8, 25), date(2025, 8, 28)),  # the last Thursday
        (date(2025, 8, 28), date(2025, 8, 28)),
        (date(2025, 8, 29), date(2025, 9, 2)),  # the first Tuesday
        (date(2025, 12, 16), date(2025, 12, 16)),
        (date(2023, 3, 27), date(2023, 3, 29)),  # the 30th was a holiday
        (date(2019, 2, 8), date(2019, 2, 14)),
        (date(2018, 6, 1), None),
        (date(2025, 10, 15), date(2025, 10, 20)),  # Muhurat on the 21st: a session of the cash market, no expiry
        (date(2025, 10, 20), date(2025, 10, 20)),
        (date(2025, 10, 21), date(2025, 10, 28)),
        (date(2021, 11, 1), date(2021, 11, 3)),  # Muhurat on Thursday the 4th
        (date(2026, 10, 19), date(2026, 10, 19)),  # Dussehra on the 20th
        (date(2026, 11, 5), date(2026, 11, 9)),
        (date(2026, 12, 30), None),  # nobody knows the holidays of 2027
        (date(2027, 3, 1), None),
    ],
)
def test_weekly_options_end_on_thursdays_and_since_september_2025_on_tuesdays(day, expiry):
    assert next_weekly_expiry(day) == expiry


@pytest.mark.parametrize(
    ("day", "following", "before"),
    [
        (date(2025, 8, 1), date(2025, 8, 28), date(2025, 7, 31)),
        (date(2025, 9, 1), date(2025, 9, 30), date(2025, 8, 28)),
        (date(2025, 12, 30), date(2025, 12, 30), date(2025, 12, 30)),
        (date(2025, 12, 31), date(2026, 1, 27), date(2025, 12, 30)),
        (date(2000, 5, 2), None, None),
        (date(2000, 10, 2), date(2000, 10, 25), date(2000, 9, 28)),  # Muhurat on Thursday the 26th
        (date(2011, 10, 3), date(2011, 10, 25), date(2011, 9, 29)),  # Muhurat on the 26th, the 27th a holiday
        (date(2026, 12, 30), None, date(2026, 12, 29)),
        (date(2027, 2, 15), None, None),
    ],
)
def test_monthly_contracts_end_on_the_last_such_day_of_their_month(day, following, before):
    assert next_monthly_expiry(day) == following
    assert last_monthly_expiry(day) == before


def test_an_expiry_is_a_session():
    days = [next_monthly_expiry(date(year, month, 1)) for year in range(2001, 2027) for month in range(1, 13)]

    assert all(day is not None and session_on(day) is not None for day in days)


def test_derivatives_rest_on_all_closures_and_on_every_muhurat_weekday():
    first = date(2000, 6, 12)
    holidays = {date.fromisoformat(row["day"]) for row in fact_rows("derivative_holidays.csv")}
    closed = {day for row in fact_rows("market_closures.csv") if (day := date.fromisoformat(row["day"])) >= first}
    muhurat = [row for row in fact_rows("special_sessions.csv") if row["kind"] == "muhurat"]
    evenings = {day for row in muhurat if (day := date.fromisoformat(row["day"])).weekday() < 5 and day >= first}

    assert holidays == closed | evenings
    assert date(2025, 10, 21) in holidays


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the holiday master is not here")
def test_the_exchanges_own_list_of_derivatives_holidays_agrees():
    content = json.loads((SHARED_DATA / "calendar" / "nse_holiday_master_2025.json").read_text(encoding="utf-8"))
    listed = {datetime.strptime(row["tradingDate"], "%d-%b-%Y").date() for row in content["FO"]}

    ours = {date.fromisoformat(row["day"]) for row in fact_rows("derivative_holidays.csv") if row["day"][:4] == "2025"}

    assert ours == {day for day in listed if day.weekday() < 5}


@pytest.mark.parametrize(
    ("day", "rolls"),
    [("2026-10-16", False), ("2026-10-20", True), ("2026-10-27", True), ("2026-10-28", False)],
)
def test_the_last_days_before_a_monthly_expiry_are_counted_in_sessions(day, rolls):
    assert in_last_days_of_month(date.fromisoformat(day), 5) is rolls


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="Kite's dump is not here")
def test_the_rule_gives_the_expiries_of_kites_dump():
    with (SHARED_DATA / "kite" / "instruments" / "nfo_instruments_subset.csv").open() as file:
        listed = {date.fromisoformat(row["expiry"]) for row in csv.DictReader(file) if row["name"] == "NIFTY"}

    soon = sorted(day for day in listed if day <= date(2026, 2, 28))

    assert len(soon) >= 7
    assert [next_weekly_expiry(day) for day in soon] == soon
    assert max(soon) < KNOWN_TO


def test_a_budget_is_known_from_its_day_on():
    assert last_budget(date(2024, 7, 22)) == date(2024, 2, 1)
    assert last_budget(date(2024, 7, 23)) == date(2024, 7, 23)
    assert is_budget_day(date(2020, 2, 1))
    assert not is_budget_day(date(2020, 2, 3))
    assert last_budget(date(2009, 1, 1)) is None
