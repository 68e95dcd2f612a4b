"""The processes as a whole: the Procfile, what waits, what is started again, up and down."""

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import yaml

from pipelines.domain.errors import PortTaken, ServiceUnavailable
from pipelines.params import params_from
from serving import all_processes, processes
from serving.process import Process, accepts, answers, free_port
from tests.conftest import ROOT, params_content


def own_params(**ports: int):
    names = ("mlflow_port", "airflow_port", "policy_port", "exchange_port", "executor_port")
    content = params_content({f"serving.{name}": ports.get(name) or free_port() for name in names})
    return params_from(content, "test")


def test_the_procfile_lists_every_process_in_order():
    lines = (ROOT / "Procfile").read_text(encoding="utf-8").splitlines()

    listed = [re.fullmatch(r"(\S+): python -m serving\.processes (\S+)", line).groups() for line in lines]

    assert listed == [(name, name) for name in processes.NAMES]


def test_up_refuses_a_taken_port_before_it_starts_anything(own_postgres):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        params = own_params(mlflow_port=taken.getsockname()[1])

        with pytest.raises(PortTaken, match=r"wanted for mlflow, .* set serving\.mlflow_port"):
            all_processes.up(params, only=("postgres", "mlflow"))

    assert all_processes.running_up() is None


def test_an_unknown_process_is_named(own_postgres):
    with pytest.raises(ServiceUnavailable, match="no process 'redis'"):
        processes.processes(own_params(), only=("redis",))


def test_an_exchange_without_a_market_says_what_it_waits_for(tmp_path):
    exchange = processes.exchange_process(own_params(), tmp_path)

    reason = exchange.missing()

    assert "session_bars is empty" in reason


def test_a_line_of_the_procfile_waits_runs_and_starts_again(tmp_path):
    ready = tmp_path / "ready"
    script = f"""
import sys
from pathlib import Path
from serving.process import Process
from serving.supervising import supervise
child = Process("child", (sys.executable, "-c", "print('ran', flush=True); raise SystemExit(3)"))
child.missing = lambda: None if Path({str(ready)!r}).exists() else "a file"
supervise(child)
"""
    line = Process("line", (sys.executable, "-u", "-c", script), folder=ROOT, log_folder=tmp_path)

    with line:
        until(lambda: "child waits for a file" in line.tail())
        ready.touch()
        until(lambda: line.tail().count("ran") >= 2)
        said = line.tail()

    assert "child ended with code 3; starting it again" in said


#: Answers everything, as MLflow answers who has its log-in
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


@pytest.fixture
def own_state(monkeypatch):
    """A state folder that is not shared: `down` ends its PostgreSQL."""
    state = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    state.chmod(0o755)
    monkeypatch.setenv("TRADESAGE_STATE", str(state))
    yield state
    all_processes.down()
    shutil.rmtree(state)


def lines_of(monkeypatch, folder: Path, **lines: str) -> None:
    """Let `up` start these instead of the shipped Procfile, whose lines read the ports of the checkout."""
    procfile = folder / "Procfile"
    procfile.write_text("".join(f"{name}: {line}\n" for name, line in lines.items()), encoding="utf-8")
    monkeypatch.setattr(all_processes, "_procfile", lambda: procfile)


def a_server(folder: Path, port: int) -> str:
    (folder / "server.py").write_text(SERVER, encoding="utf-8")
    return f"python {folder / 'server.py'} {port}"


def test_up_starts_in_the_background_and_down_ends_it(tmp_path, monkeypatch, own_state):
    params = own_params()
    port = params.serving.mlflow_port
    lines_of(monkeypatch, tmp_path, postgres="python -m serving.processes postgres", mlflow=a_server(tmp_path, port))

    all_processes.up(params, only=("postgres", "mlflow"), timeout_s=30)
    pid, answered = all_processes.running_up(), answers(f"http://127.0.0.1:{port}/health")
    all_processes.down()

    assert pid
    assert answered
    assert all_processes.running_up() is None
    assert not accepts(port)
    all_processes.down()  # nothing to end is no error


def test_compose_lists_the_same_processes_and_everything_it_names_exists():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))

    services = compose["services"]
    built = {name: service for name, service in services.items() if "build" in service}

    assert set(services) == {*processes.NAMES, "prepare"}
    for name, service in built.items():
        assert service["command"] == ["python", "-m", "serving.processes", name]
        context, file = Path(service["build"]["context"]), service["build"]["dockerfile"]
        assert (ROOT / context / file).is_file()
        assert set(service["depends_on"]) <= set(services)
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        assert all("PASSWORD:?" in value for value in service["environment"].values() if "postgresql" in value)
    assert "pgvector" in services["postgres"]["image"]
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))


def test_the_dockerfile_copies_what_exists():
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()

    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1] if "--" not in word]

    assert copied
    assert all((ROOT / path).exists() for path in copied)


def test_python_dash_m_names_its_processes_on_a_wrong_word():
    done = subprocess.run(
        (sys.executable, "-m", "serving.processes", "redis"), cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "one of: prepare postgres mlflow" in done.stderr


def until(condition, patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
