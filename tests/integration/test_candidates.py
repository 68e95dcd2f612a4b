"""Several looks at once on one journal in PostgreSQL: each candidate is moved once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from pipelines.domain.bars import IST
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.promotion.candidates import open_candidates, work_through
from pipelines.promotion.stages import Stage
from tests.unit.promotion.builders import Aliases, registered
from tests.unit.promotion.test_approval import commit, repo

__all__ = ["repo"]  # a fixture

EVENING = datetime(2026, 11, 20, 18, 0, tzinfo=IST)


class Shelf(Aliases):
    model = "looks-at-once"


def test_looks_at_once_move_each_candidate_once(own_postgres, repo):
    journal = journal_at(database_url("journal"))
    for number in range(1, 7):
        made = {"commit": commit(repo, "HEAD"), "run": f"training/{number}", "at": EVENING + timedelta(minutes=number)}
        figures = {"metrics": {"sharpe": 1.0 + number / 10, "deflated_sharpe": 0.9}}
        registered(journal, str(number), Shelf.model, **made | figures)

    def look(number: int):
        own = journal_at(database_url("journal"))
        try:
            return work_through(
                Shelf(), own, repo, 0.0, f"promotion/{number}", now=lambda: EVENING + timedelta(hours=1)
            )
        finally:
            own.close()

    with ThreadPoolExecutor(4) as pool:
        looked = [each for looks in pool.map(look, range(4)) for each in looks]

    events = journal.policy_events(Shelf.model)
    moves = [(event["version"], event["to_stage"]) for event in events if event["to_stage"] != Stage.CANDIDATE]
    assert sorted(moves) == sorted((str(n), stage) for n in range(1, 7) for stage in ("shadow", "paper"))
    assert sorted(each.version for each in looked) == [str(number) for number in range(1, 7)]
    assert open_candidates(events, journal.policy_refusals(Shelf.model)) == ()
    assert journal.audit_broken_at() is None
    journal.close()
