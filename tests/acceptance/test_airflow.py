"""The DAGs as a team uses them, through Airflow's own API: train, try to go round the reviewer, approve, be refused.

Everything is real: PostgreSQL, API server, scheduler, DAG processor, DVC, the registry. It runs on a clone of the
checkout, so that worktrees and branches of runs stay out of it.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from pipelines.domain.compiled import FOLDER as COMPILED
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url, stop_embedded
from pipelines.params import Params, load_params
from pipelines.promotion.registry import Registry, default_registry
from pipelines.promotion.workspace import with_overrides
from serving.process import Process, ProcessGroup, free_port
from tests.conftest import ROOT, SMALL

pytestmark = pytest.mark.timeout(600)

#: What is tested here is the way of a policy, not the policy
SMALLER = {"ingest.simulated.days": 35, "ingest.simulated.instruments": 3}
#: Prepares Airflow from the clone's own code and tells the environment and the commands of its processes
PREPARE = """
import json
from serving.airflow_environment import REPO, airflow_commands, airflow_environment, airflow_health_url, prepare_airflow
from pipelines.params import load_params
params = load_params(REPO / "params.yaml")
prepare_airflow(params)
told = {"repo": str(REPO), "environment": airflow_environment(params), "commands": airflow_commands(params)}
print(json.dumps(told | {"health": airflow_health_url(params)}))
"""


@dataclass
class Team:
    """Airflow's API as its users call it."""

    url: str
    passwords: dict[str, str]
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False))
    tokens: dict[str, str] = field(default_factory=dict)

    def call(self, user: str, method: str, path: str, body: dict | None = None) -> httpx.Response:
        if user not in self.tokens:
            login = {"username": user, "password": self.passwords[user]}
            self.tokens[user] = self.client.post(f"{self.url}/auth/token", json=login).json()["access_token"]
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        return self.client.request(method, f"{self.url}/api/v2{path}", json=body, headers=headers)

    def read(self, path: str) -> dict[str, Any]:
        answer = self.call("auditor", "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def trigger(self, dag: str, conf: dict, user: str = "engineer") -> str:
        """Trigger a run; its path."""
        answer = self.call(user, "POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "conf": conf})
        assert answer.status_code == 200, answer.text
        return run_path(dag, answer.json()["dag_run_id"])

    def tasks(self, run: str) -> dict[str, str]:
        return {each["task_id"]: each["state"] for each in self.read(f"{run}/taskInstances")["task_instances"]}

    def ended(self, run: str, patience_s: float = 240) -> str:
        """Wait until a run has ended; its state."""
        return until(lambda: {"success": "success", "failed": "failed"}.get(self.read(run)["state"]), patience_s, run)

    def asked(self, run: str) -> dict[str, Any]:
        """Wait until a run asks its reviewers; what they are shown."""
        path = f"{run}/hitlDetails?response_received=false&state=awaiting_input"
        found = until(lambda: next(iter(self.read(path)["hitl_details"]), None), 60, run)
        # No person answers within a second. Airflow fails a task that goes on before its scheduler has heard that the
        # first half of it ended
        time.sleep(3)
        return found

    def answer(self, user: str, run: str, choice: str = "Approve", comment: str = "beats random entries") -> int:
        body = {"chosen_options": [choice], "params_input": {"comment": comment}}
        return self.call(user, "PATCH", f"{run}/taskInstances/approve/-1/hitlDetails", body).status_code

    def log(self, run: str, task: str) -> str:
        """What a task said at its first try."""
        content = self.read(f"{run}/taskInstances/{task}/logs/1")["content"]
        told = [f"{each['event']} {_raised(each)}" for each in content if isinstance(each, dict)]
        return "\n".join(told)


def _raised(entry: dict) -> str:
    return "; ".join(f"{each['exc_type']}: {each['exc_value']}" for each in entry.get("error_detail") or ())


@dataclass(frozen=True)
class World:
    team: Team
    checkout: Path
    params: Params
    registry: Registry

    def events(self) -> list[dict]:
        return journal_at(database_url("journal")).policy_events(self.params.promotion.model)


def run_path(dag: str, run_id: str) -> str:
    return f"/dags/{dag}/dagRuns/{quote(run_id, safe='')}"


def until(found: Any, patience_s: float, what: str) -> Any:
    deadline = time.monotonic() + patience_s
    while (value := found()) is None:
        assert time.monotonic() < deadline, f"{what} took more than {patience_s:.0f} s"
        time.sleep(0.5)
    return value


def git(folder: Path, *arguments: str) -> str:
    command = ("git", "-c", "user.name=test", "-c", "user.email=test@localhost", *arguments)
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def clone_as_it_stands(target: Path, overrides: dict) -> None:
    """A clone of the checkout with its uncommitted files and a small market, all committed."""
    git(ROOT, "clone", "--quiet", str(ROOT), str(target))
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        source = ROOT / name
        if source.is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)
    if (ROOT / COMPILED).exists():  # compiling it again would take longer than the run
        shutil.copytree(ROOT / COMPILED, target / COMPILED)
    text = (target / "params.yaml").read_text(encoding="utf-8")
    (target / "params.yaml").write_text(with_overrides(text, overrides), encoding="utf-8")
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--message", "A small market")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))  # short: PostgreSQL's socket lies below it
    folder.chmod(0o755)
    checkout, port = folder / "checkout", free_port()
    clone_as_it_stands(checkout, SMALL | SMALLER | {"serving.airflow_port": port})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADESAGE_STATE", str(folder / "state"))
        for name in ("TRADESAGE_DATABASE_URL", *(name for name in os.environ if name.startswith("AIRFLOW"))):
            patch.delenv(name, raising=False)
        try:
            with ProcessGroup() as group:
                team, processes = started(group, checkout, port)
                params = load_params(checkout / "params.yaml")
                yield World(team, checkout, params, default_registry(params))
                for process in processes:  # all at once; one after another takes half a minute
                    if process.running and process.pid:
                        os.kill(process.pid, signal.SIGTERM)
        finally:
            stop_embedded()
            shutil.rmtree(folder, ignore_errors=True)


def started(group: ProcessGroup, checkout: Path, port: int) -> tuple[Team, list[Process]]:
    """Airflow's processes on the clone, healthy."""
    told = prepared(checkout)
    assert told["repo"] == str(checkout)
    quick = told["environment"] | {"AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2"}
    processes = []
    for part, command in told["commands"].items():
        url, listens = (told["health"], port) if part == "api-server" else (None, None)
        process = Process(f"airflow-{part}", command, listens, url, env=quick, folder=checkout)
        processes.append(group.start(process, wait=False))
    until(lambda: all_healthy(told["health"]), 120, "starting Airflow")
    passwords = Path(told["environment"]["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    return Team(f"http://127.0.0.1:{port}", json.loads(passwords.read_text(encoding="utf-8"))), processes


def prepared(checkout: Path) -> dict:
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    command = (sys.executable, "-W", "ignore", "-c", PREPARE)
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def all_healthy(url: str) -> bool | None:
    try:
        parts = httpx.get(url, timeout=2, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return None
    return all(parts[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")) or None


@pytest.fixture(scope="module")
def trained(world) -> str:
    """A training run that has ended, and the promotion to paper that it started; the run's path."""
    run = world.team.trigger("training", {"overrides": {"policy.trees": 30}})
    state = world.team.ended(run)
    tasks = world.team.tasks(run)
    broken = next((name for name, state in tasks.items() if state == "failed"), None)
    assert state == "success", f"{tasks}\n{world.team.log(run, broken)[-3000:] if broken else ''}"
    return run


def version_of(world: World, run: str) -> str:
    told = world.team.read(f"{run}/taskInstances/register/xcomEntries/return_value?deserialize=true")["value"]
    return (json.loads(told) if isinstance(told, str) else told)["version"]


def promotions(world: World) -> list[dict]:
    return world.team.read("/dags/promotion/dagRuns")["dag_runs"]


def test_a_training_run_registers_a_candidate_made_from_a_commit(world, trained):
    version = version_of(world, trained)

    assert set(world.team.tasks(trained).values()) == {"success"}
    assert world.registry.version_at("candidate") == version
    commit = world.registry.tags(version)["commit"]
    assert "trees: 30" in git(world.checkout, "show", f"{commit}:params.yaml")
    assert "gates:" in git(world.checkout, "show", f"{commit}:dvc.lock")
    assert git(world.checkout, "branch", "--format", "%(refname:short)", "--points-at", commit).startswith(
        "runs/training-"
    )
    assert git(world.checkout, "status", "--porcelain") == ""


def test_a_stage_got_no_secret_of_airflows(world, trained):
    shown = world.team.read(f"{trained}/taskInstances/policy")["rendered_fields"]["env"]

    assert not [name for name in shown if name.startswith(("AIRFLOW", "TRADESAGE"))]


def test_a_candidate_enters_paper_by_itself_when_the_sanity_gates_pass(world, trained):
    run = until(lambda: next(iter(promotions(world)), None), 30, "the promotion to paper")
    state = world.team.ended(run_path("promotion", run["dag_run_id"]))

    assert (run["run_type"], state) == ("asset_triggered", "success")
    assert world.registry.version_at("paper") == version_of(world, trained)
    assert [(event["to_stage"], event["actor"]) for event in world.events()][-1] == ("paper", "airflow")


def test_canary_needs_a_reviewer_and_nobody_gets_round_one(world, trained):
    version, team = version_of(world, trained), world.team
    run = team.trigger("promotion", {"version": version, "stage": "canary"})

    asked = team.asked(run)
    done = {"new_state": "success", "include_downstream": True}
    forged = {"key": "return_value", "value": {"chosen_options": ["Approve"]}, "map_index": -1}
    tries = [
        team.call("engineer", "PATCH", f"{run}/taskInstances/approve", done),
        team.call("engineer", "PATCH", run, {"state": "success"}),
        team.call("engineer", "POST", f"{run}/taskInstances/approve/xcomEntries", forged),
        team.call("admin", "POST", f"{run}/taskInstances/approve/xcomEntries", forged),
        team.call("reviewer", "PATCH", f"{run}/taskInstances/approve", done),
        team.call("engineer", "DELETE", "/dags/promotion"),
        team.call("auditor", "POST", "/dags/promotion/dagRuns", {"logical_date": None, "conf": {}}),
    ]
    answers = {user: team.answer(user, run) for user in ("engineer", "admin", "auditor")}

    assert [answer.status_code for answer in tries] == [403] * len(tries)
    assert answers == {"engineer": 403, "admin": 403, "auditor": 403}
    assert f"version {version} to canary" in asked["subject"]
    assert "| gate | measured | limit |" in asked["body"]
    assert world.registry.version_at("canary") is None

    assert team.answer("reviewer", run) == 200
    assert team.ended(run) == "success", (team.tasks(run), team.read("/eventLogs?dag_id=promotion&limit=50"))
    assert world.registry.version_at("canary") == version
    event = world.events()[-1]
    assert (event["version"], event["to_stage"], event["actor"]) == (version, "canary", "reviewer")
    assert event["evidence"]["approved_by"] == "reviewer"
    assert "beats random entries" in event["reason"]


def test_a_rejection_moves_nothing(world, trained):
    run = world.team.trigger("promotion", {"version": version_of(world, trained), "stage": "champion"})
    world.team.asked(run)

    assert world.team.answer("reviewer", run, "Reject", "not yet") == 200

    assert world.team.ended(run) == "success"
    assert world.team.tasks(run)["promote"] == "skipped"
    assert world.registry.version_at("champion") is None


def test_failing_gates_refuse_canary_before_anybody_is_asked(world, trained):
    team, before = world.team, world.registry.version_at("canary")
    strict = team.trigger("training", {"overrides": {"policy.trees": 30, "gates.min_sharpe": 900}})
    assert team.ended(strict) == "success"
    version = version_of(world, strict)

    run = team.trigger("promotion", {"version": version, "stage": "canary"})

    assert team.ended(run) == "failed"
    tasks = team.tasks(run)
    assert (tasks["evidence"], tasks["refused"], tasks["approve"]) == ("success", "failed", "skipped")
    assert f"canary is refused to version {version}" in team.log(run, "refused")
    assert "is cached - skipping run" in team.log(strict, "policy")
    assert world.registry.version_at("canary") == before


def test_an_unknown_override_is_refused_before_anything_is_made(world):
    run = world.team.trigger("training", {"overrides": {"policy.treez": 30}})

    assert world.team.ended(run) == "failed"
    assert "policy.treez is not a known key" in world.team.log(run, "prepare")
    assert world.team.tasks(run)["ingest"] == "upstream_failed"
