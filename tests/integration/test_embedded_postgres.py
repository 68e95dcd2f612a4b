"""The embedded PostgreSQL after deaths of every kind: asked, not believed; back within seconds; closed to others."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg2
import pytest

from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal import embedded
from pipelines.journal.postgres import database_url, stop_embedded
from serving.process import Process
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def state():
    """A state folder whose server these tests kill."""
    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADESAGE_STATE", str(folder))
        patch.delenv("TRADESAGE_DATABASE_URL", raising=False)
        yield folder
        stop_embedded()
    shutil.rmtree(folder)


def server() -> psutil.Process:
    found = embedded._postmaster()
    assert found is not None
    return found


def count() -> int:
    """Rows of a table that a death must not lose."""
    with psycopg2.connect(database_url("journal").replace("+psycopg2", "")) as connection:
        cursor = connection.cursor()
        cursor.execute("create table if not exists kept (row int)")
        cursor.execute("insert into kept values (1)")
        cursor.execute("select count(*) from kept")
        return cursor.fetchone()[0]


def backend() -> tuple[psycopg2.extensions.connection, int]:
    connection = psycopg2.connect(database_url("journal").replace("+psycopg2", ""))
    return connection, connection.get_backend_pid()


def test_a_killed_server_is_back_at_the_next_question_with_all_rows(state):
    before = count()
    first = server()

    first.kill()
    after = count()

    assert after == before + 1
    assert server().pid != first.pid


def test_a_killed_backend_costs_its_connections_and_nothing_else(state):
    before = count()
    connection, pid = backend()
    kept = server()

    os.kill(pid, signal.SIGKILL)
    after = count()
    connection.close()

    assert after == before + 1
    assert server() == kept


def test_a_server_killed_under_a_busy_backend_is_back(state):
    before = count()
    busy = "select count(*) from generate_series(1, 100000000000)"
    script = f"import psycopg2, sys; psycopg2.connect(sys.argv[1]).cursor().execute({busy!r})"
    url = database_url("journal").replace("+psycopg2", "")
    client = subprocess.Popen([sys.executable, "-c", script, url], stderr=subprocess.DEVNULL)
    until(lambda: any("SELECT" in " ".join(one.cmdline()) for one in embedded._processes()))

    server().kill()
    after = count()
    client.kill()
    client.wait()

    assert after == before + 1


def test_a_pid_file_that_names_another_program_is_not_believed_and_that_program_lives(state):
    before = count()
    stop_embedded()
    other = subprocess.Popen(["sleep", "60"])
    lines = (str(other.pid), str(embedded.folder()), "1", "5432", str(embedded.folder()), "", "1 2", "ready")
    (embedded.folder() / "postmaster.pid").write_text("\n".join(lines) + "\n")

    stop_embedded()
    after = count()

    assert other.poll() is None
    assert after == before + 1
    other.kill()
    other.wait()


def test_a_stopped_server_is_ended_by_the_stop(state):
    database_url("journal")
    hung = server()
    hung.send_signal(signal.SIGSTOP)

    stop_embedded(patience_s=5)

    assert not hung.is_running()


def test_its_watcher_brings_it_back_within_seconds(state):
    with Process("line", (sys.executable, "-m", "serving.processes", "postgres"), folder=ROOT) as line:
        until(lambda: "PostgreSQL answers" in line.tail())
        server().kill()
        began = time.monotonic()
        until(lambda: line.tail().count("PostgreSQL answers") == 2)
        seconds = time.monotonic() - began
        said = line.tail()

    assert "PostgreSQL has died; starting it again" in said
    assert seconds < 15, "on a machine that is busy with tests"
    assert embedded.answering(), "it outlives its watcher"


def test_a_folder_that_was_left_half_made_is_made_anew(state, monkeypatch, tmp_path_factory):
    other = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    other.chmod(0o755)
    monkeypatch.setenv("TRADESAGE_STATE", str(other))
    (other / "postgres-new-killed").mkdir()
    (other / "postgres-new-killed" / "PG_VERSION").write_text("18\n")
    (other / "postgres").mkdir()

    database_url("journal")
    stop_embedded()

    assert (other / "postgres" / "PG_VERSION").exists()
    assert not (other / "postgres-new-killed").exists()
    shutil.rmtree(other)


def test_a_server_that_cannot_start_says_why_and_never_to_remove_its_folder(state):
    count()
    stop_embedded()
    control = embedded.folder() / "global" / "pg_control"
    control.rename(control.with_name("elsewhere"))

    with pytest.raises(ServiceUnavailable) as refused:
        database_url("journal")
    control.with_name("elsewhere").rename(control)

    assert "pg_control" in str(refused.value)
    assert "Keep the folder: it holds journal, audit and registry" in str(refused.value)
    assert "remove" not in str(refused.value)
    assert count()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("depth", [0, 6], ids=["short path", "path too long for a socket"])
def test_another_user_of_the_machine_cannot_connect(state, monkeypatch, depth):
    long = state.joinpath("long", *["a-folder-of-twenty-four"] * depth) if depth else state
    monkeypatch.setenv("TRADESAGE_STATE", str(long))
    database_url("journal")
    sockets = embedded._socket_folder()
    command = (embedded._program("psql"), "-h", str(sockets), "-U", "postgres", "-c", "select 1")

    ours = subprocess.run(command, capture_output=True, text=True)
    theirs = subprocess.run(command, capture_output=True, text=True, user="nobody", group=65534, extra_groups=[])
    if depth:
        stop_embedded()
        shutil.rmtree(sockets)

    assert ours.returncode == 0, ours.stderr
    assert theirs.returncode != 0
    assert "Permission denied" in theirs.stderr
    assert (sockets != embedded.folder()) == bool(depth)


def until(condition, patience_s: float = 30.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
