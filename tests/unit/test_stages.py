import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.params import Params
from pipelines.stages import STAGES, stage_named

ROOT = Path(__file__).parents[2]


def test_a_stage_has_one_name_everywhere():
    sections = {field.alias or name for name, field in Params.model_fields.items()}
    dvc = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]

    assert tuple(dvc) == STAGES
    assert set(STAGES) <= sections
    for stage in STAGES:
        assert (ROOT / "pipelines" / stage / "stage.py").exists()
        assert dvc[stage]["cmd"] == f"python -m pipelines {stage}"


def test_every_stage_can_be_called_by_its_name():
    for stage in STAGES:
        assert callable(stage_named(stage))


@pytest.mark.parametrize("arguments", [[], ["sell"], ["ingest", "validate"]])
def test_an_unknown_stage_gets_the_usage_and_a_code_other_than_zero(arguments):
    ended = subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith("usage: ")


def test_imports_go_one_way():
    """dags, serving → pipelines.<stage> → pipelines.domain."""
    for path in (ROOT / "pipelines").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "from serving" not in text, path
        assert "import serving" not in text, path
        if "domain" in path.relative_to(ROOT).parts:
            imported = [
                line for line in text.splitlines() if line.strip().startswith(("from pipelines", "import pipelines"))
            ]
            assert all("pipelines.domain" in line for line in imported), path


#: A change in them cannot change a number: where tables lie, what a stage is called; secrets and pace of collecting
WITHOUT_NUMBERS = {"pipelines/paths.py", "pipelines/stages.py", "pipelines/credentials.py", "pipelines/pacing.py"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_run_again_when_any_code_it_imports_changes(stage):
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["deps"]

    missing = code_behind(ROOT / "pipelines" / stage) - set(deps) - WITHOUT_NUMBERS

    assert missing == set()


def code_behind(package: Path) -> set[str]:
    """Packages and top modules that a package imports, directly or through others, as `dvc.yaml` names them."""
    waiting, found = [package], set()
    while waiting:
        place = waiting.pop()
        name = place.relative_to(ROOT).as_posix()
        if name in found:
            continue
        found.add(name)
        for path in place.rglob("*.py") if place.is_dir() else [place]:
            waiting += imported_by(path)
    return found


def imported_by(path: Path) -> list[Path]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            modules += [node.module] if node.module != "pipelines" else [f"pipelines.{n.name}" for n in node.names]
            modules += ["expectations"] if node.module.startswith("expectations") else []
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    places = [ROOT.joinpath(*module.split(".")[: 1 if module.startswith("expectations") else 2]) for module in modules]
    return [place if place.is_dir() else place.with_suffix(".py") for place in places if ours(place)]


def ours(place: Path) -> bool:
    return place.is_relative_to(ROOT) and (place.is_dir() or place.with_suffix(".py").exists())
