"""What is shown to a reviewer, what counts as an answer, and that the move rests on what was shown."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.domain.errors import NotFound
from pipelines.domain.verdicts import Verdict
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.approval import (
    Approval,
    NotMoved,
    all_evidence,
    answered,
    approval_from,
    ask,
    promote_as_shown,
)
from pipelines.promotion.evidence import Evidence, gather_evidence
from pipelines.promotion.ladder import Promotion, Stage, promote
from pipelines.promotion.workspace import with_overrides
from tests.conftest import ROOT
from tests.unit.promotion.builders import AT, GOOD, MODEL, SANE, TRACK, Aliases, registered
from tests.unit.promotion.months import REAL, trades_for_a_month

PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
BAD = Verdict("Sharpe ratio", False, -0.3, 0.5, "walk-forward", ("canary", "champion"))


@pytest.fixture
def repo(tmp_path) -> Path:
    """A checkout of two commits: the first one ran without slippage."""

    def git(*arguments: str) -> None:
        subprocess.run(("git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments), cwd=tmp_path, check=True)

    git("init", "--quiet")
    for text in (with_overrides(PARAMS, {"evaluation.slippage_bps": 0}), PARAMS):
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        git("add", ".")
        git("commit", "--quiet", "-m", "run")
    return tmp_path


def commit(repo: Path, name: str) -> str:
    return subprocess.run(("git", "rev-parse", name), cwd=repo, capture_output=True, text=True).stdout.strip()


def an_answer(person: str | None = "reviewer", chosen: str = "Approve", comment: str = "beats random entries") -> dict:
    user = {"id": person, "name": person} if person else None
    answer = {"chosen_options": [chosen], "params_input": {"comment": comment}, "responded_at": "2026-11-20T10:00:00Z"}
    return answer | {"responded_by_user": user}


def evidence_of(journal: MemoryJournal, stage: str, repo: Path) -> Evidence:
    return gather_evidence(journal.policy_events(MODEL), "3", stage, repo)


def shown(journal: MemoryJournal, stage: str, repo: Path) -> dict:
    return {"version": "3", "stage": stage, "digest": all_evidence(MODEL, journal, "3", stage, repo).digest}


def a_journal(repo: Path, *verdicts: Verdict, commit_name: str | None = "HEAD", **changes) -> MemoryJournal:
    """With the registration of version 3."""
    journal = MemoryJournal()
    made_from = commit(repo, commit_name) if commit_name else None
    registered(journal, verdicts=verdicts or (SANE, GOOD), commit=made_from, **changes)
    return journal


def on_paper(journal: MemoryJournal) -> MemoryJournal:
    """A month of good trades at paper behind it."""
    assert isinstance(promote(Aliases(), journal, "3", Stage.PAPER, "airflow", "a candidate", at=AT), Promotion)
    trades_for_a_month(journal, Stage.PAPER)
    return journal


def test_the_table_shows_what_failed_first_with_figure_and_limit(repo):
    evidence = evidence_of(a_journal(repo, SANE, BAD), "canary", repo)

    rows = [line for line in evidence.as_markdown().splitlines() if line.startswith("|")][2:]
    assert rows[0] == "| **FAILED** | Sharpe ratio | -0.3 | 0.5 | walk-forward |"
    assert evidence.in_one_line() == "canary is refused to version 3: Sharpe ratio: -0.3, limit 0.5"


def test_a_failed_gate_keeps_out_of_the_stages_it_protects_only(repo):
    journal = a_journal(repo, SANE, BAD)

    assert evidence_of(journal, "paper", repo).against == ()
    assert evidence_of(journal, "champion", repo).against == (BAD,)


@pytest.mark.parametrize(
    ("name", "gate"),
    [
        (None, "made from a commit"),
        ("HEAD~1", "numbers it was judged by that are not the checkout's"),
    ],
)
def test_a_policy_that_cannot_be_trusted_is_kept_from_money_though_its_gates_passed(repo, name, gate):
    journal = a_journal(repo, commit_name=name)

    against = evidence_of(journal, "canary", repo).against

    assert gate in [verdict.gate for verdict in against]
    assert evidence_of(journal, "paper", repo).against == ()


def test_a_commit_that_the_checkout_does_not_know_keeps_from_money(repo):
    journal = MemoryJournal()
    registered(journal, commit="f" * 40)

    evidence = evidence_of(journal, "canary", repo)

    assert "commit ffffffffffff is not in this checkout" in evidence.as_markdown()
    assert evidence.against


def test_a_version_without_a_recorded_registration_has_no_evidence(repo):
    with pytest.raises(NotFound, match=r"no record of its registration; register it again"):
        gather_evidence([], "3", "paper", repo)


def test_a_softer_number_is_named_in_the_evidence(repo):
    evidence = evidence_of(a_journal(repo, commit_name="HEAD~1"), "canary", repo)

    assert "evaluation.slippage_bps: 2.0 here, 0 in the run" in evidence.as_markdown()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "simulated", "bars": "a simulated market"}, "a simulated market. It may never trade with money."),
        ({"source": "lake", "bars": "real bars of Kite's history"}, "real bars of Kite's history."),
        ({"source": "files", "bars": "real bars from files"}, "real bars from files."),
        ({"source": "", "bars": "bars of unknown origin"}, "bars of unknown origin. It may never trade with money."),
    ],
)
def test_a_reviewer_is_told_on_which_market_the_figures_were_made(repo, changes, words):
    evidence = evidence_of(a_journal(repo, **changes), "canary", repo)

    assert evidence.as_markdown().splitlines()[0].endswith(f"Judged on: {words}")


def test_an_answer_of_a_reviewer_with_a_comment_is_an_approval():
    approval = approval_from(an_answer(), ("reviewer",))

    assert approval == Approval("reviewer", "2026-11-20T10:00:00Z", "beats random entries")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "nobody answered"),
        ({}, "nobody answered"),
        (an_answer(chosen="Reject"), "not Approve"),
        (an_answer(person=None), "no person gave the answer"),
        (an_answer(person="engineer"), "engineer gave the answer"),
        (an_answer(comment=" "), "without a comment"),
    ],
)
def test_anything_else_is_none(answer, reason):
    found = approval_from(answer, ("reviewer",))

    assert isinstance(found, NotMoved)
    assert reason in found.reason


def test_an_approved_policy_moves_and_the_journal_says_who_when_and_on_which_evidence(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo, **REAL))
    asked = shown(journal, "canary", repo)

    done = promote_as_shown(registry, journal, asked, repo, approval_from(an_answer(), ("reviewer",)), "promotion/7")

    assert isinstance(done, Promotion)
    assert registry.version_at("canary") == "3"
    event = journal.policy_events(MODEL)[-1]
    assert (event["to_stage"], event["actor"], event["evidence"]["approved_by"]) == ("canary", "reviewer", "reviewer")
    for told in ("beats random entries", "2026-11-20T10:00:00Z", asked["digest"][:12], "promotion/7"):
        assert told in event["reason"]


def test_without_an_approval_a_policy_gets_no_further_than_paper(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo, **REAL))

    into_paper = promote_as_shown(registry, journal, shown(journal, "paper", repo), repo, None, "promotion/7")
    into_canary = promote_as_shown(registry, journal, shown(journal, "canary", repo), repo, None, "promotion/8")

    assert isinstance(into_paper, Promotion)
    assert isinstance(into_canary, NotMoved)
    assert "no person has approved it" in into_canary.reason
    assert registry.aliases() == {"candidate": "3", "paper": "3"}


def test_an_approval_does_not_cover_what_changed_after_it_was_shown(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo, **REAL))
    asked = shown(journal, "canary", repo)
    registered(journal, commit=commit(repo, "HEAD"), verdicts=(SANE, replace(GOOD, measured=0.6)), **REAL)

    done = promote_as_shown(registry, journal, asked, repo, approval_from(an_answer(), ("reviewer",)), "promotion/7")

    assert isinstance(done, NotMoved)
    assert "has changed since it was shown" in done.reason
    assert registry.aliases() == {}


def test_no_approval_overrules_a_gate(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo, SANE, BAD, **REAL))
    asked = shown(journal, "canary", repo)

    done = promote_as_shown(registry, journal, asked, repo, approval_from(an_answer(), ("reviewer",)), "promotion/7")

    assert done == NotMoved("canary is refused to version 3: Sharpe ratio: -0.3, limit 0.5")
    assert registry.aliases() == {}


@pytest.mark.parametrize(
    ("stage", "figures"),
    [
        ("canary", ["has been at paper: 0, limit 1", "trading days at paper: 0, limit 20", "trades at paper: 0"]),
        ("champion", ["has been at canary: 0, limit 1", "trading days at canary: 0, limit 20", "bars that a market"]),
    ],
)
def test_without_a_record_at_the_stage_before_nobody_is_asked(repo, stage, figures):
    journal = a_journal(repo)

    request = ask(MODEL, journal, "3", stage, repo)

    assert request.refused.startswith(f"{stage} is refused to version 3: ")
    assert "\n" not in request.refused
    assert [figure for figure in figures if figure not in request.refused] == []
    assert request.verdicts


def test_a_month_at_paper_opens_canary_and_not_champion(repo):
    journal = on_paper(a_journal(repo, **REAL))

    canary, champion = (ask(MODEL, journal, "3", stage, repo) for stage in ("canary", "champion"))

    assert canary.refused is None
    assert "days with a decision, 2026-11-02 to 2026-11-27" in canary.shown
    assert "nothing stands there; version 3 at paper: 20 days, 60 trades" in canary.shown
    assert "has been at canary: 0, limit 1" in champion.refused


def test_a_simulated_policy_is_refused_money_by_figure_and_limit(repo):
    journal = on_paper(a_journal(repo, source="simulated", bars="a simulated market"))

    request = ask(MODEL, journal, "3", "canary", repo)

    assert request.refused == "canary is refused to version 3: bars that a market made: 0, limit 1"


def test_the_approval_covers_trades_that_came_after_it_was_shown(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo, **REAL))
    asked = ask(MODEL, journal, "3", "canary", repo)
    trades_for_a_month(journal, Stage.PAPER, symbol="LATER")

    done = answered(registry, journal, vars(asked), an_answer(), ("reviewer",), repo, "promotion/7")

    assert isinstance(done, Promotion)
    recorded = journal.policy_events(MODEL)[-1]["evidence"]["verdicts"]
    assert {"gate": "trades at paper", "measured": 120.0}.items() <= next(
        verdict for verdict in recorded if verdict["gate"] == "trades at paper"
    ).items()


@pytest.mark.parametrize(
    ("answer", "who", "why"),
    [
        (an_answer(chosen="Reject", comment="not yet"), "reviewer", "reviewer rejected it (not yet)"),
        (an_answer(person=None, chosen="Reject", comment=""), "airflow", "nobody answered in time"),
        (an_answer(comment=""), "reviewer", "approved without a comment"),
        (an_answer(person="engineer"), "airflow", "engineer gave the answer"),
        (None, "airflow", "a task that is marked as done approves nothing"),
    ],
)
def test_whatever_is_no_approval_is_journaled_with_who_and_why(repo, answer, who, why):
    registry, journal = Aliases(), on_paper(a_journal(repo, **REAL))
    asked, before = ask(MODEL, journal, "3", "canary", repo), journal.policy_events(MODEL)

    done = answered(registry, journal, vars(asked), answer, ("reviewer",), repo, "promotion/7")

    assert isinstance(done, NotMoved)
    [refusal] = journal.policy_refusals(MODEL)
    assert (refusal["version"], refusal["asked"], refusal["actor"]) == ("3", "canary", who)
    assert why in refusal["reason"]
    assert refusal["evidence"]["run"] == "promotion/7"
    assert journal.policy_events(MODEL) == before


def test_an_approved_retirement_takes_it_from_every_stage(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo))
    asked = ask(MODEL, journal, "3", "retire", repo)

    done = answered(registry, journal, vars(asked), an_answer(), ("reviewer",), repo, "promotion/7")

    assert isinstance(done, Promotion)
    assert asked.subject == "Retire policy version 3?"
    assert registry.aliases() == {}
    assert journal.policy_events(MODEL)[-1]["actor"] == "reviewer"


def test_a_rollback_without_a_way_back_is_refused_before_anybody_is_asked(repo):
    request = ask(MODEL, on_paper(a_journal(repo)), None, "rollback", repo)

    assert "there is no previous champion to go back to" in request.refused


def test_a_retirement_does_not_cover_another_ladder_than_was_shown(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo))
    asked = ask(MODEL, journal, "3", "retire", repo)
    promote(registry, journal, "3", Stage.SHADOW, "asha", "to be watched", at=AT)

    done = answered(registry, journal, vars(asked), an_answer(), ("reviewer",), repo, "promotion/7")

    assert isinstance(done, NotMoved)
    assert "has changed since it was shown" in done.reason


@pytest.mark.parametrize("move", ["paper", "retire", "champion"])
def test_a_move_without_a_version_or_of_an_unknown_one_is_told_in_one_line(repo, move):
    journal = a_journal(repo)

    with pytest.raises(NotFound, match="no version was given"):
        ask(MODEL, journal, None, move, repo)
    with pytest.raises(NotFound, match="no record of its registration"):
        ask(MODEL, journal, "99", move, repo)


@pytest.mark.parametrize("move", ["paper", "retire"])
def test_what_is_there_already_is_refused_before_anybody_is_asked(repo, move):
    registry, journal = Aliases(), on_paper(a_journal(repo))
    if move == "retire":
        promote(registry, journal, "3", Stage.RETIRED, "asha", "odd trades", at=AT)

    request = ask(MODEL, journal, "3", move, repo)

    assert "already; nothing is to be moved" in request.refused


@pytest.mark.parametrize("move", ["shadow", "retire", "rollback"])
def test_a_move_told_of_again_by_its_run_is_made_once(repo, move):
    registry, journal = Aliases(), on_paper(a_journal(repo))
    if move == "rollback":
        for version in ("3", "4"):
            registered(journal, version, commit=commit(repo, "HEAD"))
            for stage in (Stage.PAPER, Stage.CANARY, Stage.CHAMPION):
                promote(registry, journal, version, stage, "asha", "good", approved_by="asha", track=TRACK)
    asked = vars(ask(MODEL, journal, None if move == "rollback" else "3", move, repo))
    first = answered(registry, journal, asked, an_answer(), ("reviewer",), repo, "promotion/7")
    made = journal.policy_events(MODEL)

    again = answered(registry, journal, asked, an_answer(), ("reviewer",), repo, "promotion/7")

    assert isinstance(first, Promotion), first
    assert isinstance(again, Promotion), again
    assert (first.moved, again.moved) == (True, False)
    assert (again.version, again.to_stage) == (first.version, first.to_stage)
    assert journal.policy_events(MODEL) == made
    assert journal.policy_refusals(MODEL) == []


def test_a_refusal_told_of_again_by_its_run_is_noted_once(repo):
    registry, journal = Aliases(), on_paper(a_journal(repo, **REAL))
    asked, no = vars(ask(MODEL, journal, "3", "canary", repo)), an_answer(chosen="Reject", comment="not yet")

    for run in ("promotion/7", "promotion/7", "promotion/8"):
        answered(registry, journal, asked, no, ("reviewer",), repo, run)

    assert [row["evidence"]["run"] for row in journal.policy_refusals(MODEL)] == ["promotion/7", "promotion/8"]
