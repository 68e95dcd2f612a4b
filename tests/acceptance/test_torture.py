"""Fifty seeded days in which the daemon is killed and the exchange misbehaves, and a sample of the journal's edges.

In lockstep, where a second without a stop is a second of the market: the days by the wall clock, of which how fast the
machine is decides, are in `make torture`.
"""

import subprocess
import sys

from pipelines.tables import read_json
from tests.conftest import ROOT

NOTHING = ("duplicates", "lost_fills", "orphans", "naked_beyond_limit", "cash_mismatches", "crashes", "failed")


def test_fifty_tortured_days_lose_and_double_nothing(tmp_path):
    report = tmp_path / "torture.json"
    days = ("--schedules", "38", "--edges", "12", "--lockstep")
    command = [sys.executable, "-m", "tests.torture", *days, "--report", str(report)]

    played = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)

    assert report.exists(), played.stderr[-3000:]
    told = read_json(report)
    assert {name: told[name] for name in NOTHING} == dict.fromkeys(NOTHING, 0) | {"failed": []}, played.stdout[-6000:]
    assert told["schedules"] == 50
    assert told["naked_seconds_max"] <= told["naked_limit_seconds"]
    assert told["kills"] >= 50
    assert len(told["kills_by_place"]) == 6, "every kind of place was met"
    assert told["faults"] >= 100
    assert told["outcomes"] >= 150
