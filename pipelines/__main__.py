"""`python -m pipelines <stage>`: run one stage in the present folder. What `dvc.yaml` calls."""

import sys
import time

from pipelines.domain.errors import TradeSageError
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.stages import STAGES, stage_named


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in STAGES:
        print(f"usage: python -m pipelines <stage>, one of: {' '.join(STAGES)}", file=sys.stderr)
        return 2
    paths = Paths.here()
    started = time.monotonic()
    try:
        report = stage_named(arguments[0])(load_params(paths.root / "params.yaml"), paths)
    except TradeSageError as error:
        print(f"{arguments[0]}: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{report.in_words()} ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
