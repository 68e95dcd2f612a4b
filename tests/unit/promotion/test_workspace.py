"""A run's workspace: one commit, its own parameters, the checkout's cache, and at the end a commit to stand by."""

import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from pipelines.domain.bars import IST
from pipelines.domain.compiled import FOLDER as COMPILED
from pipelines.domain.errors import BadInput, BadParams, NotFound
from pipelines.ingest.lake import Lake
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.promotion.workspace import RECORD, RunWorkspace, with_overrides
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
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
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


def test_machine_code_is_kept_where_the_checkout_keeps_it(repo):
    path = RunWorkspace(repo).create("run", {})

    (path / COMPILED / "kept.nbc").write_text("code", encoding="utf-8")
    RunWorkspace(repo).remove("run")

    assert (repo / COMPILED / "kept.nbc").read_text(encoding="utf-8") == "code"


def killed_while_making(repo: Path, calls: int) -> int:
    """Make the workspace `run` in a process that is killed after so many calls of git and DVC; its exit status."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from pipelines.promotion import workspace\n"
        "left, real = [int(sys.argv[2])], workspace._call\n"
        "def call(*arguments):\n"
        "    said = real(*arguments)\n"
        "    left[0] -= 1\n"
        "    if left[0] == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return said\n"
        "workspace._call = call\n"
        "workspace.RunWorkspace(Path(sys.argv[1])).create('run', {'policy.seed': 77})\n"
    )
    return subprocess.run([sys.executable, "-c", code, str(repo), str(calls)], check=False).returncode


def test_a_maker_killed_at_any_call_leaves_nothing_that_is_taken(repo):
    dvc(repo, "repro", "--quiet")  # so that making one restores tables, too
    git(repo, "add", "dvc.lock")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "computed")
    runs, calls = RunWorkspace(repo), 0

    while True:
        calls += 1
        status = killed_while_making(repo, calls)
        path = runs.prepare("run", {"policy.seed": 77})
        assert load_params(path / "params.yaml").policy.seed == 77
        assert git(repo, "worktree", "list").count("\n") == 1
        runs.check(path, {"policy.seed": 77})
        runs.remove("run")
        if status == 0:
            break

    assert calls > 4


def test_a_workspace_that_git_was_killed_over_is_made_anew(repo, state):
    runs = RunWorkspace(repo)
    path = runs.path("run")
    git(repo, "worktree", "add", "--detach", str(path))
    (repo / ".git" / "worktrees" / "run" / "locked").write_text("initializing", encoding="utf-8")
    (repo / ".git" / "worktrees" / "run" / "index").unlink()
    (path / "dvc.yaml").unlink()

    made = runs.create("run", {"policy.seed": 77})

    assert made == path
    assert (path / "dvc.yaml").exists()
    assert load_params(path / "params.yaml").policy.seed == 77


def test_a_run_that_git_was_killed_over_and_lost_can_be_made(repo, state):
    runs = RunWorkspace(repo)
    path = runs.path("lost")
    git(repo, "worktree", "add", "--detach", str(path))
    (repo / ".git" / "worktrees" / "lost" / "locked").write_text("initializing", encoding="utf-8")
    shutil.rmtree(path)

    runs.create("lost", {})

    assert git(repo, "worktree", "list").count("\n") == 1


def test_a_workspace_that_lost_its_link_to_git_is_made_anew(repo, state):
    runs = RunWorkspace(repo)
    path = runs.create("run", {})
    (path / ".git").unlink()

    runs.prepare("run", {})

    assert (path / ".git").is_file()


def test_a_lake_run_read_up_to_another_time_is_not_finished(repo, state):
    lake = Lake(Paths(repo).lake)
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    runs = RunWorkspace(repo)
    path = runs.create("on-the-lake", {"ingest.source": "lake"})
    runs.check(path, {"ingest.source": "lake"})
    text = (path / "params.yaml").read_text(encoding="utf-8")
    params = with_overrides(text, {"ingest.as_of": "2026-01-05 18:00"})
    (path / "params.yaml").write_text(params, encoding="utf-8")

    with pytest.raises(BadInput, match=r"ingest.as_of is '2026-01-05 18:00', asked was '20"):
        runs.check(path)


def test_a_run_begun_again_keeps_what_it_has_computed(repo):
    runs = RunWorkspace(repo)
    path = runs.prepare("run", {"policy.seed": 77})
    dvc(path, "repro", "--quiet", "first")

    again = runs.prepare("run", {"policy": {"seed": 77}})

    assert (again / "data" / "first" / "days").exists()


def test_a_run_begun_again_with_other_overrides_is_made_anew(repo):
    runs = RunWorkspace(repo)
    runs.prepare("run", {"policy.seed": 77})

    again = runs.prepare("run", {"policy.seed": 78})

    assert load_params(again / "params.yaml").policy.seed == 78


@pytest.mark.parametrize(
    ("name", "before", "after", "told"),
    [
        ("params.yaml", "seed: 77", "seed: 23", r"policy.seed is 23, asked was 77"),
        ("params.yaml", "slippage_bps: 2.0", "slippage_bps: 0.0", r"evaluation.slippage_bps is 0.0, asked was 2.0"),
        ("params.yaml", "min_trades: 100", "", r"gates.min_trades is 'missing', asked was 100"),
        ("dvc.yaml", "mkdir -p data/second &&", "mkdir -p data/second;", r"dvc.yaml is not the commit's"),
    ],
)
def test_a_run_that_is_not_what_was_asked_is_not_finished(repo, name, before, after, told):
    runs = RunWorkspace(repo)
    path = runs.create("run", {"policy.seed": 77})
    dvc(path, "repro", "--quiet")
    text = (path / name).read_text(encoding="utf-8")
    assert before in text
    (path / name).write_text(text.replace(before, after), encoding="utf-8")

    with pytest.raises(BadInput, match=told):
        runs.finish(path, "Train run")

    assert git(repo, "branch", "--list", "runs/*") == ""


def test_a_run_is_held_against_overrides_as_they_were_asked(repo):
    runs = RunWorkspace(repo)
    path = runs.create("run", {"policy.seed": 77})

    runs.check(path, {"policy": {"seed": 77}})
    with pytest.raises(BadInput, match=r"policy.seed is 77, asked was 23"):
        runs.check(path, {})


def test_a_workspace_without_its_record_is_not_finished(repo):
    runs = RunWorkspace(repo)
    path = runs.create("run", {})
    dvc(path, "repro", "--quiet")
    (path / RECORD).unlink()

    with pytest.raises(BadInput, match="was not made whole"):
        runs.finish(path, "Train run")


def test_a_run_keeps_the_stages_of_its_commit_when_others_are_committed(repo):
    runs = RunWorkspace(repo)
    path = runs.create("run", {})
    (repo / "dvc.yaml").write_text(STAGES.replace("second", "third"), encoding="utf-8")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-am", "other stages")

    again = runs.prepare("run", {})
    runs.complete(again, dict(os.environ))
    runs.finish(again, "Train run")

    assert (path / "data" / "second" / "days").exists()
    assert not (path / "data" / "third").exists()


def test_a_stage_that_fails_at_the_end_is_told_with_its_last_words(repo):
    runs = RunWorkspace(repo)
    (repo / "dvc.yaml").write_text(STAGES.replace("cat data/first/days", "cat data/nowhere"), encoding="utf-8")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-am", "a stage that fails")
    path = runs.create("run", {})

    with pytest.raises(BadInput, match="data/nowhere"):
        runs.complete(path, dict(os.environ))
