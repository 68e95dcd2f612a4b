"""The registry on a real MLflow in a real PostgreSQL."""

import threading
from pathlib import Path
from urllib.parse import urlparse

import pytest

from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.domain.verdicts import Verdict
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.params import Params, load_params
from pipelines.paths import Paths
from pipelines.promotion.ladder import Promotion, Refusal, Stage, promote
from pipelines.promotion.provenance import NotOfThisRun
from pipelines.promotion.register import register_run
from pipelines.promotion.registration import registration_of, why_not_offered
from pipelines.promotion.registry import BundleChanged, Registry, Stored, content_hash, default_registry, fetch, restore
from tests.conftest import workspace_at
from tests.small_runs import change_params, commit, committed_run, copy_of, git, repro

__all__ = ["committed_run"]

VERDICTS = (Verdict("sharpe", False, 0.1, 0.5, "walk-forward", ("canary", "champion")),)


@pytest.fixture(scope="module")
def registry(own_postgres):
    return Registry(database_url("mlflow"), own_postgres / "mlflow" / "artifacts", "test-registry")


def a_bundle(folder: Path, text: str = "tree") -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"version": "0123456789ab"}', encoding="utf-8")
    (folder / "trade_model_probability.txt").write_text(text, encoding="utf-8")
    return folder


def register(registry: Registry, bundle: Path, **changes) -> Stored:
    named = {"params": {"policy.trees": 40}, "metrics": {"sharpe": 0.1}, "commit": "abc", "verdicts": VERDICTS}
    return registry.register(bundle, **(named | changes))


def files_of(stored: Stored) -> Path:
    return Path(urlparse(stored.artifact).path) / "bundle"


def test_what_is_fetched_is_what_was_registered(registry, tmp_path):
    bundle = a_bundle(tmp_path / "bundle", "fetched")
    stored = register(registry, bundle)

    fetched = fetch(stored.artifact, stored.content, tmp_path / "served")

    assert content_hash(fetched) == content_hash(bundle) == stored.content
    assert registry.tags(stored.version)["commit"] == "abc"


def test_an_alias_moves_at_once_and_can_be_taken_away(registry, tmp_path):
    first = register(registry, a_bundle(tmp_path / "first", "one")).version
    second = register(registry, a_bundle(tmp_path / "second", "two")).version

    seen = []
    for version in (first, second, first):
        registry.move("shadow", version)
        seen.append(registry.version_at("shadow"))
    registry.remove("shadow")
    registry.remove("shadow")

    assert seen == [first, second, first]
    assert registry.version_at("shadow") is None


@pytest.mark.parametrize("change", ["edited", "removed", "added"])
def test_changed_files_are_refused_and_what_was_fetched_before_stays(registry, tmp_path, change):
    stored = register(registry, a_bundle(tmp_path / "bundle", f"to be {change}"))
    served = a_bundle(tmp_path / "served", "old")
    path = files_of(stored) / "trade_model_probability.txt"
    match change:
        case "edited":
            path.write_text("changed", encoding="utf-8")
        case "removed":
            path.unlink()
        case "added":
            (path.parent / "more.txt").write_text("more", encoding="utf-8")

    with pytest.raises(BundleChanged, match="changed after registration"):
        fetch(stored.artifact, stored.content, served)
    restore(stored.artifact, tmp_path / "bundle")
    restored = fetch(stored.artifact, stored.content, tmp_path / "restored")

    assert (served / "trade_model_probability.txt").read_text(encoding="utf-8") == "old"
    assert content_hash(restored) == stored.content


def test_files_that_are_gone_are_told_as_that(registry, tmp_path):
    import shutil

    stored = register(registry, a_bundle(tmp_path / "bundle", "to be gone"))
    shutil.rmtree(files_of(stored))

    with pytest.raises(BundleChanged, match="its files are no longer there"):
        fetch(stored.artifact, stored.content, tmp_path / "served")


def test_files_are_found_without_mlflows_tables(registry, tmp_path):
    from mlflow import MlflowClient

    own = Registry(registry._uri, registry._root, "to-be-deleted")
    stored = register(own, a_bundle(tmp_path / "bundle", "kept"))
    MlflowClient(own._uri, own._uri).delete_registered_model("to-be-deleted")

    fetched = fetch(stored.artifact, stored.content, tmp_path / "served")

    assert content_hash(fetched) == stored.content


def test_an_experiment_deleted_in_mlflow_is_taken_up_again(registry, tmp_path):
    from mlflow import MlflowClient

    own = Registry(registry._uri, registry._root, "with-a-deleted-experiment")
    first = register(own, a_bundle(tmp_path / "first", "before"))
    client = MlflowClient(own._uri, own._uri)
    client.delete_experiment(client.get_experiment_by_name(own.model).experiment_id)

    second = register(own, a_bundle(tmp_path / "second", "after"))

    assert (first.version, second.version) == ("1", "2")


def test_without_a_model_no_alias_names_anything(own_postgres, tmp_path):
    empty = Registry(database_url("mlflow"), tmp_path, "never-registered")

    assert empty.version_at("paper") is None
    assert empty.aliases() == {}


def test_what_is_not_there_is_named(registry, tmp_path):
    register(registry, a_bundle(tmp_path / "bundle", "named"))

    with pytest.raises(NotFound, match="version 9999 of test-registry"):
        registry.tags("9999")
    with pytest.raises(NotFound, match="version 9999"):
        registry.move("paper", "9999")
    with pytest.raises(NotFound, match="holds no policy"):
        register(registry, tmp_path / "nowhere")


def test_a_failed_registration_leaves_a_failed_run_and_no_version(registry, tmp_path):
    before = registry.versions()

    with pytest.raises((ServiceUnavailable, OSError)):
        register(registry, a_bundle(tmp_path / "bundle", "broken"), files=[tmp_path / "absent.json"])

    assert registry.versions() == before


def test_the_run_shows_its_evidence_and_no_secret(registry, tmp_path):
    from mlflow import MlflowClient

    from pipelines.credentials import credential

    report = tmp_path / "evaluation.html"
    report.write_text("<p>report</p>", encoding="utf-8")
    version = register(
        registry, a_bundle(tmp_path / "bundle", "shown"), plots=[report], series={"equity_policy": [1.0, 1.1, 1.2]}
    ).version
    client = MlflowClient(registry._uri)

    run = client.get_run(client.get_model_version("test-registry", version).run_id)
    shown = {file.path for folder in ("plots", "evidence") for file in client.list_artifacts(run.info.run_id, folder)}

    assert run.data.params == {"policy.trees": "40"}
    assert run.data.metrics["sharpe"] == 0.1
    assert len(client.get_metric_history(run.info.run_id, "equity_policy")) == 3
    assert shown == {"plots/evaluation.html", "evidence/verdicts.json"}
    assert run.info.status == "FINISHED"
    assert credential("policy_token") not in str(run.to_dictionary())


def a_run(committed: Path, folder: Path, model: str = "test-register-run") -> tuple[Paths, Params]:
    """A finished, committed run of its own model."""
    run = copy_of(committed, folder)
    if model != "test-register-run":
        change_params(run, promotion__model=model)
        commit(run, "A model of its own")
    return Paths(run), load_params(run / "params.yaml")


def events_of(params: Params) -> list[dict]:
    return journal_at(database_url("journal")).policy_events(params.promotion.model)


def test_a_finished_run_is_registered_once_and_is_the_candidate(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run")

    version = register_run(paths, params)
    again = register_run(paths, params)
    registry, events = default_registry(params), events_of(params)
    registration = registration_of(events, version)

    assert again == version
    assert registry.version_at("candidate") == version
    assert [(event["version"], event["to_stage"]) for event in events] == [(version, "candidate")]
    assert registration.commit == git(paths.root, "rev-parse", "HEAD") == registry.tags(version)["commit"]
    assert (registration.source, registration.planted_edge) == ("simulated", "momentum")
    assert registration.metrics["sharpe"] == pytest.approx(0.8)
    assert [verdict.gate for verdict in registration.verdicts] == ["largest position", "sharpe"]
    assert journal_at(database_url("journal")).audit_broken_at() is None


def test_a_run_that_changes_nothing_gets_the_version_that_is_there(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-same-content")
    first = register_run(paths, params, run="training/1")
    commit(paths.root, "Nothing changed")

    second = register_run(paths, params, run="training/2")

    assert second == first
    assert len(events_of(params)) == 1
    assert registration_of(events_of(params), first).run == "training/1"


def test_other_figures_limits_or_files_are_another_version(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-other-content")
    versions = [register_run(paths, params)]
    for changes in ({"gates__min_sharpe": 0.7}, {"evaluation__slippage_bps": 3}, {"policy__trees": 41}):
        change_params(paths.root, **changes)
        repro(paths.root)
        commit(paths.root)
        versions.append(register_run(paths, params))

    assert versions == ["1", "2", "3", "4"]


def test_a_training_run_makes_a_version_a_candidate_for_paper(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-offered")

    version = register_run(paths, params)
    by_hand = registration_of(events_of(params), version)
    same = register_run(paths, params, run="training/1", actor="airflow")
    by_training = registration_of(events_of(params), version)

    assert same == version
    assert "a person must promote it" in why_not_offered(by_hand)
    assert why_not_offered(by_training, "training/1") is None


def test_an_uncommitted_run_gets_its_commit_when_it_is_committed(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-committed-later")
    change_params(paths.root, policy__trees=42)
    repro(paths.root)

    version = register_run(paths, params)
    before = registration_of(events_of(params), version).commit
    made = commit(paths.root)
    same = register_run(paths, params)

    assert (before, same) == (None, version)
    assert registration_of(events_of(params), version).commit == made


def test_a_commit_that_was_lost_is_replaced_by_one_that_is_there(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-lost-commit")
    version = register_run(paths, params)
    git(paths.root, "checkout", "--quiet", "--orphan", "anew")
    made = commit(paths.root, "The same without its past")
    git(paths.root, "branch", "--quiet", "-D", "main")
    git(paths.root, "reflog", "expire", "--expire=now", "--all")
    git(paths.root, "gc", "--quiet", "--prune=now")

    same = register_run(paths, params)
    (paths.root / "dvc.lock").unlink()
    without_dvc = register_run(paths, params)

    assert same == without_dvc == version
    assert registration_of(events_of(params), version).commit == made


def test_two_registrations_at_once_make_one_version(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-at-once")
    versions, began = [], threading.Barrier(3)

    def registered() -> None:
        began.wait()
        versions.append(register_run(paths, params, default_registry(params), journal_at(database_url("journal"))))

    threads = [threading.Thread(target=registered) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert versions == ["1", "1", "1"]
    assert default_registry(params).versions() == ("1",)
    assert len(events_of(params)) == 1


def test_another_runs_figures_are_refused_and_nothing_is_registered(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-other-figures")
    change_params(paths.root, evaluation__slippage_bps=0)
    repro(paths.root)
    git(paths.root, "checkout", "--quiet", "--", "params.yaml", "dvc.lock")

    with pytest.raises(NotOfThisRun, match=r"evaluation: reports/evaluation\.json is not what the dvc\.lock of commit"):
        register_run(paths, params)

    assert default_registry(params).versions() == ()
    assert events_of(params) == []


def test_changed_files_of_a_version_are_put_back_by_registering_again(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-restored")
    version = register_run(paths, params)
    registration = registration_of(events_of(params), version)
    (Path(urlparse(registration.artifact).path) / "bundle" / "manifest.json").write_text("{}", encoding="utf-8")

    again = register_run(paths, params)

    assert again == version
    assert fetch(registration.artifact, registration.content, tmp_path / "served")


def test_a_registered_run_shows_the_importance_of_its_features(own_postgres, committed_run, tmp_path):
    from mlflow import MlflowClient

    paths, params = a_run(committed_run, tmp_path / "run", "test-shown")
    (paths.reports / "session.json").write_text('{"orders": 3}', encoding="utf-8")  # of no stage, so of no run
    registry = default_registry(params)
    client = MlflowClient(registry._uri)

    version = register_run(paths, params)

    run = client.get_model_version(registry.model, version).run_id
    shown = {file.path for folder in ("plots", "evidence") for file in client.list_artifacts(run, folder)}
    assert {"plots/importance.csv", "evidence/selection.json"} <= shown
    assert "evidence/session.json" not in shown


def test_a_run_climbs_and_is_refused_with_its_record_in_the_journal(own_postgres, committed_run, tmp_path):
    paths, params = a_run(committed_run, tmp_path / "run", "test-climbs")
    change_params(paths.root, gates__min_sharpe=0.9)
    repro(paths.root)
    commit(paths.root)
    version = register_run(paths, params)
    registry, journal = default_registry(params), journal_at(database_url("journal"))

    paper = promote(registry, journal, version, Stage.PAPER, "demo", "demonstration")
    canary = promote(registry, journal, version, Stage.CANARY, "asha", "hopeful", approved_by="asha")

    assert isinstance(paper, Promotion)
    assert isinstance(canary, Refusal)
    assert registry.aliases() == {"candidate": version, "paper": version}
    assert [(event["from_stage"], event["to_stage"], event["actor"]) for event in events_of(params)][1:] == [
        ("candidate", "paper", "demo")
    ]
    assert journal.audit_broken_at() is None


def test_a_run_that_is_not_finished_names_what_is_missing(own_postgres, tmp_path):
    paths, params = workspace_at(tmp_path / "empty", {})

    with pytest.raises(NotFound, match=r"evaluation\.json is not there"):
        register_run(paths, params)
