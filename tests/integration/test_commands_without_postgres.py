"""Commands while PostgreSQL hangs, holds a lock, refuses, or has another release's schema: one line within seconds."""

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipelines.journal import embedded, journal_at
from pipelines.journal.postgres import database_url, stop_embedded
from pipelines.promotion import registry
from serving.postgres_as_found import _visit, postgres_as_found
from tests.conftest import workspace_at
from tests.integration.calling import Ended, command_in
from tests.unit.promotion.builders import registered

MODEL = "without-postgres"
SECONDS = 12.0  #: on a machine that does other work, too
MOVES = [("rollback",), ("retire", "1"), ("shadow", "1")]
REASON = ("--reason", "odd trades")


@pytest.fixture
def tradesage(tmp_path, monkeypatch, capsys) -> Callable[..., Ended]:
    paths, _ = workspace_at(tmp_path / "checkout", {"promotion.model": MODEL})
    return command_in(paths.root, monkeypatch, capsys)


@pytest.fixture
def served(own_postgres) -> None:
    """A server that runs, with version 1 registered."""
    journal = journal_at(database_url("journal"))
    database_url("mlflow")
    registered(journal, "1", MODEL)
    journal.close()


@contextmanager
def stopped_by_a_signal() -> Iterator[None]:
    processes = list(embedded._processes())
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def locked() -> Iterator[None]:
    engine = create_engine(database_url("journal"))
    with engine.begin() as connection:
        connection.execute(text("lock table policy_events in access exclusive mode"))
        yield
    engine.dispose()


@contextmanager
def of_another_release() -> Iterator[None]:
    engine = create_engine(database_url("journal"))

    def call(revision: str) -> str:
        with engine.begin() as connection:
            before = connection.execute(text("select version_num from alembic_version")).scalar_one()
            connection.execute(text("update alembic_version set version_num = :now"), {"now": revision})
        return str(before)

    before = call("9999")
    try:
        yield
    finally:
        call(before)
        engine.dispose()


def assert_one_line_in_time(ended: Ended, began: float) -> None:
    assert time.monotonic() - began < SECONDS
    assert ended.code == 1
    lines = (ended.out + ended.err).splitlines()
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0]


@pytest.mark.parametrize("trouble", [stopped_by_a_signal, locked, of_another_release])
@pytest.mark.parametrize("command", [("ladder",), *((*move, *REASON) for move in MOVES)], ids=lambda words: words[0])
def test_a_command_of_the_ladder_ends_within_seconds(tradesage, served, command, trouble):
    with trouble():
        began = time.monotonic()
        ended = tradesage(*command)

    assert_one_line_in_time(ended, began)


@pytest.mark.parametrize("trouble", [stopped_by_a_signal, locked])
def test_a_move_that_was_not_made_is_told_from_one_that_was(tradesage, served, trouble):
    with trouble():
        tradesage("retire", "1", *REASON)

    journal = journal_at(database_url("journal"))
    try:
        assert [each for each in journal.policy_events(MODEL) if each["to_stage"] == "retired"] == []
    finally:
        journal.close()


def test_a_server_that_a_signal_stopped_is_named_with_what_wakes_it(tradesage, served):
    with stopped_by_a_signal():
        ended = tradesage("ladder")

    assert "does not answer; it is stopped by a signal: kill -CONT it" in ended.err


def test_resume_ends_within_seconds_though_the_journal_hangs(tradesage, served):
    with stopped_by_a_signal():
        began = time.monotonic()
        ended = tradesage("resume", *REASON, "--account", "A1")

    assert_one_line_in_time(ended, began)


@pytest.mark.parametrize("command", [("ladder",), *((*move, *REASON) for move in MOVES)], ids=lambda words: words[0])
def test_a_server_that_refuses_is_told_in_one_line(tradesage, monkeypatch, command):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("TRADESAGE_DATABASE_URL", f"postgresql://trader:a-secret@{address}/postgres")
    began = time.monotonic()

    ended = tradesage(*command)

    assert_one_line_in_time(ended, began)
    assert address in ended.err
    assert "a-secret" not in ended.err


@pytest.mark.parametrize("command", [("ladder",), *((*move, *REASON) for move in MOVES)], ids=lambda words: words[0])
def test_a_server_that_accepts_and_says_nothing_is_given_up(tradesage, monkeypatch, command):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("TRADESAGE_DATABASE_URL", f"postgresql://trader:a-secret@{address}/postgres")
        began = time.monotonic()
        ended = tradesage(*command)

    assert_one_line_in_time(ended, began)


def test_mlflows_database_that_hangs_is_given_up(served, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "CONNECT_S", 1)
    shelf = registry.Registry(database_url("mlflow"), tmp_path, MODEL)

    with stopped_by_a_signal():
        began = time.monotonic()
        with pytest.raises(registry.ServiceUnavailable, match="MLflow's database does not answer"):
            shelf.aliases()

    assert time.monotonic() - began < 10.0


# --- as it was found ---


@pytest.fixture
def own_state(monkeypatch) -> Iterator[Path]:
    """Where nothing was ever started; below /tmp, since the server's own user must reach it."""
    place = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    place.chmod(0o755)
    monkeypatch.setenv("TRADESAGE_STATE", str(place / "state"))
    yield place
    stop_embedded()
    shutil.rmtree(place)


def test_reading_a_ladder_that_nobody_made_starts_and_makes_nothing(tradesage, own_state):
    ended = tradesage("ladder")

    assert ended.code == 1
    assert "nothing was ever registered in this state folder" in ended.err
    assert not (own_state / "state").exists()


def test_what_a_command_had_to_start_does_not_go_on_running(tradesage, own_state):
    journal = journal_at(database_url("journal"))
    registered(journal, "1", MODEL)
    journal.close()
    stop_embedded()

    read, moved = tradesage("ladder"), tradesage("shadow", "1", *REASON)

    assert (read.code, moved.code) == (0, 0), read.err + moved.err
    assert not embedded.running()


def test_a_server_that_ran_before_runs_on(tradesage, own_state):
    journal_at(database_url("journal")).close()

    ended = tradesage("ladder")

    assert ended.code == 0
    assert embedded.answering()


def test_of_two_commands_at_once_the_first_leaves_the_server_to_the_other(own_state):
    (own_state / "state").mkdir()

    with _visit():
        with postgres_as_found():
            database_url("journal")

        assert embedded.answering()
