"""`python -m tests.torture`: play many schedules, tell of those that fail, write `reports/torture.json`."""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--schedules", type=int, default=500, help="seeded ones")
    parser.add_argument("--first", type=int, default=1, help="their first seed")
    parser.add_argument("--edges", type=int, default=-1, help="kills of the reference day; all if not given")
    parser.add_argument("--seed", type=int, help="only this schedule, with its story")
    parser.add_argument("--edge", help="only this kill of the reference day, e.g. after-commit:12")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--no-faults", action="store_true")
    parser.add_argument("--no-kills", action="store_true")
    parser.add_argument("--lockstep", action="store_true", help="no schedule by the wall clock: for slow machines")
    parser.add_argument("--keep", action="store_true", help="keep the journal and the diaries of schedules that fail")
    parser.add_argument("--report", type=Path, help="where the figures go; reports/torture.json for a whole run")
    given = parser.parse_args()

    from tests.torture.many import play_many
    from tests.torture.schedule import edge_from, reference, schedule_of

    if given.edge is not None:
        schedules, edges = [reference(edge_from(given.edge))], 0
    else:
        seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.schedules)
        schedules = [schedule_of(seed, kills=not given.no_kills, faults=not given.no_faults) for seed in seeds]
        if given.lockstep:
            schedules = [replace(schedule, pace=None) for schedule in schedules]
        edges = given.edges if given.seed is None else 0
    alone = given.edge is not None or given.seed is not None
    report = given.report or (None if alone else Path("reports") / "torture.json")
    folder = tempfile.mkdtemp(prefix="tt-", dir="/tmp")  # short: a socket lies in it
    os.environ["TRADESAGE_STATE"] = folder
    try:
        return play_many(schedules, edges, given.workers, Path(folder), report)
    finally:
        if given.keep:
            print(f"journal and diaries: {folder}")
        else:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
