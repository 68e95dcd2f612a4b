"""What tests share: a state folder of their own, and one small finished run of the pipeline."""

import copy
import os
import shutil
from pathlib import Path

import pytest
import yaml

from pipelines.params import Params, load_params
from pipelines.paths import Paths
from pipelines.stages import STAGES, stage_named

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"  #: real files; tests that want them skip where they are absent

#: A market small enough for tests: the planted edge is strong, so that few days hold enough trades
SMALL = {
    "ingest.simulated.days": 45,
    "ingest.simulated.instruments": 4,
    "ingest.simulated.edge_strength": 3.0,
    "regimes.refits": 2,
    "policy.folds": 3,
    "policy.trees": 40,
    "policy.min_leaf": 40,
    "evaluation.folds": 2,
    "evaluation.turns": 40,
    "evaluation.prior_trials": 1,  # nothing else was tried on this small market, which has 26 days to be judged on
    "evaluation.bootstraps": 200,
    "executor.halt.losses_in_a_row": 1000,  # a test's day goes on through losses; the kill switch has its own tests
}


def params_content(overrides: dict[str, object]) -> dict:
    """The shipped `params.yaml` with some numbers changed, by dotted key."""
    content = copy.deepcopy(yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")))
    for key, value in overrides.items():
        *sections, last = key.split(".")
        place = content
        for section in sections:
            place = place[section]
        assert last in place, key
        place[last] = value
    return content


def workspace_at(folder: Path, overrides: dict[str, object]) -> tuple[Paths, Params]:
    """A folder with a `params.yaml` of its own, in which stages can run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params_content(overrides)), encoding="utf-8")
    return Paths(folder), load_params(folder / "params.yaml")


def run_stages(paths: Paths, params: Params, stages: tuple[str, ...] = STAGES) -> None:
    for stage in stages:
        stage_named(stage)(params, paths)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> tuple[Paths, Params]:
    """One finished run on a small simulated market; tests read it and change nothing."""
    paths, params = workspace_at(tmp_path_factory.mktemp("small_run"), SMALL)
    run_stages(paths, params)
    return paths, params


@pytest.fixture(scope="session")
def own_postgres():
    """A state folder with its own embedded PostgreSQL, ended with the tests; short, since socket paths are limited."""
    import tempfile

    from pipelines.journal.postgres import stop_embedded

    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    folder.chmod(0o755)
    before = os.environ.get("TRADESAGE_STATE")
    os.environ["TRADESAGE_STATE"] = str(folder)
    try:
        yield folder
        stop_embedded()
    finally:
        if before is None:
            os.environ.pop("TRADESAGE_STATE", None)
        else:
            os.environ["TRADESAGE_STATE"] = before
        shutil.rmtree(folder, ignore_errors=True)
