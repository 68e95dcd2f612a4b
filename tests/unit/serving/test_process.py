"""A process of ours is started, watched and ended without touching any other."""

import os
import socket
import sys
import time

import psutil
import pytest

from pipelines.domain.errors import PortTaken, ServiceUnavailable
from serving.process import Process, ProcessGroup, accepts, free_port, require_free_port


def a_server(tmp_path, **changes) -> Process:
    port = free_port()
    command = (sys.executable, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1")
    named = {"name": "web", "command": command, "port": port, "health_url": f"http://127.0.0.1:{port}/"}
    return Process(**(named | changes), folder=tmp_path, log_folder=tmp_path / "logs")


def a_script(tmp_path, script: str, **changes) -> Process:
    return Process("script", (sys.executable, "-u", "-c", script), log_folder=tmp_path / "logs", **changes)


def test_a_process_answers_after_the_wait_and_is_gone_after_the_stop(tmp_path):
    server = a_server(tmp_path)

    with server:
        server.wait_until_healthy(20)
        answered = accepts(server.port)
    still = accepts(server.port)

    assert answered
    assert not still
    assert not server.running


def test_a_taken_port_is_refused_with_the_port_and_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(PortTaken) as refused:
            require_free_port(port, "mlflow", "serving.mlflow_port")

    assert f"port {port}, wanted for mlflow, is taken" in str(refused.value)
    assert f"pid {os.getpid()}" in str(refused.value)
    assert "set serving.mlflow_port in params.yaml" in str(refused.value)


def test_a_process_whose_port_is_taken_is_not_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = a_server(tmp_path, port=taken.getsockname()[1])

        with pytest.raises(PortTaken):
            server.start()

    assert server.pid is None


def test_a_process_that_dies_is_told_with_its_last_words(tmp_path):
    script = a_script(tmp_path, "print('no bars in data'); raise SystemExit(3)", port=free_port())

    with script, pytest.raises(ServiceUnavailable) as told:
        script.wait_until_healthy(20)

    assert "script ended with code 3" in str(told.value)
    assert "no bars in data" in str(told.value)


def test_a_process_that_does_not_answer_is_told_and_progress_is_called(tmp_path):
    script = a_script(tmp_path, "import time; time.sleep(60)", port=free_port())
    seen = []

    with script, pytest.raises(ServiceUnavailable, match="does not answer after 1 s"):
        script.wait_until_healthy(1.3, lambda name, seconds: seen.append((name, seconds)))

    assert [name for name, _ in seen] == ["script"]


def test_the_stop_ends_the_children_and_one_that_ignores_sigterm(tmp_path):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf'); time.sleep(60)"
    parent = f"import subprocess, sys; c = subprocess.Popen([sys.executable, '-u', '-c', {stubborn!r}]); print(c.pid)"
    script = a_script(tmp_path, f"{parent}; c.wait()")

    with script:
        while "deaf" not in script.tail():
            time.sleep(0.05)
        child = int(script.tail().splitlines()[0])
    ended = not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    assert ended


def test_a_group_stops_all_when_its_block_fails(tmp_path):
    first, second = a_script(tmp_path, "import time; time.sleep(60)"), a_server(tmp_path)

    with pytest.raises(RuntimeError, match="midway"), ProcessGroup() as group:
        group.start(first)
        group.start(second, 20)
        raise RuntimeError("midway")

    assert not first.running
    assert not second.running


def test_a_variable_set_to_none_is_not_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_ANOTHER", "1")
    script = a_script(
        tmp_path,
        "import os; print(os.environ.get('SECRET_OF_ANOTHER'), os.environ['OURS'])",
        env={"SECRET_OF_ANOTHER": None, "OURS": "yes"},
    )

    with script:
        code = script.wait(20)

    assert code == 0
    assert script.tail() == "None yes"
