"""Twenty entries at one close, by the wall clock and under the broker's limits of calls: no fill waits for its stop."""

from pathlib import Path

import pytest

from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from serving.exchange.rate_limits import kite_limits
from tests.torture.play import NAKED_LIMIT_S, play
from tests.torture.schedule import Schedule

CROWD = 20
PACE = 25.0  #: a bar of five minutes takes twelve seconds: time for three batches of entries at the least
LEAST_ENTRIES = 10


@pytest.fixture
def database(own_postgres):
    url = database_url("journal_crowd")
    journal_at(url).close()
    return url


def test_no_fill_of_twenty_entries_at_one_close_is_bare_for_a_second(database, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.torture.play.STUCK_S", 150.0)  # the day takes 72 s of the wall clock
    schedule = Schedule(seed=918_273, bars=6, instruments=3, volume=40_000, pace=PACE, crowd=CROWD)

    story = play(schedule, database, Path(tmp_path), limits=kite_limits())

    assert story.wrong == []
    assert story.findings.orders >= 2 * LEAST_ENTRIES, "entries and their stops"
    assert story.naked_seconds_wall <= NAKED_LIMIT_S
