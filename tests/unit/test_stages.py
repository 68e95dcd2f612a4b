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
