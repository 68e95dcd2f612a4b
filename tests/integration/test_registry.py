"""The registry on a real MLflow in a real PostgreSQL."""

import subprocess
from pathlib import Path

import pytest

from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.domain.verdicts import Verdict
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.promotion.ladder import Promotion, Refusal, Stage, promote
from pipelines.promotion.register import commit_of, register_run
from pipelines.promotion.registry import BundleChanged, Registry, content_hash, default_registry
from pipelines.tables import write_json, write_text
from tests.conftest import workspace_at

VERDICTS = (Verdict("sharpe", False, 0.1, 0.5, "walk-forward", ("canary", "champion")),)


@pytest.fixture(scope="module")
def registry(own_postgres):
    return Registry(database_url("mlflow"), own_postgres / "mlflow" / "artifacts", "test-registry")


def a_bundle(folder: Path, text: str = "tree") -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"version": "0123456789ab"}', encoding="utf-8")
    (folder / "trade_model_probability.txt").write_text(text, encoding="utf-8")
    return folder


def register(registry: Registry, bundle: Path, **changes) -> str:
    named = {"params": {"policy.trees": 40}, "metrics": {"sharpe": 0.1}, "commit": "abc", "verdicts": VERDICTS}
    return registry.register(bundle, **(named | changes))


def test_the_same_bundle_with_the_same_evidence_keeps_its_version(registry, tmp_path):
    first = register(registry, a_bundle(tmp_path / "first", "same"))

    again = register(registry, a_bundle(tmp_path / "again", "same"))
    other_commit = register(registry, a_bundle(tmp_path / "third", "same"), commit="def")
    other_content = register(registry, a_bundle(tmp_path / "fourth", "other"))

    assert again == first
    assert len({first, other_commit, other_content}) == 3


def test_what_is_fetched_is_what_was_registered(registry, tmp_path):
    bundle = a_bundle(tmp_path / "bundle", "fetched")
    version = register(registry, bundle)
    registry.move("paper", version)

    fetched = registry.fetch("paper", tmp_path / "served")

    assert content_hash(fetched) == content_hash(bundle)
    assert registry.version_at("paper") == version
    assert registry.verdicts(version) == VERDICTS
    assert registry.tags(version)["commit"] == "abc"


def test_an_alias_moves_at_once_and_can_be_taken_away(registry, tmp_path):
    first = register(registry, a_bundle(tmp_path / "first", "one"))
    second = register(registry, a_bundle(tmp_path / "second", "two"))

    seen = []
    for version in (first, second, first):
        registry.move("shadow", version)
        seen.append(registry.version_at("shadow"))
    registry.remove("shadow")
    registry.remove("shadow")

    assert seen == [first, second, first]
    assert registry.version_at("shadow") is None


def test_changed_files_are_refused_and_the_old_policy_stays(registry, tmp_path, own_postgres):
    version = register(registry, a_bundle(tmp_path / "bundle", "to be changed"))
    served = a_bundle(tmp_path / "served", "old")
    for path in (own_postgres / "mlflow").rglob("trade_model_probability.txt"):
        if path.read_text(encoding="utf-8") == "to be changed":
            path.write_text("changed", encoding="utf-8")

    with pytest.raises(BundleChanged, match="changed after registration"):
        registry.fetch(version, served)

    assert (served / "trade_model_probability.txt").read_text(encoding="utf-8") == "old"


def test_files_and_hash_changed_together_are_refused_by_the_hash_that_the_ladder_recorded(
    registry, tmp_path, own_postgres
):
    version = register(registry, a_bundle(tmp_path / "bundle", "to be changed with its hash"))
    recorded = registry.tags(version)["content_sha256"]
    for path in (own_postgres / "mlflow").rglob("trade_model_probability.txt"):
        if path.read_text(encoding="utf-8") == "to be changed with its hash":
            path.write_text("changed", encoding="utf-8")
            registry.tag(version, "content_sha256", content_hash(path.parent))

    with pytest.raises(BundleChanged, match=recorded[:12]):
        registry.fetch(version, tmp_path / "served", content=recorded)

    assert not (tmp_path / "served").exists()


def test_without_a_model_no_alias_names_anything(own_postgres, tmp_path):
    empty = Registry(database_url("mlflow"), tmp_path, "never-registered")

    assert empty.version_at("paper") is None
    assert empty.aliases() == {}


def test_what_is_not_there_is_named(registry, tmp_path):
    register(registry, a_bundle(tmp_path / "bundle", "named"))

    with pytest.raises(NotFound, match="version 9999 of test-registry"):
        registry.fetch("9999", tmp_path / "served")
    with pytest.raises(NotFound, match="stands at 'champion'"):
        registry.fetch("champion", tmp_path / "served")
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
    )
    client = MlflowClient(registry._uri)

    run = client.get_run(client.get_model_version("test-registry", version).run_id)
    shown = {file.path for folder in ("plots", "evidence") for file in client.list_artifacts(run.info.run_id, folder)}

    assert run.data.params == {"policy.trees": "40"}
    assert run.data.metrics["sharpe"] == 0.1
    assert len(client.get_metric_history(run.info.run_id, "equity_policy")) == 3
    assert shown == {"plots/evaluation.html", "evidence/verdicts.json"}
    assert run.info.status == "FINISHED"
    assert credential("policy_token") not in str(run.to_dictionary())


def a_finished_run(folder: Path) -> tuple[Paths, Params]:
    """A workspace as `dvc repro` leaves it, committed."""
    paths, params = workspace_at(folder, {"promotion.model": "test-register-run"})
    a_bundle(paths.bundle)
    write_json({"sharpe": 0.1, "sharpe_ci": [-0.5, 0.7], "profit_factor": None}, paths.reports / "evaluation.json")
    write_json([verdict.as_dict() for verdict in VERDICTS], paths.verdicts)
    write_text("day,policy,buy_and_hold\n2026-10-29,1.0,1.0\n2026-10-30,1.01,0.99\n", paths.reports / "equity.csv")
    write_text("fit,feature,score\n0,rsi_14,0.9\n", paths.reports / "importance.csv")
    write_json({"fits": 1, "proposed_for_dropping": []}, paths.reports / "selection.json")
    write_text("schema: '2.0'\n", folder / "dvc.lock")
    for command in (
        ("git", "init", "--quiet"),
        ("git", "add", "params.yaml", "dvc.lock"),
        ("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "Run"),
    ):
        subprocess.run(command, cwd=folder, check=True)
    return paths, params


def test_a_finished_run_is_registered_once_and_is_the_candidate(own_postgres, tmp_path):
    paths, params = a_finished_run(tmp_path / "run")

    version = register_run(paths, params)
    again = register_run(paths, params)
    registry, journal = default_registry(params), journal_at(database_url("journal"))
    tags = registry.tags(version)

    assert again == version
    assert registry.version_at("candidate") == version
    assert [(event["version"], event["to_stage"]) for event in journal.policy_events(registry.model)] == [
        (version, "candidate")
    ]
    assert tags["commit"] == commit_of(paths.root)
    assert tags["uncommitted_inputs"] == "no"
    assert tags["planted_edge"] == "momentum"
    assert tags["kept_from_canary_by"] == "sharpe"


def test_a_registered_run_shows_the_importance_of_its_features(own_postgres, tmp_path):
    from mlflow import MlflowClient

    paths, params = a_finished_run(tmp_path / "run")
    registry = default_registry(params)
    client = MlflowClient(registry._uri)

    version = register_run(paths, params)

    run = client.get_model_version(registry.model, version).run_id
    shown = {file.path for folder in ("plots", "evidence") for file in client.list_artifacts(run, folder)}
    assert {"plots/importance.csv", "evidence/selection.json"} <= shown


def test_a_run_climbs_and_is_refused_with_its_record_in_the_journal(own_postgres, tmp_path):
    paths, params = a_finished_run(tmp_path / "run")
    version = register_run(paths, params)
    registry, journal = default_registry(params), journal_at(database_url("journal"))
    before = len(journal.policy_events(registry.model))

    paper = promote(registry, journal, version, Stage.PAPER, VERDICTS, "demo", "demonstration")
    canary = promote(registry, journal, version, Stage.CANARY, VERDICTS, "asha", "hopeful", approved_by="asha")
    events = journal.policy_events(registry.model)[before:]

    assert isinstance(paper, Promotion)
    assert isinstance(canary, Refusal)
    assert registry.aliases() == {"candidate": version, "paper": version}
    assert [(event["from_stage"], event["to_stage"], event["actor"]) for event in events] == [
        ("candidate", "paper", "demo")
    ]
    assert journal.audit_broken_at() is None


def test_a_run_that_is_not_finished_names_what_is_missing(own_postgres, tmp_path):
    paths, params = workspace_at(tmp_path / "empty", {})

    with pytest.raises(NotFound, match=r"evaluation\.json is not there"):
        register_run(paths, params)
