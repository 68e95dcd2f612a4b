"""Notes that PostgreSQL cannot take: they wait in a file on disk, so that a record still comes before its act.

Facts and what protects or closes a position may be noted here; a decision or an entry may not, and is refused. The
file is allocated when the journal is opened: a disk that fills up later does not stop it.

PostgreSQL that hangs counts as one that refuses: the first call that meets it waits for as long as its limit says, the
others are refused at once. Another try is made now and then, after pauses that grow.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, StatementError

from pipelines.domain.equity import EquityDay
from pipelines.domain.errors import BooksDiffer, JournalAway
from pipelines.domain.orders import BookedOrder, Fill, Intent, IntentStatus, Purpose
from pipelines.domain.outcomes import Outcome
from pipelines.domain.positions import Position
from pipelines.domain.verdicts import Verdict
from pipelines.journal.journal import Journal
from pipelines.journal.spool_file import Note, Spool

__all__ = ["Spool", "SpooledJournal"]
LOG = structlog.get_logger("journal")
MERGED = "notes of an outage were taken over"
TAKEN_AT_ONCE = 250  #: notes in one transaction, a tenth of a second or two: shares may be bare meanwhile
LONGEST_RETRY = 8  #: times `retry_s`; pauses between two tries that had to wait double up to that
QUICK_S = 0.1  #: a try that took no longer was refused
CALM = 30  #: times `retry_s` that PostgreSQL has to answer before the next outage begins with the shortest pause again
PREDECESSOR_S = 2.0  #: that the connections of a dead executor have to end when they are asked to
#: What a note raises that the journal can never take
_NEVER = (DataError, IntegrityError, ProgrammingError, StatementError, TypeError, ValueError, KeyError, AttributeError)


class SpooledJournal:
    """The journal of one account's writer, whose notes outlive an outage of PostgreSQL.

    What is not written here is the journal's own method, and raises `JournalAway` during an outage, at once.

    Parameters
    ----------
    journal : Journal
    folder : Path
        Where notes wait, in a file of the account's name; made if it is not there.
    retry_s : float
        Seconds between the first two tries to reach PostgreSQL again; later pauses are longer.
    """

    def __init__(self, journal: Journal, folder: Path, retry_s: float = 1.0):
        self._journal, self._folder, self._retry_s = journal, folder, retry_s
        self._spool: Spool | None = None  # while we are the writer
        self._batch: list[Note] | None = None
        self._tried_at, self._pause_s, self._back_at = 0.0, retry_s, 0.0
        self._taken = 0  # notes in the file that are in PostgreSQL already
        self.away: str | None = None  #: why PostgreSQL cannot be written to; None while it can
        self.alarms: list[str] = []  #: of what could not be taken over

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._journal, name)
        return self._guarded(found) if callable(found) else found

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The journal's own method; while it is away the writer does not wait for each call anew."""

        def guarded(*arguments: Any, **named: Any) -> Any:
            if self._spool is None:
                return call(*arguments, **named)
            if self.away is not None:
                raise JournalAway(self.away)
            try:
                return call(*arguments, **named)
            except JournalAway as error:
                self._lose(error)
                raise

        return guarded

    @contextmanager
    def writer_lock(self, account: str) -> Iterator[None]:
        """The journal's lock; what an earlier outage left in the file is taken over under it.

        Raises
        ------
        AlreadyRunning : if another process has the lock, or the file.
        JournalAway : if PostgreSQL does not answer, or has not ended what a dead executor left behind.
        """
        spool = Spool(self._folder / f"{account}.jsonl")
        try:
            self._end_predecessor(account)
            self._note_writer(account)  # before the lock: a death in between would leave one that nobody can name
            with self._journal.writer_lock(account):
                self._spool, self._taken = spool, 0
                while not self._take_over(account):
                    pass
                self.away = None
                yield
        finally:
            self._spool = None
            spool.close()

    def _writer_file(self, account: str) -> Path:
        """Has the name of the last writer's sessions at the server."""
        return self._folder / f"{account}.writer"

    def _note_writer(self, account: str) -> None:
        """On disk, whole or not at all."""
        file = self._writer_file(account)
        fresh = file.with_name(f".{file.name}.new")
        with fresh.open("w", encoding="utf-8") as stream:
            stream.write(self._journal.name)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)

    def _end_predecessor(self, account: str) -> None:
        """We have the file, so the last writer is dead; a session of its that hangs would hold the lock for long."""
        file = self._writer_file(account)
        name = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        deadline = time.monotonic() + PREDECESSOR_S
        while name and name != self._journal.name and self._journal.end_sessions(name):
            if time.monotonic() > deadline:
                raise JournalAway(
                    "PostgreSQL has not ended the connection of a dead executor yet, which holds the lock"
                )
            time.sleep(0.05)

    def recover(self, account: str) -> bool:
        """Whether PostgreSQL has everything; during an outage it is tried anew, now and then.

        Raises
        ------
        AlreadyRunning : if another process has become the account's writer meanwhile.
        """
        if self.away is None:
            return True
        if time.monotonic() - self._tried_at < self._pause_s:
            return False
        self._tried_at = time.monotonic()
        try:
            self._journal.take_lock_again()
            self._journal.require_writable()
            if not self._take_over(account):
                self._tried_at = 0.0  # the rest at the next call: other work waits, too
                return False
        except JournalAway as error:
            self.away = str(error)
            began, self._tried_at = self._tried_at, time.monotonic()
            waited = self._tried_at - began > QUICK_S  # to be refused costs nothing, to wait does
            self._pause_s = min(self._pause_s * 2, self._retry_s * LONGEST_RETRY) if waited else self._retry_s
            return False
        self.away, self._back_at = None, time.monotonic()
        LOG.info("the journal answers again")  # what happens once: a warning is left out if it was told lately
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
            if self._tried_at - self._back_at > self._retry_s * CALM:
                self._pause_s = self._retry_s
        self.away = str(error)

    def _take_over(self, account: str) -> bool:
        """Bring some of what waits in the file into PostgreSQL, each once: that it is there is noted in the same
        transaction. Whether all of it is there then.
        """
        assert self._spool is not None, "only the writer takes over"
        waiting = self._spool.read()
        first, end = self._taken, self._taken + TAKEN_AT_ONCE
        some, refused = waiting.notes[first:end], list[bytes]()
        if some:
            with self._journal.together(patiently=True):
                part = f"{waiting.name} from {first}" if first else waiting.name
                if not self._journal.has_order_event(account, part, MERGED):
                    refused = [waiting.lines[first + number] for number in self._refused(some)]
                    now = datetime.now().astimezone()
                    self._journal.record_order_event(account, part, MERGED, {"notes": len(some)}, now)
            LOG.warning("notes of an outage taken over", notes=len(some) - len(refused))
        self._set_aside([*refused, *(() if first else waiting.unreadable)])
        if end < len(waiting.notes):
            self._taken = end
            return False
        if waiting.notes or waiting.unreadable:
            self._spool.clear()
        self._taken = 0
        return True

    def _refused(self, notes: tuple[Note, ...]) -> list[int]:
        """Play notes into the journal; the numbers of those that it can never take."""
        refused = []
        for number, note in enumerate(notes):
            try:
                with self._journal.alone(), suppress(BooksDiffer):  # an intent that had moved when the answer was lost
                    _play(self._journal, note)
            except _NEVER:
                refused.append(number)
        return refused

    def _set_aside(self, lines: list[bytes]) -> None:
        """Lines that are no notes are kept for a person; everything else goes on without them."""
        if not lines or self._spool is None:
            return
        beside = self._spool.set_aside(lines)
        self.alarms.append(
            f"{len(lines)} notes of an outage cannot be taken over and lie in {beside}; compare them with the broker"
        )
        LOG.error("alarm", what=self.alarms[-1])


def _play(journal: Journal, note: Note) -> None:
    call, arguments = note
    if call == "record_risk_event":
        arguments = arguments | {"verdict": _verdict(arguments["verdict"])}
    getattr(journal, call)(**arguments)


def _verdict(told: Mapping[str, Any]) -> Verdict:
    return Verdict(told["gate"], False, told["measured"], told["limit"], told["evidence"])
