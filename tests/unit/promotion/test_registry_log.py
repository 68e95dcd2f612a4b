"""A database that fails is told to the caller, not by a traceback at every look."""

import subprocess
import sys

LOOKS = """
import sys
from pathlib import Path
from pipelines.domain.errors import NotFound, ServiceUnavailable
from pipelines.promotion.registry import Registry
file = Path(sys.argv[1])
registry = Registry(f"sqlite:///{file}", file.parent, "policy")
registry.version_at("paper")
print("begins to fail", file=sys.stderr)
registry._client()._get_registry_client().store.engine.dispose()
file.unlink()
file.mkdir()
told = 0
for _ in range(3):
    try:
        registry.version_at("paper")
    except ServiceUnavailable:
        told += 1
print(told)
"""


def test_a_database_that_fails_leaves_no_traceback_at_each_look(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOOKS, str(tmp_path / "mlflow.db")], capture_output=True, text=True, timeout=120
    )

    assert done.stdout.strip() == "3"
    assert len(done.stderr.partition("begins to fail")[2]) < 500
