"""Who may climb, who is told no and why, and that nothing moves unrecorded."""

from dataclasses import replace
from datetime import datetime

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.ladder import (
    Promotion,
    Refusal,
    Signature,
    Stage,
    may_enter,
    promote,
    rollback,
    signatures,
    signed,
    verdicts_from,
)

SANITY = Verdict("largest position", True, 0.1, 0.101, "", ("shadow", "paper", "canary", "champion"))
SHARPE = Verdict("sharpe", True, 0.9, 0.5, "", ("canary", "champion"))
AT = datetime(2026, 10, 30, 16, 0, tzinfo=IST)


class ShelfOfVersions:
    """An honest small registry in memory."""

    model = "policy"

    def __init__(self, **verdicts: tuple[Verdict, ...]):
        self._verdicts = {name.removeprefix("v"): given for name, given in verdicts.items()}
        self._aliases: dict[str, str] = {}
        self._tags: dict[str, dict[str, str]] = {version: {} for version in self._verdicts}

    def version_at(self, alias):
        return self._aliases.get(alias)

    def aliases(self):
        return dict(self._aliases)

    def move(self, alias, version):
        self._aliases[alias] = version

    def remove(self, alias):
        self._aliases.pop(alias, None)

    def tags(self, version):
        if version not in self._tags:
            raise NotFound(version)
        return dict(self._tags[version])

    def tag(self, version, key, value):
        self._tags[version][key] = value

    def verdicts(self, version):
        return self._verdicts[version]


class Events:
    def __init__(self):
        self.seen = []

    def record_policy_event(self, **event):
        self.seen.append(event)

    def policy_events(self, model):
        return [event for event in self.seen if event["model"] == model]


@pytest.fixture
def shelf():
    return ShelfOfVersions(v1=(SANITY, SHARPE), v2=(SANITY, SHARPE), v3=(SANITY, replace(SHARPE, passed=False)))


@pytest.fixture
def events():
    return Events()


def climb(shelf, events, version, *stages, approved_by="asha"):
    for stage in stages:
        moved = promote(
            shelf, events, version, stage, shelf.verdicts(version), "engineer", "test", approved_by=approved_by, at=AT
        )
        assert isinstance(moved, Promotion), str(moved)
    return moved


def test_paper_asks_only_for_the_sanity_gates(shelf, events):
    moved = promote(shelf, events, "3", Stage.PAPER, shelf.verdicts("3"), "demo", "demonstration", at=AT)

    assert isinstance(moved, Promotion)
    assert shelf.version_at("paper") == "3"
    assert events.seen[0]["to_stage"] == "paper"
    assert events.seen[0]["actor"] == "demo"
    assert events.seen[0]["at"] == AT


def test_a_failing_sanity_gate_keeps_it_out_of_paper(events):
    shelf = ShelfOfVersions(v1=(replace(SANITY, passed=False, measured=0.4),))

    refused = promote(shelf, events, "1", Stage.PAPER, shelf.verdicts("1"), "demo", "demonstration")

    assert isinstance(refused, Refusal)
    assert "largest position is 0.4, the limit is 0.101" in str(refused)
    assert shelf.aliases() == {}
    assert events.seen == []


def test_canary_asks_for_every_gate_a_person_and_a_time_on_paper(shelf, events):
    refused = promote(shelf, events, "3", Stage.CANARY, shelf.verdicts("3"), "engineer", "looks good")

    assert isinstance(refused, Refusal)
    assert [verdict.gate for verdict in refused.failing] == ["sharpe"]
    assert "no person has approved it" in refused.reasons
    assert any("has not been at paper or shadow" in reason for reason in refused.reasons)


@pytest.mark.parametrize("name", [None, "", "  ", "airflow", "Demo"])
def test_a_process_cannot_approve(shelf, events, name):
    climb(shelf, events, "1", Stage.PAPER)

    refused = promote(shelf, events, "1", Stage.CANARY, shelf.verdicts("1"), "engineer", "good", approved_by=name)

    assert isinstance(refused, Refusal)
    assert shelf.version_at("canary") is None


def test_verdicts_other_than_those_registered_are_no_evidence(shelf, events):
    forged = (SANITY, SHARPE)

    refused = promote(shelf, events, "3", Stage.PAPER, forged, "engineer", "it passed on my machine")

    assert isinstance(refused, Refusal)
    assert "not those kept with the version" in str(refused)


def test_without_verdicts_no_gated_stage_is_entered():
    missing = may_enter(Stage.PAPER, ())

    assert [verdict.gate for verdict in missing] == ["verdicts"]
    assert may_enter(Stage.CANDIDATE, ()) == ()


def test_a_new_champion_keeps_the_one_before_as_previous(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    moved = climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    assert moved.displaced == "1"
    assert shelf.version_at("champion") == "2"
    assert shelf.version_at("previous") == "1"
    assert events.seen[-1]["evidence"]["approved_by"] == "asha"
    assert events.seen[-1]["from_stage"] == "canary"


def test_a_rollback_brings_the_previous_champion_back_once(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    moved = rollback(shelf, events, "asha", "drawdown", at=AT)
    again = rollback(shelf, events, "asha", "drawdown", at=AT)

    assert isinstance(moved, Promotion)
    assert shelf.version_at("champion") == "1"
    assert isinstance(again, Refusal)
    assert events.seen[-1]["evidence"]["rollback_from"] == "2"
    assert shelf.tags("2")["reached"].endswith("retired")


def test_standing_there_already_is_a_promotion_and_recorded_once(shelf, events):
    climb(shelf, events, "1", Stage.PAPER)

    again = climb(shelf, events, "1", Stage.PAPER)

    assert again.displaced == "1"
    assert len(events.seen) == 1


def test_the_champion_is_not_retired_and_previous_not_set_by_hand(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    retired = promote(shelf, events, "1", Stage.RETIRED, (), "asha", "old")
    previous = promote(shelf, events, "2", Stage.PREVIOUS, (), "asha", "warm")

    assert isinstance(retired, Refusal)
    assert isinstance(previous, Refusal)


def test_a_retired_version_loses_its_aliases(shelf, events):
    climb(shelf, events, "2", Stage.PAPER)

    climb(shelf, events, "2", Stage.RETIRED)

    assert shelf.aliases() == {}


def test_nothing_moves_when_the_journal_cannot_record(shelf):
    class DeadJournal(Events):
        def record_policy_event(self, **event):
            raise ServiceUnavailable("PostgreSQL does not answer")

    with pytest.raises(ServiceUnavailable):
        promote(shelf, DeadJournal(), "1", Stage.PAPER, shelf.verdicts("1"), "demo", "demonstration")

    assert shelf.aliases() == {}


def test_only_the_last_move_to_a_stage_is_signed(shelf, events):
    climb(shelf, events, "1", Stage.PAPER)
    climb(shelf, events, "2", Stage.PAPER)

    assert signed(events, "policy", "paper", "2")
    assert signed(events, "policy", "paper", "1") is None
    assert signed(events, "policy", "canary", "2") is None
    assert signed(events, "another model", "paper", "2") is None


def test_the_signature_carries_the_hash_of_the_files(shelf, events):
    shelf.tag("1", "content_sha256", "abc")
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    shelf.tag("1", "content_sha256", "written over in MLflow")

    rollback(shelf, events, "asha", "drawdown", at=AT)

    assert signed(events, "policy", "champion", "1") == Signature("1", "abc")


def test_the_record_says_of_every_alias_what_the_ladder_made_of_it(shelf, events):
    def recorded():
        return {stage: signature.version for stage, signature in signatures(events.seen).items()}

    climb(shelf, events, "1", Stage.CANDIDATE, Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    assert recorded() == shelf.aliases()
    assert recorded()["previous"] == "1"

    rollback(shelf, events, "asha", "drawdown", at=AT)
    assert recorded() == shelf.aliases()
    assert "previous" not in recorded()

    climb(shelf, events, "2", Stage.RETIRED)
    assert recorded() == shelf.aliases() == {"candidate": "1", "champion": "1"}


def test_a_version_that_was_put_there_by_hand_is_judged_and_recorded_when_the_ladder_is_asked(shelf, events):
    shelf.move("canary", "3")
    shelf.move("paper", "2")

    canary = promote(shelf, events, "3", Stage.CANARY, shelf.verdicts("3"), "engineer", "it stands there already")
    paper = promote(shelf, events, "2", Stage.PAPER, shelf.verdicts("2"), "engineer", "as it should be", at=AT)

    assert isinstance(canary, Refusal)
    assert isinstance(paper, Promotion)
    assert [(event["version"], event["to_stage"]) for event in events.seen] == [("2", "paper")]


def test_nobody_is_rolled_back_to_who_was_put_at_previous_by_hand(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    shelf.move("previous", "3")

    refused = rollback(shelf, events, "asha", "drawdown", at=AT)

    assert isinstance(refused, Refusal)
    assert "past the ladder" in str(refused)
    assert shelf.version_at("champion") == "2"


def test_a_champion_put_there_by_hand_does_not_become_the_previous_one(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    shelf.move("champion", "3")

    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    assert shelf.version_at("previous") == "1"


def test_a_rollback_that_broke_off_is_finished_by_the_next(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    rollback(shelf, events, "asha", "drawdown", at=AT)
    shelf.move("champion", "2")  # as if it had ended between the journal and the registry
    shelf.move("previous", "1")

    moved = rollback(shelf, events, "asha", "drawdown", at=AT)

    assert isinstance(moved, Promotion)
    assert shelf.version_at("champion") == "1"


def test_an_unknown_version_is_not_found(shelf, events):
    with pytest.raises(NotFound):
        promote(shelf, events, "99", Stage.PAPER, (), "demo", "demonstration")


def test_verdicts_survive_their_json_form():
    assert verdicts_from([SANITY.as_dict(), SHARPE.as_dict()]) == (SANITY, SHARPE)
