"""# Training

Makes a candidate policy from the market: one task for each stage of `dvc.yaml`, in the order that its inputs and
outputs give, in a **workspace of this run's own** (a git worktree of the checkout's last commit, in `<state>/runs/`).

1. **prepare** makes the workspace and applies *overrides*: parameters of `params.yaml` by dotted key, for example
   `{"ingest.simulated.days": 60, "policy.trees": 80}`. An unknown key or an impossible value is refused here.
2. **ingest … gates** each run `dvc repro --single-item <stage>`. What an earlier run has computed from the same inputs
   comes from the cache in a second.
3. **register** commits `params.yaml` and `dvc.lock` on the branch `runs/<run>`, registers the bundle with its evidence
   as a new version, and tells the asset *candidate*. That starts **promotion**, which lets it into
   shadow if the sanity gates pass, and by a rule into paper trading.

Anyone can compute a run again: `git checkout runs/<run> && dvc repro`.
"""

import os
import re
import sys
from datetime import timedelta
from pathlib import Path, PurePosixPath

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException

from serving.airflow_environment import CANDIDATE, POOL

REPO = Path(__file__).resolve().parents[1]
KEPT_WORKSPACES = 10
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
    @task(
        retries=0, doc_md="Makes the run's workspace. The log names what is not committed and so not part of the run."
    )
    def prepare(params: dict | None = None, run_id: str | None = None) -> str:
        from pipelines.domain.errors import TradeSageError
        from pipelines.promotion.workspace import RunWorkspace

        runs = RunWorkspace(REPO)
        name = workspace_name(run_id)
        try:
            for note in runs.notes():
                print(note)
            for gone in runs.keep_latest(KEPT_WORKSPACES - 1, "training-"):
                print(f"removed the workspace of {gone}; its branch and results stay")
            if not runs.path(name).exists():  # it does when a person clears this task
                runs.create(name, (params or {}).get("overrides") or {})
        except TradeSageError as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        return str(runs.path(name))

    @task(
        retries=0,
        outlets=[Asset(CANDIDATE)],
        doc_md="Commits the run, registers its policy as a candidate and tells the promotion.",
    )
    def register(run_id: str | None = None, *, outlet_events=None) -> dict:
        from pipelines.domain.errors import TradeSageError
        from pipelines.params import load_params
        from pipelines.paths import Paths
        from pipelines.promotion.register import register_run
        from pipelines.promotion.workspace import RunWorkspace

        runs = RunWorkspace(REPO)
        paths = Paths(runs.path(workspace_name(run_id)))
        try:
            commit = runs.finish(paths.root, f"Train {paths.root.name}")
            params = load_params(paths.root / "params.yaml")
            version = register_run(paths, params, run=f"training/{run_id}", actor="airflow")
        except TradeSageError as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        outlet_events[Asset(CANDIDATE)].extra = {"version": version, "commit": commit}
        return {"version": version, "commit": commit}

    workspace = prepare()
    stages = yaml.safe_load((REPO / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    tasks = {
        name: BashOperator(
            task_id=name,
            bash_command=f"exec dvc repro --single-item {name} </dev/null",  # that socket leads to Airflow
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
