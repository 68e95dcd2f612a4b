"""Machine code is found by the text it was made from, wherever a workspace lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from pipelines.domain.compiled import KEPT_VERSIONS, keep_latest
from tests.conftest import ROOT

#: Whether a function of portable_math was compiled anew, and what it says
ASK = "from pipelines.domain import portable_math as m\nprint(m.halving(1.0), sum(m.exp.stats.cache_misses.values()))\n"


def package_at(folder: Path) -> Path:
    """A workspace with as much of the package as the question needs."""
    (folder / "pipelines" / "domain").mkdir(parents=True)
    for name in ("__init__.py", "domain/__init__.py", "domain/compiled.py", "domain/portable_math.py"):
        shutil.copyfile(ROOT / "pipelines" / name, folder / "pipelines" / name)
    return folder


def asked(folder: Path, kept: Path) -> tuple[float, int]:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(kept)}
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    said, misses = done.stdout.split()
    return float(said), int(misses)


def test_a_second_workspace_compiles_nothing(tmp_path):
    one, two, kept = package_at(tmp_path / "one"), package_at(tmp_path / "two"), tmp_path / "kept"

    assert [asked(one, kept), asked(two, kept)] == [(0.5, 1), (0.5, 0)]


def test_another_text_of_what_is_called_compiles_anew(tmp_path):
    folder, kept = package_at(tmp_path / "one"), tmp_path / "kept"
    caller = folder / "pipelines" / "domain" / "caller.py"
    caller.write_text(
        "from pipelines.domain.compiled import kept\nfrom pipelines.domain.called import called\n"
        "@kept()\ndef call():\n    return called()\n",
        encoding="utf-8",
    )
    said = []
    for value in (1, 2):
        text = f"from numba import njit\n@njit\ndef called():\n    return {value}\n"
        (folder / "pipelines" / "domain" / "called.py").write_text(text, encoding="utf-8")
        code = "from pipelines.domain.caller import call; print(call())"
        # Python itself takes its byte code for current where two texts of one length are of one second
        environment = os.environ | {"NUMBA_CACHE_DIR": str(kept), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", code]
        said.append(subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout.strip())

    assert said == ["1", "2"]


def test_only_the_versions_used_last_are_kept(tmp_path):
    for age in range(KEPT_VERSIONS + 3):
        (tmp_path / f"{age:02}").mkdir()
        (tmp_path / f"{age:02}" / ".used").touch()
        os.utime(tmp_path / f"{age:02}" / ".used", (1_000_000 - age,) * 2)

    keep_latest(tmp_path, KEPT_VERSIONS)

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{age:02}" for age in range(KEPT_VERSIONS)]
