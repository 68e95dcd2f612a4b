"""A checkout with a pipeline of four quick stages, run by DVC and committed: for tests of what proves a run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import params_content

STAGES = """stages:
  ingest:
    cmd: python make.py ingest
    deps: [make.py, data/inbox]
    params: [ingest]
    outs: [data/01_raw]
  policy:
    cmd: python make.py policy
    deps: [make.py, sources, data/01_raw]
    params: [policy, evaluation]
    outs: [data/06_policy]
  evaluation:
    cmd: python make.py evaluation
    deps: [make.py, data/01_raw/snapshot.json, data/06_policy]
    params: [evaluation]
    outs: [data/07_evaluation, reports/selection.json: {cache: false}, reports/importance.csv: {cache: false}]
    metrics: [reports/evaluation.json: {cache: false}]
    plots: [reports/equity.csv: {cache: false}]
  gates:
    cmd: python make.py gates
    deps: [make.py, reports/evaluation.json]
    params: [gates]
    outs: [data/08_gates]
    metrics: [reports/gates.json: {cache: false}]
"""
#: Each stage writes what the real one of its name writes, as a function of parameters and inputs
MAKE = """
import json, pathlib, sys, yaml
params = yaml.safe_load(open("params.yaml"))

def write(name, content):
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))

def read(name):
    return json.loads(pathlib.Path(name).read_text())

if sys.argv[1] == "ingest":
    source = params["ingest"]["source"]
    lake = {"learnt_until": "2026-10-30T18:00:00+05:30", "bars_of": ["bhavcopy", "kite"]}
    write("data/01_raw/snapshot.json", {
        "source": source, "simulated": params["ingest"]["simulated"] if source == "simulated" else None,
        "folder": "nse/daily" if source == "files" else None, "lake": lake if source == "lake" else None})
if sys.argv[1] == "policy":
    trees = f"{params['policy']['trees']} trees, probability {params['policy']['min_probability']}"
    write("data/06_policy/bundle/trade_model_probability.txt", trees)
    write("data/06_policy/bundle/manifest.json", {"version": "0123456789ab", "interval": "15min"})
if sys.argv[1] == "evaluation":
    sharpe = 1.0 - 0.1 * float(params["evaluation"]["slippage_bps"])
    write("reports/evaluation.json", {"sharpe": sharpe, "sharpe_ci": [-0.5, 1.7], "profit_factor": None})
    write("reports/selection.json", {"fits": 1, "proposed_for_dropping": []})
    write("reports/importance.csv", "fit,feature,score\\n0,rsi_14,0.9\\n")
    write("reports/equity.csv", "day,policy,buy_and_hold\\n2026-10-29,1.0,1.0\\n2026-10-30,1.01,0.99\\n")
    write("data/07_evaluation/evaluation.html", "<p>report</p>")
if sys.argv[1] == "gates":
    sharpe, limit = read("reports/evaluation.json")["sharpe"], params["gates"]["min_sharpe"]
    every = [{"gate": "largest position", "passed": True, "measured": 0.08, "limit": 0.1, "evidence": "of equity",
              "protects": ["shadow", "paper", "canary", "champion"]},
             {"gate": "sharpe", "passed": sharpe >= limit, "measured": sharpe, "limit": limit,
              "evidence": "walk-forward", "protects": ["canary", "champion"]}]
    write("data/08_gates/verdicts.json", every)
    write("reports/gates.json", {"passed": sum(each["passed"] for each in every)})
"""


def git(folder: Path, *arguments: str) -> str:
    command = ("git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments)
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def repro(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *(arguments or ("repro", "--quiet"))]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(folder), "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(folder: Path, message: str = "Run") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def change_params(folder: Path, **changes: object) -> None:
    """Write params.yaml anew with some numbers changed, by key with `__` for the dot."""
    path = folder / "params.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        *sections, last = key.split("__")
        place = content
        for section in sections:
            place = place[section]
        place[last] = value
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def make_run(folder: Path, overrides: dict[str, object]) -> Path:
    """A checkout of such a pipeline that has run and is committed."""
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params_content(overrides)), encoding="utf-8")
    (folder / "dvc.yaml").write_text(STAGES, encoding="utf-8")
    (folder / "make.py").write_text(MAKE, encoding="utf-8")
    for name in ("sources/labels.py", "sources/fit.py", "data/inbox/README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# {name}\n", encoding="utf-8")
    (folder / ".gitignore").write_text(
        "/reports/\n/data/*\n!/data/inbox/\n.dvc/cache/\n.dvc/tmp/\n.dvc/config.local\n", encoding="utf-8"
    )
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n    autostage = false\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    repro(folder)
    commit(folder)
    return folder


@pytest.fixture(scope="session")
def committed_run(tmp_path_factory) -> Path:
    """Made once; tests copy it with `copy_of`."""
    return make_run(tmp_path_factory.mktemp("committed") / "run", {"promotion.model": "test-register-run"})


def copy_of(run: Path, target: Path) -> Path:
    return Path(shutil.copytree(run, target, symlinks=True))
