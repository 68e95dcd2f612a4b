"""Before a day begins, and whenever somebody asks, it is said which dated tables run out."""

from datetime import date, datetime

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.domain.fact_tables import running_out
from serving.facts_check import check_facts
from serving.status import show_status


def test_what_runs_out_is_a_warning_each_before_the_open(caplog):
    found = check_facts(date(2026, 11, 30))

    assert any("market_closures.csv is known until 2026-12-31" in sentence for sentence in found)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == found


@pytest.mark.parametrize("day", [date(2027, 1, 1), date(2026, 11, 8)])
def test_a_day_of_which_nobody_knows_the_session_fails_in_one_line(day):
    with pytest.raises(BadInput, match=f"{day}.*nothing is traded") as refused:
        check_facts(day)

    assert "\n" not in str(refused.value)


def test_a_closed_day_is_no_fault():
    assert check_facts(date(2026, 12, 25))


def test_the_status_tells_what_runs_out(capsys):
    show_status({}, "not up")

    shown = capsys.readouterr().out

    assert all(f"look up: {sentence}" in shown for sentence in running_out(datetime.now(IST).date()))
