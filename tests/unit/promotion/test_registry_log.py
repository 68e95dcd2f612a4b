"""A database that is away is told to the caller, not by a traceback at every look."""

import subprocess
import sys

LOOKS = """
from pathlib import Path
from pipelines.domain.errors import ServiceUnavailable
from pipelines.promotion.registry import Registry
registry = Registry("postgresql+psycopg2://nobody@127.0.0.1:9/mlflow", Path("/nowhere"), "policy")
told = 0
for _ in range(3):
    try:
        registry.version_at("paper")
    except ServiceUnavailable:
        told += 1
print(told)
"""


def test_a_database_that_is_away_leaves_no_traceback_at_each_look():
    done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, timeout=120)

    assert done.stdout.strip() == "3"
    assert "Traceback" not in done.stderr
    assert len(done.stderr) < 2000
