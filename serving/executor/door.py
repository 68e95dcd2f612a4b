"""The executor's own door: a person's word to it that needs neither a journal nor room on a disk.

It is an abstract unix socket, which has no file, named after the state folder. Whoever stands at either end is told by
the kernel: only the same user, or root, is listened to, and only to such a one does a command speak. A word is heard at
once and acted on with the next frame; the session notes it in the journal.
"""

import hashlib
import json
import os
import queue
import socket
import struct
import threading
from contextlib import suppress
from datetime import datetime
from typing import Any

import structlog

from pipelines.domain.halts import Cause, HaltEvent, Word
from pipelines.paths import state_folder

LOG = structlog.get_logger("executor")
ANSWER_S = 2.0  #: seconds that one visit may take
LONGEST = 8_192  #: bytes of a word


class Door:
    """Listens in a thread of its own until `close`; `asked` gives what was said since the last look.

    Where it cannot listen, since another executor of this state folder does, it stays shut and says so in the log.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[HaltEvent] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(_address())
            self._socket.listen(8)
        except OSError as error:
            LOG.warning("the door stays shut", why=str(error))
            self._socket.close()
            return
        self._thread = threading.Thread(target=self._serve, name="door", daemon=True)
        self._thread.start()

    def asked(self) -> list[HaltEvent]:
        """What was said since the last look, in order."""
        events = []
        with suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        return events

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        if self._thread is not None:
            self._thread.join(ANSWER_S)  # while it waits, the address stays taken
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                visitor, _ = self._socket.accept()
            except OSError:
                return
            with visitor, suppress(OSError, ValueError, KeyError, TypeError):
                visitor.settimeout(ANSWER_S)
                if _trusted(visitor):
                    self._events.put(_event(_read(visitor)))
                    visitor.sendall(b"heard\n")


def say_at_door(event: HaltEvent) -> bool:
    """Tell the executor of this state folder; whether it was heard. Never waits longer than `ANSWER_S` for a step."""
    visitor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with visitor, suppress(OSError):
        visitor.settimeout(ANSWER_S)
        visitor.connect(_address())
        if not _trusted(visitor):
            return False
        told = {"word": event.word, "reason": event.reason, "actor": event.actor, "at": event.at.isoformat()}
        visitor.sendall(json.dumps(told).encode()[: LONGEST - 1] + b"\n")
        return visitor.recv(16) == b"heard\n"
    return False


def _address() -> str:
    name = hashlib.sha256(os.fsencode(state_folder())).hexdigest()[:24]
    return f"\0tradesage-executor-{name}"


def _trusted(peer: socket.socket) -> bool:
    """Whether the other end belongs to this user or to root."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return user in (0, os.geteuid())


def _read(visitor: socket.socket) -> dict[str, Any]:
    content = b""
    while not content.endswith(b"\n") and len(content) < LONGEST:
        part = visitor.recv(LONGEST)
        if not part:
            break
        content += part
    return dict(json.loads(content))


def _event(told: dict[str, Any]) -> HaltEvent:
    """A word by a person; only halts are taken at the door, a resume needs to look at more."""
    word = Word.FLATTEN if told["word"] == Word.FLATTEN else Word.HALT
    at = datetime.fromisoformat(told["at"])
    return HaltEvent(word, Cause.BY_HAND, str(told["reason"]), str(told["actor"]), at)
