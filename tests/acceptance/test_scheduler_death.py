"""A scheduler killed in the middle of a task: nothing of it stays, it is back, and the run goes on to its end."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
import pytest
from sqlalchemy import create_engine, text

from pipelines.credentials import credential
from pipelines.journal.postgres import database_url, stop_embedded
from serving.airflow_environment import airflow_environment, clean_airflow, prepare_airflow
from serving.process import Process, ProcessGroup, free_port
from serving.processes import AIRFLOW_PARTS
from tests.conftest import ROOT
from tests.integration.test_processes import own_params

pytestmark = pytest.mark.timeout(600)

#: One line of the Procfile, with parameters of our own
LINE = """
import json, os, sys
sys.path.insert(0, {root!r})
from pipelines.params import params_from
from serving.processes import airflow_process
from serving.supervising import supervise
supervise(airflow_process(params_from(json.loads(os.environ["PARAMS"]), "test"), sys.argv[1]))
"""
#: A task that sleeps in a process of its own, in a session of its own; it notes each start of itself
DAG = """
import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import dag

@dag(schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False)
def slow():
    BashOperator(task_id="sleep", bash_command="echo $$ >> {noted}; sleep 15") >> BashOperator(
        task_id="after", bash_command="true"
    )

slow()
"""


@pytest.fixture(scope="module")
def airflow() -> Iterator[tuple[dict[str, Process], httpx.Client, Path]]:
    """Airflow's processes, each kept running by its line; a client of its API; where the task notes its starts."""
    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    folder.chmod(0o755)
    noted = folder / "noted"
    (folder / "dags").mkdir()
    (folder / "dags" / "slow.py").write_text(DAG.format(noted=noted), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADESAGE_STATE", str(folder / "state"))
        for name in ("TRADESAGE_DATABASE_URL", *(name for name in os.environ if name.startswith("AIRFLOW"))):
            patch.delenv(name, raising=False)
        patch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(folder / "dags"))
        params = own_params(airflow_port=free_port())
        patch.setenv("PARAMS", params.model_dump_json(by_alias=True))
        try:
            prepare_airflow(params)
            with ProcessGroup() as group:
                command = (sys.executable, "-u", "-c", LINE.format(root=str(ROOT)))
                lines = {part: Process(part, (*command, part), folder=ROOT) for part in AIRFLOW_PARTS}
                for line in lines.values():
                    group.start(line, wait=False)
                url = f"http://127.0.0.1:{params.serving.airflow_port}"
                until(lambda: healthy(url), 150)
                login = {"username": "engineer", "password": credential("airflow_password_engineer")}
                token = httpx.post(f"{url}/auth/token", json=login, trust_env=False, timeout=30).json()["access_token"]
                headers = {"Authorization": f"Bearer {token}"}
                with httpx.Client(base_url=f"{url}/api/v2", headers=headers, trust_env=False, timeout=30) as client:
                    until(lambda: client.get("/dags/slow").status_code == 200, 90)
                    yield lines, client, noted
            clean_airflow(params)  # documented, and run once a day
            modes = [path for path in (folder / "state" / "airflow").rglob("*.log") if path.stat().st_mode & 0o077]
            assert not modes, "Airflow's logs are read by their owner only"
            assert airflow_environment(params)
        finally:
            stop_embedded()
            shutil.rmtree(folder, ignore_errors=True)


def healthy(url: str) -> bool:
    try:
        told = httpx.get(f"{url}/api/v2/monitor/health", timeout=2, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False
    return all(told[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


def until(condition, patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s"
        time.sleep(0.3)


def scheduler_of(line: Process) -> psutil.Process:
    """The program itself, below its keeper."""
    [keeper] = psutil.Process(line.pid).children()
    return keeper.children()[0]


def test_a_run_goes_on_after_its_scheduler_was_killed(airflow):
    lines, client, noted = airflow
    run = client.post("/dags/slow/dagRuns", json={"logical_date": None}).json()["dag_run_id"]
    until(noted.exists, 60)
    scheduler = scheduler_of(lines["scheduler"])
    family = scheduler.children(recursive=True)

    scheduler.kill()
    killed_at = datetime.now(UTC)
    began = time.monotonic()
    until(lambda: not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE], 10)
    gone_s = time.monotonic() - began
    engine = create_engine(database_url("airflow"))
    with engine.connect() as connection:
        waiting = "select count(*) from pg_stat_activity where state like 'idle in transaction%' and xact_start < :at"
        open_transactions = connection.execute(text(waiting), {"at": killed_at}).scalar_one()
    engine.dispose()
    until(lambda: client.get(f"/dags/slow/dagRuns/{run}").json()["state"] in ("success", "failed"), 180)
    took_s = time.monotonic() - began

    print(json.dumps({"gone_s": round(gone_s, 1), "ended_after_s": round(took_s, 1)}))
    assert len(family) > 2, "it had workers and a task under way"
    assert client.get(f"/dags/slow/dagRuns/{run}").json()["state"] == "success"
    assert len(noted.read_text().splitlines()) == 2, "the task was taken up again once"
    assert open_transactions == 0
