"""Who may climb, who is told no and why, and that nothing moves unrecorded."""

from dataclasses import replace

import pytest

from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.ladder import (
    Promotion,
    Refusal,
    Stage,
    may_enter,
    promote,
    rollback,
    show,
    verdicts_from,
)
from pipelines.promotion.registration import stages_reached
from pipelines.promotion.signatures import signatures
from tests.unit.promotion.builders import AT, GOOD, MODEL, SANE, TRACK, Aliases, a_registration, registered


@pytest.fixture
def shelf():
    return Aliases()


@pytest.fixture
def events():
    """A journal with three registered versions; the third fails a gate before money."""
    journal = MemoryJournal()
    for version, verdicts in (("1", (SANE, GOOD)), ("2", (SANE, GOOD)), ("3", (SANE, replace(GOOD, passed=False)))):
        registered(journal, version, verdicts=verdicts)
    return journal


def moves(journal):
    """Stages entered, without the registrations."""
    return [event for event in journal.policy_events(MODEL) if event["to_stage"] != "candidate"]


def stood(journal):
    """What the journal says stands where, without the candidate."""
    found = signatures(journal.policy_events(MODEL))
    return {stage: signature.version for stage, signature in found.items() if stage != "candidate"}


def climb(shelf, events, version, *stages, approved_by="asha"):
    for stage in stages:
        moved = promote(shelf, events, version, stage, "engineer", "test", approved_by=approved_by, track=TRACK, at=AT)
        assert isinstance(moved, Promotion), str(moved)
    return moved


def test_paper_asks_only_for_the_sanity_gates(shelf, events):
    moved = promote(shelf, events, "3", Stage.PAPER, "demo", "demonstration", at=AT)

    assert isinstance(moved, Promotion)
    assert shelf.version_at("paper") == "3"
    [event] = moves(events)
    assert (event["to_stage"], event["actor"], event["at"]) == ("paper", "demo", AT)


def test_a_failing_sanity_gate_keeps_it_out_of_paper(shelf, events):
    registered(events, "4", verdicts=(replace(SANE, passed=False, measured=0.4),))

    refused = promote(shelf, events, "4", Stage.PAPER, "demo", "demonstration")

    assert isinstance(refused, Refusal)
    assert "largest position is 0.4, the limit is 0.101" in str(refused)
    assert shelf.aliases() == {}
    assert moves(events) == []


def test_canary_asks_for_every_gate_a_person_and_a_time_on_paper(shelf, events):
    climb(shelf, events, "3", Stage.SHADOW)

    refused = promote(shelf, events, "3", Stage.CANARY, "engineer", "looks good")

    assert isinstance(refused, Refusal)
    assert [verdict.gate for verdict in refused.failing] == ["Sharpe ratio", "record at the stage before"]
    assert "no person has approved it" in refused.reasons
    assert "it has not been at paper before" in refused.reasons


@pytest.mark.parametrize("stage", [Stage.CANARY, Stage.CHAMPION])
def test_a_bad_record_or_none_at_the_stage_before_keeps_it_from_money(shelf, events, stage):
    bad = (replace(TRACK[0], passed=False, measured=12.0),)
    climb(shelf, events, "1", *((Stage.PAPER, Stage.CANARY) if stage is Stage.CHAMPION else (Stage.PAPER,)))

    refused = [
        promote(shelf, events, "1", stage, "asha", "good", approved_by="asha", track=track) for track in (bad, ())
    ]

    assert [each.reasons for each in refused] == [
        ("trades is 12, the limit is 50",),
        ("record at the stage before is 0, the limit is 1",),
    ]


def test_what_was_retired_begins_anew(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.RETIRED)

    refused = promote(shelf, events, "1", Stage.CHAMPION, "asha", "good", approved_by="asha", track=TRACK)

    assert isinstance(refused, Refusal)
    assert refused.reasons == ("it has not been at canary before",)


def test_the_champion_is_retired_only_when_that_is_said(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    moved = promote(shelf, events, "1", Stage.RETIRED, "asha", "no more", champion_too=True, at=AT)

    assert isinstance(moved, Promotion)
    assert stood(events) == {}


@pytest.mark.parametrize("name", [None, "", "  ", "airflow", "Demo"])
def test_a_process_cannot_approve(shelf, events, name):
    climb(shelf, events, "1", Stage.PAPER)

    refused = promote(shelf, events, "1", Stage.CANARY, "engineer", "good", approved_by=name)

    assert isinstance(refused, Refusal)
    assert shelf.version_at("canary") is None


def test_a_version_without_a_recorded_registration_goes_nowhere(shelf, events):
    shelf.move("paper", "7")

    refused = [promote(shelf, events, "7", stage, "asha", "it is good", approved_by="asha") for stage in Stage]

    assert all(isinstance(each, Refusal) for each in refused)
    assert {each.reasons for each in refused} == {
        ("the journal has no record of its registration; register it again (tradesage register)",)
    }


def test_a_version_that_no_commit_makes_gets_no_further_than_paper(shelf, events):
    registered(events, "4", commit=None)
    climb(shelf, events, "4", Stage.PAPER)

    refused = promote(shelf, events, "4", Stage.CANARY, "asha", "good", approved_by="asha", track=TRACK)

    assert isinstance(refused, Refusal)
    assert refused.reasons == ("no commit makes it",)


def test_only_a_registration_makes_a_candidate(shelf, events):
    refused = promote(shelf, events, "1", Stage.CANDIDATE, "engineer", "again")

    assert isinstance(refused, Refusal)
    assert "becomes the candidate when it is registered" in str(refused)


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
    last = moves(events)[-1]
    assert (last["evidence"]["approved_by"], last["from_stage"]) == ("asha", "canary")


def test_a_rollback_brings_the_previous_champion_back_once(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    moved = rollback(shelf, events, "asha", "drawdown", at=AT)
    again = rollback(shelf, events, "asha", "drawdown", at=AT)

    assert isinstance(moved, Promotion)
    assert shelf.version_at("champion") == "1"
    assert isinstance(again, Refusal)
    assert moves(events)[-1]["evidence"]["rollback_from"] == "2"
    assert stages_reached(events.policy_events(MODEL), "2")[-1] is Stage.RETIRED
    assert stages_reached(events.policy_events(MODEL), "1")[-1] is Stage.CHAMPION


def test_standing_there_already_is_a_promotion_and_recorded_once(shelf, events):
    climb(shelf, events, "1", Stage.PAPER)

    again = climb(shelf, events, "1", Stage.PAPER)

    assert again.displaced == "1"
    assert len(moves(events)) == 1


def test_the_champion_is_not_retired_and_previous_not_set_by_hand(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    retired = promote(shelf, events, "1", Stage.RETIRED, "asha", "old")
    previous = promote(shelf, events, "2", Stage.PREVIOUS, "asha", "warm")

    assert isinstance(retired, Refusal)
    assert isinstance(previous, Refusal)


def test_a_retired_version_loses_its_aliases(shelf, events):
    climb(shelf, events, "2", Stage.PAPER)

    climb(shelf, events, "2", Stage.RETIRED)

    assert shelf.aliases() == {"candidate": "3"}


def test_nothing_moves_when_the_journal_cannot_record(shelf, events, monkeypatch):
    def dead(**event):
        raise ServiceUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(events, "record_policy_event", dead)
    with pytest.raises(ServiceUnavailable):
        promote(shelf, events, "1", Stage.PAPER, "demo", "demonstration")

    assert shelf.aliases() == {}


def test_a_move_counts_though_mlflow_does_not_answer(shelf, events, monkeypatch):
    def dead(*arguments):
        raise ServiceUnavailable("MLflow's database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "aliases", dead)
        moved = promote(shelf, events, "1", Stage.PAPER, "demo", "demonstration")
        told = show(shelf, events)
    later = show(shelf, events)

    assert isinstance(moved, Promotion)
    assert stood(events) == {"paper": "1"}
    assert "MLflow's database does not answer" in told
    assert later is None
    assert shelf.aliases() == {"candidate": "3", "paper": "1"}


def test_the_signature_carries_the_hash_of_the_files_as_registered(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    rollback(shelf, events, "asha", "drawdown", at=AT)

    champion = signatures(events.policy_events(MODEL))["champion"]
    assert (champion.version, champion.content) == ("1", "content of 1")
    assert champion.registration == a_registration("1")


def test_the_aliases_show_what_the_record_says(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    assert stood(events) == {"paper": "2", "canary": "2", "champion": "2", "previous": "1"}

    rollback(shelf, events, "asha", "drawdown", at=AT)
    assert stood(events) == {"champion": "1"}, "what was rolled back stands nowhere"
    assert shelf.aliases() == {"candidate": "3", "champion": "1"}


def test_aliases_that_were_moved_in_mlflow_are_drawn_anew_and_change_nothing(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    for alias in ("champion", "previous", "canary"):
        shelf.move(alias, "3")
    shelf.move("a person's own", "3")

    refused = rollback(shelf, events, "asha", "drawdown", at=AT)
    climb(shelf, events, "2", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)

    assert isinstance(refused, Refusal)
    assert shelf.aliases() == {"candidate": "3", "a person's own": "3"} | stood(events)
    assert stood(events)["previous"] == "1"


def test_a_number_that_was_another_policy_before_inherits_nothing(shelf, events):
    climb(shelf, events, "1", Stage.PAPER, Stage.CANARY, Stage.CHAMPION)
    registered(events, "1", content="another policy", fingerprint="another")  # MLflow's tables were lost

    refused = promote(shelf, events, "1", Stage.CHAMPION, "asha", "good", approved_by="asha")

    assert isinstance(refused, Refusal)
    assert "it has not been at canary before" in refused.reasons
    assert stages_reached(events.policy_events(MODEL), "1") == (Stage.CANDIDATE,)
    assert signatures(events.policy_events(MODEL))["champion"].registration == a_registration("1")


def test_a_version_that_was_put_there_by_hand_is_judged_and_recorded_when_the_ladder_is_asked(shelf, events):
    shelf.move("canary", "3")
    shelf.move("paper", "2")

    canary = promote(shelf, events, "3", Stage.CANARY, "engineer", "it stands there already")
    paper = promote(shelf, events, "2", Stage.PAPER, "engineer", "as it should be", at=AT)

    assert isinstance(canary, Refusal)
    assert isinstance(paper, Promotion)
    assert [(event["version"], event["to_stage"]) for event in moves(events)] == [("2", "paper")]


def test_verdicts_survive_their_json_form():
    assert verdicts_from([SANE.as_dict(), GOOD.as_dict()]) == (SANE, GOOD)
