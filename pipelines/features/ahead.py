"""Several instruments at a time: what is made in threads is handed over in order, and only a few wait in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def made_ahead(make: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Iterator[Made]:
    """`make` of each item, in the order of the items, at most `threads` of them begun before they are asked for.

    What `make` raises is raised where its result would have come. With one thread nothing is begun ahead.
    """
    if threads < 2:
        yield from map(make, items)
        return
    begun: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
        try:
            for item in items:
                begun.append(pool.submit(make, item))
                if len(begun) >= threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for waiting in begun:
                waiting.cancel()
