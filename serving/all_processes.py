"""All processes on one machine: started in the background, ended, and what of them runs.

A supervisor runs honcho with all its family (`serving/family.py`): if honcho is killed, what it started ends with it;
if the supervisor is killed, the lines of the Procfile see it and end. What runs is found by asking: the ports,
PostgreSQL's socket, Airflow's heartbeats, and the mark that every process carries.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.domain.errors import ServiceUnavailable
from pipelines.params import Params
from pipelines.paths import state_folder
from serving import family, leftovers
from serving.log_files import cut, open_log
from serving.process import PRIVATE, Process, require_free_port
from serving.processes import NAMES, PORTS, ROOT, processes
from serving.status import show_status, state_of
from serving.supervising import SUPERVISOR_PID, prepare

CUT_EVERY_S = 10.0  #: how often the log is looked at


def up(params: Params, only: tuple[str, ...] | None = None, timeout_s: float = 120.0) -> None:
    """Start the processes in the background and print where each one answers.

    What a supervisor that was killed left running is ended first, and named.

    Parameters
    ----------
    only : names of `NAMES`; all by default

    Raises
    ------
    PortTaken : before anything is started, if one of the ports is in use
    ServiceUnavailable : if one does not answer in time; what stands keeps running until `down`
    """
    from rich.console import Console

    from pipelines.journal.postgres import require_named_server

    console = Console()
    os.umask(PRIVATE)
    wanted = processes(params, only=only)
    if not running_up() and not leftovers.marked():  # before anything is written
        _require_free_ports(params, only or NAMES)
        require_named_server()
    with _one_at_a_time():
        if not running_up():
            if left := leftovers.marked():
                console.print(f"ending what has lost its supervisor: {_named(left)}", highlight=False)
                _end(left)
            _require_free_ports(params, only or NAMES)
            with console.status("preparing the databases"):
                prepare(params, airflow=any(name.startswith("airflow") for name in wanted))
            _start_supervisor(tuple(wanted))
    with console.status("starting") as progress:
        _wait_for_all(wanted, timeout_s, lambda name, seconds: progress.update(f"waiting for {name}: {seconds:.0f} s"))
    status(params, only)
    _tell_passwords(wanted, console.print)
    console.print(f"log: {_log()}; stop with: make down", highlight=False, soft_wrap=True)


def down(patience_s: float = 40.0) -> None:
    """End what `up` started, what has lost its supervisor, this folder's executor, then the embedded PostgreSQL.

    Nothing to end is no error.

    Raises
    ------
    ServiceUnavailable : if one of them lives on; then PostgreSQL does, too.
    """
    from pipelines.journal import embedded
    from pipelines.journal.postgres import stop_embedded

    if not state_folder().exists():
        return print("nothing was up")
    with _one_at_a_time():
        supervisor = running_up()
        if supervisor:
            with suppress(ProcessLookupError):
                os.kill(supervisor, signal.SIGTERM)
            deadline = time.monotonic() + patience_s
            while running_up() and time.monotonic() < deadline:
                time.sleep(0.1)
        left = leftovers.marked()
        executor = leftovers.last_executor()
        if executor and executor.process.pid not in {running.process.pid for running in left}:
            left.append(executor)
        _end(left)
        _pid_file().unlink(missing_ok=True)
        postgres = embedded.answering() is not None
        stop_embedded()
    if left:
        print(f"ended what had no supervisor: {_named(left)}")
    print("stopped" if supervisor or left or postgres else "nothing was up")


def running_up() -> int | None:
    """Process id of the supervisor that `up` left running, or None; a pid that another program has now is not ours."""
    import psutil

    try:
        pid, created = _pid_file().read_text(encoding="ascii").split()
        process = psutil.Process(int(pid))
        ours = str(process.create_time()) == created and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return int(pid) if ours else None


def status(params: Params, only: tuple[str, ...] | None = None) -> None:
    """Print a table: each process, whether it answers, and where; nothing is started by it."""
    wanted = processes(params, only=only)
    if running_up():
        caption = f"log: {_log()}"
    elif left := leftovers.marked():
        caption = f"the supervisor is gone, and this still runs: {_named(left)}. End it: make down"
    else:
        caption = "not up; start with: make up"
    show_status(wanted, caption)


def _end(left: list[leftovers.Running]) -> None:
    if living := leftovers.end(left):
        raise ServiceUnavailable(f"this does not end, by SIGKILL neither: {_named(living)}; see {_log()}")


def _named(left: list[leftovers.Running]) -> str:
    """The programs by name; their own children go without saying."""
    pids = {running.process.pid for running in left}
    heads = []
    for running in left:
        with suppress(Exception):  # it has ended meanwhile
            if running.process.ppid() in pids:
                continue
        heads.append(str(running))
    return ", ".join(heads)


def _require_free_ports(params: Params, names: tuple[str, ...]) -> None:
    for name in names:
        if name in PORTS:
            require_free_port(getattr(params.serving, PORTS[name]), name, f"serving.{PORTS[name]}")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    state_folder().mkdir(parents=True, exist_ok=True)
    handle = os.open(state_folder() / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceUnavailable("another `tradesage up` or `down` is at work; wait until it has ended") from None
        yield
    finally:
        os.close(handle)


def _start_supervisor(names: tuple[str, ...]) -> None:
    import psutil

    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # the Procfile says `python`
    command = [sys.executable, "-m", "serving.all_processes", str(_procfile()), *names]
    with open_log(_log()) as log:
        child = subprocess.Popen(
            command,
            env=os.environ | leftovers.mark(leftovers.SUPERVISOR) | {"PATH": search, "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=PRIVATE,
            start_new_session=True,  # it outlives this command
        )
    created = psutil.Process(child.pid).create_time()
    _pid_file().write_text(f"{child.pid} {created}\n", encoding="ascii")


def _procfile() -> Path:
    return ROOT / "Procfile"


def _pid_file() -> Path:
    return state_folder() / "up.pid"


def _log() -> Path:
    return state_folder() / "logs" / "up.log"


def _wait_for_all(wanted: Mapping[str, Process], timeout_s: float, progress: Callable[[str, float], None]) -> None:
    for process in wanted.values():
        if process.port is None:
            continue
        began = time.monotonic()
        while not (process.healthy() or state_of(process).startswith("waits")):
            waited = time.monotonic() - began
            if not running_up() or waited > timeout_s:
                said = _last_said(process.name)
                raise ServiceUnavailable(f"{process.name} does not answer after {waited:.0f} s; {said}see {_log()}")
            progress(process.name, waited)
            time.sleep(0.5)


def _last_said(name: str) -> str:
    """The last line of a process in honcho's log that is about itself, not about its being started again."""
    if not _log().exists():
        return ""
    said = [line.partition(" | ")[2].strip() for line in _log().open(errors="replace") if f" {name}." in line]
    said = [line for line in said if line and "starting it again" not in line]
    return f"it said: {said[-1]}; " if said else ""


def _tell_passwords(wanted: Mapping[str, Process], say: Callable[..., None]) -> None:
    from pipelines.credentials import secret_file
    from serving.airflow_environment import USERS
    from serving.mlflow_environment import PASSWORD, USER

    names = {f"MLflow {USER}": PASSWORD} if "mlflow" in wanted else {}
    if "airflow-api-server" in wanted:
        names |= {f"Airflow {user}": f"airflow_password_{user}" for user in USERS}
    for who, name in names.items():
        say(f"password of {who}: {secret_file(name)}", highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> int:
    """The supervisor: honcho on a Procfile, its family, and the size of their log. Never called by a person."""
    procfile, *names = arguments
    os.environ[SUPERVISOR_PID] = str(os.getpid())
    command = [sys.executable, "-m", "honcho", "--no-colour", "-f", procfile, "-d", str(ROOT), "start", *names]
    looked = time.monotonic()

    def keep_log_small() -> None:
        nonlocal looked
        if time.monotonic() - looked > CUT_EVERY_S:
            looked = time.monotonic()
            cut(_log())

    return os.waitstatus_to_exitcode(family.run(command, tick=keep_log_small))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
