"""The processes as a whole: the Procfile, what waits, what is started again, up and down."""

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from pipelines.domain.errors import PortTaken, ServiceUnavailable
from pipelines.journal import embedded
from pipelines.params import params_from
from pipelines.paths import state_folder
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


def test_what_has_done_its_work_is_not_started_again_until_there_is_more(tmp_path):
    more = tmp_path / "more"
    script = f"""
import sys
from pathlib import Path
from serving import supervising
from serving.process import Process
supervising.MORE_S = 0.1
child = Process("child", (sys.executable, "-c", "print('ran', flush=True)"))
child.over = lambda: None if Path({str(more)!r}).exists() else "another day"
supervising.supervise(child)
"""
    line = Process("line", (sys.executable, "-u", "-c", script), folder=ROOT, log_folder=tmp_path)

    with line:
        until(lambda: "child has done its work and waits for another day" in line.tail())
        ran = line.tail().count("ran")
        more.touch()
        until(lambda: line.tail().count("ran") > ran)
        said = line.tail()

    assert ran == 1
    assert "starting it again" not in said.partition("another day")[0]


#: Answers everything, as MLflow answers who has its log-in
SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):  # nobody may be left to read it
        pass
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


#: A server whose child listens, in a session of its own, deaf to SIGTERM, as workers are that lose their parent
HIDING = """
import subprocess, sys, time
code = "import signal, runpy, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); runpy.run_path(sys.argv.pop(1))"
subprocess.Popen([sys.executable, "-c", code, *sys.argv[1:]], start_new_session=True)
time.sleep(600)
"""
#: What `python -m serving.processes <name>` does, for a server of the test
LINE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from serving.process import Process
from serving.supervising import end_with_the_supervisor, supervise
name, port, *program = sys.argv[1:]
end_with_the_supervisor()
supervise(Process(name, (sys.executable, *program, port), port=int(port)))
"""


@pytest.fixture
def running(tmp_path, monkeypatch, own_state):
    """PostgreSQL and two servers under a supervisor; what listens for `policy` is a child that hides. Their ports."""
    params = own_params()
    ports = {"mlflow": params.serving.mlflow_port, "policy": params.serving.policy_port}
    for name, script in {"server": SERVER, "hiding": HIDING, "line": LINE}.items():
        (tmp_path / f"{name}.py").write_text(script, encoding="utf-8")
    line = f"python {tmp_path}/line.py"
    lines_of(
        monkeypatch,
        tmp_path,
        postgres="python -m serving.processes postgres",
        mlflow=f"{line} mlflow {ports['mlflow']} {tmp_path}/server.py",
        policy=f"{line} policy {ports['policy']} {tmp_path}/hiding.py {tmp_path}/server.py",
    )
    all_processes.up(params, only=("postgres", *ports), timeout_s=60)
    until(lambda: all(accepts(port) for port in ports.values()))
    return params


def tree(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(family: list[psutil.Process]) -> bool:
    return not [one for one in family if one.is_running() and one.name() != "postgres" and one.status() != "zombie"]


def honcho(pid: int) -> psutil.Process:
    return next(child for child in psutil.Process(pid).children() if "honcho" in child.cmdline())


def hider(pid: int) -> psutil.Process:
    """The program whose child listens."""
    return next(one for one in tree(pid) if one.cmdline()[1:2] and one.cmdline()[1].endswith("hiding.py"))


def orphaned_worker() -> psutil.Process:
    """Kill everything at once but the child that hides, so that nobody is left who could end it."""
    supervisor = psutil.Process(all_processes.running_up())
    [worker] = hider(supervisor.pid).children()
    keepers = [one for one in (supervisor, *tree(supervisor.pid)) if one != worker and one.name() != "postgres"]
    for process in keepers:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: all_processes.running_up() is None)
    return worker


@pytest.mark.parametrize("victims", ["supervisor", "honcho", "both"])
def test_whichever_supervisor_is_killed_nothing_that_it_started_stays(running, victims):
    supervisor = psutil.Process(all_processes.running_up())
    family = tree(supervisor.pid)
    killed = {"supervisor": [supervisor], "honcho": [honcho(supervisor.pid)]}
    killed["both"] = killed["supervisor"] + killed["honcho"]

    for process in killed[victims]:
        process.kill()

    until(lambda: gone(family) and all_processes.running_up() is None, 30)
    assert not accepts(running.serving.policy_port)
    assert not accepts(running.serving.mlflow_port)


def test_what_lost_every_supervisor_is_shown_and_ended_by_down(running, capsys):
    worker = orphaned_worker()
    orphaned = accepts(running.serving.policy_port)

    all_processes.status(running, only=("postgres", "policy"))
    shown = " ".join(capsys.readouterr().out.split())
    all_processes.down()
    said = capsys.readouterr().out

    assert orphaned, "the test has made an orphan that keeps its port"
    assert f"the supervisor is gone, and this still runs: policy (pid {worker.pid})" in shown
    assert f"ended what had no supervisor: policy (pid {worker.pid})" in said
    assert not accepts(running.serving.policy_port)


def test_up_ends_an_orphan_of_ours_and_takes_its_port(running, capsys):
    worker = orphaned_worker()

    all_processes.up(running, only=("postgres", "policy"), timeout_s=60)

    assert f"ending what has lost its supervisor: policy (pid {worker.pid})" in capsys.readouterr().out
    assert gone([worker])
    assert accepts(running.serving.policy_port)


def test_the_status_asks_though_no_supervisor_is_known(running, capsys):
    (state_folder() / "up.pid").rename(state_folder() / "lost.pid")

    all_processes.status(running, only=("postgres", "mlflow", "policy"))
    shown = capsys.readouterr().out
    (state_folder() / "lost.pid").rename(state_folder() / "up.pid")

    assert "postgres │ answers" in shown
    assert "mlflow   │ answers" in shown
    assert "not up" not in shown


def test_a_killed_program_frees_its_port_and_comes_back(running):
    program = hider(all_processes.running_up())
    [worker] = program.children()

    program.kill()
    until(lambda: gone([worker]))
    until(lambda: accepts(running.serving.policy_port), 30)

    assert hider(all_processes.running_up()) != program


def test_down_ends_an_executor_that_nobody_watches_before_postgres(own_state):
    script = (
        "import signal, sys, time; from pathlib import Path\n"
        "from pipelines.journal import journal_at; from pipelines.journal.postgres import database_url\n"
        "from serving.executor.whereabouts import note_whereabouts\n"
        "journal = journal_at(database_url('journal'))\n"
        "def leave(*_): print('journal answers at the end:', journal.accounts(), flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave)\n"
        "note_whereabouts('A1', 'http://127.0.0.1:9', paper=True, workspace=Path('.'), port=9)\n"
        "print('trades', flush=True); time.sleep(300)"
    )
    command = (sys.executable, "-u", "-c", script, "serving.executor")
    with Process("executor", command, folder=ROOT) as executor:
        until(lambda: "trades" in executor.tail())
        all_processes.down()
        code, said = executor.wait(10), executor.tail()

    assert code == 0
    assert "journal answers at the end: []" in said
    assert embedded.answering() is None


def test_a_pid_that_another_program_has_now_is_never_ended(own_state):
    other = subprocess.Popen(["sleep", "60"])
    (own_state / "up.pid").write_text(f"{other.pid} 1.0\n", encoding="ascii")
    told = {"account": "A1", "broker": "http://127.0.0.1:9", "paper": True, "workspace": ".", "port": 9}
    (own_state / "executor.json").write_text(json.dumps(told | {"pid": other.pid}), encoding="utf-8")

    all_processes.down()

    assert other.poll() is None
    other.kill()
    other.wait()


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
