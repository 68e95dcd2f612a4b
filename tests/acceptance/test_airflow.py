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
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.compiled import FOLDER as COMPILED
from pipelines.journal import journal_at
from pipelines.journal.journal import Journal
from pipelines.journal.postgres import database_url, stop_embedded
from pipelines.params import Params, load_params
from pipelines.promotion.ladder import Promotion, promote
from pipelines.promotion.paper_rule import market_is_busy
from pipelines.promotion.registry import Registry, default_registry
from pipelines.promotion.signatures import signatures
from pipelines.promotion.stages import Stage
from pipelines.promotion.workspace import with_overrides
from serving.process import Process, ProcessGroup, free_port
from tests.conftest import ROOT, SMALL
from tests.unit.promotion.builders import AT, registered
from tests.unit.promotion.months import REAL, trades_for_a_month

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

    def ended(self, run: str, patience_s: float = 400) -> str:
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
    journal: Journal

    def events(self) -> list[dict]:
        return self.journal.policy_events(self.params.promotion.model)

    def refusals(self) -> list[dict]:
        return self.journal.policy_refusals(self.params.promotion.model)


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
                yield World(team, checkout, params, default_registry(params), journal_at(database_url("journal")))
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
    return world.team.read("/dags/promotion/dagRuns?order_by=-run_after")["dag_runs"]


def way_of(world: World, version: str) -> list[tuple[str, str]]:
    """What became of a version after its registration: stages entered, and refused stages after a minus sign."""
    model = world.params.promotion.model
    moves = [(e["at"], e["to_stage"], e["actor"]) for e in world.events() if e["version"] == version]
    refused = [(r["at"], f"-{r['asked']}", r["actor"]) for r in world.refusals() if r["version"] == version]
    assert all(event["model"] == model for event in world.events())
    in_order = sorted(moves + refused, key=lambda row: row[0])
    return [(stage, actor) for _, stage, actor in in_order if stage != "candidate"]


def looked_at(world: World, version: str) -> list[tuple[str, str]]:
    """Wait until a candidate was looked at, for paper too unless the market's day is on; its way."""

    def way() -> list[tuple[str, str]] | None:
        found = way_of(world, version)
        ended = found and (found[0] != ("shadow", "airflow") or len(found) > 1 or market_is_busy(datetime.now(IST)))
        return found if ended else None

    return until(way, 120, f"a look at version {version}")


def stands_at(world: World, stage: str) -> str | None:
    found = signatures(world.events()).get(stage)
    return found.version if found else None


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


def test_a_candidate_enters_shadow_and_takes_paper_when_no_session_is_on(world, trained):
    version = version_of(world, trained)
    way = looked_at(world, version)

    assert way[0] == ("shadow", "airflow")
    if market_is_busy(datetime.now(IST)):
        assert stands_at(world, "paper") is None
        by_hand(world, version, "paper")
    else:
        assert way[1:] == [("paper", "airflow")]
    assert stands_at(world, "paper") == version
    assert world.registry.version_at("paper") == version
    [run] = [run for run in promotions(world) if run["run_type"] == "asset_triggered"]
    assert world.team.ended(run_path("promotion", run["dag_run_id"])) == "success"


def by_hand(
    world: World, version: str | None, move: str, choice: str = "Approve", comment: str = "looked at it"
) -> str:
    """Ask for a move and have the reviewer answer; the ended run's path."""
    run = world.team.trigger("promotion", {"version": version, "stage": move})
    world.team.asked(run)
    assert world.team.answer("reviewer", run, choice, comment) == 200
    world.team.ended(run)
    return run


def test_an_asset_event_that_somebody_posts_lets_nothing_climb(world, trained):
    registered(world.journal, "901", world.params.promotion.model, run=None, content="901", source="lake")
    [asset] = [each for each in world.team.read("/assets")["assets"] if each["name"] == "candidate"]
    before, runs = world.events(), len(promotions(world))

    for extra in ({"version": "901"}, {"version": "999"}, {"version": [1]}, {"run": "training/forged"}, {}):
        answer = world.team.call("engineer", "POST", "/assets/events", {"asset_id": asset["id"], "extra": extra})
        assert answer.status_code == 200, answer.text

    newest = until(lambda: promotions(world)[0] if len(promotions(world)) > runs else None, 60, "the look")
    assert world.team.ended(run_path("promotion", newest["dag_run_id"])) == "success"
    assert world.events() == before
    assert world.refusals() == []


def test_candidates_of_two_runs_while_the_promotion_was_paused_are_both_looked_at(world, trained, two_candidates):
    ways = [looked_at(world, version) for version in two_candidates]

    assert [way[0] for way in ways] == [("shadow", "airflow")] * 2
    refused = {row["version"]: row["reason"] for row in world.refusals() if row["asked"] == "paper"}
    assert "gates.min_sharpe" in refused[two_candidates[1]]


@pytest.fixture(scope="module")
def two_candidates(world, trained) -> tuple[str, str]:
    """Versions that were registered while the promotion was paused: one written into the journal as a training run
    does, one by a training run that judges itself anew. Airflow keeps no event for a paused DAG."""
    team, model = world.team, world.params.promotion.model
    assert team.call("admin", "PATCH", "/dags/promotion", {"is_paused": True}).status_code == 200
    strict = team.trigger("training", {"overrides": {"policy.trees": 30, "gates.min_sharpe": 900}})
    made = {"run": "training/another", "commit": git(world.checkout, "rev-parse", "HEAD"), "content": "903"}
    registered(world.journal, "903", model, at=datetime.now(IST), fingerprint="903", **made)
    assert team.ended(strict) == "success"
    version = version_of(world, strict)
    assert way_of(world, "903") == way_of(world, version) == []
    assert "is cached - skipping run" in team.log(strict, "policy")
    assert team.call("admin", "PATCH", "/dags/promotion", {"is_paused": False}).status_code == 200
    team.trigger("promotion", {})
    return "903", version


def test_a_cleared_training_run_registers_nothing_new_and_displaces_nothing(world, trained, two_candidates):
    for version in two_candidates:
        looked_at(world, version)
    before, run_id = world.events(), unquote(trained.rpartition("/")[2])
    clear = {"dry_run": False, "dag_run_id": run_id, "task_ids": ["register"], "only_failed": False}

    answer = world.team.call("engineer", "POST", "/dags/training/clearTaskInstances", clear)

    assert answer.status_code == 200, answer.text
    runs = len(promotions(world))
    assert world.team.ended(trained) == "success"
    newest = until(lambda: promotions(world)[0] if len(promotions(world)) > runs else None, 60, "the look")
    world.team.ended(run_path("promotion", newest["dag_run_id"]))
    assert world.events() == before


def test_an_engineer_writes_nothing_that_tasks_hand_on(world, trained):
    forged = {"key": "return_value", "value": "/tmp/elsewhere", "map_index": -1}
    run = world.team.trigger("promotion", {"version": version_of(world, trained), "stage": "champion"})
    world.team.ended(run)
    paths = (f"{trained}/taskInstances/prepare/xcomEntries", f"{run}/taskInstances/evidence/xcomEntries")

    tries = [world.team.call(user, "POST", path, forged) for user in ("engineer", "admin") for path in paths]

    assert [answer.status_code for answer in tries] == [403] * 4


def test_champion_without_canary_is_refused_before_anybody_is_asked(world, trained):
    version = version_of(world, trained)

    run = world.team.trigger("promotion", {"version": version, "stage": "champion"})

    assert world.team.ended(run) == "failed"
    tasks = world.team.tasks(run)
    assert (tasks["evidence"], tasks["refused"], tasks["approve"], tasks["promote"]) == (
        "success",
        "failed",
        "skipped",
        "skipped",
    )
    line = world.team.log(run, "refused")
    for figure in ("has been at canary: 0, limit 1", "trading days at canary: 0, limit 20", "trades at canary: 0"):
        assert figure in line
    assert way_of(world, version)[-1] == ("-champion", "airflow")


def test_a_fresh_policy_is_refused_canary_by_its_days_and_trades(world, trained):
    version = version_of(world, trained)

    run = world.team.trigger("promotion", {"version": version, "stage": "canary"})

    assert world.team.ended(run) == "failed"
    line = world.team.log(run, "refused")
    assert f"canary is refused to version {version}" in line
    assert "trading days at paper: 0, limit 20" in line
    assert "bars that a market made: 0, limit 1" in line
    assert world.team.tasks(run)["approve"] == "skipped"


@pytest.fixture(scope="module")
def with_a_record(world) -> str:
    """A version of real bars with a month at paper behind it, written into the journal as registration and executor
    would; nobody can wait for a month."""
    version, model = "902", world.params.promotion.model
    head, policy = git(world.checkout, "rev-parse", "HEAD"), "policy-of-902"
    real = {"run": None, "commit": head, "content": version, "fingerprint": version, "policy_version": policy} | REAL
    registered(world.journal, version, model, **real)
    moved = promote(world.registry, world.journal, version, Stage.PAPER, "asha", "a month ago", at=AT)
    assert isinstance(moved, Promotion), str(moved)
    trades_for_a_month(world.journal, Stage.PAPER, policy_version=policy)
    return version


def test_canary_needs_a_reviewer_and_nobody_gets_round_one(world, trained, with_a_record):
    version, team = with_a_record, world.team
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
    assert "20 days, 60 trades" in asked["body"]
    assert stands_at(world, "canary") is None

    assert team.answer("reviewer", run) == 200
    assert team.ended(run) == "success", (team.tasks(run), team.read("/eventLogs?dag_id=promotion&limit=50"))
    assert stands_at(world, "canary") == version
    event = world.events()[-1]
    assert (event["version"], event["to_stage"], event["actor"]) == (version, "canary", "reviewer")
    assert event["evidence"]["approved_by"] == "reviewer"
    assert "beats random entries" in event["reason"]


def test_a_rejection_moves_nothing_is_journaled_and_the_run_is_not_green(world, with_a_record):
    before = world.events()

    run = by_hand(world, with_a_record, "shadow", "Reject", "not yet")

    assert world.team.ended(run) == "failed"
    assert world.team.tasks(run)["promote"] == "failed"
    assert world.events() == before
    refusal = world.refusals()[-1]
    assert (refusal["version"], refusal["asked"], refusal["actor"]) == (with_a_record, "shadow", "reviewer")
    assert "reviewer rejected it (not yet)" in refusal["reason"]
    assert world.journal.audit_broken_at() is None


def test_a_reviewer_retires_a_version_by_the_form(world, with_a_record):
    run = by_hand(world, with_a_record, "retire", comment="odd trades")

    assert world.team.ended(run) == "success"
    assert with_a_record not in [signature.version for signature in signatures(world.events()).values()]
    assert "odd trades" in world.events()[-1]["reason"]


def test_failing_gates_refuse_canary_before_anybody_is_asked(world, two_candidates):
    version = two_candidates[1]

    run = world.team.trigger("promotion", {"version": version, "stage": "canary"})

    assert world.team.ended(run) == "failed"
    tasks = world.team.tasks(run)
    assert (tasks["evidence"], tasks["refused"], tasks["approve"]) == ("success", "failed", "skipped")
    assert "limit 900" in world.team.log(run, "refused")


def test_an_unknown_override_is_refused_before_anything_is_made(world):
    run = world.team.trigger("training", {"overrides": {"policy.treez": 30}})

    assert world.team.ended(run) == "failed"
    assert "policy.treez is not a known key" in world.team.log(run, "prepare")
    assert world.team.tasks(run)["ingest"] == "upstream_failed"
