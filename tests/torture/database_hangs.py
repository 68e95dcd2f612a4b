"""PostgreSQL hangs while a day is played: a table that another session holds, our own backend stopped by SIGSTOP."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import create_engine, text

from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from tests.torture.neighbours import Hang, HangKind

WRITER = """
    select pid from pg_locks where locktype = 'advisory' and granted
    and (classid::bigint << 32) + objid::bigint = hashtextextended(:account, 7071)
"""


def database_of(hangs: tuple[Hang, ...], seed: int, database: str) -> str:
    """A journal of its own for a day that locks tables: others are played at the same time."""
    if not any(hang.kind is HangKind.LOCK for hang in hangs):
        return database
    own = database_url(f"torture_{seed}")
    journal_at(own).close()
    return own


@contextmanager
def hanging(hangs: tuple[Hang, ...], database: str, account: str) -> Iterator[Counter[str]]:
    """Play the hangs, one after another, while the block runs; how many there were, by kind."""
    counts, ended = Counter[str](), threading.Event()
    thread = threading.Thread(target=_play, args=(hangs, database, account, counts, ended), daemon=True)
    if hangs:
        thread.start()
    try:
        yield counts
    finally:
        ended.set()
        if hangs:
            thread.join(10)


def _play(hangs: tuple[Hang, ...], database: str, account: str, counts: Counter[str], ended: threading.Event) -> None:
    engine = create_engine(database)
    for hang in hangs:
        if ended.wait(hang.after_s):
            break
        with engine.connect() as connection:
            if hang.kind is HangKind.LOCK:
                connection.execute(text(f"lock table {hang.table} in access exclusive mode"))
                counts[hang.kind.value] += 1
                ended.wait(hang.lasts_s)
                connection.rollback()
                continue
            pid = _writer(connection, account, ended)
        if pid is not None:
            counts[hang.kind.value] += 1
            _stop(pid, hang.lasts_s, ended)
    engine.dispose()


def _writer(connection: object, account: str, ended: threading.Event) -> int | None:
    """The backend that writes for the account, as soon as there is one."""
    while not ended.is_set():
        pid = connection.execute(text(WRITER), {"account": account}).scalar()  # type: ignore[attr-defined]
        connection.rollback()  # type: ignore[attr-defined]
        if pid is not None:
            return int(pid)
        time.sleep(0.02)
    return None


def _stop(pid: int, seconds: float, ended: threading.Event) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        try:
            ended.wait(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
