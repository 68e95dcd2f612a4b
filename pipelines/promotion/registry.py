"""The only client of MLflow's registry: it shows policies with their evidence, and stores their files.

A version is a bundle together with parameters, metrics, verdicts, git commit, `dvc.lock` and report. Runs and versions
lie in PostgreSQL, files in a folder; MLflow's own pages show both. Nothing that is read here decides anything: what
counts is what the journal recorded at the registration, see `registration.py`, and files count by their hash.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.deadlines import within
from pipelines.domain.errors import NotFound, ServiceUnavailable, TradeSageError
from pipelines.domain.verdicts import Verdict
from pipelines.journal.connecting import engine_at
from pipelines.params import Params
from pipelines.paths import state_folder
from pipelines.promotion.registration import CONTENT
from pipelines.tables import fresh_folder

#: Tells MLflow to show its pages for trained models, not those for language models
TRAINING_PAGES = {"mlflow.experimentKind": "custom_model_development"}
RESTORE = "restore them: check out the commit it was made from, dvc checkout, tradesage register"
BUNDLE = "bundle"  #: folder of the bundle inside the model's files
#: MLflow's own limits: values of parameters and tags, entries of one batch
LONGEST_PARAM, LONGEST_TAG, LARGEST_BATCH = 6000, 5000, 100
CONNECT_S = 5  #: seconds for its database to answer at first
CALL_S = 15.0  #: seconds for a question or a move
REGISTER_S = 120.0  #: seconds for all that a registration writes


class BundleChanged(TradeSageError):
    """Files of a registered policy are not those that were registered."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A policy that was given to MLflow."""

    version: str
    artifact: str  #: URI of its files
    content: str  #: hash of the bundle, see `content_hash`


class Registry:
    """Policies by version and alias.

    Parameters
    ----------
    tracking_uri : SQLAlchemy address of MLflow's database, or the address of its server
    artifact_root : folder of the registered files
    model : name of the policy in the registry
    """

    def __init__(self, tracking_uri: str, artifact_root: Path, model: str = "tradesage-policy"):
        self.model = model
        self._uri, self._root = tracking_uri, artifact_root
        self._made: Any = None

    # --- writing ---------------------------------------------------------------------------------------------------

    def register(
        self,
        bundle: Path,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        plots: Sequence[Path] = (),
        files: Sequence[Path] = (),
        commit: str | None = None,
        tags: Mapping[str, str] | None = None,
        verdicts: Sequence[Verdict] = (),
        series: Mapping[str, Sequence[float]] | None = None,
        note: str = "",
    ) -> Stored:
        """Log a run with its evidence and store its bundle as a new version.

        Parameters
        ----------
        bundle : folder of plain files, as `Bundle.save` writes it
        params : flat, by dotted name
        metrics : finite figures of the evaluation
        plots, files : shown beside the run, under `plots/` and `evidence/`
        commit : git commit the run was made from
        tags : further words on the version, e.g. source and planted edge; for people
        verdicts : what the gates said, for people
        series : curves by name, one value a day, shown as charts
        note : a description a reviewer reads first
        """
        content = hash_of_bundle(bundle)
        with self._calls(seconds=REGISTER_S) as client:
            self._make_model(client)
            run = self._open_run(client, content, commit)
            try:
                evidence = {"params": params, "metrics": metrics, "series": series or {}, "verdicts": verdicts}
                model = self._log(client, run, bundle, evidence, plots, files)
                named = {**(tags or {}), CONTENT: content, "commit": commit or "none"}
                version = client.create_model_version(
                    self.model,
                    source=model.artifact_location,  # `models:/<id>` would be looked up in MLflow's global store
                    run_id=run,
                    model_id=model.model_id,
                    tags={key: str(value)[:LONGEST_TAG] for key, value in named.items()},
                    description=note,
                )
            except BaseException:
                client.set_terminated(run, "FAILED")
                raise
            client.set_terminated(run)
            return Stored(str(version.version), model.artifact_location, content)

    def move(self, alias: str, version: str) -> None:
        """Let `alias` name `version` from now on; readers see either the old version or the new one."""
        with self._calls(f"version {version} of {self.model}") as client:
            client.get_model_version(self.model, version)
            client.set_registered_model_alias(self.model, alias, version)

    def remove(self, alias: str) -> None:
        """Take the alias away; nothing happens if there is none."""
        if self.version_at(alias) is not None:
            with self._calls() as client:
                client.delete_registered_model_alias(self.model, alias)

    # --- reading ---------------------------------------------------------------------------------------------------

    def version_at(self, alias: str) -> str | None:
        """The version that `alias` names; None if it names none or nothing is registered."""
        with self._calls() as client:  # asked every few seconds: a third of the work of searching the model
            found = _if_there(lambda: client.get_model_version_by_alias(self.model, alias))
            return str(found.version) if found else None

    def aliases(self) -> dict[str, str]:
        """Every alias with its version."""
        with self._calls() as client:
            found = _if_there(lambda: client.get_registered_model(self.model))
            return {alias: str(version) for alias, version in found.aliases.items()} if found else {}

    def tags(self, version: str) -> dict[str, str]:
        """What was written on the version; `NotFound` if there is no such version."""
        with self._calls(f"version {version} of {self.model}") as client:
            return dict(client.get_model_version(self.model, version).tags)

    def versions(self) -> tuple[str, ...]:
        """Every version, oldest first."""
        with self._calls() as client:
            found = client.search_model_versions(f"name='{self.model}'", max_results=10_000)
            return tuple(sorted((str(version.version) for version in found), key=int))

    # --- MLflow ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _calls(self, wanted: str = "that", seconds: float = CALL_S) -> Iterator[Any]:
        """MLflow's client, whose database has `seconds` for all that is asked inside; its many errors become ours."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with within(seconds):
                yield self._client()
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise NotFound(f"{wanted} is not in the registry; see its versions in MLflow") from None
            raise ServiceUnavailable(f"MLflow's registry refused: {_first_line(error)}") from error
        except SQLAlchemyError as error:
            raise ServiceUnavailable(f"MLflow's database does not answer: {_first_line(error)}") from error

    def _client(self) -> Any:
        if self._made is None:
            _require_database(self._uri)
            _quiet()
            for name in ("mlflow.store.db.utils", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)
            from mlflow import MlflowClient

            # the caller is told of every failure; 130 lines of log would come with each look while PostgreSQL is away
            logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
            self._made = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        return self._made

    def _make_model(self, client: Any) -> None:
        from mlflow.exceptions import MlflowException

        if client.search_registered_models(f"name='{self.model}'", max_results=1):
            return
        try:
            client.create_registered_model(self.model, description="Policies of TradeSage; the aliases are the ladder.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # somebody else was first
                raise

    def _open_run(self, client: Any, content: str, commit: str | None) -> str:
        experiment = client.get_experiment_by_name(self.model)
        if experiment is None:
            where = self._root / self.model
            where.mkdir(parents=True, exist_ok=True)
            experiment_id = client.create_experiment(
                self.model, artifact_location=where.resolve().as_uri(), tags=TRAINING_PAGES
            )
        else:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage != "active":  # deleted in MLflow, which keeps what was logged
                client.restore_experiment(experiment_id)
        tags = {"mlflow.source.name": "dvc repro", "mlflow.source.type": "PROJECT"}
        if commit:
            tags["mlflow.source.git.commit"] = commit
        return client.create_run(experiment_id, tags=tags, run_name=f"policy {content[:12]}").info.run_id

    def _log(
        self, client: Any, run: str, bundle: Path, evidence: dict, plots: Sequence[Path], files: Sequence[Path]
    ) -> Any:
        from mlflow.entities import LoggedModelOutput, Metric, Param

        experiment_id = client.get_run(run).info.experiment_id
        with tempfile.TemporaryDirectory() as folder:
            _write_model(bundle, Path(folder))
            model = client.create_logged_model(experiment_id, name="policy", source_run_id=run)
            client.log_model_artifacts(model.model_id, folder)
        client.finalize_logged_model(model.model_id, "READY")
        client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
        now = client.get_run(run).info.start_time
        metrics = [Metric(name, float(value), now, 0, model.model_id) for name, value in evidence["metrics"].items()]
        for name, values in evidence["series"].items():
            metrics += [Metric(name, float(value), now, step) for step, value in enumerate(values)]
        params = [Param(name, str(value)[:LONGEST_PARAM]) for name, value in evidence["params"].items()]
        for start in range(0, len(params), LARGEST_BATCH):
            client.log_batch(run, params=params[start : start + LARGEST_BATCH])
        for start in range(0, len(metrics), 1000):
            client.log_batch(run, metrics=metrics[start : start + 1000])
        verdicts = json.dumps([verdict.as_dict() for verdict in evidence["verdicts"]], indent=2)
        client.log_text(run, verdicts, "evidence/verdicts.json")
        for folder_name, paths in (("plots", plots), ("evidence", files)):
            for path in paths:
                client.log_artifact(run, str(path), folder_name)
        return model


def fetch(artifact: str, content: str, into: Path) -> Path:
    """Copy a policy's files to the folder `into`, and verify them; MLflow's tables are not asked.

    Parameters
    ----------
    artifact, content : where the files were stored, and the hash they must have, as the journal recorded them

    Returns
    -------
    `into`, which holds just the bundle.

    Raises
    ------
    BundleChanged : if a file is missing or not as it was registered; `into` is left as it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundle = _download(artifact, Path(folder))
        found = content_hash(bundle)
        if found != content:
            raise BundleChanged(
                f"its files were changed after registration (hash {found[:12]}, registered {content[:12]}); "
                f"{RESTORE}; they lie in {artifact}"
            )
        with fresh_folder(into) as target:
            shutil.copytree(bundle, target, dirs_exist_ok=True)
    return into


def restore(artifact: str, bundle: Path) -> None:
    """Put a policy's files back to where they were stored."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    _quiet()
    store = get_artifact_repository(artifact)
    store.delete_artifacts(BUNDLE)  # also what was added
    store.log_artifacts(str(bundle), BUNDLE)


def _download(artifact: str, folder: Path) -> Path:
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    _quiet()
    try:
        return Path(get_artifact_repository(artifact).download_artifacts(BUNDLE, dst_path=str(folder)))
    except (MlflowException, OSError) as error:
        raise BundleChanged(
            f"its files are no longer there; {RESTORE}; they lay in {artifact} ({_first_line(error)})"
        ) from error


def _quiet() -> None:
    """MLflow says neither how far it is nor who uses it."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "true")


def default_registry(params: Params) -> Registry:
    """The registry of this machine: MLflow's tables in our PostgreSQL, files in the state folder."""
    from pipelines.journal.postgres import database_url

    return Registry(database_url("mlflow"), artifact_folder(), params.promotion.model)


def artifact_folder() -> Path:
    return state_folder() / "mlflow" / "artifacts"


def content_hash(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files below `folder`, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        digest.update(len(name).to_bytes(8, "big") + name + len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def hash_of_bundle(bundle: Path) -> str:
    """The hash of a bundle that is to be registered; `NotFound` if the folder holds nothing."""
    if not any(bundle.iterdir() if bundle.is_dir() else ()):
        raise NotFound(f"{bundle} holds no policy; run `dvc repro` first")
    return content_hash(bundle)


def _write_model(bundle: Path, folder: Path) -> None:
    """MLflow's wrapping of a bundle: `mlflow.pyfunc.load_model` gives its judge; text files only, nothing pickled."""
    from mlflow.models import Model

    shutil.copytree(bundle, folder / BUNDLE)
    model = Model(artifact_path="policy")
    model.add_flavor("python_function", loader_module="pipelines.promotion.loading", data=BUNDLE)
    model.save(str(folder / "MLmodel"))


def _if_there(ask: Callable[[], Any]) -> Any:
    """MLflow's answer; None where it says that the model or the alias is not there."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model, no such alias
            return None
        raise


def _require_database(uri: str) -> None:
    """Raises ServiceUnavailable if PostgreSQL refuses; MLflow by itself tries for a minute before it says so."""
    from sqlalchemy.exc import SQLAlchemyError

    if not uri.startswith("postgresql"):
        return
    engine = engine_at(uri)  # it hears the thread's deadline, and MLflow's own connections do from then on, too
    try:
        with within(CONNECT_S):
            engine.connect().close()
    except SQLAlchemyError as error:
        raise ServiceUnavailable(f"MLflow's database does not answer: {_first_line(error)}") from error
    finally:
        engine.dispose()


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).splitlines()[:1])[:300]
