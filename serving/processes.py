"""TradeSage's processes: what each one runs, and how all of them are started and stopped on one machine.

`tradesage up` hands the `Procfile` to honcho, a ready-made process manager. Every line of it is
`python -m serving.processes <name>`: that waits for what the process needs, sets its environment, runs it, and starts
it again if it dies, because honcho would otherwise end all when one ends.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from pipelines.domain.errors import ServiceUnavailable, TradeSageError
from pipelines.params import Params, load_params
from pipelines.paths import Paths, state_folder
from serving.policy_reason import NONE_YET, policy_trouble
from serving.process import (
    LOOPBACK,
    Process,
    ProcessGroup,
    accepts,
    answers,
    free_port,
    require_free_port,
)

__all__ = [
    "Process",
    "ProcessGroup",
    "down",
    "exchange_process",
    "executor_process",
    "free_port",
    "mlflow_process",
    "policy_process",
    "processes",
    "require_free_port",
    "running_up",
    "status",
    "up",
]

ROOT = Path(__file__).resolve().parents[1]  #: the checkout
DATABASES = ("journal", "mlflow", "airflow")
AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor")
#: The two cores are shared by all processes; a library that takes both slows the others
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


# --- what each process is -------------------------------------------------------------------------------------------


def postgres_process() -> Process:
    """Starts the embedded PostgreSQL (or looks for the named server) and watches that it answers."""
    return Process("postgres", (sys.executable, "-m", "serving.processes", "postgres"), folder=ROOT)


def mlflow_process(params: Params, port: int | None = None) -> Process:
    """MLflow's tracking server and registry UI on our database and artifact folder."""
    from pipelines.journal.postgres import database_url

    port = port or params.serving.mlflow_port
    artifacts = state_folder() / "mlflow" / "artifacts"
    command = (sys.executable, "-m", "mlflow", "server", "--host", params.serving.host, "--port", str(port))
    options = ("--workers", "1", "--default-artifact-root", artifacts.as_uri(), "--no-serve-artifacts")
    return Process(
        "mlflow",
        (*command, *options),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/health",
        env={
            "MLFLOW_BACKEND_STORE_URI": database_url("mlflow"),  # not on the command line, which everybody may read
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven workers of 130 MiB that nobody uses
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        },
        port_key="serving.mlflow_port",
        folder=ROOT,
    )


def airflow_process(params: Params, part: str) -> Process:
    """One of Airflow's parts: api-server, scheduler or dag-processor."""
    from serving.airflow_environment import airflow_commands, airflow_environment, airflow_health_url

    answers_itself = part == "api-server"
    return Process(
        f"airflow-{part}",
        airflow_commands(params)[part],
        port=params.serving.airflow_port if answers_itself else None,
        health_url=airflow_health_url(params) if answers_itself else None,
        env=airflow_environment(params),
        port_key="serving.airflow_port" if answers_itself else None,
        folder=ROOT,
    )


def policy_process(params: Params, port: int | None = None, alias: str | None = None) -> Process:
    """The policy service; healthy once a policy is loaded."""
    port = port or params.serving.policy_port
    command = (sys.executable, "-m", "bentoml", "serve", "serving.service:PolicyService", "--working-dir", str(ROOT))
    return Process(
        "policy",
        (*command, "--host", params.serving.host, "--port", str(port)),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/readyz",
        env={
            "TRADESAGE_ALIAS": alias or params.serving.alias,
            "TRADESAGE_MODEL": params.promotion.model,
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(
                state_folder() / "bentoml" / ("up" if port == params.serving.policy_port else "session")
            ),
            **ONE_THREAD,
        },
        port_key="serving.policy_port",
        folder=ROOT,
    )


def exchange_process(params: Params, root: Path, port: int | None = None) -> Process:
    """The paper exchange over the session bars of the workspace `root`."""
    port = port or params.serving.exchange_port
    return Process(
        "exchange",
        (sys.executable, "-m", "serving.exchange", "--root", str(root), "--port", str(port)),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/paper/status",  # refused without a token, which is an answer
        env=ONE_THREAD,
        port_key="serving.exchange_port",
        folder=ROOT,
        missing=partial(_missing_session, Paths(root)),
    )


def executor_process(
    params: Params,
    root: Path,
    port: int | None = None,
    exchange: str | None = None,
    policy: str | None = None,
    until_finished: bool = False,
    options: tuple[str, ...] = (),
) -> Process:
    """The executor on the workspace `root`; addresses of exchange and policy are those of `params.yaml` by default.

    `options` are further ones of its command line, e.g. `--broker kite --days 1`.
    """
    port = port or params.serving.executor_port
    exchange = exchange or f"http://{LOOPBACK}:{params.serving.exchange_port}"
    policy = policy or f"http://{LOOPBACK}:{params.serving.policy_port}"
    command = (sys.executable, "-m", "serving.executor", "--root", str(root), "--exchange", exchange)
    given = ("--policy", policy, "--port", str(port), *(("--until-finished",) if until_finished else ()))
    return Process(
        "executor",
        (*command, *given, *options),
        port=port,
        health_url=f"http://{LOOPBACK}:{port}/health",
        env=ONE_THREAD,
        port_key="serving.executor_port",
        folder=ROOT,
        missing=partial(_missing_servers, exchange, policy),
    )


def _missing_session(paths: Paths) -> str | None:
    if not any(paths.session_bars.glob("*.parquet")) or not paths.instruments.exists():
        return f"a market to play: {paths.session_bars} is empty; run `dvc repro` or `make demo`"
    return None


def _missing_servers(exchange: str, policy: str) -> str | None:
    if not answers(f"{policy}/readyz"):
        return f"a policy at {policy}: {policy_trouble(policy) or NONE_YET}"
    if not answers(f"{exchange}/paper/status"):
        return f"an exchange: {exchange} does not answer yet"
    return None


def _makers(params: Params, root: Path) -> dict[str, Callable[[], Process]]:
    """How to make each process; made late, since some ask for the database or for Airflow's secrets."""
    return {
        "postgres": postgres_process,
        "mlflow": partial(mlflow_process, params),
        **{f"airflow-{part}": partial(airflow_process, params, part) for part in AIRFLOW_PARTS},
        "policy": partial(policy_process, params),
        "exchange": partial(exchange_process, params, root),
        "executor": partial(executor_process, params, root),
    }


#: Key of the section `serving` that holds the port of a process, of those that listen
PORTS = {
    "mlflow": "mlflow_port",
    "airflow-api-server": "airflow_port",
    "policy": "policy_port",
    "exchange": "exchange_port",
    "executor": "executor_port",
}
NAMES = ("postgres", "mlflow", *(f"airflow-{part}" for part in AIRFLOW_PARTS), "policy", "exchange", "executor")


def processes(params: Params, root: Path = ROOT, only: tuple[str, ...] | None = None) -> dict[str, Process]:
    """TradeSage's processes by name, in the order in which they are started; none is started by this."""
    makers = _makers(params, root)
    unknown = sorted(set(only or ()) - set(makers))
    if unknown:
        raise ServiceUnavailable(f"there is no process {unknown[0]!r}; known are {', '.join(makers)}")
    return {name: make() for name, make in makers.items() if only is None or name in only}


# --- one line of the Procfile ---------------------------------------------------------------------------------------


def supervise(process: Process) -> NoReturn:
    """Wait for what the process needs, run it, run it again after a pause if it ends; never returns.

    Output goes to ours. The child stays in our process group, so that a signal to the group reaches it directly.
    """
    pause = 2.0
    while True:
        _wait_politely(process)
        began = time.monotonic()
        code = _run_child(process)
        if time.monotonic() - began > 60:
            pause = 2.0
        _say(f"{process.name} ended with code {code}; starting it again in {pause:.0f} s")
        time.sleep(pause)
        pause = min(pause * 2, 60.0)


def _wait_politely(process: Process) -> None:
    told = None
    while process.missing and (reason := process.missing()):
        if reason != told:
            _say(f"{process.name} waits for {reason}")
            told = reason
        time.sleep(2.0)


def _run_child(process: Process) -> int:
    child = subprocess.Popen(list(process.command), env=process.environment(), cwd=process.folder)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(8.0)
            child.kill()


def hold_postgres() -> NoReturn:
    """Start PostgreSQL and say when it stops answering; never returns. `down` ends the embedded server itself."""
    from pipelines.journal.postgres import database_url

    told: str | None = ""
    while True:
        try:
            for name in DATABASES:
                database_url(name)
            now = None
        except ServiceUnavailable as error:
            now = str(error)
        if now != told:
            _say(now or f"PostgreSQL answers, with the databases {', '.join(DATABASES)}")
            told = now
        time.sleep(10.0)


def prepare(params: Params, airflow: bool = True) -> None:
    """Bring the databases of journal and Airflow to the present schema; MLflow's server does so by itself."""
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url
    from serving.airflow_environment import prepare_airflow

    for name in DATABASES:
        database_url(name)
    journal_at(database_url("journal"))
    if airflow:
        prepare_airflow(params)


# --- all of them ----------------------------------------------------------------------------------------------------


def up(params: Params, only: tuple[str, ...] | None = None, timeout_s: float = 120.0) -> None:
    """Start the processes in the background and print where each one answers.

    Parameters
    ----------
    only : names of `NAMES`; all by default

    Raises
    ------
    PortTaken : before anything is started, if one of the ports is in use
    ServiceUnavailable : if one does not answer in time; what stands keeps running until `down`
    """
    from rich.console import Console

    console = Console()
    if not running_up():
        _require_free_ports(params, only or NAMES)  # before the processes are made, which starts PostgreSQL
    wanted = processes(params, only=only)
    if not running_up():
        with console.status("preparing the databases"):
            prepare(params, airflow=any(name.startswith("airflow") for name in wanted))
        _start_honcho(tuple(wanted))
    with console.status("starting") as progress:
        _wait_for_all(wanted, timeout_s, lambda name, seconds: progress.update(f"waiting for {name}: {seconds:.0f} s"))
    status(params, only)
    console.print(f"log: {_honcho_log()}; stop with: make down")


def _require_free_ports(params: Params, names: tuple[str, ...]) -> None:
    for name in names:
        if name in PORTS:
            require_free_port(getattr(params.serving, PORTS[name]), name, f"serving.{PORTS[name]}")


def down(patience_s: float = 20.0) -> None:
    """End what `up` started, then the embedded PostgreSQL. Nothing to end is no error."""
    from pipelines.journal.postgres import stop_embedded

    pid = running_up()
    if pid:
        os.kill(pid, signal.SIGTERM)  # honcho hands it on to the groups of its children, and insists after 5 s
        deadline = time.monotonic() + patience_s
        while running_up():
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"honcho (pid {pid}) did not end within {patience_s:.0f} s; see {_honcho_log()}"
                )
            time.sleep(0.1)
    _pid_file().unlink(missing_ok=True)
    stop_embedded()
    print("stopped" if pid else "nothing was up")


def running_up() -> int | None:
    """Process id of the honcho that `up` left running, or None; a pid that another program has now is not ours."""
    import psutil

    try:
        pid, created = _pid_file().read_text(encoding="ascii").split()
        process = psutil.Process(int(pid))
        ours = str(process.create_time()) == created and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, ValueError, psutil.Error):
        return None
    return int(pid) if ours else None


def status(params: Params, only: tuple[str, ...] | None = None) -> None:
    """Print a table: each process, whether it answers, and where."""
    from rich.console import Console
    from rich.table import Table

    table = Table("process", "state", "address")
    if not running_up():
        table.caption = "not up; start with: make up"
        wanted: Mapping[str, Process] = {}
    else:
        wanted = processes(params, only=only)
    for process in wanted.values():
        table.add_row(process.name, _state(process), process.url)
    Console().print(table)


def _state(process: Process) -> str:
    if process.name == "postgres":
        return "answers"  # making the list of processes has just asked it
    if process.port is None:
        return "started"
    if process.healthy():
        trouble = policy_trouble(process.url) if process.name == "policy" else None
        return f"answers, but {trouble}" if trouble else "answers"
    reason = process.missing() if process.missing else None
    if process.name == "policy" and accepts(process.port):
        reason = f"a policy on its alias: {policy_trouble(process.url) or NONE_YET}"
    return f"waits for {reason}" if reason else "does not answer"


def _wait_for_all(wanted: Mapping[str, Process], timeout_s: float, progress: Callable[[str, float], None]) -> None:
    for process in wanted.values():
        if process.port is None:
            continue
        began = time.monotonic()
        while not (process.healthy() or _state(process).startswith("waits")):
            waited = time.monotonic() - began
            if not running_up() or waited > timeout_s:
                said = _last_said(process.name)
                raise ServiceUnavailable(
                    f"{process.name} does not answer after {waited:.0f} s; {said}see {_honcho_log()}"
                )
            progress(process.name, waited)
            time.sleep(0.5)


def _start_honcho(names: tuple[str, ...]) -> None:
    import psutil

    _honcho_log().parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "honcho", "--no-colour", "-f", str(_procfile()), "-d", str(ROOT), "start"]
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # the Procfile says `python`
    with _honcho_log().open("ab") as log:
        child = subprocess.Popen(
            [*command, *names],
            env=os.environ | {"PATH": search, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it outlives this command
        )
    created = psutil.Process(child.pid).create_time()
    _pid_file().write_text(f"{child.pid} {created}\n", encoding="ascii")


def _procfile() -> Path:
    return ROOT / "Procfile"


def _pid_file() -> Path:
    return state_folder() / "up.pid"


def _honcho_log() -> Path:
    return state_folder() / "logs" / "up.log"


def _last_said(name: str) -> str:
    """The last line of a process in honcho's log that is about itself, not about its being started again."""
    if not _honcho_log().exists():
        return ""
    said = [line.partition(" | ")[2].strip() for line in _honcho_log().open(errors="replace") if f" {name}." in line]
    said = [line for line in said if line and "starting it again" not in line]
    return f"it said: {said[-1]}; " if said else ""


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in (*NAMES, "prepare"):
        print(f"usage: python -m serving.processes <name>, one of: prepare {' '.join(NAMES)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    name = arguments[0]
    try:
        if name == "postgres":
            hold_postgres()
        params = load_params(ROOT / "params.yaml")
        if name == "prepare":
            prepare(params)
            return 0
        supervise(_made_politely(params, name))
    except TradeSageError as error:
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


def _made_politely(params: Params, name: str) -> Process:
    told = None
    while True:
        try:
            return processes(params, only=(name,))[name]
        except ServiceUnavailable as error:
            if str(error) != told:
                told = str(error)
                _say(f"{name} waits: {told}")
            time.sleep(2.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
