"""Notes that PostgreSQL cannot take: they wait in a file on disk, so that a record still comes before its act.

Facts and what protects or closes a position may be noted here; a decision or an entry may not, and is refused. The
file is allocated when the journal is opened: a disk that fills up later does not stop it.
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog

from pipelines.domain.equity import EquityDay
from pipelines.domain.errors import AlreadyRunning, BooksDiffer, JournalAway
from pipelines.domain.orders import BookedOrder, Fill, Intent, IntentStatus, Purpose
from pipelines.domain.outcomes import Outcome
from pipelines.domain.positions import Position
from pipelines.domain.verdicts import Verdict
from pipelines.journal.journal import Journal
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

LOG = structlog.get_logger("journal")
SPOOL_BYTES = 4 * 1024 * 1024  #: some eight thousand notes; an outage of a day with twenty positions needs less
MERGED = "notes of an outage were taken over"
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


class SpooledJournal:
    """The journal of one account's writer, whose notes outlive an outage of PostgreSQL.

    What is not written here is the journal's own method, and raises `JournalAway` during an outage.

    Parameters
    ----------
    journal : Journal
    folder : Path
        Where notes wait, in a file of the account's name; made if it is not there.
    retry_s : float
        Seconds between two tries to reach PostgreSQL again.
    """

    def __init__(self, journal: Journal, folder: Path, retry_s: float = 1.0):
        self._journal, self._folder, self._retry_s = journal, folder, retry_s
        self._spool: Spool | None = None  # while we are the writer
        self._batch: list[Note] | None = None
        self._tried_at = 0.0
        self.away: str | None = None  #: why PostgreSQL cannot be written to; None while it can

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    @contextmanager
    def writer_lock(self, account: str) -> Iterator[None]:
        """The journal's lock; what an earlier outage left in the file is taken over under it."""
        with self._journal.writer_lock(account):
            self._spool = Spool(self._folder / f"{account}.jsonl")
            try:
                self._take_over(account)
                self.away = None
                yield
            finally:
                self._spool.close()
                self._spool = None

    def recover(self, account: str) -> bool:
        """Whether PostgreSQL has everything; during an outage it is tried anew, at most once in `retry_s`.

        Raises
        ------
        AlreadyRunning : if another process has become the account's writer meanwhile.
        """
        if self.away is None:
            return True
        if time.monotonic() - self._tried_at < self._retry_s:
            return False
        self._tried_at = time.monotonic()
        try:
            self._journal.take_lock_again()
            self._take_over(account)
        except JournalAway as error:
            self.away = str(error)
            return False
        self.away = None
        LOG.warning("the journal answers again")
        return True

    @contextmanager
    def together(self) -> Iterator[None]:
        """As the journal's; in an outage all notes made inside go to the file, at once when it is left."""
        if self._batch is not None:
            yield
            return
        notes = self._batch = []
        done = False
        transaction = ExitStack()
        if self.away is None:
            try:
                transaction.enter_context(self._journal.together())
            except JournalAway as error:  # a read has found it gone before any note did
                self._lose(error)
        try:
            with transaction:
                yield
                done = True
        except JournalAway as error:
            self._lose(error)
            if not done:
                raise
        finally:
            self._batch = None
            if self.away is not None and notes:
                self._wait(notes)

    # --- notes ---

    def commit_intent(self, account: str, intent: Intent) -> None:
        """As the journal's. An entry is a new risk: in an outage it is refused.

        Raises
        ------
        JournalAway : for an entry, if PostgreSQL does not take it.
        """
        if intent.purpose is Purpose.ENTRY:
            self._strictly("commit_intent", account=account, intent=intent)
        else:
            self._note("commit_intent", account=account, intent=intent)

    def record_decision(self, *arguments: Any, **named: Any) -> str:
        """As the journal's; raises `JournalAway` in an outage: what is not noted is not acted on."""
        return self._strictly("record_decision", *arguments, **named)

    def advance_intent(self, intent_id: str, to: IntentStatus, at: datetime, reason: str = "") -> None:
        self._note("advance_intent", intent_id=intent_id, to=to, at=at, reason=reason)

    def record_order(self, account: str, order: BookedOrder) -> None:
        self._note("record_order", account=account, order=order)

    def record_order_event(
        self, account: str, order_id: str, event: str, detail: Mapping[str, Any], at: datetime
    ) -> None:
        self._note("record_order_event", account=account, order_id=order_id, event=event, detail=dict(detail), at=at)

    def record_fill(self, account: str, fill: Fill) -> None:
        self._note("record_fill", account=account, fill=fill)

    def record_equity(self, account: str, day: EquityDay) -> None:
        self._note("record_equity", account=account, day=day)

    def record_position(self, account: str, position: Position) -> None:
        self._note("record_position", account=account, position=position)

    def record_outcome(self, account: str, position_id: str, outcome: Outcome) -> None:
        self._note("record_outcome", account=account, position_id=position_id, outcome=outcome)

    def record_risk_event(
        self, account: str, verdict: Verdict, at: datetime, symbol: str | None = None, decision_id: str | None = None
    ) -> None:
        told = {
            "gate": verdict.gate,
            "measured": verdict.measured,
            "limit": verdict.limit,
            "evidence": verdict.evidence,
        }
        self._note("record_risk_event", account=account, verdict=told, at=at, symbol=symbol, decision_id=decision_id)

    def _strictly(self, call: str, *arguments: Any, **named: Any) -> Any:
        if self.away is not None:
            raise JournalAway(self.away)
        try:
            return getattr(self._journal, call)(*arguments, **named)
        except JournalAway as error:
            self._lose(error)
            raise

    def _note(self, call: str, **arguments: Any) -> None:
        note = (call, arguments)
        if self._batch is not None:
            self._batch.append(note)
        if self.away is None:
            try:
                _play(self._journal, note)
                return
            except JournalAway as error:
                self._lose(error)
        if self._batch is None:
            self._wait([note])

    def _wait(self, notes: list[Note]) -> None:
        if self._spool is None:
            raise JournalAway(f"only the writer's notes wait for PostgreSQL: {self.away}")
        self._spool.append(notes)

    def _lose(self, error: JournalAway) -> None:
        if self.away is None:
            LOG.error("the journal does not answer; its notes wait in a file", error=str(error))
            self._tried_at = time.monotonic()
        self.away = str(error)

    def _take_over(self, account: str) -> None:
        """Bring what waits in the file into PostgreSQL, once: the file's name is noted in the same transaction."""
        assert self._spool is not None, "only the writer takes over"
        name, notes = self._spool.read()
        if not notes:
            return
        with self._journal.together():
            if not self._journal.has_order_event(account, name, MERGED):
                for note in notes:
                    with suppress(BooksDiffer):  # an intent that had moved when the answer was lost
                        _play(self._journal, note)
                now = datetime.now().astimezone()
                self._journal.record_order_event(account, name, MERGED, {"notes": len(notes)}, now)
        self._spool.clear()
        LOG.warning("notes of an outage taken over", notes=len(notes))


class Spool:
    """An append-only file of JSON lines behind a name of its own, allocated ahead and synced with every write.

    It belongs to one process, which may trade on in an outage in which PostgreSQL has let the writer's lock go.

    Raises
    ------
    AlreadyRunning : if another process has it.
    """

    def __init__(self, file: Path):
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = _locked(file)
        os.posix_fallocate(self._descriptor, 0, SPOOL_BYTES)
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

    def read(self) -> tuple[str, list[Note]]:
        """The file's name for itself, and its notes in order; a torn last line was never acted on."""
        first, *lines = self._content().decode().splitlines(keepends=True)
        return first.strip(), [_understood(json.loads(line)) for line in lines if line.endswith("\n")]

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
        return os.pread(self._descriptor, SPOOL_BYTES, 0).partition(b"\0")[0]


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


def _play(journal: Journal, note: Note) -> None:
    call, arguments = note
    if call == "record_risk_event":
        arguments = arguments | {"verdict": _verdict(arguments["verdict"])}
    getattr(journal, call)(**arguments)


def _verdict(told: Mapping[str, Any]) -> Verdict:
    return Verdict(told["gate"], False, told["measured"], told["limit"], told["evidence"])


def _told(note: Note) -> dict[str, Any]:
    call, arguments = note
    return {"call": call, "with": {name: _plain(value) for name, value in arguments.items()}}


def _understood(told: Mapping[str, Any]) -> Note:
    arguments = {name: _valued(value) for name, value in told["with"].items()}
    if told["call"] == "advance_intent":
        arguments["to"] = IntentStatus(arguments["to"])
    return told["call"], arguments


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
