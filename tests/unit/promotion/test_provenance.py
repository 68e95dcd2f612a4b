"""A run is registered only if its files are what `dvc.lock` says, and `dvc.lock` is what its commit makes."""

from pathlib import Path

import pytest

from pipelines.paths import Paths
from pipelines.promotion.provenance import NotOfThisRun, provenance_of
from pipelines.promotion.workspace import RunWorkspace
from pipelines.tables import read_json, write_json
from tests.small_runs import change_params, commit, committed_run, copy_of, git, repro

__all__ = ["committed_run"]


@pytest.fixture
def run(committed_run, tmp_path) -> Path:
    return copy_of(committed_run, tmp_path / "run")


def refused(run: Path) -> str:
    with pytest.raises(NotOfThisRun) as error:
        provenance_of(Paths(run))
    assert "\n" not in str(error.value)
    assert "run `dvc repro`, commit params.yaml and dvc.lock, and register again" in str(error.value)
    return str(error.value)


def restore(run: Path) -> None:
    """The checkout looks as if nothing had been run."""
    git(run, "checkout", "--quiet", "--", "params.yaml", "dvc.lock", "make.py", "sources", "dvc.yaml")
    assert git(run, "status", "--porcelain") == ""


def test_a_run_that_its_commit_makes_has_that_commit_and_its_params(run):
    provenance = provenance_of(Paths(run))

    assert provenance.commit == git(run, "rev-parse", "HEAD")
    assert provenance.params.promotion.model == "test-register-run"
    assert provenance.proves(run / "reports" / "evaluation.json")
    assert provenance.proves(run / "data" / "06_policy" / "bundle" / "manifest.json")
    assert not provenance.proves(run / "reports" / "session.json")


def test_another_run_left_beside_a_restored_checkout_is_refused(run):
    change_params(run, policy__min_probability=0.55)
    repro(run)
    restore(run)

    assert refused(run).startswith("policy: data/06_policy is not what the dvc.lock of commit ")


def test_a_run_without_slippage_left_beside_a_restored_checkout_is_refused(run):
    change_params(run, evaluation__slippage_bps=0)
    repro(run)
    restore(run)

    assert refused(run).startswith("evaluation: reports/evaluation.json is not what the dvc.lock of commit ")


def test_an_experiment_left_beside_a_restored_checkout_is_refused(run):
    repro(run, "exp", "run", "--quiet", "-S", "gates.min_sharpe=-5.0")
    restore(run)

    assert refused(run).startswith("gates: data/08_gates is not what")


def test_a_run_of_edited_sources_is_refused_though_its_lock_was_committed(run):
    (run / "sources" / "labels.py").write_text("# looks ahead\n", encoding="utf-8")
    repro(run)
    git(run, "add", "dvc.lock")
    git(run, "commit", "--quiet", "-m", "Only the lock")
    git(run, "checkout", "--quiet", "--", "sources")

    assert refused(run).startswith("policy: its source sources as committed is not what the dvc.lock of commit ")


def test_a_lock_of_an_earlier_commits_sources_is_refused(run):
    (run / "sources" / "fit.py").write_text("# another fit\n", encoding="utf-8")
    commit(run, "Another fit, not run")

    assert refused(run).startswith("policy: its source sources as committed is not what")


def test_a_lock_with_other_parameters_than_its_commit_is_refused(run):
    change_params(run, gates__min_sharpe=-5.0)
    commit(run, "Another limit, not run")

    assert refused(run).startswith("gates: the parameters gates (modified) are not those of the dvc.lock of commit ")


def test_a_source_that_the_commit_lacks_is_refused(run):
    git(run, "rm", "--quiet", "-r", "--cached", "sources")
    git(run, "commit", "--quiet", "-m", "Without the sources")

    assert refused(run).startswith("policy: its source sources as committed is not what")


def test_bars_in_a_folder_of_ones_own_need_not_be_committed(run):
    (run / "bars").mkdir()
    (run / "bars" / "SBIN.csv").write_text("day,close\n", encoding="utf-8")
    (run / ".git" / "info" / "exclude").write_text("bars/\n", encoding="utf-8")
    text = (run / "dvc.yaml").read_text(encoding="utf-8").replace("data/inbox", "bars")
    (run / "dvc.yaml").write_text(text, encoding="utf-8")
    change_params(run, ingest__folder="bars", ingest__source="files")
    repro(run)

    made = commit(run)

    assert provenance_of(Paths(run)).commit == made


def test_a_lock_of_another_command_is_refused(run):
    text = (run / "dvc.yaml").read_text(encoding="utf-8")
    (run / "dvc.yaml").write_text(text.replace("python make.py gates", "python make.py gates --soft"), encoding="utf-8")
    commit(run, "Another command, not run")

    assert refused(run).startswith("gates: its command in dvc.yaml is not that of")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("reports/evaluation.json", "evaluation: reports/evaluation.json is not"),
        ("reports/selection.json", "evaluation: reports/selection.json is not"),
        ("reports/equity.csv", "evaluation: reports/equity.csv is not"),
        ("data/08_gates/verdicts.json", "gates: data/08_gates is not"),
        ("data/06_policy/bundle/trade_model_probability.txt", "policy: data/06_policy is not"),
        ("data/06_policy/added.txt", "policy: data/06_policy is not"),
        ("data/01_raw/snapshot.json", "ingest: data/01_raw is not"),
    ],
)
def test_a_file_edited_by_hand_is_refused_by_stage_and_name(run, name, told):
    path = run / name
    path.unlink(missing_ok=True)  # DVC may have linked it to its cache
    path.write_text("{}", encoding="utf-8")

    assert refused(run).startswith(told)


def test_a_change_that_git_was_told_to_overlook_is_seen(run):
    git(run, "update-index", "--assume-unchanged", "params.yaml", "dvc.lock")
    change_params(run, evaluation__slippage_bps=0)
    repro(run)
    assert git(run, "status", "--porcelain") == ""

    assert provenance_of(Paths(run)).commit is None


def test_a_file_whose_size_and_times_were_kept_is_seen(run):
    import os

    path = run / "reports" / "evaluation.json"
    before, text = path.stat(), path.read_text(encoding="utf-8")
    path.write_text(text.replace("0.8", "9.8"), encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert path.read_text(encoding="utf-8") != text

    assert refused(run).startswith("evaluation: reports/evaluation.json")


def test_a_training_runs_workspace_is_proved_by_its_own_commit(run, tmp_path, monkeypatch):
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path / "state"))
    runs = RunWorkspace(run)
    workspace = runs.create("training-1", {"policy.trees": 41})
    with pytest.raises(NotOfThisRun, match="policy: the parameters policy"):
        provenance_of(Paths(workspace))  # its stages were marked as done and never ran

    repro(workspace)
    before = provenance_of(Paths(workspace)).commit
    made = runs.finish(workspace, "Train training-1")

    assert before is None
    assert provenance_of(Paths(workspace)).commit == made != git(run, "rev-parse", "HEAD")
    assert provenance_of(Paths(run)).commit == git(run, "rev-parse", "HEAD")


def test_an_uncommitted_run_is_whole_but_made_from_no_commit(run):
    change_params(run, evaluation__slippage_bps=0)
    repro(run)

    provenance = provenance_of(Paths(run))

    assert provenance.commit is None
    assert provenance.params.evaluation.slippage_bps == 0


def test_an_uncommitted_run_with_a_file_of_another_run_is_refused(run):
    change_params(run, evaluation__slippage_bps=0)
    repro(run)
    write_json(read_json(run / "reports" / "evaluation.json") | {"sharpe": 3.0}, run / "reports" / "evaluation.json")

    assert refused(run).startswith("evaluation: reports/evaluation.json is not what dvc.lock holds")


def test_parameters_edited_after_the_run_are_refused(run):
    change_params(run, gates__min_sharpe=-5.0)

    assert refused(run).startswith("gates: the parameters gates (modified) are not those of dvc.lock")


def test_a_lock_without_the_result_of_a_stage_is_refused(run):
    repro(run, "repro", "--quiet", "--force", "--single-item", "ingest")
    lock = (run / "dvc.lock").read_text(encoding="utf-8")
    start = lock.index("  gates:\n")
    end = next((at for name in ("ingest", "policy") if (at := lock.find(f"  {name}:\n", start)) > 0), len(lock))
    (run / "dvc.lock").write_text(lock[:start] + lock[end:], encoding="utf-8")

    told = refused(run)

    assert told.startswith("gates: ")


@pytest.mark.parametrize("name", ["data/06_policy/bundle/manifest.json", "reports/evaluation.json"])
def test_what_changes_after_it_was_proved_is_seen(run, name):
    paths = Paths(run)
    provenance = provenance_of(paths)
    provenance.prove_again(paths.bundle, paths.reports / "evaluation.json")

    (run / name).unlink()
    (run / name).write_text("{}", encoding="utf-8")

    with pytest.raises(NotOfThisRun, match="changed while it was registered"):
        provenance.prove_again(paths.bundle, paths.reports / "evaluation.json")


def test_outside_dvc_nothing_is_proved_and_no_commit_is_told(run, tmp_path):
    (run / "dvc.lock").unlink()

    provenance = provenance_of(Paths(run))

    assert (provenance.commit, provenance.locked) == (None, None)
