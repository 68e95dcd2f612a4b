"""What becomes of candidates: every one is moved or refused, none is lost, none climbs by being told of."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.candidates import Looked, open_candidates, work_through
from pipelines.promotion.ladder import Promotion, Stage, promote
from pipelines.promotion.signatures import signatures
from tests.unit.promotion.builders import GOOD, MODEL, SANE, Aliases, registered
from tests.unit.promotion.test_approval import commit, repo

__all__ = ["repo"]  # a fixture

EVENING = datetime(2026, 11, 20, 18, 0, tzinfo=IST)
NOON = EVENING.replace(hour=12)


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


@pytest.fixture
def shelf() -> Aliases:
    return Aliases()


def a_candidate(journal: MemoryJournal, repo: Path, version: str, sharpe: float = 1.0, **changes) -> None:
    """Registered by a training run of its own, later than those of lower numbers."""
    fields = {
        "at": EVENING - timedelta(days=2) + timedelta(minutes=int(version)),
        "run": f"training/{version}",
        "commit": commit(repo, "HEAD"),
        "metrics": {"sharpe": sharpe, "deflated_sharpe": 0.9},
    }
    registered(journal, version, **fields | changes)


def look(shelf: Aliases, journal: MemoryJournal, repo: Path, now: datetime = EVENING) -> tuple[Looked, ...]:
    return work_through(shelf, journal, repo, 0.0, "promotion/1", now=lambda: now)


def stands(journal: MemoryJournal) -> dict[str, str]:
    found = signatures(journal.policy_events(MODEL))
    return {stage: each.version for stage, each in found.items() if stage in ("shadow", "paper")}


def refusals(journal: MemoryJournal) -> list[tuple[str, str]]:
    return [(row["version"], row["asked"]) for row in journal.policy_refusals(MODEL)]


def test_a_candidate_goes_to_shadow_and_takes_free_paper(shelf, journal, repo):
    a_candidate(journal, repo, "1")

    [looked] = look(shelf, journal, repo)

    assert (looked.version, looked.stage, looked.failed, looked.waits) == ("1", "paper", False, False)
    moves = [(event["to_stage"], event["actor"]) for event in journal.policy_events(MODEL)][1:]
    assert moves == [("shadow", "airflow"), ("paper", "airflow")]
    assert look(shelf, journal, repo) == ()


def test_in_a_session_a_candidate_waits_at_shadow_until_it_is_over(shelf, journal, repo):
    a_candidate(journal, repo, "1")

    [first] = look(shelf, journal, repo, NOON)
    assert (first.stage, first.waits) == ("shadow", True)
    assert stands(journal) == {"shadow": "1"}
    [second] = look(shelf, journal, repo, NOON + timedelta(minutes=5))
    [third] = look(shelf, journal, repo)

    assert (second.stage, second.waits) == (None, True)
    assert third.stage == "paper"
    assert stands(journal) == {"shadow": "1", "paper": "1"}
    assert refusals(journal) == []


def test_every_candidate_that_nobody_looked_at_is_worked_through(shelf, journal, repo):
    for version, sharpe in (("1", 1.0), ("2", 1.4), ("3", 1.2)):
        a_candidate(journal, repo, version, sharpe)

    looked = look(shelf, journal, repo)

    assert [each.version for each in looked] == ["1", "2", "3"]
    assert stands(journal) == {"shadow": "3", "paper": "2"}
    assert refusals(journal) == [("3", "paper")]
    assert look(shelf, journal, repo) == ()


def test_a_repeated_training_run_displaces_nothing(shelf, journal, repo):
    a_candidate(journal, repo, "1", 2.0)
    look(shelf, journal, repo)
    a_candidate(journal, repo, "2", 2.1)
    look(shelf, journal, repo)

    a_candidate(journal, repo, "1", 2.0)  # recorded again, as a cleared run may

    assert look(shelf, journal, repo) == ()
    assert stands(journal) == {"shadow": "2", "paper": "2"}


def test_an_older_candidate_that_comes_late_displaces_nothing(shelf, journal, repo):
    a_candidate(journal, repo, "2", 1.0)
    look(shelf, journal, repo)
    a_candidate(journal, repo, "1", 9.0)

    [looked] = look(shelf, journal, repo)

    assert looked.failed
    assert "version 2 stands there and is newer" in looked.line
    assert stands(journal) == {"shadow": "2", "paper": "2"}
    assert refusals(journal) == [("1", "shadow")]


def test_a_candidate_that_fails_a_sanity_gate_gets_a_recorded_refusal(shelf, journal, repo):
    a_candidate(journal, repo, "1", verdicts=(replace(SANE, passed=False, measured=0.4), GOOD))

    [looked] = look(shelf, journal, repo)

    assert looked.failed
    assert "largest position is 0.4, the limit is 0.101" in looked.line
    [refusal] = journal.policy_refusals(MODEL)
    assert (refusal["asked"], refusal["actor"], refusal["evidence"]["run"]) == ("shadow", "airflow", "promotion/1")
    assert look(shelf, journal, repo) == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"commit": None}, "made from a commit"),
        ({"metrics": {"sharpe": 0.9, "deflated_sharpe": 0.9}}, "Sharpe ratio above what stands at paper: 0.9, limit 1"),
        ({"source": "lake", "planted_edge": None}, "judged on the same market"),
    ],
)
def test_what_the_rule_refuses_stays_at_shadow_with_the_figures_recorded(shelf, journal, repo, changes, why):
    a_candidate(journal, repo, "1", 1.0)
    look(shelf, journal, repo)
    a_candidate(journal, repo, "2", 1.1, **changes)

    [looked] = look(shelf, journal, repo)

    assert (looked.stage, looked.failed) == ("shadow", False)
    assert why in looked.line
    assert "\n" not in looked.line
    assert stands(journal) == {"shadow": "2", "paper": "1"}
    [refusal] = journal.policy_refusals(MODEL)
    assert any(not verdict["passed"] for verdict in refusal["evidence"]["verdicts"])


def test_a_run_without_slippage_does_not_take_paper(shelf, journal, repo):
    a_candidate(journal, repo, "1", 1.0)
    look(shelf, journal, repo)
    a_candidate(journal, repo, "2", 9.0, commit=commit(repo, "HEAD~1"))

    [looked] = look(shelf, journal, repo)

    assert "evaluation.slippage_bps: 2.0 here, 0 in the run" in looked.line
    assert stands(journal)["paper"] == "1"


def test_a_policy_that_no_training_run_registered_is_no_candidate(shelf, journal, repo):
    a_candidate(journal, repo, "1", run=None)

    assert look(shelf, journal, repo) == ()
    assert stands(journal) == {}


def test_what_a_person_has_moved_or_refused_is_left_to_them(shelf, journal, repo):
    for version in ("1", "2", "3"):
        a_candidate(journal, repo, version)
    look(shelf, journal, repo, NOON)
    assert isinstance(promote(shelf, journal, "1", Stage.RETIRED, "asha", "odd", at=NOON), Promotion)
    no = {"model": MODEL, "version": "2", "asked": "paper", "actor": "reviewer", "reason": "not yet", "at": NOON}
    journal.record_policy_refusal(**no, evidence={"by_hand": True})

    assert [each.version for each in look(shelf, journal, repo)] == ["3"]


def test_asking_by_hand_does_not_end_a_candidates_way(shelf, journal, repo):
    a_candidate(journal, repo, "1")
    for asked in ("paper", "canary", "champion"):
        no = {"model": MODEL, "version": "1", "asked": asked, "actor": "airflow", "reason": "nobody answered"}
        journal.record_policy_refusal(**no, evidence={"by_hand": True}, at=NOON)

    [looked] = look(shelf, journal, repo)

    assert looked.stage == "paper"


def test_one_that_cannot_be_looked_at_keeps_no_other_waiting_and_stays_open(shelf, journal, repo, monkeypatch):
    for version in ("1", "2"):
        a_candidate(journal, repo, version)
    record = journal.record_policy_event

    def dead_for_the_first(**event):
        if event["version"] == "1":
            raise ServiceUnavailable("PostgreSQL does not answer")
        record(**event)

    with monkeypatch.context() as patch:
        patch.setattr(journal, "record_policy_event", dead_for_the_first)
        looked = look(shelf, journal, repo)

    assert [(each.version, each.failed, each.waits) for each in looked] == [("1", True, True), ("2", False, False)]
    waiting = open_candidates(journal.policy_events(MODEL), journal.policy_refusals(MODEL))
    assert [(each.version, step) for each, step in waiting] == [("1", Stage.SHADOW)]


def test_mlflow_away_keeps_no_candidate_waiting(shelf, journal, repo, monkeypatch):
    def dead(*arguments):
        raise ServiceUnavailable("MLflow's database does not answer")

    a_candidate(journal, repo, "1")
    monkeypatch.setattr(shelf, "aliases", dead)

    [looked] = look(shelf, journal, repo)

    assert looked.stage == "paper"


def test_a_number_that_was_another_policy_before_is_looked_at_anew(shelf, journal, repo):
    a_candidate(journal, repo, "1")
    look(shelf, journal, repo)
    later = {"at": EVENING + timedelta(days=1), "content": "another policy", "fingerprint": "another"}
    a_candidate(journal, repo, "1", 1.5, **later)

    [looked] = look(shelf, journal, repo, EVENING + timedelta(days=1, hours=1))

    assert (looked.version, looked.stage) == ("1", "paper")


def test_what_a_person_had_put_at_paper_before_a_training_run_made_it_stays_there(shelf, journal, repo):
    a_candidate(journal, repo, "1", run=None)
    promote(shelf, journal, "1", Stage.PAPER, "demo", "demonstration run", at=EVENING)
    a_candidate(journal, repo, "1")  # the same policy, now known to come from a training run

    [looked] = look(shelf, journal, repo)

    assert (looked.stage, looked.failed, looked.waits) == ("shadow", False, False)
    assert "stands at paper already" in looked.line
    assert refusals(journal) == []
    assert look(shelf, journal, repo) == ()
