"""What `status` says of a process that does not listen: a heartbeat counts only for the one that lives."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
import pytest

from serving import family, leftovers
from serving.policy_reason import NONE_YET, policy_trouble
from serving.status import _silent_state

NAME = "airflow-scheduler"


@pytest.fixture
def start(tmp_path, monkeypatch) -> Iterator[Callable[..., psutil.Process]]:
    """Starts a program with the scheduler's mark and these words behind it."""
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path))
    children: list[subprocess.Popen] = []

    def started(*words: str, keeper: bool = False) -> psutil.Process:
        command = [sys.executable, "-c", "import time; time.sleep(60)", *words]
        environment = os.environ | leftovers.mark(NAME)
        children.append(subprocess.Popen(family.command(command) if keeper else command, env=environment))
        process = psutil.Process(children[-1].pid)
        deadline = time.monotonic() + 10.0
        while words[-1] not in process.cmdline() and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    yield started
    for child in children:
        child.send_signal(18)
        child.kill()
        child.wait()


def heard(seconds_ago: float) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {"scheduler": {"status": "healthy", "latest_scheduler_heartbeat": at.isoformat()}}


def state(heartbeats: dict[str, Any]) -> str:
    return _silent_state(NAME, leftovers.program(NAME, leftovers.marked()), heartbeats)


def test_one_that_was_heard_since_it_began_answers(start):
    start("scheduler")

    assert state(heard(-1.0)) == "answers"


def test_the_heartbeat_of_the_one_before_is_not_believed(start):
    start("scheduler")

    assert state(heard(8.0)).endswith("Airflow has heard only the one before it")


def test_a_child_that_outlives_the_scheduler_is_not_taken_for_it(start):
    start("airflow worker -- LocalExecutor: <idle>")

    assert state(heard(2.0)) == "does not run; Airflow heard it 2 s ago"


def test_a_keeper_whose_program_is_dead_is_not_taken_for_it(start):
    keeper = start("scheduler", keeper=True)
    programs = [each for each in leftovers.marked() if each.process.pid != keeper.pid]
    for each in programs:
        each.process.suspend()  # the keeper sees it as alive; it is left out by hand
    running = [each for each in leftovers.marked() if each.process.pid == keeper.pid]

    told = _silent_state(NAME, leftovers.program(NAME, running), heard(2.0))

    for each in programs:
        each.process.kill()
    assert running
    assert told == "does not run; Airflow heard it 2 s ago"


def test_one_that_a_signal_stopped_does_not_answer(start):
    process = start("scheduler")
    process.suspend()

    assert state(heard(-1.0)).startswith(f"is stopped by a signal (pid {process.pid})")


def test_one_that_airflow_never_heard_runs(start):
    start("scheduler")

    assert state({"scheduler": {"status": None}}) == "runs; Airflow has not heard it"


def test_a_policy_service_whose_answer_drips_is_given_up(monkeypatch):
    monkeypatch.setenv("TRADESAGE_POLICY_TOKEN", "a-token-of-the-test")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        ended = threading.Event()
        threading.Thread(target=_drip, args=(server, ended), daemon=True).start()
        began = time.monotonic()

        told = policy_trouble(f"http://127.0.0.1:{server.getsockname()[1]}")

        ended.set()
    assert told == NONE_YET
    assert time.monotonic() - began < 4.0


def _drip(server: socket.socket, ended: threading.Event) -> None:
    visitor, _ = server.accept()
    with visitor, suppress(OSError):
        visitor.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not ended.wait(0.3):
            visitor.sendall(b" ")
