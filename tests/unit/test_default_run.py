"""The committed `dvc.lock` was written with the sources and parameters that stand beside it.

Else the run that a fresh clone makes is made from no commit, and its policy is served to nobody.
"""

import subprocess
import sys

from tests.conftest import ROOT

#: Sources and parameters of stages that differ from those they were locked with; outputs are not asked for
ASK = """
from dvc.repo import Repo
from dvc.dependency import ParamsDependency
changed = []
with Repo() as repo, repo.lock:
    made = [str(out) for stage in repo.index.stages for out in stage.outs] + ["data"]
    for stage in repo.index.stages:
        for dependency in stage.deps:
            told = isinstance(dependency, ParamsDependency) or not str(dependency).startswith(tuple(made))
            if told and dependency.status():
                changed.append(f"{stage.name}: {dependency}")
print("\\n".join(sorted(changed)), end="")
"""


def test_dvc_lock_is_that_of_the_sources_and_parameters_beside_it():
    asked = subprocess.run([sys.executable, "-c", ASK], cwd=ROOT, capture_output=True, text=True, check=False)

    assert asked.returncode == 0, asked.stderr[-2000:]
    assert asked.stdout == "", "run `dvc repro` and commit dvc.lock"
