"""The DVC cache loses what nothing needs, and nothing else."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from pipelines.promotion.cache_cleaning import clean_cache
from pipelines.promotion.workspace import RunWorkspace
from tests.unit.promotion.test_workspace import dvc, git, repo, state  # noqa: F401 - fixtures

OBJECTS = Path(".dvc", "cache", "files", "md5")


def commit(repo: Path) -> None:  # noqa: F811
    git(repo, "add", "--all")
    git(repo, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "-m", "more")


def made_with(folder: Path, days: int) -> None:
    params = (folder / "params.yaml").read_text(encoding="utf-8").splitlines()
    changed = [f"    days: {days}" if line.startswith("    days: ") else line for line in params]
    (folder / "params.yaml").write_text("\n".join(changed) + "\n", encoding="utf-8")
    dvc(folder, "repro", "--quiet")


def objects(repo: Path) -> set[str]:  # noqa: F811
    return {str(path.relative_to(repo / OBJECTS)) for path in (repo / OBJECTS).glob("??/*")}


def restored(folder: Path) -> bool:
    """Whether all that the lock names comes back from the cache."""
    subprocess.run(["rm", "-rf", "data"], cwd=folder, check=True)
    dvc(folder, "checkout", "--quiet")
    return (folder / "data" / "second" / "days").exists()


def test_what_neither_commit_nor_workspace_names_goes(repo):  # noqa: F811
    made_with(repo, 40)
    commit(repo)
    kept = objects(repo)
    made_with(repo, 41)
    git(repo, "checkout", "--quiet", "--", "params.yaml", "dvc.lock")

    cleaned = clean_cache(repo, (), grace_days=-1.0)

    assert cleaned.files > 0
    assert objects(repo) == kept
    assert restored(repo)


def test_a_commit_that_is_no_longer_the_last_keeps_its_tables(repo):  # noqa: F811
    for days in (40, 41):
        made_with(repo, days)
        commit(repo)

    clean_cache(repo, (), grace_days=-1.0)
    git(repo, "checkout", "--quiet", "HEAD~1")

    assert restored(repo)


def test_a_run_keeps_its_tables_on_its_branch_and_in_its_workspace(repo):  # noqa: F811
    runs = RunWorkspace(repo)
    finished, running = runs.create("finished", {"ingest.simulated.days": 50}), runs.create("running", {})
    dvc(finished, "repro", "--quiet")
    done = runs.finish(finished, "Train finished")
    runs.remove("finished")
    dvc(running, "repro", "--quiet")

    clean_cache(repo, runs.all(), grace_days=-1.0)

    assert restored(running)
    git(repo, "checkout", "--quiet", done)
    assert restored(repo)


def test_what_was_written_lately_stays(repo):  # noqa: F811
    made_with(repo, 40)
    (repo / "dvc.lock").unlink()

    assert clean_cache(repo, ()).files == 0


@pytest.mark.parametrize("days", [1, 30])
def test_age_counts_in_days(repo, days):  # noqa: F811
    made_with(repo, 40)
    (repo / "dvc.lock").unlink()
    for path in (repo / OBJECTS).glob("??/*"):
        os.utime(path, (time.time() - days * 86_400,) * 2)

    cleaned = clean_cache(repo, (), grace_days=7.0)

    assert (cleaned.files > 0) is (days == 30)


def test_a_cache_that_others_may_share_is_left_alone(repo, tmp_path):  # noqa: F811
    dvc(repo, "cache", "dir", "--local", str(tmp_path / "elsewhere"))
    made_with(repo, 40)
    (repo / "dvc.lock").unlink()

    assert clean_cache(repo, (), grace_days=-1.0).files == 0
