"""The DAG folder as Airflow reads it: quick to import, with the arrows of `dvc.yaml`, asking before it promotes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
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
    found["params"] = sorted(task.params) if task.task_type == "HITLOperator" else []
    found["outlets"] = [each.name for each in task.outlets]
    return found
dags = {
    dag.dag_id: {
        "tasks": {task.task_id: told(task) for task in dag.tasks},
        "doc": dag.doc_md,
        "assets": [each.name for each in getattr(dag.timetable.asset_condition, "objects", [])],
        "cron": getattr(getattr(dag.timetable, "timetable", None), "expression", None),
        "runs": dag.max_active_runs,
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
    assert sorted(folder["dags"]) == ["before_open", "collecting", "promotion", "training"]
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
RunWorkspace(Path(sys.argv[1]).parent).create("training-run", {"policy.seed": 23})
try:
    bag.dags["training"].task_dict["register"].python_callable(
        params={"overrides": {"policy.seed": 77}}, run_id="run", outlet_events={}
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


def test_a_registered_candidate_starts_the_promotion_and_so_does_every_hour(folder, training):
    assert training["register"]["outlets"] == ["candidate"]
    assert folder["dags"]["promotion"]["assets"] == ["candidate"]
    assert folder["dags"]["promotion"]["cron"] == "5 * * * *"


def test_waiting_for_reviewers_keeps_no_candidate_waiting(folder):
    assert folder["dags"]["promotion"]["runs"] >= 16


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
    assert promotion["approve"]["options"] == ["Approve", "Reject"]
    assert promotion["look"]["upstream"] == ["begin"]


BRANCHES = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
tasks = DagBag(sys.argv[1]).dags["promotion"].task_dict
begins = [tasks["begin"].python_callable(each) for each in json.loads(sys.argv[2])]
routes = [tasks["route"].python_callable({"refused": each}) for each in (None, "the Sharpe ratio")]
print(json.dumps([begins, routes]))
"""


def test_a_person_is_asked_for_every_move_that_a_person_wants(tmp_path):
    asked = [
        {"version": None, "stage": "paper"},
        {"version": "3", "stage": "shadow"},
        {"version": "3", "stage": "champion"},
        {"version": "3", "stage": "retire"},
        {"version": None, "stage": "rollback"},
    ]

    begins, routes = json.loads(in_airflow(BRANCHES, tmp_path, str(ROOT / "dags"), json.dumps(asked)))

    assert begins == ["look", *["evidence"] * 4]
    assert routes == ["approve", "refused"]


#: Runs of the promotion on a journal of their own, with real tasks: candidates that wait, and moves asked for by hand
RUNS = """
import json, sys
from airflow.utils import db
db.initdb()
from airflow.dag_processing.dagbag import DagBag
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url, stop_embedded
from tests.unit.promotion.builders import MODEL, SANE, registered
from dataclasses import replace
bag = DagBag(sys.argv[1])
dag = bag.dags["promotion"]
journal = journal_at(database_url("journal"))
registered(journal, "1", run="training/one", content="one")
registered(journal, "2", run="training/two", content="two")
registered(journal, "3", run="training/three", content="three", verdicts=(replace(SANE, passed=False),))
registered(journal, "4", run=None, content="four")
told = []
try:
    for conf in json.loads(sys.argv[2]):
        run = dag.test(run_conf=conf)
        told.append({"state": run.state, "tasks": {each.task_id: each.state for each in run.get_task_instances()}})
    tasks, answered = dag.task_dict, []
    found = tasks["evidence"].python_callable({"version": "2", "stage": "shadow"})
    for answer in json.loads(sys.argv[3]):
        try:
            answered.append(tasks["promote"].python_callable(found, answer, "manual"))
        except Exception as error:
            answered.append(f"{type(error).__name__}: {error}")
    moves = [[e["version"], e["to_stage"], e["actor"]] for e in journal.policy_events(MODEL)]
    refusals = [[r["version"], r["asked"], r["actor"], r["reason"]] for r in journal.policy_refusals(MODEL)]
finally:
    journal.close()
    stop_embedded()
print(json.dumps({"runs": told, "moves": moves, "refusals": refusals, "answered": answered}))
"""
ANSWERS = [
    {
        "chosen_options": [choice],
        "params_input": {"comment": comment},
        "responded_at": "2026-11-20T10:00:00Z",
        "responded_by_user": {"id": who, "name": who} if who else None,
    }
    for who, choice, comment in (
        ("reviewer", "Reject", "not yet"),
        (None, "Reject", ""),
        ("engineer", "Approve", "mine"),
        ("reviewer", "Approve", "now"),
    )
]


@pytest.fixture(scope="module")
def played():
    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))  # short: PostgreSQL's socket lies below it
    folder.chmod(0o755)
    confs = [{}, {}, {"version": "2", "stage": "champion"}, {"stage": "rollback"}, {"version": "99", "stage": "paper"}]
    try:
        yield json.loads(in_airflow(RUNS, folder, str(ROOT / "dags"), json.dumps(confs), json.dumps(ANSWERS)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_one_run_works_through_every_candidate_of_training_runs(played):
    to_shadow = [move for move in played["moves"] if move[1] == "shadow"]
    look, again = played["runs"][:2]

    assert to_shadow == [["1", "shadow", "airflow"], ["2", "shadow", "airflow"]]
    assert ["3", "shadow", "airflow"] in [refusal[:3] for refusal in played["refusals"]]
    assert (look["state"], look["tasks"]["look"]) == ("failed", "failed"), "one was refused shadow"
    assert (again["state"], again["tasks"]["look"]) == ("success", "success"), "nothing is left to look at"
    assert [move for move in played["moves"] if move[0] == "4"] == [["4", "candidate", "airflow"]]


def test_champion_without_canary_is_refused_before_anybody_is_asked(played):
    run = played["runs"][2]

    assert run["state"] == "failed"
    assert (run["tasks"]["refused"], run["tasks"]["approve"], run["tasks"]["promote"]) == (
        "failed",
        "skipped",
        "skipped",
    )
    [refusal] = [each for each in played["refusals"] if each[1] == "champion"]
    assert refusal[0] == "2"
    assert "has been at canary: 0, limit 1; " in refusal[3]
    assert "trading days at canary: 0, limit 20" in refusal[3]


def test_an_answer_that_is_no_approval_is_journaled_and_fails_the_task(played):
    *refused, moved = played["answered"]
    noted = [each[1:] for each in played["refusals"] if each[:2] == ["2", "shadow"]]

    assert [line.partition(":")[0] for line in refused] == ["AirflowFailException"] * 3
    assert [actor for _, actor, _ in noted] == ["reviewer", "airflow", "airflow"]
    for (_, _, reason), words in zip(
        noted, ("reviewer rejected it (not yet)", "in time", "engineer gave"), strict=True
    ):
        assert words in reason
    assert (moved["version"], moved["to_stage"], moved["approved_by"]) == ("2", "shadow", "reviewer")


def test_a_rollback_to_nobody_and_an_unknown_version_end_the_run_as_failed(played):
    rollback, unknown = played["runs"][3:]

    assert (rollback["tasks"]["refused"], rollback["tasks"]["approve"]) == ("failed", "skipped")
    assert ["none", "rollback"] in [each[:2] for each in played["refusals"]]
    assert (unknown["state"], unknown["tasks"]["evidence"]) == ("failed", "failed")


def test_facts_are_looked_at_before_every_pre_open(folder):
    dag = folder["dags"]["before_open"]

    assert dag["tasks"]["facts"]["upstream"] == ["due"]
    assert dag["cron"] in ("30 8 * * *", None)
    assert dag["tasks"]["facts"]["retries"] == 0


def test_collecting_asks_only_on_trading_days_and_tells_the_lakes_asset(folder):
    tasks = folder["dags"]["collecting"]["tasks"]

    assert tasks["collect"]["upstream"] == ["due"]
    assert tasks["collect"]["outlets"] == ["lake"]
    assert tasks["collect"]["retries"] > 0


@pytest.mark.parametrize(
    ("dag", "task"),
    [
        ("training", "prepare"),
        ("training", "register"),
        *(("promotion", name) for name in ("begin", "look", "evidence", "route", "refused", "promote")),
        ("collecting", "due"),
        ("collecting", "collect"),
    ],
)
def test_what_ends_alike_however_often_it_runs_is_tried_again(folder, dag, task):
    assert folder["dags"][dag]["tasks"][task]["retries"] >= 2


def test_nobody_is_asked_twice_for_an_approval(promotion):
    assert promotion["approve"]["retries"] == 0
