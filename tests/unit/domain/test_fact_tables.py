"""Every dated row says where it comes from and up to when it is known, and what runs out is told in time."""

import csv
from datetime import date, timedelta

import pytest

from pipelines.domain import fact_tables
from pipelines.domain.errors import BadInput
from pipelines.domain.fact_tables import FACTS, fact_rows, horizons, known_until, running_out

TODAY = date(2026, 11, 28)
NAMES = sorted(path.name for path in FACTS.glob("*.csv") if path.name != "tables.csv")


def told_of(table: str, day: date) -> list[str]:
    return [sentence for sentence in running_out(day) if sentence.startswith(table)]


@pytest.mark.parametrize("table", NAMES)
def test_every_row_names_its_source_and_its_last_known_day(table):
    with (FACTS / table).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert rows
    assert all(row["source"].strip() for row in rows)
    assert all(date.fromisoformat(row["known_until"]) for row in rows)
    assert len(fact_rows(table)) == len(rows)


def test_every_table_is_listed_with_what_to_do_when_it_ends():
    assert [each.table for each in horizons()] == NAMES
    assert all(each.beyond and each.renew_from for each in horizons())


@pytest.mark.parametrize("row", [row["table"] for row in fact_rows("tables.csv") if row["key"]])
def test_a_replaced_row_is_known_until_the_day_before(row):
    key = next(about["key"].split() for about in fact_rows("tables.csv") if about["table"] == row)
    begins: dict[tuple[str, ...], set[str]] = {}
    for each in fact_rows(row):
        begins.setdefault(tuple(each[name] for name in key), set()).add(each["effective_from"])

    for each in fact_rows(row):
        later = sorted(day for day in begins[tuple(each[name] for name in key)] if day > each["effective_from"])
        ends = str(date.fromisoformat(later[0]) - timedelta(days=1)) if later else each["known_until"]
        assert each["known_until"] == ends


def test_a_list_that_ends_within_weeks_is_told_from_now_on():
    (sentence,) = told_of("market_closures.csv", TODAY)

    assert "2026-12-31, for 33 more days" in sentence
    assert "the executor trades on none" in sentence
    assert told_of("market_closures.csv", date(2026, 10, 30)) == []


def test_quantities_of_a_month_are_told_as_soon_as_it_ends():
    assert known_until("freeze_quantities.csv") == date(2026, 8, 31)
    assert told_of("freeze_quantities.csv", date(2026, 8, 20)) == []
    assert "89 days ago" in told_of("freeze_quantities.csv", TODAY)[0]


def test_times_that_nobody_found_are_told_with_whose_they_are():
    (sentence,) = told_of("square_off.csv", TODAY)

    assert "(auction stock, derivative)" in sentence


def test_hours_that_nobody_found_are_told_of_their_day():
    assert any("2026-11-08" in sentence and "hours" in sentence for sentence in running_out(TODAY))


@pytest.mark.parametrize(
    "row",
    ["2026-01-01,5,,a source", "2026-01-01,5,2026-12-31,", "2026-01-01,5,2025-12-31,a source", "2026-01-01,5,soon,x"],
)
def test_a_row_without_source_or_last_day_is_refused(row, tmp_path, monkeypatch):
    (tmp_path / "odd.csv").write_text(f"effective_from,limit,known_until,source\n{row}\n", encoding="utf-8")
    monkeypatch.setattr(fact_tables, "FACTS", tmp_path)

    with pytest.raises(BadInput, match=r"facts/odd.csv, line 2"):
        fact_rows("odd.csv")
