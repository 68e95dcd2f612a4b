"""What the watch of an alias keeps when the registry or a policy is broken."""

from types import SimpleNamespace

import pytest

from pipelines.domain.errors import BadInput, ServiceUnavailable
from pipelines.promotion.ladder import Signature


@pytest.fixture
def watch(monkeypatch):
    monkeypatch.setenv("TRADESAGE_POLICY_TOKEN", "token-of-the-test")
    from serving import service

    found = service.AliasWatch("paper", "policy", every_s=60)
    registry = SimpleNamespace(version="1", answers=True, signed={"1", "2", "broken"}, journal_answers=True)

    def version_at(alias):
        if not registry.answers:
            raise ServiceUnavailable("PostgreSQL does not answer")
        return registry.version

    registry.version_at = version_at
    registry.loaded = []

    def signature(version):
        if not registry.journal_answers:
            raise ServiceUnavailable("the journal does not answer")
        return Signature(version, None) if version in registry.signed else None

    def load(version, content):
        registry.loaded.append(version)
        if version == "broken":
            raise BadInput("the content is not the one of its version")
        return service.Served(bundle=None, registry_version=version)

    monkeypatch.setattr(found, "_open", lambda: registry)
    monkeypatch.setattr(found, "_signature", signature)
    monkeypatch.setattr(found, "_load", load)
    found.test_registry = registry
    return found


def test_it_loads_once_and_again_when_the_alias_moves(watch):
    for version in ("1", "1", "2", "1"):
        watch.test_registry.version = version
        watch.look()

    assert watch.test_registry.loaded == ["1", "2", "1"]
    assert watch.served.registry_version == "1"


def test_it_keeps_the_policy_while_the_registry_does_not_answer(watch):
    watch.look()

    watch.test_registry.answers = False
    watch.look()

    assert watch.served.registry_version == "1"


def test_it_keeps_the_policy_when_the_next_one_is_broken_and_does_not_fetch_it_at_every_look(watch):
    watch.look()

    watch.test_registry.version = "broken"
    watch.look()
    watch.look()

    assert watch.served.registry_version == "1"
    assert watch.test_registry.loaded == ["1", "broken"]


def test_it_serves_nothing_when_the_alias_is_taken_away_and_the_policy_at_once_when_it_is_back(watch):
    watch.look()

    watch.test_registry.version = None
    watch.look()
    gone = watch.served
    watch.test_registry.version = "1"
    watch.look()

    assert gone is None
    assert watch.served.registry_version == "1"


def test_what_the_ladder_did_not_put_there_is_not_loaded_and_told_in_one_line(watch, caplog):
    watch.look()

    with caplog.at_level("INFO", logger="bentoml.tradesage"):
        for version in ("3", "3", "1"):
            watch.test_registry.version = version
            watch.look()

    assert watch.served.registry_version == "1"
    assert watch.test_registry.loaded == ["1"]
    assert caplog.messages == [
        "keeps version 1: version 3 of policy was put at the alias 'paper' past the ladder; "
        "move it with the ladder (the DAG `promotion` in Airflow)",
        "serves policy version 1 at the alias 'paper'",
    ]


def test_it_is_served_once_the_ladder_has_moved_it(watch):
    watch.test_registry.version = "3"
    watch.look()
    before = watch.served
    watch.test_registry.signed.add("3")
    watch.look()

    assert before is None
    assert watch.served.registry_version == "3"
    assert watch.unsigned is None


def test_while_the_journal_does_not_answer_the_loaded_policy_stays_and_nothing_new_is_loaded(watch):
    watch.look()

    watch.test_registry.journal_answers = False
    watch.test_registry.version = "2"
    watch.look()
    kept = watch.served.registry_version
    watch.test_registry.journal_answers = True
    watch.look()

    assert kept == "1"
    assert watch.served.registry_version == "2"


def test_the_same_line_is_told_once(watch, caplog):
    watch.test_registry.answers = False

    with caplog.at_level("INFO", logger="bentoml.tradesage"):
        for _ in range(5):
            watch.look()

    assert caplog.messages == ["keeps no policy: ServiceUnavailable: PostgreSQL does not answer"]
