"""A run's workspace: one commit, its own parameters, the checkout's cache, and at the end a commit to stand by."""

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, BadParams, NotFound
from pipelines.ingest.lake import Lake
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.promotion.workspace import RunWorkspace, with_overrides
from tests.conftest import ROOT
from tests.unit.ingest.lake_builders import a_piece, some_bars

PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
#: Two stages that copy a number, in place of the pipeline's: what is tested here is the workspace
STAGES = """stages:
  first:
    cmd: mkdir -p data/first && grep days params.yaml > data/first/days
    params: [ingest.simulated.days]
    outs: [data/first]
  second:
    cmd: mkdir -p data/second && cat data/first/days > data/second/days
    deps: [data/first]
    outs: [data/second]
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def dvc(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # no identity and no settings of the person who runs the tests
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return tmp_path / "state"


@pytest.fixture
def repo(tmp_path, state) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (folder / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (folder / ".gitignore").write_text("/data\n.dvc/cache/\n.dvc/tmp/\n.dvc/config.local\n", encoding="utf-8")
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "begin")
    return folder


def test_an_override_changes_its_line_and_no_other():
    text = with_overrides(PARAMS, {"ingest.simulated.days": 40, "gates": {"min_sharpe": 1.5}})

    changed = [(a, b) for a, b in zip(PARAMS.splitlines(), text.splitlines(), strict=True) if a != b]
    assert [b.split("#")[0].strip() for _, b in changed] == ["days: 40", "min_sharpe: 1.5"]
    assert all("#" in b for _, b in changed)


def test_a_run_on_the_lake_is_pinned_to_what_is_known_when_it_is_made(repo, state):
    lake = Lake(Paths(repo).lake)
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    known = lake.pin().learnt_until

    path = RunWorkspace(repo).create("on-the-lake", {"ingest.source": "lake"})
    lake.store("kite", a_piece(some_bars([(1, 101.0)]), origin="b.csv"))

    params = load_params(path / "params.yaml").ingest
    assert params.as_of == known
    assert len(Lake(Paths(path).lake).pin(params.as_of).entries) == 1


def test_a_pin_that_was_chosen_stays(repo, state):
    path = RunWorkspace(repo).create("pinned", {"ingest.source": "lake", "ingest.as_of": "2026-01-05 18:00"})

    assert load_params(path / "params.yaml").ingest.as_of == datetime(2026, 1, 5, 18, 0, tzinfo=IST)


def test_a_run_on_an_empty_lake_is_refused(repo, state):
    with pytest.raises(BadInput, match=r"is empty; run: tradesage collect"):
        RunWorkspace(repo).create("empty", {"ingest.source": "lake"})


def test_an_overridden_date_stays_text_as_dvc_demands():
    text = with_overrides(PARAMS, {"ingest.simulated.end": "2026-09-30"})

    assert yaml.safe_load(text)["ingest"]["simulated"]["end"] == "2026-09-30"


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"ingest.simulated.dayz": 40}, "ingest.simulated.dayz"),
        ({"nowhere": {"days": 40}}, "nowhere.days"),
        ({"ingest.source.kind": 1}, "ingest.source.kind"),
        ({"ingest.simulated.days": -1}, "ingest.simulated.days"),
        ({"ingest.source": "satellite"}, "ingest.source"),
    ],
)
def test_a_wrong_override_is_refused_by_its_name_before_anything_is_written(repo, state, overrides, named):
    with pytest.raises(BadParams, match=named):
        RunWorkspace(repo).create("run", overrides)

    assert not (state / "runs").exists()
    assert git(repo, "worktree", "list").count("\n") == 0


@pytest.mark.parametrize("name", ["", "../up", "a b", "-x", "a/b", "x" * 81, "ends.lock"])
def test_a_name_that_is_no_folder_and_branch_is_refused(repo, name):
    with pytest.raises(BadParams, match="run name"):
        RunWorkspace(repo).create(name, {})


def test_a_run_is_computed_in_its_own_folder_and_ends_as_a_commit_that_is_up_to_date(repo, state):
    runs = RunWorkspace(repo)
    before = git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD")

    path = runs.create("first-run", {"ingest.simulated.days": 40})
    dvc(path, "repro", "--quiet")
    commit = runs.finish(path, "Train first-run")

    assert path == state / "runs" / "first-run"
    assert load_params(path / "params.yaml").ingest.simulated.days == 40
    assert git(repo, "rev-parse", "runs/first-run") == commit
    assert git(repo, "show", "--name-only", "--format=", commit).split() == ["dvc.lock", "params.yaml"]
    assert "up to date" in dvc(path, "repro")
    assert runs.finish(path, "Train first-run") == commit
    assert git(repo, "branch", "--list", "runs/*", "--format", "%(refname:short)") == "runs/first-run"
    assert (git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD")) == before


def test_a_run_with_a_missing_stage_is_not_finished(repo):
    runs = RunWorkspace(repo)
    path = runs.create("run", {})
    dvc(path, "repro", "--quiet", "first")

    with pytest.raises(NotFound, match="no result of second"):
        runs.finish(path, "Train run")


def test_a_removed_name_can_be_used_again_with_the_shared_cache_and_the_older_commit_stays(repo):
    runs = RunWorkspace(repo)
    said, commits = [], []
    for days in (40, 40):
        path = runs.create("demo", {"ingest.simulated.days": days, "ingest.simulated.seed": len(commits)})
        said.append(dvc(path, "repro"))
        commits.append(runs.finish(path, "Train demo"))
        runs.remove("demo")

    assert [git(repo, "rev-parse", name) for name in ("runs/demo", "runs/demo-2")] == commits
    assert ["is cached - skipping run" in words for words in said] == [False, True]


def test_a_cache_that_this_machine_chose_is_shared(repo, tmp_path):
    (repo / ".dvc" / "config.local").write_text(
        "[cache]\n    dir = ../../elsewhere\n    type = copy\n", encoding="utf-8"
    )

    path = RunWorkspace(repo).create("run", {})

    assert dvc(path, "cache", "dir") == str(tmp_path / "elsewhere")


def test_a_taken_name_is_refused(repo):
    runs = RunWorkspace(repo)
    runs.create("run", {})

    with pytest.raises(BadInput, match="is there already"):
        runs.create("run", {})


def test_only_the_newest_workspaces_are_kept(repo):
    runs = RunWorkspace(repo)
    for name in ("training-1", "training-2", "demo", "training-3"):
        runs.create(name, {})

    gone = runs.keep_latest(2, "training-")

    assert gone == ("training-1",)
    assert [runs.path(name).exists() for name in ("training-2", "demo", "training-3")] == [True] * 3


def test_what_is_not_committed_is_told(repo):
    (repo / "params.yaml").write_text(PARAMS + "\n", encoding="utf-8")

    notes = RunWorkspace(repo).notes()

    assert notes == ("not committed, so not part of the run: params.yaml",)


def test_a_folder_without_git_is_refused_in_one_line(tmp_path, state):
    (tmp_path / "plain").mkdir()

    with pytest.raises(BadInput, match="needs a git clone"):
        RunWorkspace(tmp_path / "plain").create("run", {})


def test_compiled_functions_of_the_same_source_are_taken_along(repo):
    package = repo / "pipelines" / "features"
    package.mkdir(parents=True)
    for name in ("same", "edited"):
        (package / f"{name}.py").write_text("a = 1\n", encoding="utf-8")
    (repo / ".gitignore").write_text("__pycache__/\n.dvc/config.local\n", encoding="utf-8")
    git(repo, "add", ".")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "sources")
    (package / "edited.py").write_text("a = 2\n", encoding="utf-8")
    (package / "__pycache__").mkdir()
    for name in (
        "same.run-1.py311.nbi",
        "same.run-1.py311.1.nbc",
        "edited.run-1.py311.nbi",
        "edited.run-1.py311.1.nbc",
    ):
        (package / "__pycache__" / name).write_text(name, encoding="utf-8")
        os.utime(package / "__pycache__" / name, (0, 0))

    path = RunWorkspace(repo).create("run", {})

    carried = sorted(each.name for each in (path / "pipelines" / "features" / "__pycache__").iterdir())
    assert carried == ["same.run-1.py311.1.nbc", "same.run-1.py311.nbi"]
