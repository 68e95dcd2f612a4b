"""# Training

Makes a candidate policy from the market: one task for each stage of `dvc.yaml`, in the order that its inputs and
outputs give, in a **workspace of this run's own** (a git worktree of the checkout's last commit, in `<state>/runs/`).

Graph and stages are those of the last commit, like all else of a run: an edit of `dvc.yaml` counts once it is
committed, and one that is committed while a run lasts does not change it.

1. **prepare** makes the workspace and applies *overrides*: parameters of `params.yaml` by dotted key, for example
   `{"ingest.simulated.days": 60, "policy.trees": 80}`. An unknown key or an impossible value is refused here.
   Cleared, it keeps a whole workspace that was made for the same overrides and makes any other anew.
2. **ingest … gates** each run `dvc repro --single-item <stage>`. What an earlier run has computed from the same inputs
   comes from the cache in a second.
3. **register** holds what was run against the commit and the overrides that were asked and refuses any difference,
   computes what the commit has beyond the tasks above, commits `params.yaml` and `dvc.lock` on the branch `runs/<run>`,
   registers the bundle with its evidence as a new version, and tells the asset *candidate*. That starts **promotion**,
   which lets it into shadow if the sanity gates pass, and by a rule into paper trading.

A task whose worker was killed, or that PostgreSQL did not answer, is tried again twice; a refusal is final.

Anyone can compute a run again: `git checkout runs/<run> && dvc repro`.
"""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path, PurePosixPath

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from serving.airflow_environment import CANDIDATE, POOL
from serving.task_failures import failure

REPO = Path(__file__).resolve().parents[1]
KEPT_WORKSPACES = 10
#: Of a task that ends alike however often it is run: its worker was killed, or a server did not answer for a while
AGAIN = {"retries": 2, "retry_delay": timedelta(seconds=15), "retry_exponential_backoff": True}
#: A stage sees no secret of Airflow's or ours; `dvc` and `python` are those of this environment
STAGE_ENVIRONMENT = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    "HOME": os.environ.get("HOME", "/"),
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "2",
    "DVC_NO_ANALYTICS": "1",
    "PYTHONUNBUFFERED": "1",
    # A task's standard input is a socket, so bash takes itself for a remote login and would read ~/.bashrc, which may
    # put another Python first; not below another shell
    "SHLVL": "1",
}


def committed_stages() -> dict:
    """The stages of the checkout's last commit, by name; of a folder without git, those that lie there."""
    command = ["git", "show", "HEAD:dvc.yaml"]
    shown = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    text = shown.stdout if shown.returncode == 0 else (REPO / "dvc.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["stages"]


def command_of(stage: str) -> str:
    """The stage alone, in the workspace; nothing where the run's commit has no such stage, since the task is newer."""
    known = f"grep -q '^  {stage}:' dvc.yaml || {{ echo 'the commit of this run has no stage {stage}'; exit 0; }}"
    return f"{known}; exec dvc repro --single-item {stage} </dev/null"  # standard input is a socket to Airflow


def complete_as_asked(workspace: Path, params: dict | None) -> None:
    """Refuse a run that is not what its trigger asked for; compute what its commit has beyond the tasks of this DAG."""
    from pipelines.domain.errors import TradeSageError
    from pipelines.promotion.workspace import RunWorkspace

    try:
        RunWorkspace(REPO).check(workspace, (params or {}).get("overrides") or {})
        RunWorkspace(REPO).complete(workspace, STAGE_ENVIRONMENT)
    except TradeSageError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None


def arrows(stages: dict) -> dict[str, set[str]]:
    """For each stage those whose outputs it reads: a dependency is an output, lies in one, or holds one."""
    outputs = {
        name: [p for kind in ("outs", "metrics", "plots") for p in _paths(s, kind)] for name, s in stages.items()
    }
    return {
        name: {
            other
            for other, written in outputs.items()
            if other != name and any(_touch(read, out) for read in _paths(stage, "deps") for out in written)
        }
        for name, stage in stages.items()
    }


def _paths(stage: dict, kind: str) -> list[PurePosixPath]:
    return [PurePosixPath(next(iter(each)) if isinstance(each, dict) else each) for each in stage.get(kind, [])]


def workspace_name(run_id: str | None) -> str:
    """The workspace of a run: each task finds it by the run itself, since an operator can write what tasks hand on."""
    return "training-" + re.sub(r"[^A-Za-z0-9]+", "-", run_id or "")[:70].strip("-")


def _touch(one: PurePosixPath, other: PurePosixPath) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["training"],
    doc_md=__doc__,
    params={
        "overrides": Param(
            {},
            type=["object", "null"],
            title="Overrides",
            description='Parameters by dotted key, e.g. {"ingest.simulated.days": 60}; empty takes those committed',
        )
    },
)
def training():
    @task(**AGAIN, doc_md="Makes the run's workspace. The log names what is not committed and so not part of the run.")
    def prepare(params: dict | None = None, run_id: str | None = None) -> str:
        from pipelines.domain.errors import TradeSageError
        from pipelines.promotion.cache_cleaning import clean_cache
        from pipelines.promotion.workspace import RunWorkspace

        runs = RunWorkspace(REPO)
        name = workspace_name(run_id)
        try:
            for note in runs.notes():
                print(note)
            for gone in runs.keep_latest(KEPT_WORKSPACES - 1, "training-"):
                print(f"removed the workspace of {gone}; its branch and results stay")
            workspace = runs.prepare(name, (params or {}).get("overrides") or {})
            cleaned = clean_cache(REPO, runs.all())
            if cleaned.files:
                print(f"removed {cleaned.files:,} files that no commit and no workspace needs from DVC's cache")
        except TradeSageError as error:
            raise failure(error) from None
        return str(workspace)

    @task(
        **AGAIN,
        outlets=[Asset(CANDIDATE)],
        doc_md="Commits the run, registers its policy as a candidate and tells the promotion.",
    )
    def register(params: dict | None = None, run_id: str | None = None, *, outlet_events=None) -> dict:
        from pipelines.domain.errors import TradeSageError
        from pipelines.params import load_params
        from pipelines.paths import Paths
        from pipelines.promotion.register import register_run
        from pipelines.promotion.workspace import RunWorkspace

        paths = Paths(RunWorkspace(REPO).path(workspace_name(run_id)))
        complete_as_asked(paths.root, params)
        try:
            commit = RunWorkspace(REPO).finish(paths.root, f"Train {paths.root.name}")
            made_from = load_params(paths.root / "params.yaml")
            version = register_run(paths, made_from, run=f"training/{run_id}", actor="airflow")
        except TradeSageError as error:
            raise failure(error) from None
        outlet_events[Asset(CANDIDATE)].extra = {"version": version, "commit": commit}
        return {"version": version, "commit": commit}

    workspace = prepare()
    stages = committed_stages()
    tasks = {
        name: BashOperator(
            task_id=name,
            bash_command=command_of(name),
            cwd="{{ ti.xcom_pull(task_ids='prepare') }}",
            env=STAGE_ENVIRONMENT,
            append_env=False,
            pool=POOL,
            retries=1,
            retry_delay=timedelta(seconds=10),
            execution_timeout=timedelta(hours=2),
            doc_md=f"`{stage['cmd']}` reads {', '.join(str(p) for p in _paths(stage, 'deps'))}",
        )
        for name, stage in stages.items()
    }
    workspace >> (registered := register())
    for name, before in arrows(stages).items():
        (([tasks[other] for other in sorted(before)]) or [workspace]) >> tasks[name]
    [each for name, each in tasks.items() if not each.downstream_task_ids] >> registered


training()
