"""The demo's policy takes paper only as the first that ever stands there; a person's word against it stays."""

from datetime import timedelta

import pytest

from pipelines.domain.errors import NotFound
from pipelines.domain.verdicts import Verdict
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.first_policy import offer_first, standing_of
from pipelines.promotion.ladder import Promotion, Stage, promote
from pipelines.promotion.signatures import signatures
from tests.unit.promotion.builders import AT, GOOD, MODEL, Aliases, registered
from tests.unit.promotion.test_approval import commit, repo

__all__ = ["repo"]  # a fixture


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal()


def by_the_demo(journal, repo, version="1", **changes):
    return registered(journal, version, **{"run": None, "commit": commit(repo, "HEAD")} | changes)


def offer(journal, repo, version="1") -> str | None:
    return offer_first(Aliases(), journal, version, repo, "demo")


def at_paper(journal) -> str | None:
    held = signatures(journal.policy_events(MODEL)).get(Stage.PAPER)
    return held.version if held else None


def test_the_first_policy_of_an_empty_ladder_takes_paper(journal, repo):
    by_the_demo(journal, repo)

    against = offer(journal, repo)

    assert against is None
    assert at_paper(journal) == "1"
    last = journal.policy_events(MODEL)[-1]
    assert (last["actor"], last["reason"]) == ("demo", "first policy of the ladder: nothing has ever stood at paper")


def test_offered_again_where_it_stands_it_is_not_moved_again(journal, repo):
    by_the_demo(journal, repo)
    offer(journal, repo)
    before = journal.policy_events(MODEL)

    against = offer(journal, repo)

    assert against is None
    assert journal.policy_events(MODEL) == before


def test_what_stands_at_paper_is_never_displaced(journal, repo):
    registered(journal, "1", commit=commit(repo, "HEAD"))
    promote(Aliases(), journal, "1", Stage.PAPER, "asha", "by hand")
    by_the_demo(journal, repo, "2", at=AT + timedelta(days=1), metrics={"sharpe": 9.0})

    against = offer(journal, repo, "2")

    assert against is not None
    assert "first at paper: no, version 1 took it" in against
    assert at_paper(journal) == "1"


def test_what_a_person_retired_does_not_come_back(journal, repo):
    by_the_demo(journal, repo)
    offer(journal, repo)
    promote(Aliases(), journal, "1", Stage.RETIRED, "asha", "odd trades")
    before = journal.policy_events(MODEL)

    against = offer(journal, repo)

    assert against is not None
    assert "never retired: no, a person retired it" in against
    assert journal.policy_events(MODEL) == before


def test_a_candidate_that_was_retired_before_it_stood_anywhere_stays_retired(journal, repo):
    by_the_demo(journal, repo)
    promote(Aliases(), journal, "1", Stage.RETIRED, "asha", "not this one")
    by_the_demo(journal, repo, "2", content="content of 1", at=AT + timedelta(days=1))

    for version in ("1", "2"):
        assert "never retired" in str(offer(journal, repo, version))
    assert at_paper(journal) is None


def test_an_empty_paper_stage_on_which_another_stood_is_left_to_persons(journal, repo):
    by_the_demo(journal, repo)
    offer(journal, repo)
    promote(Aliases(), journal, "1", Stage.RETIRED, "asha", "odd trades")
    by_the_demo(journal, repo, "2", at=AT + timedelta(days=1))

    assert "first at paper" in str(offer(journal, repo, "2"))


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"commit": None}, "made from a commit"),
        ({"verdicts": (Verdict("largest position", False, 0.5, 0.1, "", ("shadow", "paper")), GOOD)}, "largest pos"),
        ({"commit": "f" * 40}, "judging numbers that are not the checkout's"),
    ],
)
def test_an_experiment_stays_off_paper_even_where_it_is_empty(journal, repo, changes, gate):
    by_the_demo(journal, repo, **changes)

    against = offer(journal, repo)

    assert against is not None
    assert gate in against
    assert at_paper(journal) is None


def test_slippage_that_is_not_the_checkouts_stays_off_paper(journal, repo):
    by_the_demo(journal, repo)
    path = repo / "params.yaml"
    path.write_text(path.read_text().replace("slippage_bps: 2", "slippage_bps: 0"), encoding="utf-8")

    against = offer(journal, repo)

    assert "evaluation.slippage_bps" in str(against)
    assert at_paper(journal) is None


def test_a_version_without_a_registration_is_an_error(journal, repo):
    with pytest.raises(NotFound, match="no record of its registration"):
        offer(journal, repo, "9")


def test_where_a_version_stands_is_its_highest_stage(journal, repo):
    by_the_demo(journal, repo)
    assert standing_of(journal.policy_events(MODEL), "1") == "candidate"

    promote(Aliases(), journal, "1", Stage.SHADOW, "asha", "look at it")
    moved = promote(Aliases(), journal, "1", Stage.PAPER, "asha", "by hand")
    assert isinstance(moved, Promotion)
    assert standing_of(journal.policy_events(MODEL), "1") == "paper"

    promote(Aliases(), journal, "1", Stage.RETIRED, "asha", "odd trades")
    assert standing_of(journal.policy_events(MODEL), "1") == "retired"
