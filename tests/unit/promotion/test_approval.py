"""What is shown to a reviewer, what counts as an answer, and that the move rests on what was shown."""

import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from pipelines.domain.verdicts import Verdict
from pipelines.promotion.approval import Approval, NotMoved, approval_from, promote_as_shown
from pipelines.promotion.evidence import gather_evidence
from pipelines.promotion.ladder import Promotion, Stage
from pipelines.promotion.workspace import with_overrides
from tests.conftest import ROOT

PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
ALL = ("shadow", "paper", "canary", "champion")
SANE = Verdict("largest position", True, 0.08, 0.101, "share of equity", ALL)
GOOD = Verdict("Sharpe ratio", True, 1.4, 0.5, "walk-forward", ("canary", "champion"))
BAD = Verdict("Sharpe ratio", False, -0.3, 0.5, "walk-forward", ("canary", "champion"))


class ARegistry:
    """Versions, tags and aliases in memory."""

    model = "tradesage-policy"

    def __init__(self, verdicts: tuple[Verdict, ...], **tags: str):
        self._verdicts, self._tags, self._aliases = verdicts, tags, {}

    def verdicts(self, version: str) -> tuple[Verdict, ...]:
        return self._verdicts

    def tags(self, version: str) -> dict[str, str]:
        return dict(self._tags)

    def tag(self, version: str, key: str, value: str) -> None:
        self._tags[key] = value

    def aliases(self) -> dict[str, str]:
        return dict(self._aliases)

    def version_at(self, alias: str) -> str | None:
        return self._aliases.get(alias)

    def move(self, alias: str, version: str) -> None:
        self._aliases[alias] = version

    def remove(self, alias: str) -> None:
        self._aliases.pop(alias, None)

    def judge_again(self, *verdicts: Verdict) -> None:
        self._verdicts = verdicts


class AJournal:
    def __init__(self) -> None:
        self.events: list[dict] = []

    def record_policy_event(self, *, at: datetime, **event) -> None:
        self.events.append(event)

    def policy_events(self, model: str) -> list[dict]:
        return self.events


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


def shown(registry: ARegistry, stage: str, repo: Path) -> dict:
    evidence = gather_evidence(registry, "3", stage, repo)
    return {"version": "3", "stage": stage, "digest": evidence.digest}


def test_the_table_shows_what_failed_first_with_figure_and_limit(repo):
    registry = ARegistry((SANE, BAD), commit=commit(repo, "HEAD"))

    evidence = gather_evidence(registry, "3", "canary", repo)

    rows = [line for line in evidence.as_markdown().splitlines() if line.startswith("|")][2:]
    assert rows[0] == "| **FAILED** | Sharpe ratio | -0.3 | 0.5 | walk-forward |"
    assert evidence.in_one_line() == "canary is refused to version 3: Sharpe ratio: -0.3, limit 0.5"


def test_a_failed_gate_keeps_out_of_the_stages_it_protects_only(repo):
    registry = ARegistry((SANE, BAD), commit=commit(repo, "HEAD"))

    assert gather_evidence(registry, "3", "paper", repo).against == ()
    assert gather_evidence(registry, "3", "champion", repo).against == (BAD,)


@pytest.mark.parametrize(
    ("tags", "gate"),
    [
        ({"commit": "none"}, "made from a commit"),
        ({"commit": "HEAD", "uncommitted_inputs": "yes"}, "made from a commit"),
        ({"commit": "HEAD~1"}, "numbers it was judged by that are not the checkout's"),
    ],
)
def test_a_policy_that_cannot_be_trusted_is_kept_from_money_though_its_gates_passed(repo, tags, gate):
    if tags["commit"] != "none":
        tags = tags | {"commit": commit(repo, tags["commit"])}
    registry = ARegistry((SANE, GOOD), **tags)

    against = gather_evidence(registry, "3", "canary", repo).against

    assert gate in [verdict.gate for verdict in against]
    assert gather_evidence(registry, "3", "paper", repo).against == ()


def test_a_softer_number_is_named_in_the_evidence(repo):
    registry = ARegistry((SANE, GOOD), commit=commit(repo, "HEAD~1"))

    evidence = gather_evidence(registry, "3", "canary", repo)

    assert "evaluation.slippage_bps: 2.0 here, 0 in the run" in evidence.as_markdown()


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"source": "simulated", "planted_edge": "momentum"}, "a simulated market with a planted momentum edge"),
        ({"source": "simulated", "planted_edge": "none"}, "a simulated market without an edge"),
        ({"source": "files", "planted_edge": "real data"}, "real bars from files"),
        ({}, "bars of unknown origin"),
    ],
)
def test_a_reviewer_is_told_on_which_market_the_figures_were_made(repo, tags, words):
    registry = ARegistry((SANE, GOOD), commit=commit(repo, "HEAD"), **tags)

    evidence = gather_evidence(registry, "3", "canary", repo)

    assert f"Judged on {words}." in evidence.as_markdown().splitlines()[0]


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
    registry, journal = ARegistry((SANE, GOOD), commit=commit(repo, "HEAD"), reached="paper"), AJournal()
    asked = shown(registry, "canary", repo)

    done = promote_as_shown(registry, journal, asked, repo, approval_from(an_answer(), ("reviewer",)), "promotion/7")

    assert isinstance(done, Promotion)
    assert registry.version_at("canary") == "3"
    (event,) = journal.events
    assert (event["to_stage"], event["actor"], event["evidence"]["approved_by"]) == ("canary", "reviewer", "reviewer")
    for told in ("beats random entries", "2026-11-20T10:00:00Z", asked["digest"][:12], "promotion/7"):
        assert told in event["reason"]


def test_without_an_approval_a_policy_gets_no_further_than_paper(repo):
    registry, journal = ARegistry((SANE, GOOD), commit=commit(repo, "HEAD")), AJournal()

    into_paper = promote_as_shown(registry, journal, shown(registry, "paper", repo), repo, None, "promotion/7")
    into_canary = promote_as_shown(registry, journal, shown(registry, "canary", repo), repo, None, "promotion/8")

    assert isinstance(into_paper, Promotion)
    assert isinstance(into_canary, NotMoved)
    assert "no person has approved it" in into_canary.reason
    assert registry.aliases() == {Stage.PAPER.value: "3"}


def test_an_approval_does_not_cover_what_changed_after_it_was_shown(repo):
    registry, journal = ARegistry((SANE, GOOD), commit=commit(repo, "HEAD"), reached="paper"), AJournal()
    asked = shown(registry, "canary", repo)
    registry.judge_again(SANE, Verdict("Sharpe ratio", True, 0.6, 0.5, "walk-forward", ("canary", "champion")))

    done = promote_as_shown(registry, journal, asked, repo, approval_from(an_answer(), ("reviewer",)), "promotion/7")

    assert isinstance(done, NotMoved)
    assert "has changed since it was shown" in done.reason
    assert (registry.aliases(), journal.events) == ({}, [])


def test_no_approval_overrules_a_gate(repo):
    registry, journal = ARegistry((SANE, BAD), commit=commit(repo, "HEAD"), reached="paper"), AJournal()
    asked = shown(registry, "canary", repo)

    done = promote_as_shown(registry, journal, asked, repo, approval_from(an_answer(), ("reviewer",)), "promotion/7")

    assert done == NotMoved("canary is refused to version 3: Sharpe ratio: -0.3, limit 0.5")
    assert registry.aliases() == {}
