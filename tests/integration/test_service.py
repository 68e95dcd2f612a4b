"""The policy service as a real BentoML process on a real registry."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlparse

import httpx
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipelines.credentials import credential
from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import ServiceUnavailable
from pipelines.domain.signals import Action, FeatureRow
from pipelines.domain.verdicts import Verdict
from pipelines.features.catalogue import FEATURE_NAMES, catalogue_content
from pipelines.heads import heads_from
from pipelines.journal import journal_at
from pipelines.journal.journal import Journal
from pipelines.journal.postgres import database_url
from pipelines.policy.bundle import Bundle, Thresholds
from pipelines.policy.decide import decide
from pipelines.policy.fit import fit_policy
from pipelines.promotion.ladder import Promotion, Refusal, Stage, promote
from pipelines.promotion.registration import registration_of
from pipelines.promotion.registry import Registry, artifact_folder
from serving.executor.policy_client import PolicyClient
from serving.policy_reason import policy_trouble
from serving.process import free_port
from serving.processes import policy_process
from serving.wire import decision_from_wire, row_to_wire
from tests.conftest import params_content
from tests.unit.policy.builders import COSTS, PARAMS, SMALL, a_panel
from tests.unit.promotion.builders import registered as record

MODEL, ALIAS = "test-service", "paper"
VERDICTS = (Verdict("largest position", True, 0.08, 0.12, "share of equity", ("shadow", "paper")),)
EQUITY = Decimal("1000000.00")


@dataclass(frozen=True)
class Serving:
    """The running service, what it serves from, and the two policies it can serve."""

    client: httpx.Client
    registry: Registry
    journal: Journal
    bundles: dict[str, Bundle]  #: by registry version

    def post(self, path: str, content: dict, **options) -> httpx.Response:
        return self.client.post(path, json=content, **options)

    def decide(self, rows: list[FeatureRow]) -> httpx.Response:
        return self.post("/decide", {"rows": [row_to_wire(row) for row in rows], "equity_inr": str(EQUITY)})

    def serve(self, version: str, patience_s: float = 10.0) -> None:
        promoted(self.registry, version)
        deadline = time.monotonic() + patience_s
        while self.post("/describe", {}).json().get("registry_version") != version:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def serving(own_postgres, tmp_path_factory):
    from pipelines.params import params_from

    registry = Registry(database_url("mlflow"), artifact_folder(), MODEL)
    bundles = {}
    one = a_fitted_bundle()
    other = replace(one, thresholds=replace(one.thresholds, min_probability=0.51))
    for bundle in (one, other):
        bundles[registered(registry, bundle, tmp_path_factory.mktemp("policy"))] = bundle
    promoted(registry, next(iter(bundles)))
    params = params_from(params_content({"promotion.model": MODEL, "serving.alias": ALIAS}), "test")
    process = policy_process(params, port=free_port())
    process.env = {**process.env, "TRADESAGE_POLL_SECONDS": "0.2"}
    with process:
        process.wait_until_healthy(90)
        headers = {"Authorization": f"Bearer {credential('policy_token')}"}
        with httpx.Client(base_url=process.url, headers=headers, timeout=20, trust_env=False) as client:
            yield Serving(client, registry, journal_at(database_url("journal")), bundles)


def registered(registry: Registry, bundle: Bundle, folder: Path) -> str:
    """Given to MLflow and recorded in the journal, as a run is; its version."""
    bundle.save(folder / "bundle")
    stored = registry.register(folder / "bundle", params={}, metrics={}, verdicts=VERDICTS)
    record(
        journal_at(database_url("journal")), stored.version, MODEL, content=stored.content, artifact=stored.artifact,
        fingerprint=stored.content, policy_version=bundle.version, verdicts=VERDICTS, source="lake",
    )  # fmt: skip
    return stored.version


def until(true: Callable[[], bool], patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def promoted(registry: Registry, version: str) -> None:
    """Moved by the ladder, the only way in."""
    moved = promote(registry, journal_at(database_url("journal")), version, Stage(ALIAS), "engineer", "for the test")
    assert isinstance(moved, Promotion), str(moved)


def a_fitted_bundle() -> Bundle:
    """A policy fitted on a small made-up panel with every feature of the catalogue."""
    panel = a_panel(days=8, instruments=2, edge=0.5)
    rng = np.random.default_rng(1)
    table = panel.table.drop(columns=[name for name in panel.feature_names if name not in FEATURE_NAMES])
    names = [name for name in FEATURE_NAMES if name not in panel.table]
    values = pd.DataFrame(rng.standard_normal((len(table), len(names))), columns=names, index=table.index)
    panel = replace(panel, table=pd.concat([table, values], axis=1), catalogue=catalogue_content(Interval.MIN_15))
    return fit_policy(
        panel, heads_from(PARAMS.heads), SMALL.model_copy(update={"trees": 10}), COSTS, {"fits": []}
    ).bundle


def some_rows(bundle: Bundle, count: int, seed: int = 7) -> list[FeatureRow]:
    rng = np.random.default_rng(seed)
    names = bundle.inputs
    return [
        FeatureRow(
            symbol=f"S{i}",
            close_time=datetime(2026, 10, 30, 9, 30, tzinfo=IST),
            close=float(np.round(rng.uniform(100, 3000), 2)),
            tick_size=Decimal("0.05"),
            lot_size=1,
            catalogue_hash=bundle.catalogue_hash,
            values={
                name: float(abs(value)) for name, value in zip(names, rng.standard_normal(len(names)), strict=True)
            },
        )
        for i in range(count)
    ]


def test_it_decides_exactly_as_the_policy_does_here(serving):
    version, bundle = next(iter(serving.bundles.items()))
    serving.serve(version)
    rows = some_rows(bundle, 40)

    answer = serving.decide(rows)
    decisions = [decision_from_wire(each) for each in answer.json()["decisions"]]

    assert answer.status_code == 200
    assert answer.json()["policy_version"] == bundle.version
    assert answer.json()["latency_ms"] > 0
    assert [repr(each) for each in decisions] == [repr(each) for each in decide(bundle, rows, EQUITY)]
    assert any(each.side for each in decisions)


def test_it_describes_what_it_serves(serving):
    version, bundle = next(iter(serving.bundles.items()))
    serving.serve(version)

    said = serving.post("/describe", {}).json()

    assert said["policy_version"] == bundle.version
    assert said["registry_version"] == version
    assert said["alias"] == ALIAS
    assert (said["source"], said["trouble"]) == ("lake", None)
    assert said["catalogue_hash"] == bundle.catalogue_hash
    assert said["feature_names"] == list(bundle.feature_names)
    assert said["inputs"] == list(bundle.inputs)
    assert (said["interval"], said["product"], said["hold_bars"]) == ("15min", "MIS", bundle.hold_bars)


def test_a_row_of_another_catalogue_is_refused(serving):
    bundle = next(iter(serving.bundles.values()))
    row = replace(some_rows(bundle, 1)[0], catalogue_hash="another")

    answer = serving.decide([row])

    assert answer.status_code == 409
    assert answer.json()["error"].startswith("FeatureMismatch: ")
    assert "another" in answer.json()["error"]


def test_without_the_token_nothing_is_told(serving):
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer wrong"}):
        for method, path in (("POST", "/decide"), ("POST", "/describe"), ("GET", "/"), ("GET", "/docs.json")):
            answer = serving.client.request(method, path, headers=headers, json={})

            assert answer.status_code == 401
            assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "rows is NoneType"),
        ({"rows": {}, "equity_inr": "1"}, "rows is dict"),
        ({"rows": [{"symbol": "S0"}], "equity_inr": "1"}, "row 0 has no close"),
        ({"rows": [], "equity_inr": 1000000.0}, "equity_inr = 1000000.0, rupees as text"),
        ({"rows": [], "equity_inr": "-1"}, "an amount above zero"),
    ],
)
def test_a_bad_request_gets_one_line_that_names_it(serving, content, said):
    answer = serving.post("/decide", content)

    assert answer.status_code == 400
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_what_is_too_large_or_no_object_is_refused_unread(serving):
    large = serving.client.post("/decide", content=b"{" + b" " * 8_000_001)
    no_object = serving.client.post("/decide", content=b"[1, 2]")

    assert large.status_code == 413
    assert no_object.status_code == 400


def test_it_swaps_under_load_without_a_failed_request(serving):
    (first, one), (second, other) = serving.bundles.items()
    serving.serve(first)
    rows, answers, ended = some_rows(one, 2), [], threading.Event()

    def ask():
        while not ended.is_set():
            answer = serving.decide(rows)
            answers.append((answer.status_code, answer.json().get("policy_version")))

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for version in (second, first, second):
        serving.serve(version)
    ended.set()
    for asker in askers:
        asker.join(20)

    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {one.version, other.version}
    assert answers[-1][1] == other.version


def test_without_a_policy_it_says_so_and_is_not_ready(serving):
    version, bundle = next(iter(serving.bundles.items()))
    serving.serve(version)

    retired = promote(serving.registry, serving.journal, version, Stage.RETIRED, "engineer", "for the test")
    until(lambda: serving.decide(some_rows(bundle, 1)).status_code == 503)
    answer = serving.decide(some_rows(bundle, 1))
    ready = serving.client.get("/readyz").status_code
    alive = serving.client.get("/livez").status_code
    serving.serve(version)

    assert isinstance(retired, Promotion)
    assert "no policy stands at the alias 'paper'" in answer.json()["error"]
    assert (ready, alive) == (503, 200)
    assert serving.client.get("/readyz").status_code == 200


def test_changed_files_are_not_loaded_and_told_while_the_loaded_policy_goes_on(serving, tmp_path):
    first, bundle = next(iter(serving.bundles.items()))
    serving.serve(first)
    changed = registered(serving.registry, replace(bundle, barriers=replace(bundle.barriers, hold_bars=3)), tmp_path)
    artifact = registration_of(serving.journal.policy_events(MODEL), changed).artifact
    (Path(urlparse(artifact).path) / "bundle" / "manifest.json").write_text("{}", encoding="utf-8")

    promoted(serving.registry, changed)
    until(lambda: serving.post("/describe", {}).json()["trouble"] is not None)
    said = serving.post("/describe", {}).json()
    status = policy_trouble(str(serving.client.base_url).rstrip("/"))
    decided = serving.decide(some_rows(bundle, 1)).status_code
    serving.serve(first)

    assert (said["registry_version"], decided) == (first, 200)
    assert f"version {changed} at the alias 'paper' was not loaded: BundleChanged" in said["trouble"]
    assert "its files were changed after registration" in said["trouble"]
    assert status == said["trouble"]
    until(lambda: serving.post("/describe", {}).json()["trouble"] is None)


def test_with_nothing_loaded_every_caller_hears_that_the_files_were_changed(serving, tmp_path):
    first, bundle = next(iter(serving.bundles.items()))
    changed = registered(serving.registry, replace(bundle, barriers=replace(bundle.barriers, hold_bars=4)), tmp_path)
    artifact = registration_of(serving.journal.policy_events(MODEL), changed).artifact
    (Path(urlparse(artifact).path) / "bundle" / "consensus.json").unlink()
    url = str(serving.client.base_url).rstrip("/")

    serving.serve(first)
    promote(serving.registry, serving.journal, first, Stage.RETIRED, "engineer", "for the test")
    until(lambda: serving.client.get("/readyz").status_code == 503)
    nothing = policy_trouble(url)
    promoted(serving.registry, changed)
    until(lambda: "changed" in str(policy_trouble(url)))
    with pytest.raises(ServiceUnavailable) as heard:
        PolicyClient(url, credential("policy_token"), 5000).describe()
    decided = serving.decide(some_rows(bundle, 1))
    serving.serve(first)

    assert nothing == f"no policy stands at the alias 'paper' of {MODEL}; register one and promote it to there"
    for told in (str(heard.value), decided.json()["error"]):
        assert "its files were changed" in told
        assert "\n" not in told
    assert policy_trouble(url) is None


def test_metrics_count_decisions_and_their_time(serving):
    bundle = next(iter(serving.bundles.values()))
    serving.decide(some_rows(bundle, 3))

    metrics = serving.client.get("/metrics", headers={"Authorization": ""}).text

    assert "tradesage_decide_seconds_count" in metrics
    assert any(f'tradesage_decisions_total{{action="{action}"' in metrics for action in Action)


def test_one_row_at_a_time_is_answered_within_the_deadline(serving):
    rows = some_rows(next(iter(serving.bundles.values())), 1)
    seconds = []
    for _ in range(60):
        began = time.perf_counter()
        assert serving.decide(rows).status_code == 200
        seconds.append(time.perf_counter() - began)

    p50, p99 = np.percentile(seconds, [50, 99])
    print(f"decide over HTTP: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms")

    assert p99 < PARAMS.serving.deadline_ms / 1000  # what the executor waits; `make bench` holds the limit on speed


def test_a_foreign_client_of_mlflow_changes_nothing_that_is_served(serving, tmp_path):
    (first, bundle), (second, other) = serving.bundles.items()
    serving.serve(first)
    client = MlflowClient(serving.registry._uri, serving.registry._uri)

    def still_served(*_: object) -> tuple[str, str, int]:
        time.sleep(0.6)  # several looks of the watch
        said = serving.post("/describe", {}).json()
        return said["registry_version"], said["source"], serving.decide(some_rows(bundle, 1)).status_code

    theirs = bundle_with(tmp_path / "theirs", replace(bundle.thresholds, min_probability=0.0), bundle)
    forged = serving.registry.register(theirs, params={}, metrics={}, tags={"source": "files", "reached": "paper"})
    client.set_model_version_tag(MODEL, first, "source", "files")
    seen = [
        still_served(client.set_registered_model_alias(MODEL, ALIAS, forged.version)),
        still_served(client.set_registered_model_alias(MODEL, ALIAS, second)),
        still_served(client.delete_registered_model_alias(MODEL, ALIAS)),
        still_served(client.delete_experiment(client.get_experiment_by_name(MODEL).experiment_id)),
        still_served(client.delete_registered_model(MODEL)),
    ]
    refused = promote(serving.registry, serving.journal, forged.version, Stage(ALIAS), "engineer", "it is good")
    serving.serve(second)  # a move on the ladder needs no table of MLflow's

    assert seen == [(first, "lake", 200)] * 5
    assert isinstance(refused, Refusal)
    assert serving.decide(some_rows(bundle, 1)).json()["policy_version"] == other.version


def test_a_new_policy_is_served_after_mlflows_tables_were_lost(serving, tmp_path):
    bundle = next(iter(serving.bundles.values()))
    client = MlflowClient(serving.registry._uri, serving.registry._uri)
    if client.search_registered_models(f"name='{MODEL}'"):
        client.delete_registered_model(MODEL)
    new = replace(bundle, thresholds=replace(bundle.thresholds, min_probability=0.52))

    version = registered(serving.registry, new, tmp_path)
    promoted(serving.registry, version)
    until(lambda: serving.post("/describe", {}).json()["policy_version"] == new.version)

    assert version == "1"  # a number that another policy had before
    assert serving.registry.version_at(ALIAS) == version


def bundle_with(folder: Path, thresholds: Thresholds, like: Bundle) -> Path:
    replace(like, thresholds=thresholds).save(folder)
    return folder
