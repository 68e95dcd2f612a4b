"""What runs and where, by asking each process itself; whether a supervisor is known does not matter."""

import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from pipelines.domain.bars import IST
from pipelines.domain.fact_tables import running_out
from serving import leftovers
from serving.executor_reason import executor_trouble
from serving.policy_reason import NONE_YET, policy_trouble
from serving.process import Process, accepts
from serving.stopping import bounded

#: What Airflow calls the heartbeats of the processes that do not listen
HEARTBEATS = {"airflow-scheduler": "scheduler", "airflow-dag-processor": "dag_processor"}
NOT_HEARD = "Airflow has not heard it"

#: What a process that answers says of what is wrong
TROUBLES: Mapping[str, Callable[[str], str | None]] = {"policy": policy_trouble, "executor": executor_trouble}


def show_status(wanted: Mapping[str, Process], caption: str) -> None:
    """Print a table of the processes, their states and addresses, and what our dated facts will soon not know."""
    from rich.console import Console
    from rich.table import Table

    table = Table("process", "state", "address", caption=caption)
    heartbeats = _heartbeats(wanted["airflow-api-server"]) if "airflow-api-server" in wanted else {}
    running = leftovers.marked() if HEARTBEATS.keys() & wanted.keys() else []
    for name, process in wanted.items():
        if name in HEARTBEATS:
            table.add_row(name, _silent_state(name, leftovers.program(name, running), heartbeats), "")
        else:
            table.add_row(name, state_of(process), process.url)
    console = Console()
    console.print(table)
    for sentence in running_out(datetime.now(IST).date()):
        console.print(f"look up: {sentence}", markup=False, highlight=False, soft_wrap=True)


def state_of(process: Process) -> str:
    """In a few words, whether it answers, and if not, why."""
    if process.name == "postgres":
        return _postgres_state()
    if process.port is None:
        return "started"
    if process.healthy():
        ask = TROUBLES.get(process.name)
        trouble = ask(process.url) if ask is not None else None
        return f"answers, but {trouble}" if trouble else "answers"
    if process.name == "policy" and accepts(process.port):
        return f"waits for a policy on its alias: {policy_trouble(process.url) or NONE_YET}"
    if process.missing and (reason := process.missing()):
        return f"waits for {reason}"
    if process.over and (reason := process.over()):
        return f"waits for {reason}"
    holder = leftovers.holder_of(process.port)
    return f"does not answer; {holder.name()} (pid {holder.pid}) has its port" if holder else "does not answer"


def _postgres_state() -> str:
    from pipelines.domain.errors import ServiceUnavailable
    from pipelines.journal import embedded
    from pipelines.journal.postgres import require_named_server

    if os.environ.get("TRADESAGE_DATABASE_URL"):
        try:
            require_named_server()
        except ServiceUnavailable as error:
            return f"does not answer: {error}"
        return "answers"
    return "answers" if embedded.answering() else "does not run"


def _silent_state(name: str, program: leftovers.Running | None, heartbeats: Mapping[str, Any]) -> str:
    """Of a process that does not listen: whether it is there, and whether Airflow has heard this one.

    Airflow calls one healthy for half a minute after its death, and its successor from the first moment on; a heartbeat
    counts for the process that lived when it beat.
    """
    told = heartbeats.get(HEARTBEATS[name]) or {}
    latest = told.get(f"latest_{HEARTBEATS[name]}_heartbeat")
    beat = datetime.fromisoformat(latest) if latest else None
    heard = f"Airflow heard it {(datetime.now(UTC) - beat).total_seconds():.0f} s ago" if beat else NOT_HEARD
    if program is None:
        return f"does not run; {heard}" if heartbeats else "does not run"
    began, held = program.life()
    if held:
        return f"is stopped by a signal (pid {program.process.pid}); {heard}"
    if beat is not None and beat.timestamp() < began:
        return f"runs, since {time.time() - began:.0f} s; Airflow has heard only the one before it"
    return "answers" if told.get("status") == "healthy" else f"runs; {heard}"


def _heartbeats(api_server: Process) -> Mapping[str, Any]:
    found: list[Any] = []
    address = str(api_server.health_url)
    bounded(lambda: found.append(httpx.get(address, timeout=2, trust_env=False).json()), 3.0, "Airflow")
    return found[0] if found and isinstance(found[0], dict) else {}
