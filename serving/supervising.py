"""One line of the Procfile: waits for what its process needs, runs it with its family, runs it again if it dies.

honcho would end all processes when one ends. When the supervisor dies, however, every line ends with what it runs.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from pipelines.domain.errors import ServiceUnavailable, TradeSageError
from pipelines.params import Params
from serving import family, leftovers
from serving.log_files import cut
from serving.process import Process

DATABASES = ("journal", "mlflow", "airflow")
SUPERVISOR_PID = "TRADESAGE_SUPERVISOR"  #: set by the supervisor for what it starts
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
MORE_S = 5.0  #: between two looks at whether there is more to do for what has done its work
WATCH_S = 1.0  #: how often the embedded PostgreSQL is asked whether it answers
NAMED_WATCH_S = 10.0  #: the same for a named server
UPKEEP_AFTER_S, UPKEEP_EVERY_S = 600.0, 86_400.0


def supervise(process: Process) -> NoReturn:
    """Wait for what the process needs, run it, run it again after a pause if it ends; never returns.

    Output goes to ours. What the process started ends with it, before it is started again.
    """
    signal.signal(signal.SIGTERM, _leave)
    family.adopt()
    if process.upkeep:
        threading.Thread(target=_keep_up, args=(process.name, process.upkeep), daemon=True).start()
    pause = FIRST_PAUSE_S
    while True:
        environment = _wait_politely(process)
        began = time.monotonic()
        code = _run_child(process, environment)
        if code == 0 and _waits_for_more(process):
            pause = FIRST_PAUSE_S
            continue
        if time.monotonic() - began > LONGEST_PAUSE_S:
            pause = FIRST_PAUSE_S
        _say(f"{process.name} ended with code {code}; starting it again in {pause:.0f} s")
        time.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)


def hold_postgres() -> NoReturn:
    """Keep the embedded PostgreSQL running, or watch that the named server answers; never returns.

    The server itself is asked every second; one that was killed is back within seconds. `down` ends it.
    """
    from pipelines.journal import embedded
    from pipelines.journal.postgres import database_url

    signal.signal(signal.SIGTERM, _leave)
    named = bool(os.environ.get("TRADESAGE_DATABASE_URL"))
    ready = f"PostgreSQL answers, with the databases {', '.join(DATABASES)}"
    told = ""
    while True:
        try:
            if named or told != ready or embedded.answering() is None:
                if told == ready and not named:
                    _say("PostgreSQL has died; starting it again")
                    told = ""
                for name in DATABASES:
                    database_url(name)
            now = ready
        except ServiceUnavailable as error:
            now = str(error)
        if now != told:
            _say(now)
            told = now
        if not named:
            cut(embedded.log_file())
        time.sleep(NAMED_WATCH_S if named else WATCH_S)


def end_with_the_supervisor() -> None:
    """Send this process SIGTERM once the supervisor that started it is no more, even if that was killed."""
    pid = os.environ.get(SUPERVISOR_PID)
    if pid:
        threading.Thread(target=_watch, args=(int(pid),), daemon=True).start()


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


def _watch(pid: int) -> None:
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        waiting.poll()
    os.kill(os.getpid(), signal.SIGTERM)  # nothing is said: who would read it may be gone, too


def _wait_politely(process: Process) -> dict[str, str]:
    """Wait until nothing is missing; the environment to start it with. Each reason is told once."""
    told = None
    while True:
        try:
            reason = _taken(process) or (process.missing() if process.missing else None)
            if reason is None:
                return process.environment() | leftovers.mark(process.name)
            words = f"waits for {reason}"
        except ServiceUnavailable as error:
            words = f"waits: {error}"
        if words != told:
            _say(f"{process.name} {words}")
            told = words
        time.sleep(2.0)


def _waits_for_more(process: Process) -> bool:
    """After an end in good order: wait until there is more to do; False if nobody knows of an end."""
    reason = process.over() if process.over else None
    if reason is None:
        return False
    _say(f"{process.name} has done its work and waits for {reason}")
    while process.over and process.over() is not None:
        time.sleep(MORE_S)
    return True


def _taken(process: Process) -> str | None:
    """Who else has the port. What is left of ours, from a supervisor that was killed, is ended."""
    holder = leftovers.holder_of(process.port) if process.port else None
    if holder is None:
        return None
    ours = [running for running in leftovers.marked() if running.process == holder]
    if ours:
        _say(f"{process.name}: ending {ours[0]}, which has lost its supervisor and keeps port {process.port}")
        leftovers.end(ours)
        return None
    return f"port {process.port}: {holder.name()} (pid {holder.pid}) has it; end that, or set {process.port_key}"


def _run_child(process: Process, environment: dict[str, str]) -> int:
    child = subprocess.Popen(
        family.command(process.command), env=environment, cwd=process.folder, start_new_session=True
    )
    patience_s = family.ORPHANS_S
    try:
        code = child.wait()
        if code == -signal.SIGKILL:
            patience_s = 0.0
        return code
    finally:
        if child.poll() is None:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(family.PATIENCE_S + 5)
            child.kill()
        family.end_children(patience_s)  # those of a keeper that was killed itself


def _keep_up(name: str, upkeep: Callable[[], None]) -> None:
    pause = UPKEEP_AFTER_S
    while True:
        time.sleep(pause)
        try:
            upkeep()
        except TradeSageError as error:
            _say(f"{name}: upkeep failed, tried again tomorrow: {error}")
        pause = UPKEEP_EVERY_S


def _say(line: str) -> None:
    with suppress(OSError):  # nobody reads it any more, or the disk is full
        print(line, flush=True)


def _leave(number: int, frame: object) -> None:
    sys.exit(128 + number)
