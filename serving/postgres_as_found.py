"""The embedded PostgreSQL as a command found it: what it had to start for its own work does not go on running."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.journal import embedded
from pipelines.journal.postgres import stop_embedded, uses_embedded
from pipelines.paths import state_folder


@contextmanager
def postgres_as_found() -> Iterator[None]:
    """Inside, the server may be started; afterwards it runs only if it ran before, or if others use it by then."""
    if not uses_embedded() or embedded.running():
        yield
        return
    with _visit() as alone:
        try:
            yield
        finally:
            if not _needed() and alone():
                stop_embedded()


def _needed() -> bool:
    """Whether a process that was to go on running is there: all of `up`, or an executor."""
    from serving import leftovers
    from serving.all_processes import running_up

    return running_up() is not None or bool(leftovers.marked()) or leftovers.last_executor() is not None


@contextmanager
def _visit() -> Iterator[Callable[[], bool]]:
    """Be one of the commands that may have started the server; the function says whether no other is left."""
    if not state_folder().exists():  # nor does anybody else visit; a command that refuses its input writes nothing
        yield lambda: True
        return
    handle = os.open(state_folder() / "postgres.visits", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def alone() -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield alone
    finally:
        os.close(handle)
