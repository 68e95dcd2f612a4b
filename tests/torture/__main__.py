"""`python -m tests.torture`: play many schedules, print what failed, write `reports/torture.json`."""

import argparse
import os
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--schedules", type=int, default=500)
    parser.add_argument("--first", type=int, default=1, help="first seed")
    parser.add_argument("--seed", type=int, help="only this one, with its story")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--no-faults", action="store_true")
    given = parser.parse_args()
    from tests.torture.many import play_many

    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.schedules)
    with tempfile.TemporaryDirectory(prefix="tt-", dir="/tmp") as folder:
        os.environ["TRADESAGE_STATE"] = folder
        return play_many(list(seeds), given.workers, Path(folder), faults=not given.no_faults)


if __name__ == "__main__":
    sys.exit(main())
