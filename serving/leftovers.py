"""What `tradesage up` started and still runs, found by what the processes carry, whoever watches over them.

Every process that is kept running carries a mark in its environment: its name and the state folder. Only a process with
the mark of this state folder is ever ended here, and only while its process id and its time of creation are those that
were seen. The embedded PostgreSQL is no leftover: `down` ends it last.
"""

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.paths import state_folder
from serving.executor.whereabouts import last_whereabouts, whereabouts_file
from serving.family import STAYS

if TYPE_CHECKING:
    import psutil

MARK = "TRADESAGE_PROCESS"
SUPERVISOR = "up"  #: name of the supervisor, and of what it starts to start the others


@dataclass(frozen=True, slots=True)
class Running:
    """A living process of ours; `process` knows when it was created, and signals no other."""

    name: str
    process: "psutil.Process"

    def __str__(self) -> str:
        return f"{self.name} (pid {self.process.pid})"

    def life(self) -> tuple[float, bool]:
        """Since when it lives, in seconds of the epoch, and whether a signal has stopped it."""
        import psutil

        with suppress(psutil.Error):
            return self.process.create_time(), self.process.status() == psutil.STATUS_STOPPED
        return time.time(), False  # it has ended meanwhile


def mark(name: str) -> dict[str, str]:
    """What a process that is kept running has in its environment."""
    return {
        MARK: f"{name} {state_folder()}",
        "TRADESAGE_STATE": str(state_folder()),
        "SPT_NOENV": "1",  # a process that gives itself a title leaves its environment readable
    }


def marked() -> list[Running]:
    """Every living process with the mark of this state folder, but this one and those above it."""
    import psutil

    myself = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid in myself or process.name() in STAYS or process.status() == psutil.STATUS_ZOMBIE:
                continue
            name, _, state = process.environ().get(MARK, "").partition(" ")
            if state == str(state_folder()):
                found.append(Running(name, process))
    return found


def program(name: str, running: Iterable[Running]) -> Running | None:
    """The program of that name itself: neither the keeper of its family nor a child with the same mark."""
    import psutil

    word, found = name.removeprefix("airflow-"), []
    for each in running:
        with suppress(psutil.Error):
            words = each.process.cmdline()
            if each.name == name and word in words and not any(part.endswith("family.py") for part in words):
                found.append((each.process.create_time(), each))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def last_executor() -> Running | None:
    """The executor that this state folder had last, if it lives, whoever started it."""
    import psutil

    where = last_whereabouts()
    if where is None:
        return None
    with suppress(psutil.Error, OSError):
        process = psutil.Process(where.pid)
        noted = whereabouts_file().stat().st_mtime  # by the executor, after it was created; another came later
        living = process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= noted
        if living and any("serving.executor" in word for word in process.cmdline()):
            return Running("executor", process)
    return None


def holder_of(port: int) -> "psutil.Process | None":
    """Who listens on a port of this machine, where that can be seen."""
    import psutil

    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return psutil.Process(connection.pid)
    return None


def end(processes: Iterable[Running], patience_s: float = 20.0) -> list[Running]:
    """End these, SIGTERM first, SIGKILL after `patience_s`; those that live on all the same.

    One whose parent is among them is told by its parent, so that nothing is told twice.
    """
    import psutil

    living = list(processes)
    pids = {running.process.pid for running in living}
    told: set[int] = set()
    deadline = time.monotonic() + patience_s
    while living and time.monotonic() < deadline:
        for running in living:
            with suppress(psutil.Error):
                if running.process.pid not in told and running.process.ppid() not in pids - told:
                    told.add(running.process.pid)
                    running.process.terminate()
        time.sleep(0.1)
        living = [running for running in living if _lives(running)]
        pids = {running.process.pid for running in living}
    for running in living:
        with suppress(psutil.Error):
            running.process.kill()
    psutil.wait_procs([running.process for running in living], 5.0)
    return [running for running in living if _lives(running)]


def _lives(running: Running) -> bool:
    import psutil

    with suppress(psutil.Error):
        return running.process.is_running() and running.process.status() != psutil.STATUS_ZOMBIE
    return False
