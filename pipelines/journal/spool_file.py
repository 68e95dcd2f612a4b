"""The file in which notes wait for PostgreSQL: JSON lines, one a note, allocated ahead and synced with every write."""

import fcntl
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pipelines.domain.equity import EquityDay
from pipelines.domain.errors import AlreadyRunning, JournalAway, ServiceUnavailable
from pipelines.domain.orders import BookedOrder, Fill, Intent, IntentStatus
from pipelines.domain.outcomes import Outcome
from pipelines.domain.positions import Position
from pipelines.journal.rows import (
    equity_day_from,
    equity_day_row,
    fill_from,
    fill_row,
    intent_from,
    intent_row,
    order_from,
    order_row,
    outcome_from,
    outcome_row,
    position_from,
    position_row,
)

SPOOL_BYTES = 4 * 1024 * 1024  #: some eight thousand notes; an outage of a day with twenty positions needs less
#: Methods of the journal whose notes may wait
CALLS = frozenset(
    {
        "advance_intent",
        "commit_intent",
        "record_equity",
        "record_fill",
        "record_order",
        "record_order_event",
        "record_outcome",
        "record_position",
        "record_risk_event",
    }
)
Note = tuple[str, dict[str, Any]]  # method and arguments

ROWS: dict[type, tuple[str, Callable[[Any], dict[str, Any]], Callable[[Mapping[str, Any]], Any]]] = {
    BookedOrder: ("order", order_row, order_from),
    Fill: ("fill", fill_row, fill_from),
    Intent: ("intent", intent_row, intent_from),
    Outcome: ("outcome", outcome_row, outcome_from),
    Position: ("position", position_row, position_from),
    EquityDay: ("equity day", equity_day_row, equity_day_from),
}
BACK = {name: back for name, _, back in ROWS.values()}
MOST_MONEY = Decimal(1_000_000_000_000_000)  #: rupees; no account of ours has a thousandth of it
#: What a line may raise that is no note of ours
_NO_NOTE = (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a file holds."""

    name: str  #: the file's for itself; another after each `clear`
    notes: tuple[Note, ...]
    lines: tuple[bytes, ...]  #: of the notes, as they stand there
    unreadable: tuple[bytes, ...]  #: lines that are no notes of ours


class Spool:
    """An append-only file of JSON lines behind a name of its own, allocated ahead and synced with every write.

    It belongs to one process, which may trade on in an outage in which PostgreSQL has let the writer's lock go.

    Raises
    ------
    AlreadyRunning : if another process has it.
    """

    def __init__(self, file: Path):
        self._file = file
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = _locked(file)
            os.posix_fallocate(self._descriptor, 0, SPOOL_BYTES)
        except OSError as error:
            raise ServiceUnavailable(
                f"{file}, where notes wait while PostgreSQL is away, cannot be made ({error.strerror}); free its disk "
                "or correct its folder's permissions"
            ) from None
        content = self._content()
        self._end = content.rfind(b"\n") + 1  # behind a torn last line nothing could be read
        self._empty = content.count(b"\n") <= 1
        if not content:
            self.clear()

    def append(self, notes: list[Note]) -> None:
        """Put notes on disk, all or, after a death in the midst, the first of them.

        Raises
        ------
        JournalAway : if the file is full or cannot be written.
        """
        lines = b"".join(json.dumps(_told(note), default=str).encode() + b"\n" for note in notes)
        if self._end + len(lines) > SPOOL_BYTES:
            raise JournalAway("PostgreSQL does not answer and the file of waiting notes is full; start PostgreSQL")
        try:
            os.pwrite(self._descriptor, lines, self._end)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise JournalAway(f"neither PostgreSQL nor the file of waiting notes can be written ({error})") from None
        self._end += len(lines)
        self._empty = False

    def read(self) -> Waiting:
        """What waits, in order; a torn last line was never acted on, and is left out.

        A line in between that is no note of ours, by a bad disk or a strange hand, is told apart from the others.
        """
        content = self._content()
        lines = [line for line in content.split(b"\n")[:-1] if line]
        if lines and lines[0].startswith(b"spool-"):
            name = lines.pop(0).decode(errors="replace")
        else:  # always the same, so that what waits is not taken over twice
            name = f"spool-{hashlib.sha256(content).hexdigest()[:32]}"
        notes, readable, unreadable = [], [], []
        for line in lines:
            try:
                notes.append(_understood(json.loads(line)))
                readable.append(line)
            except _NO_NOTE:
                unreadable.append(line)
        return Waiting(name, tuple(notes), tuple(readable), tuple(unreadable))

    def set_aside(self, lines: Sequence[bytes]) -> Path:
        """Keep lines that cannot be taken over in a file beside this one, for a person to look at."""
        beside = self._file.with_name(f"{self._file.name}.unreadable")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, b"".join(line + b"\n" for line in lines))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return beside

    def clear(self) -> None:
        """Begin anew, under another name."""
        name = f"spool-{uuid.uuid4().hex}\n".encode()
        os.pwrite(self._descriptor, name + b"\0" * max(len(self._content()) - len(name), 1), 0)
        os.fdatasync(self._descriptor)
        self._end, self._empty = len(name), True

    def close(self) -> None:
        """Give the place back if nothing waits."""
        if self._empty:
            self._file.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _content(self) -> bytes:
        return os.pread(self._descriptor, SPOOL_BYTES, 0).rstrip(b"\0")


def _locked(file: Path) -> int:
    """A descriptor of the file, locked until it is closed or the process dies."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise AlreadyRunning(
                f"another executor of this account keeps its notes in {file}; end it first, two would trade against "
                "each other"
            ) from None
        with suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == file.stat().st_ino:
                return descriptor
        os.close(descriptor)  # given back by another process between our two calls


def _told(note: Note) -> dict[str, Any]:
    call, arguments = note
    return {"call": call, "with": {name: _plain(value) for name, value in arguments.items()}}


def _understood(told: Mapping[str, Any]) -> Note:
    """Raises one of `_NO_NOTE` for what is no note of ours."""
    call = told["call"]
    if call not in CALLS:
        raise ValueError(f"{call} is nothing that waits")
    arguments = {name: _valued(value) for name, value in told["with"].items()}
    for value in arguments.values():
        _require_money(value)
    if call == "advance_intent":
        arguments["to"] = IntentStatus(arguments["to"])
    return call, arguments


def _require_money(value: Any) -> None:
    """Raises ValueError for an amount that is none, also in a record."""
    if isinstance(value, Decimal) and not (value.is_finite() and abs(value) < MOST_MONEY):
        raise ValueError(f"{value} is no amount of money")
    if is_dataclass(value):
        for each in fields(value):
            _require_money(getattr(value, each.name))


def _plain(value: Any) -> Any:
    if type(value) in ROWS:
        name, row, _ = ROWS[type(value)]
        return {"a": name, "is": {key: _plain(part) for key, part in row(value).items()}}
    if isinstance(value, Decimal):
        return {"a": "decimal", "is": str(value)}
    if isinstance(value, datetime):
        return {"a": "time", "is": value.isoformat()}
    if isinstance(value, date):
        return {"a": "date", "is": value.isoformat()}
    return value


def _valued(value: Any) -> Any:
    match value:
        case {"a": "decimal", "is": text}:
            return Decimal(text)
        case {"a": "time", "is": text}:
            return datetime.fromisoformat(text)
        case {"a": "date", "is": text}:
            return date.fromisoformat(text)
        case {"a": name, "is": row}:
            return BACK[name]({key: _valued(part) for key, part in row.items()})
    return value
