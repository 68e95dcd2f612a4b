"""The registry on a real MLflow in a real PostgreSQL."""

from pathlib import Path

import pytest

from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.domain.verdicts import Verdict
from pipelines.promotion.registry import BundleChanged, Registry, content_hash

VERDICTS = (Verdict("sharpe", False, 0.1, 0.5, "walk-forward", ("canary", "champion")),)


@pytest.fixture(scope="module")
def registry(own_postgres):
    from pipelines.journal.postgres import database_url

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
