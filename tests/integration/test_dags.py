"""The DAG folder as Airflow reads it: quick to import, with the arrows of `dvc.yaml`, asking before it promotes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.airflow_process import in_airflow
from tests.conftest import ROOT

#: What a DAG-processor does, in a process of its own: Airflow reads its settings when it is imported
READ_FOLDER = """
import json, sys, time
from airflow.dag_processing.dagbag import DagBag
DagBag("/dev/null")  # imports done, as in a running processor
started = time.perf_counter()
bag = DagBag(sys.argv[1])
seconds = time.perf_counter() - started
heavy = [name for name in ("mlflow", "pandas", "lightgbm", "torch", "numba") if name in sys.modules]
def told(task):
    fields = ("task_id", "task_type", "pool", "retries", "bash_command", "cwd", "env", "append_env", "assigned_users",
              "defaults", "options", "fail_on_reject", "trigger_rule")
    found = {name: getattr(task, name, None) for name in fields}
    for name in ("execution_timeout", "response_timeout"):
        value = getattr(task, name, None)
        found[name] = value.total_seconds() if value else None
    found["upstream"] = sorted(task.upstream_task_ids)
    found["params"] = sorted(task.params) if task.task_type == "ApprovalOperator" else []
    found["outlets"] = [each.name for each in task.outlets]
    return found
dags = {
    dag.dag_id: {
        "tasks": {task.task_id: told(task) for task in dag.tasks},
        "doc": dag.doc_md,
        "assets": [each.name for each in getattr(dag.timetable.asset_condition, "objects", [])],
    } for dag in bag.dags.values()
}
print(json.dumps({"errors": bag.import_errors, "seconds": seconds, "heavy": heavy, "dags": dags}, default=str))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> dict:
    return json.loads(in_airflow(READ_FOLDER, tmp_path_factory.mktemp("airflow"), str(ROOT / "dags")))


@pytest.fixture(scope="module")
def training(folder) -> dict:
    return folder["dags"]["training"]["tasks"]


@pytest.fixture(scope="module")
def promotion(folder) -> dict:
    return folder["dags"]["promotion"]["tasks"]


def arrows_of_dvc() -> set[tuple[str, str]]:
    """The arrows between stages as DVC itself draws them."""
    command = [sys.executable, "-m", "dvc", "dag", "--dot"]
    drawn = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line.strip().rstrip(";").split(" -> ") for line in drawn.splitlines() if "->" in line]
    return {(source.strip('"'), target.strip('"')) for source, target in lines}


def test_the_folder_imports_within_two_seconds_and_without_heavy_libraries(folder):
    assert folder["errors"] == {}
    assert sorted(folder["dags"]) == ["collecting", "promotion", "training"]
    assert folder["seconds"] < 2.0
    assert folder["heavy"] == []


def test_each_dag_says_to_its_reader_what_it_does(folder):
    assert all(len(dag["doc"]) > 300 for dag in folder["dags"].values())


def test_the_training_has_the_arrows_that_dvc_draws(training):
    stages = {name for name, task in training.items() if task["task_type"] == "BashOperator"}
    arrows = {(before, name) for name in stages for before in training[name]["upstream"] if before in stages}

    assert arrows == arrows_of_dvc()
    assert training["ingest"]["upstream"] == ["prepare"]
    assert training["register"]["upstream"] == ["gates", "prepare"]


def test_an_edit_that_is_not_committed_changes_no_task(training, tmp_path):
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    shutil.copytree(ROOT / "dags", checkout / "dags", dirs_exist_ok=True)
    shutil.copyfile(ROOT / "dvc.yaml", checkout / "dvc.yaml")
    text = (checkout / "dvc.yaml").read_text(encoding="utf-8")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *author, "commit", "--quiet", "--allow-empty", "-am", "as it stands"], cwd=checkout)
    (checkout / "dvc.yaml").write_text(text.replace("  heads:\n", "  views:\n"), encoding="utf-8")

    edited = json.loads(in_airflow(READ_FOLDER, tmp_path / "airflow", str(checkout / "dags")))

    assert edited["errors"] == {}
    upstream = {name: task["upstream"] for name, task in edited["dags"]["training"]["tasks"].items()}
    assert upstream == {name: task["upstream"] for name, task in training.items()}


def test_a_stage_that_the_runs_commit_has_not_ends_well(training, tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages:\n  other:\n    cmd: 'true'\n", encoding="utf-8")

    done = subprocess.run(["bash", "-c", training["gates"]["bash_command"]], cwd=tmp_path, capture_output=True)

    assert done.returncode == 0
    assert b"has no stage gates" in done.stdout


def test_each_stage_runs_alone_in_the_runs_workspace_one_at_a_time(training):
    for name, task in training.items():
        if task["task_type"] == "BashOperator":
            assert f"dvc repro --single-item {name} " in task["bash_command"]
            assert "prepare" in task["cwd"]
            assert task["pool"] == "training"
            assert task["execution_timeout"] > 0


def test_a_stage_sees_neither_airflows_secrets_nor_ours(training):
    environment = training["policy"]["env"]

    assert training["policy"]["append_env"] is False
    assert set(environment) == {
        "PATH",
        "HOME",
        "LANG",
        "OMP_NUM_THREADS",
        "DVC_NO_ANALYTICS",
        "PYTHONUNBUFFERED",
        "SHLVL",
    }
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


REGISTER = """
import json, sys
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
from pipelines.promotion.workspace import RunWorkspace
bag = DagBag(sys.argv[1])
workspace = RunWorkspace(Path(sys.argv[1]).parent).create("run", {"policy.seed": 23})
try:
    bag.dags["training"].task_dict["register"].python_callable(
        str(workspace), params={"overrides": {"policy.seed": 77}}, outlet_events={}
    )
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def test_a_run_that_is_not_what_was_asked_is_not_registered(tmp_path):
    checkout = tmp_path / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    shutil.copytree(ROOT / "dags", checkout / "dags", dirs_exist_ok=True)

    kind, told = json.loads(in_airflow(REGISTER, tmp_path / "airflow", str(checkout / "dags")))

    assert kind == "AirflowFailException"
    assert "policy.seed is 23, asked was 77" in told
    assert "\n" not in told


def test_a_registered_candidate_starts_the_promotion(folder, training):
    assert training["register"]["outlets"] == ["candidate"]
    assert folder["dags"]["promotion"]["assets"] == ["candidate"]


def test_an_unanswered_approval_is_a_rejection_and_only_reviewers_are_asked(promotion):
    approve = promotion["approve"]

    assert approve["defaults"] == ["Reject"]
    assert approve["response_timeout"] == 24 * 3600
    assert [user["id"] for user in approve["assigned_users"]] == ["reviewer"]
    assert approve["params"] == ["comment"]


def test_nothing_but_an_approval_leads_to_the_promotion(promotion):
    assert promotion["promote"]["upstream"] == ["approve", "evidence"]
    assert promotion["promote"]["trigger_rule"] == "all_success"
    assert promotion["approve"]["upstream"] == ["route"]
    assert promotion["enter_paper"]["upstream"] == ["evidence", "route"]


ROUTES = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
route = DagBag(sys.argv[1]).dags["promotion"].task_dict["route"].python_callable
print(json.dumps([route(each) for each in json.loads(sys.argv[2])]))
"""


def test_a_person_is_asked_for_all_but_a_fresh_candidates_way_into_paper(tmp_path):
    asked = [
        {"refused": None, "by_hand": False, "stage": "paper"},
        {"refused": None, "by_hand": True, "stage": "paper"},
        {"refused": None, "by_hand": True, "stage": "canary"},
        {"refused": None, "by_hand": False, "stage": "canary"},
        {"refused": "the Sharpe ratio", "by_hand": True, "stage": "canary"},
    ]

    routes = json.loads(in_airflow(ROUTES, tmp_path, str(ROOT / "dags"), json.dumps(asked)))

    assert routes == ["enter_paper", "approve", "approve", "approve", "refused"]


def test_collecting_asks_only_on_trading_days_and_tells_the_lakes_asset(folder):
    tasks = folder["dags"]["collecting"]["tasks"]

    assert tasks["collect"]["upstream"] == ["due"]
    assert tasks["collect"]["outlets"] == ["lake"]
    assert tasks["collect"]["retries"] > 0
