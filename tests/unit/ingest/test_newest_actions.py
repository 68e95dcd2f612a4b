"""What a session knows of corporate actions at its start: the run's table, and what was collected since."""

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import actions_table
from pipelines.ingest.lake import Lake
from pipelines.ingest.newest_actions import newest_actions
from pipelines.tables import write_table
from tests.conftest import workspace_at
from tests.unit.domain.test_ex_dates import BEFORE_ALL, MONDAY, WEDNESDAY, an_action
from tests.unit.ingest.lake_builders import Clock, a_piece

LATER = pd.Timestamp("2026-11-20 18:00", tz=IST)
NAN = float("nan")


@pytest.fixture
def place(tmp_path):
    paths, params = workspace_at(tmp_path, {"ingest.priority": []})
    return paths, params.ingest, Lake(paths.lake, Clock())


def pinned(paths, *rows):
    write_table(actions_table(rows), paths.raw_actions)


def collected(lake, *rows, key="NSE"):
    lake.store("bhavcopy", a_piece(actions_table(rows), kind="actions", key=key))


def found(place, at=LATER, symbols=("TCS", "INFY")):
    known = newest_actions(place[1], place[0], symbols, at)
    assert known.lacking == ""
    rows = known.table
    return [(row.symbol, f"{row.ex_date:%d}", row.kind, row.ratio, row.known_at) for row in rows.itertuples()]


def test_without_table_and_lake_nothing_is_announced_and_no_lake_is_made(place):
    assert found(place) == []
    assert not place[0].lake.exists()


def test_the_runs_actions_and_those_collected_since_are_one_table(place):
    pinned(place[0], an_action(MONDAY))
    collected(place[2], an_action(WEDNESDAY, symbol="INFY"), an_action(WEDNESDAY, symbol="SBIN"))

    assert [row[:2] for row in found(place)] == [("TCS", "23"), ("INFY", "25")]


def test_what_is_announced_in_the_days_that_are_played_is_known_in_time(place):
    later = LATER + pd.Timedelta(days=1)
    write_table(actions_table([an_action(MONDAY, known_at=later)]), place[0].session_actions)

    assert found(place) == []
    assert [row[:2] for row in found(place, at=later)] == [row[:2] for row in found(place, at=None)] == [("TCS", "23")]


def test_what_was_not_known_by_then_is_not_told(place):
    pinned(place[0], an_action(MONDAY, known_at=LATER + pd.Timedelta(minutes=1)))
    collected(place[2], an_action(WEDNESDAY, known_at=None))

    assert found(place) == []
    assert [row[1] for row in found(place, at=pd.Timestamp(WEDNESDAY, tz=IST))] == ["23", "25"]


def test_of_an_action_told_twice_the_later_figures_count_from_when_it_was_first_known(place):
    pinned(place[0], an_action(MONDAY, ratio=5.0))
    collected(place[2], an_action(MONDAY, ratio=10.0, known_at=LATER))

    assert found(place) == [("TCS", "23", "split", 10.0, pd.Timestamp(BEFORE_ALL))]


def test_a_ratio_that_only_the_run_knows_stays(place):
    pinned(place[0], an_action(MONDAY, kind="demerger", ratio=1.4))
    collected(place[2], an_action(MONDAY, kind="demerger", ratio=NAN, known_at=LATER))

    assert [row[3] for row in found(place)] == [1.4]


def test_an_action_told_under_an_older_symbol_is_the_shares_own(place):
    collected(place[2], an_action(MONDAY, symbol="INFOSYSTCH"))

    assert [row[0] for row in found(place)] == ["INFY"]


def test_who_stores_at_the_same_moment_is_not_waited_for(place):
    collected(place[2], an_action(MONDAY))

    with place[2]._locked():
        assert [row[:2] for row in found(place)] == [("TCS", "23")]


def test_of_a_damaged_lake_the_runs_actions_remain_and_what_is_wrong_is_said(place):
    pinned(place[0], an_action(WEDNESDAY))
    collected(place[2], an_action(MONDAY))
    for part in place[0].lake.rglob("*.parquet"):
        part.write_bytes(b"PAR1")

    known = newest_actions(place[1], place[0], ["TCS"], LATER)

    assert [f"{day:%d}" for day in known.table["ex_date"]] == ["25"]
    assert "is not the file that was stored; bring the lake back from a copy" in known.lacking
