"""PostgreSQL that hangs, for tests: a lock that another holds, processes that are stopped, a network that swallows."""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pipelines.paths import state_folder


@contextmanager
def table_locked(url: str, table: str = "orders") -> Iterator[None]:
    """Another session holds a table for itself."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"lock table {table} in access exclusive mode"))
            yield
    finally:
        engine.dispose()


@contextmanager
def stopped(pids: list[int]) -> Iterator[None]:
    """Processes that neither work nor end, as of a host that is out of memory or disk."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def postmaster() -> int:
    """Process id of the embedded server of the present state folder."""
    return int((state_folder() / "postgres" / "postmaster.pid").read_text().splitlines()[0])


def backends(url: str) -> list[int]:
    """Process ids of all sessions of the database but the one that asks."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            found = connection.execute(
                text(
                    "select pid from pg_stat_activity where datname = current_database()"
                    " and backend_type = 'client backend' and pid <> pg_backend_pid()"
                )
            )
            return [row.pid for row in found]
    finally:
        engine.dispose()


class Network:
    """A TCP way to the embedded server's unix socket, which can be made to swallow all that it is given."""

    def __init__(self, url: str):
        self._url = make_url(url)
        folder = str(self._url.query["host"])
        self._server = str(Path(folder) / f".s.PGSQL.{self._url.port or 5432}")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.swallows = False
        self._ended = False
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        """Address of the same database by the network."""
        port = self._listener.getsockname()[1]
        direct = self._url.set(host="127.0.0.1", port=port, query={})
        return direct.render_as_string(hide_password=False)

    def close(self) -> None:
        self._ended = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in (self._listener, *self._connections):
            connection.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._server)
                self._connections += [near, far]
                threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while not self._ended:
                ready, _, _ = select.select([near, far], [], [], 0.05)
                for end in ready:
                    carried = end.recv(65_536)
                    other = far if end is near else near
                    if not carried:
                        other.shutdown(socket.SHUT_RDWR)
                        return
                    if not self.swallows:
                        other.sendall(carried)
