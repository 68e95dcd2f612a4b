"""What the watch of an alias serves, and what it keeps when journal, files or a policy are broken."""

from types import SimpleNamespace

import pytest

from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.ladder import Promotion, Stage, promote
from pipelines.promotion.registry import BundleChanged
from tests.unit.promotion.builders import AT, MODEL, Aliases, registered


@pytest.fixture
def world(monkeypatch):
    """A watch of `paper` on a journal in memory with versions 1, 2 and `broken`; what it loaded."""
    monkeypatch.setenv("TRADESAGE_POLICY_TOKEN", "token-of-the-test")
    from serving import service

    watch, journal, loaded = service.AliasWatch("paper", MODEL, every_s=60), MemoryJournal(), []
    for version in ("1", "2", "broken"):
        registered(journal, version)

    def load(registration):
        loaded.append(registration.version)
        if registration.version == "broken":
            raise BundleChanged("the files in file:///there were changed after registration; restore them")
        return service.Served(None, registration.version, registration.content, registration.source)

    monkeypatch.setattr(watch, "_journal", journal)
    monkeypatch.setattr(watch, "_load", load)
    return SimpleNamespace(watch=watch, journal=journal, loaded=loaded)


def move(world, version: str, stage: Stage = Stage.PAPER) -> None:
    assert isinstance(promote(Aliases(), world.journal, version, stage, "engineer", "test", at=AT), Promotion)


def served(world) -> str | None:
    world.watch.look()
    return world.watch.served.registry_version if world.watch.served else None


def test_it_loads_once_and_again_when_the_ladder_moves(world):
    seen = []
    for version in ("1", "1", "2", "1"):
        move(world, version)
        seen.append(served(world))

    assert seen == ["1", "1", "2", "1"]
    assert world.loaded == ["1", "2", "1"]


def test_the_source_it_tells_is_that_of_the_registration(world):
    registered(world.journal, "4", source="lake")
    move(world, "4")

    served(world)

    assert world.watch.served.source == "lake"


def test_it_keeps_the_policy_while_the_journal_does_not_answer(world, monkeypatch):
    def away(model):
        raise ServiceUnavailable("PostgreSQL does not answer")

    move(world, "1")
    first = served(world)
    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "newest_policy_event", away)
        move(world, "2")
        kept, trouble = served(world), world.watch.trouble
    after = served(world)

    assert (first, kept, after) == ("1", "1", "2")
    assert "the journal does not say what stands at the alias 'paper'" in trouble
    assert world.watch.trouble is None


def test_changed_files_are_told_in_words_and_the_loaded_policy_goes_on(world):
    move(world, "1")
    served(world)

    move(world, "broken")
    kept = [served(world), served(world)]

    assert kept == ["1", "1"]
    assert world.loaded == ["1", "broken"]  # not fetched again at every look
    assert world.watch.trouble.startswith(
        "version broken at the alias 'paper' was not loaded: BundleChanged: the files"
    )


def test_with_no_policy_loaded_the_reason_is_the_changed_files(world):
    move(world, "broken")

    assert served(world) is None
    assert "changed after registration" in world.watch.absence()


def test_it_serves_nothing_when_the_ladder_retires_the_policy(world):
    move(world, "1")
    before = served(world)

    move(world, "1", Stage.RETIRED)

    assert (before, served(world)) == ("1", None)
    assert world.watch.absence() == f"no policy stands at the alias 'paper' of {MODEL}"


def test_a_move_from_before_registrations_were_recorded_is_not_loaded(world):
    move(world, "1")
    before = served(world)
    world.journal.record_policy_event(
        model=MODEL, version="9", from_stage=None, to_stage="paper", actor="demo", reason="old", evidence={}, at=AT
    )

    assert (before, served(world)) == ("1", "1")
    assert "version 9 stands at the alias 'paper', but the journal has no record of its registration" in (
        world.watch.trouble
    )
    assert "register it again" in world.watch.trouble


def test_a_number_that_became_another_policy_does_not_end_the_one_that_stands_there(world):
    move(world, "1")
    first = served(world)

    registered(world.journal, "1", content="another policy")  # MLflow's tables were lost, it counts anew
    again = served(world)

    assert (first, again) == ("1", "1")
    assert world.loaded == ["1"]
    assert world.watch.trouble is None


def test_the_same_line_is_told_once(world, monkeypatch, caplog):
    def away(model):
        raise ServiceUnavailable("PostgreSQL does not answer")

    monkeypatch.setattr(world.journal, "newest_policy_event", away)
    with caplog.at_level("INFO", logger="bentoml.tradesage"):
        for _ in range(5):
            world.watch.look()

    assert caplog.messages == ["keeps no policy: ServiceUnavailable: PostgreSQL does not answer"]
