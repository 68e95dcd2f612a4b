"""From a finished workspace to a version in the registry, with all that shows where it comes from."""

import csv
import math
import subprocess
from pathlib import Path
from typing import Any

from pipelines.domain.verdicts import Verdict
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.promotion.ladder import PolicyEvents, Stage, may_enter, promote, verdicts_from
from pipelines.promotion.registry import Registry, default_registry
from pipelines.tables import read_json


def register_run(
    paths: Paths, params: Params, registry: Registry | None = None, journal: PolicyEvents | None = None
) -> str:
    """Register what `dvc repro` left in a workspace and let it be the candidate.

    Parameters
    ----------
    paths : the workspace: bundle, reports, verdicts, `params.yaml`, `dvc.lock`, and git for the commit
    params : what the run was made from
    registry, journal : those of this machine by default

    Returns
    -------
    The version; the one it had, if this very run was registered before.

    Raises
    ------
    NotFound : if a stage has not been run; names the missing file.
    """
    evaluation, verdicts = read_json(paths.reports / "evaluation.json"), verdicts_from(read_json(paths.verdicts))
    manifest = read_json(paths.bundle / "manifest.json")
    commit = commit_of(paths.root)
    registry = registry or default_registry(params)  # after the files were read: without them no server is needed
    version = registry.register(
        paths.bundle,
        params=flat(params.model_dump(mode="json", by_alias=True)),
        metrics=metrics_from(evaluation),
        plots=_present(paths.evaluation / "evaluation.html", *sorted(paths.reports.glob("*.csv"))),
        files=_present(paths.root / "params.yaml", paths.root / "dvc.lock", *sorted(paths.reports.glob("*.json"))),
        commit=commit,
        tags=_tags(paths, params, manifest, verdicts),
        verdicts=verdicts,
        series=_series(paths.reports / "equity.csv"),
        note=_note(params, manifest, evaluation, verdicts),
    )
    journal = journal or _journal()
    promote(registry, journal, version, Stage.CANDIDATE, verdicts, "tradesage", f"registered from commit {commit}")
    return version


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


def commit_of(root: Path) -> str | None:
    """The git commit of a workspace; None outside git."""
    found = subprocess.run(("git", "rev-parse", "HEAD"), cwd=root, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def _uncommitted(root: Path) -> bool:
    """Whether `params.yaml` or `dvc.lock` differ from the commit, so that the commit alone does not name the run."""
    command = ("git", "status", "--porcelain", "--", "params.yaml", "dvc.lock")
    found = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return found.returncode != 0 or bool(found.stdout.strip())


def _number(value: Any) -> float | None:
    if isinstance(value, str):  # money is text
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _tags(paths: Paths, params: Params, manifest: dict, verdicts: tuple[Verdict, ...]) -> dict[str, str]:
    simulated = params.ingest.source == "simulated"
    return {
        "bundle_version": str(manifest.get("version", "")),
        "catalogue_hash": str(manifest.get("catalogue_hash", "")),
        "interval": str(manifest.get("interval", "")),
        "source": params.ingest.source,
        "planted_edge": params.ingest.simulated.edge.value if simulated else "real data",
        "uncommitted_inputs": "yes" if _uncommitted(paths.root) else "no",
        "gates": f"{sum(verdict.passed for verdict in verdicts)} of {len(verdicts)} passed",
        "kept_from_canary_by": ", ".join(v.gate for v in may_enter(Stage.CANARY, verdicts)) or "nothing",
    }


def _note(params: Params, manifest: dict, evaluation: dict, verdicts: tuple[Verdict, ...]) -> str:
    shown = ("sharpe", "sharpe_ci", "deflated_sharpe", "max_drawdown", "profit_factor", "win_rate", "trades", "net_inr")
    figures = [f"| {name} | {_shown(evaluation[name])} |" for name in shown if name in evaluation]
    gates = [
        f"| {v.gate} | {'pass' if v.passed else '**fail**'} | {_shown(v.measured)} | {_shown(v.limit)} |"
        for v in verdicts
    ]
    source = "simulated market" if params.ingest.source == "simulated" else "real files"
    planted = f", planted edge: {params.ingest.simulated.edge}" if params.ingest.source == "simulated" else ""
    return "\n".join(
        [
            f"Policy {manifest.get('version', '?')} on {source}{planted}; all figures after charges and slippage.",
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


def _present(*paths: Path) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.exists())


def _journal() -> PolicyEvents:
    from pipelines.journal import journal_at
    from pipelines.journal.postgres import database_url

    return journal_at(database_url("journal"))
