"""Every source that a stage may run is among its `deps`: a run of an edited one cannot pass for the commit's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipelines.stages import STAGES
from tests.conftest import ROOT


def imported(file: Path) -> Iterator[Path]:
    """The project's own modules that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            place = ROOT / name.replace(".", "/")
            yield from (found for found in (place.with_suffix(".py"), place / "__init__.py") if found.exists())


def sources_of(stage: str) -> set[str]:
    """All that can be reached from where a stage begins."""
    seen: set[Path] = set()
    waiting = [ROOT / "pipelines" / "__main__.py", ROOT / "pipelines" / stage / "stage.py"]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += imported(file)
    return {str(file.relative_to(ROOT)) for file in seen}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_all_that_it_imports(stage):
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["deps"]

    sources = sources_of(stage) | {"pipelines/__init__.py"}

    assert f"pipelines/{stage}/stage.py" in sources
    assert sorted(name for name in sources if not any(name == dep or name.startswith(f"{dep}/") for dep in deps)) == []
