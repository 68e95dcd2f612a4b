"""A foreign client with every right in MLflow forges versions and spoils honest ones: nothing that decides changes."""

import json
import subprocess
import sys
import uuid
from pathlib import Path
from urllib.parse import urlparse

import pytest
from mlflow import MlflowClient

from pipelines.domain.errors import NotFound
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.promotion.approval import Approval, NotMoved, promote_as_shown
from pipelines.promotion.evidence import gather_evidence
from pipelines.promotion.ladder import Promotion, Refusal, Stage, promote
from pipelines.promotion.register import register_run
from pipelines.promotion.registration import registration_of, stages_reached, why_not_offered
from pipelines.promotion.registry import BundleChanged, default_registry, fetch
from pipelines.promotion.signatures import signatures
from tests.small_runs import change_params, commit, committed_run, copy_of, git

__all__ = ["committed_run"]
YES = Approval("reviewer", "2026-11-20T10:00:00Z", "looks good")


class World:
    """A checkout, its registry and journal with an honest version on paper, and a foreign client of MLflow."""

    def __init__(self, run: Path):
        self.run, self.params = run, load_params(run / "params.yaml")
        self.registry, self.journal = default_registry(self.params), journal_at(database_url("journal"))
        self.model = self.registry.model
        self.honest = register_run(Paths(run), self.params, run="training/1", actor="airflow")
        self.client = MlflowClient(self.registry._uri, self.registry._uri)
        assert isinstance(promote(self.registry, self.journal, self.honest, Stage.PAPER, "airflow", "test"), Promotion)

    @property
    def events(self) -> list[dict]:
        return self.journal.policy_events(self.model)

    def stands(self) -> dict[str, str]:
        return {stage: signature.version for stage, signature in signatures(self.events).items()}

    def forge(self) -> str:
        """A version with all that an honest one has in MLflow, and more."""
        like = self.client.get_model_version(self.model, self.honest)
        run = self.client.create_run(self.client.get_experiment_by_name(self.model).experiment_id)
        fine = [
            {"gate": "sharpe", "passed": True, "measured": 9.0, "limit": 0.5, "evidence": "", "protects": ["paper"]}
        ]
        self.client.log_text(run.info.run_id, json.dumps(fine), "evidence/verdicts.json")
        tags = {"commit": git(self.run, "rev-parse", "HEAD"), "uncommitted_inputs": "no", "source": "files"}
        tags |= {"reached": "candidate,shadow,paper,canary", "planted_edge": "real data"}
        made = self.client.create_model_version(
            self.model, like.source, run_id=run.info.run_id, tags={**like.tags, **tags}
        )
        return str(made.version)


@pytest.fixture
def world(own_postgres, committed_run, tmp_path) -> World:
    run = copy_of(committed_run, tmp_path / "run")
    change_params(run, promotion__model=f"foreign-{uuid.uuid4().hex[:12]}")
    commit(run, "A model of its own")
    return World(run)


@pytest.mark.parametrize("stage", ["shadow", "paper", "canary", "champion"])
def test_a_forged_version_goes_nowhere_with_or_without_an_approval(world, stage):
    forged = world.forge()
    before = world.stands()

    with pytest.raises(NotFound, match="no record of its registration"):
        gather_evidence(world.events, forged, stage, world.run)
    moved = promote(world.registry, world.journal, forged, Stage(stage), "reviewer", "yes", approved_by="reviewer")

    assert isinstance(moved, Refusal)
    assert "register it again" in str(moved)
    assert why_not_offered(registration_of(world.events, forged), "training/1") is not None
    assert world.stands() == before


def test_tags_of_an_honest_version_say_nothing_to_those_who_decide(world):
    before = gather_evidence(world.events, world.honest, "canary", world.run)
    for key, value in {
        "source": "files", "commit": "0" * 40, "reached": "canary", "content_sha256": "0" * 64,
        "fingerprint": "x", "uncommitted_inputs": "no", "planted_edge": "real data",
    }.items():  # fmt: skip
        world.client.set_model_version_tag(world.model, world.honest, key, value)

    after = gather_evidence(world.events, world.honest, "canary", world.run)
    moved = promote(world.registry, world.journal, world.honest, Stage.CHAMPION, "a", "b", approved_by="asha")

    assert after.digest == before.digest
    assert not after.registration.is_real
    assert Stage.CANARY not in stages_reached(world.events, world.honest)
    assert "it has not been at canary before" in str(moved)


def test_verdicts_written_over_in_mlflow_do_not_open_a_gate(world):
    run = world.client.get_model_version(world.model, world.honest).run_id
    shown = gather_evidence(world.events, world.honest, "canary", world.run)
    world.client.log_text(run, "[]", "evidence/verdicts.json")

    asked = {"version": world.honest, "stage": "canary", "digest": shown.digest}
    moved = promote_as_shown(world.registry, world.journal, asked, world.run, YES, "promotion/1")

    assert shown.verdicts == gather_evidence(world.events, world.honest, "canary", world.run).verdicts
    assert isinstance(moved, Promotion | NotMoved)
    assert {each.gate for each in shown.verdicts} == {"largest position", "sharpe"}


def test_aliases_that_are_moved_or_deleted_move_nobody(world):
    forged, before = world.forge(), world.stands()
    for alias in ("paper", "canary", "champion", "previous"):
        world.client.set_registered_model_alias(world.model, alias, forged)
    world.client.delete_registered_model_alias(world.model, "candidate")

    assert world.stands() == before == {"candidate": world.honest, "paper": world.honest}


def test_a_version_forged_with_the_fingerprint_of_a_run_is_not_taken_for_it(world, tmp_path):
    forged = world.forge()

    again = register_run(Paths(world.run), world.params)

    assert again == world.honest != forged


def test_overwritten_files_are_refused_and_nothing_else_is_loaded(world, tmp_path):
    registration = registration_of(world.events, world.honest)
    folder = Path(urlparse(registration.artifact).path) / "bundle"
    (folder / "trade_model_probability.txt").write_text("another policy", encoding="utf-8")

    with pytest.raises(BundleChanged, match="its files were changed after registration"):
        fetch(registration.artifact, registration.content, tmp_path / "served")


@pytest.mark.parametrize("loss", ["version", "experiment", "model", "name"])
def test_what_vanishes_from_mlflow_leaves_the_ladder_as_it_stands(world, loss, tmp_path):
    before = world.stands()
    match loss:
        case "version":
            for alias in ("candidate", "paper"):
                world.client.delete_registered_model_alias(world.model, alias)
            world.client.delete_model_version(world.model, world.honest)
        case "experiment":
            world.client.delete_experiment(world.client.get_experiment_by_name(world.model).experiment_id)
        case "model":
            world.client.delete_registered_model(world.model)
        case "name":
            world.client.rename_registered_model(world.model, f"{world.model}-stolen")
    registration = registration_of(world.events, world.honest)

    evidence = gather_evidence(world.events, world.honest, "canary", world.run)
    moved = promote(world.registry, world.journal, world.honest, Stage.SHADOW, "airflow", "test")

    assert evidence.registration == registration
    assert isinstance(moved, Promotion)
    assert world.stands() == before | {"shadow": world.honest}
    assert fetch(registration.artifact, registration.content, tmp_path / "served")
    assert register_run(Paths(world.run), world.params) == world.honest


def test_a_number_that_mlflow_gives_again_is_no_second_policys(world):
    world.client.delete_registered_model(world.model)
    change_params(world.run, policy__trees=7)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=world.run, check=True)
    commit(world.run, "Another policy")

    other = register_run(Paths(world.run), load_params(world.run / "params.yaml"))

    assert other != world.honest
    assert registration_of(world.events, world.honest).content != registration_of(world.events, other).content
    assert world.stands()["paper"] == world.honest
