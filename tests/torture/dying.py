"""Where a daemon dies: edges are counted, and at the one that the schedule names the process ends by SIGKILL."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from pipelines.journal.connecting import TimeLimits
from pipelines.journal.journal import Journal
from tests.torture.schedule import Kill, Where


class Dying:
    """Counts edges and kills at one of them.

    Parameters
    ----------
    kill : Kill or None, who lives to the end
    tell : function of a line; it is on its way when it returns
    """

    def __init__(self, kill: Kill | None, tell: Callable[[str], None]):
        self._kill, self._tell = kill, tell
        self.counts: Counter[Where] = Counter()
        self._asking = False  # an order call is under way

    def begin(self) -> None:
        """From here on the time runs of one who dies at any time."""
        if self._kill is not None and self._kill.where is Where.ANY_TIME:
            timer = threading.Timer(self._kill.after_s, self._die, ("at any time",))
            timer.daemon = True
            timer.start()

    def at(self, where: Where, what: str) -> None:
        """An edge is reached."""
        count = self.counts[where]
        self.counts[where] += 1
        if self._kill is not None and self._kill.where is where and self._kill.count == count:
            self._die(f"{where}:{count} ({what})")

    def watch_calls(self, kite: Any) -> None:
        """Count the calls of a client that order, change or cancel."""
        from urllib3.connection import HTTPConnection

        for name in ("place_order", "modify_order", "cancel_order"):
            setattr(kite, name, self._around(name, getattr(kite, name)))
        read_answer = HTTPConnection.getresponse

        def getresponse(connection: Any, *args: Any, **named: Any) -> Any:
            if self._asking:
                self.at(Where.ON_THE_WIRE, "the request is sent")
            return read_answer(connection, *args, **named)

        HTTPConnection.getresponse = getresponse  # type: ignore[method-assign]

    def _around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **named: Any) -> Any:
            self.at(Where.BEFORE_CALL, name)
            self._asking = True
            try:
                return call(*args, **named)
            finally:
                self._asking = False
                self.at(Where.AFTER_CALL, name)

        return watched

    def _die(self, how: str) -> None:
        self._tell(f"died {how}")
        os.kill(os.getpid(), signal.SIGKILL)


class DyingJournal(Journal):
    """The real journal; the edges of every transaction that writes are counted."""

    def __init__(self, url: str, limits: TimeLimits, dying: Dying):
        super().__init__(url, limits)
        self._dying = dying
        self._written: list[str] = []  # tables that the present transaction has written to
        event.listen(self._engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split(maxsplit=3)
        if words[0] == "insert":
            self._written.append(words[2])
        elif words[0] == "update":
            self._written.append(words[1])

    @contextmanager
    def _begin(self, seconds: float | None = None) -> Iterator[Connection]:
        if self._joined.get() is not None:
            with super()._begin(seconds) as connection:
                yield connection
            return
        self._written.clear()
        with super()._begin(seconds) as connection:
            yield connection
            what = ", ".join(dict.fromkeys(self._written))
            if what:
                self._dying.at(Where.BEFORE_COMMIT, what)
        if what:
            self._dying.at(Where.AFTER_COMMIT, what)
