"""From a finished workspace to a version in the registry, and to the journal's record of it, which is what counts."""

import csv
import hashlib
import json
import math
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.origin import Origin, origin_of
from pipelines.domain.verdicts import Verdict
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.promotion.ladder import PolicyEvents, Stage, may_enter, show, verdicts_from
from pipelines.promotion.provenance import NotOfThisRun, Provenance, holds_commit, provenance_of
from pipelines.promotion.registration import CONTENT, REGISTRATION, Registration, registrations
from pipelines.promotion.registry import BundleChanged, Registry, content_hash, default_registry, fetch, restore
from pipelines.stages import STAGES
from pipelines.tables import read_json


@dataclass(frozen=True)
class Finished:
    """What a finished workspace holds, read once."""

    paths: Paths
    provenance: Provenance
    origin: Origin
    manifest: dict[str, Any]
    evaluation: dict[str, Any]
    verdicts: tuple[Verdict, ...]

    @property
    def params(self) -> Params:
        return self.provenance.params


def register_run(
    paths: Paths,
    params: Params,
    registry: Registry | None = None,
    journal: PolicyEvents | None = None,
    *,
    run: str | None = None,
    actor: str = "tradesage",
) -> str:
    """Register what `dvc repro` left in a workspace and let it be the candidate.

    Parameters
    ----------
    paths : the workspace: bundle, reports, verdicts, `params.yaml`, `dvc.lock`, and git for the commit
    params : name the model; what is recorded comes from the workspace's own `params.yaml`
    registry, journal : those of this machine by default
    run : id of the training DAG's run, which alone may offer a candidate to paper; None for a person or the demo

    Returns
    -------
    The version; the one it had, if the same policy with the same figures and verdicts was registered before.

    Raises
    ------
    NotFound : if a stage has not been run; names the missing file.
    NotOfThisRun : if a file is not what `dvc.lock` says, or `dvc.lock` is not what its commit makes.
    """
    finished = read_finished(paths)
    registry = registry or default_registry(params)  # after the files were read: without them no server is needed
    journal = journal or _journal()
    with journal.exclusive(f"registration in {registry.model}"):
        content = content_hash(paths.bundle)
        finished.provenance.prove_again(paths.bundle, paths.reports / "evaluation.json", paths.verdicts)
        fingerprint = fingerprint_of(content, finished)
        recorded = registrations(journal.policy_events(registry.model))
        known = next((each for each in recorded.values() if each.fingerprint == fingerprint), None)
        if known is None:
            registration = _register(registry, finished, content, fingerprint, run, actor)
            while (
                registration.version in recorded
            ):  # MLflow counts anew when its model is deleted; the journal does not
                registration = _register(registry, finished, content, fingerprint, run, actor)
        else:
            _make_whole(known, paths.bundle)
            registration = _with_more_known(known, finished, run)
        if registration != known:
            _record(journal, registry.model, registration)
    show(registry, journal)
    return registration.version


def read_finished(paths: Paths) -> Finished:
    """What a workspace holds, after it was proved to be one run's."""
    for path in (paths.reports / "evaluation.json", paths.verdicts, paths.bundle / "manifest.json"):
        read_json(path)  # a stage that has not run is told by its file
    provenance = provenance_of(paths)
    evaluation, verdicts = read_json(paths.reports / "evaluation.json"), verdicts_from(read_json(paths.verdicts))
    manifest = read_json(paths.bundle / "manifest.json")
    judged, policy = evaluation.get("policy_version"), manifest.get("version")
    if judged is not None and judged != policy:
        raise NotOfThisRun(
            f"evaluation: reports/evaluation.json judges policy {judged}, data/06_policy holds {policy}; "
            "run `dvc repro` and register again"
        )
    origin = origin_of(read_json(paths.snapshot))
    return Finished(paths, provenance, origin, manifest, evaluation, verdicts)


def fingerprint_of(content: str, finished: Finished) -> str:
    """Equal for the same files, judged the same by the same numbers; the commit does not count.

    A run that changes nothing makes a commit of its own, and is the same policy all the same.
    """
    every = finished.params.model_dump(mode="json", by_alias=True)
    parts = [
        content,
        {stage: every[stage] for stage in STAGES if stage in every},
        metrics_from(finished.evaluation),
        [verdict.as_dict() for verdict in finished.verdicts],
        finished.origin.bars,
    ]
    return _sha256(parts)


def _register(
    registry: Registry, finished: Finished, content: str, fingerprint: str, run: str | None, actor: str
) -> Registration:
    """Give it to MLflow; the registration, not recorded yet."""
    paths, provenance = finished.paths, finished.provenance
    flat_params = flat(finished.params.model_dump(mode="json", by_alias=True))
    metrics = metrics_from(finished.evaluation)
    plots = (paths.evaluation / "evaluation.html", *sorted(paths.reports.glob("*.csv")))
    files = sorted(paths.reports.glob("*.json"))
    stored = registry.register(
        paths.bundle,
        params=flat_params,
        metrics=metrics,
        plots=[path for path in plots if path.exists() and provenance.proves(path)],
        files=[
            *(path for name in ("params.yaml", "dvc.lock") if (path := paths.root / name).exists()),
            *(path for path in files if provenance.proves(path)),
        ],
        commit=provenance.commit,
        tags=_tags(finished),
        verdicts=finished.verdicts,
        series=_series(paths.reports / "equity.csv"),
        note=_note(finished),
    )
    if stored.content != content:
        raise NotOfThisRun(f"{paths.bundle} changed while it was registered; let the run end, and register again")
    return Registration(
        version=stored.version,
        at=datetime.now(IST),
        registered_by=actor,
        run=run,
        content=content,
        fingerprint=fingerprint,
        policy_version=str(finished.manifest.get("version", "")),
        artifact=stored.artifact,
        commit=provenance.commit,
        source=finished.origin.source,
        bars=finished.origin.bars,
        planted_edge=finished.origin.planted_edge,
        interval=str(finished.manifest.get("interval", "")),
        params=_sha256(flat_params),
        metrics=metrics,
        verdicts=finished.verdicts,
    )


def _make_whole(known: Registration, bundle: Path) -> None:
    """Put the files of a version back if somebody changed or removed them: these are the same to the byte."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch(known.artifact, known.content, Path(folder) / "bundle")
        except BundleChanged:
            restore(known.artifact, bundle)


def _with_more_known(known: Registration, finished: Finished, run: str | None) -> Registration:
    """The same registration with what was not known before: a commit that makes it, a training run that made it.

    A commit that is no longer in the repository is replaced by one that is.
    """
    commit, root = finished.provenance.commit, finished.paths.root
    if commit is None:
        return known
    if run is not None and known.run is None:
        return replace(known, run=run, commit=commit)
    return known if known.commit and holds_commit(root, known.commit) else replace(known, commit=commit)


def _record(journal: PolicyEvents, model: str, registration: Registration) -> None:
    made = f"commit {registration.commit}" if registration.commit else "no commit"
    journal.record_policy_event(
        model=model,
        version=registration.version,
        from_stage=None,
        to_stage=Stage.CANDIDATE.value,
        actor=registration.registered_by,
        reason=f"registered from {made}" + (f", {registration.run}" if registration.run else ""),
        evidence={CONTENT: registration.content, REGISTRATION: registration.as_record()},
        at=datetime.now(IST),
    )


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one mapping by dotted name."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def metrics_from(evaluation: dict[str, Any]) -> dict[str, float]:
    """The finite figures of an evaluation; an interval becomes `<name>_low` and `<name>_high`."""
    figures: dict[str, Any] = {}
    for name, value in evaluation.items():
        if isinstance(value, list) and len(value) == 2:
            figures[f"{name}_low"], figures[f"{name}_high"] = value
        else:
            figures[name] = value
    return {name: number for name, value in figures.items() if (number := _number(value)) is not None}


def _number(value: Any) -> float | None:
    if isinstance(value, str):  # money is text
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _tags(finished: Finished) -> dict[str, str]:
    """Words on a version for people who look at it in MLflow; nothing reads them."""
    return {
        "bundle_version": str(finished.manifest.get("version", "")),
        "catalogue_hash": str(finished.manifest.get("catalogue_hash", "")),
        "interval": str(finished.manifest.get("interval", "")),
        "source": finished.origin.source,
        "bars": finished.origin.bars,
        "planted_edge": finished.origin.planted_edge or "real data",
        "gates": f"{sum(verdict.passed for verdict in finished.verdicts)} of {len(finished.verdicts)} passed",
        "kept_from_canary_by": ", ".join(v.gate for v in may_enter(Stage.CANARY, finished.verdicts)) or "nothing",
    }


def _note(finished: Finished) -> str:
    shown = ("sharpe", "sharpe_ci", "deflated_sharpe", "max_drawdown", "profit_factor", "win_rate", "trades", "net_inr")
    evaluation = finished.evaluation
    figures = [f"| {name} | {_shown(evaluation[name])} |" for name in shown if name in evaluation]
    gates = [
        f"| {v.gate} | {'pass' if v.passed else '**fail**'} | {_shown(v.measured)} | {_shown(v.limit)} |"
        for v in finished.verdicts
    ]
    return "\n".join(
        [
            f"Policy {finished.manifest.get('version', '?')} on {finished.origin.bars}; all figures after charges and "
            "slippage.",
            "",
            *("| figure | out of sample |", "|---|---|", *figures, ""),
            *("| gate | verdict | measured | limit |", "|---|---|---|---|", *gates),
        ]
    )


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(_shown(each) for each in value)
    number = _number(value)
    return "–" if value is None else str(value) if number is None else f"{number:,.4g}"


def _series(path: Path) -> dict[str, list[float]]:
    """The curves of `equity.csv` as charts: one point a day."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name != "day"]
    curves = {f"equity_{name}": [_number(row[name]) for row in rows] for name in names}
    return {name: [v for v in values if v is not None] for name, values in curves.items()}


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _journal() -> PolicyEvents:
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url

    return journal_at(database_url("journal"))
