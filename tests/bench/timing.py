"""How long something takes, over and over."""

import time
from collections.abc import Callable
from typing import Any


def seconds_of(work: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each of `repeats` calls of `work`, after one that is not counted."""
    work()
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return taken
