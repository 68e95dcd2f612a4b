"""Who falls silent in a session is told by its own name; only the journal is waited for as the journal."""

from typing import Any

import pytest

from pipelines.domain.errors import JournalAway, ServiceUnavailable
from pipelines.journal.memory import MemoryJournal
from serving.executor import daemon as daemon_module
from serving.executor.daemon import Daemon
from tests.unit.journal.records import NOON


class States:
    def __init__(self) -> None:
        self.states: list[str] = []

    def enter(self, state: str) -> None:
        self.states.append(state)


class OneSession:
    def __init__(self) -> None:
        self.left = 1

    def await_session(self, tell: Any) -> bool:
        self.left -= 1
        return self.left >= 0


class Access:
    def await_token(self, tell: Any) -> None:
        pass


class Falling(Daemon):
    """A daemon whose session ends as the test says, then well."""

    ends: list[Exception]

    def _trade(self) -> None:
        self._done = NOON
        if self.ends:
            raise self.ends.pop(0)


def a_daemon(*ends: Exception) -> Falling:
    nothing: Any = None
    vitals: Any = States()
    place: Any = OneSession()
    access: Any = Access()
    daemon = Falling(
        "A1", nothing, nothing, place, access, nothing, MemoryJournal(), nothing, False, nothing, vitals, nothing
    )
    daemon.ends = list(ends)
    return daemon


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(daemon_module, "AGAIN_S", 0.0)


def test_a_dead_exchange_is_told_as_the_exchange():
    daemon = a_daemon(ServiceUnavailable("the exchange at http://127.0.0.1:7070 does not answer (ReadTimeout)"))

    daemon.run()

    assert daemon._alarms == [
        "trading stops until it answers: the exchange at http://127.0.0.1:7070 does not answer (ReadTimeout)"
    ]
    assert daemon.vitals.states == ["waiting: the exchange at http://127.0.0.1:7070 does not answer (ReadTimeout)"]


def test_a_dead_policy_service_is_told_as_the_policy_service():
    daemon = a_daemon(ServiceUnavailable("the policy service at http://127.0.0.1:3000 does not answer describe"))

    daemon.run()

    assert "journal" not in daemon._alarms[0]
    assert "the policy service" in daemon.vitals.states[0]


def test_a_journal_that_is_away_is_told_as_the_journal():
    daemon = a_daemon(JournalAway("the journal at postgresql://localhost/journal does not answer"))

    daemon.run()

    assert daemon._alarms[0].startswith("the journal cannot be written, trading stops until it answers")
    assert daemon.vitals.states == ["waiting for the journal"]
