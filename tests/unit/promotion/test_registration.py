"""What the journal recorded of a version at its registration, and what may be read out of it."""

import json
from dataclasses import replace

import pytest

from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.ladder import promote
from pipelines.promotion.registration import (
    registration_from,
    registration_of,
    stages_reached,
    why_not_offered,
)
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage
from tests.unit.promotion.builders import AT, MODEL, Aliases, a_registration, registered


def test_a_registration_survives_its_json_form():
    registration = a_registration(planted_edge=None, commit=None, run=None)

    assert registration_from(json.loads(json.dumps(registration.as_record()))) == registration


def test_a_record_that_lacks_a_field_is_none():
    record = a_registration().as_record()
    del record["artifact"]

    assert registration_from(record) is None


def test_a_record_under_another_version_or_stage_is_none():
    journal, record = MemoryJournal(), a_registration("1").as_record()
    for version, stage in (("2", "candidate"), ("1", "paper")):
        journal.record_policy_event(
            model=MODEL, version=version, from_stage=None, to_stage=stage, actor="a", reason="r",
            evidence={"registration": record}, at=AT,
        )  # fmt: skip

    assert registration_of(journal.policy_events(MODEL), "1") is None
    assert registration_of(journal.policy_events(MODEL), "2") is None


def test_the_last_registration_counts_and_the_stages_of_the_same_files_stay():
    journal = MemoryJournal()
    registered(journal, "1", commit=None, run=None)
    promote(Aliases(), journal, "1", Stage.PAPER, "demo", "demonstration", at=AT)
    known = registered(journal, "1")

    events = journal.policy_events(MODEL)

    assert registration_of(events, "1") == known
    assert set(stages_reached(events, "1")) == {Stage.CANDIDATE, Stage.PAPER}


@pytest.mark.parametrize(
    ("registration", "run", "reason"),
    [
        (a_registration(run="training/1"), "training/1", None),
        (a_registration(run="training/1"), None, None),
        (a_registration(run="training/1"), "training/2", "by the run training/1, not by training/2"),
        (a_registration(run=None), None, "not registered by a training run; a person must promote it"),
        (None, "training/1", "register it again"),
    ],
)
def test_only_a_training_run_offers_its_own_policy(registration, run, reason):
    found = why_not_offered(registration, run)

    assert (found is None) if reason is None else (reason in found)


@pytest.mark.parametrize(("source", "real"), [("files", True), ("lake", True), ("simulated", False), ("", False)])
def test_what_is_not_known_to_be_real_counts_as_simulated(source, real):
    assert replace(a_registration(), source=source).is_real is real


def test_a_retired_number_stands_nowhere_whatever_it_held_before():
    journal = MemoryJournal()
    registered(journal, "1", content="first")
    promote(Aliases(), journal, "1", Stage.PAPER, "asha", "good")
    registered(journal, "1", content="second")  # MLflow counted anew

    promote(Aliases(), journal, "1", Stage.RETIRED, "asha", "odd trades")

    assert Stage.PAPER not in signatures(journal.policy_events(MODEL))
