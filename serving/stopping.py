"""Stops an executor first and complains later: three ways, of which the first that works stops it at once.

| way | needs | is heard with the next frame |
|---|---|---|
| the executor's own door | an executor that runs | by that one |
| the file `halt` in the state folder | a folder that can be written to | by that one, or one started later |
| the journal | PostgreSQL | the same, from any machine |

The door is tried first, then the word is written down: in the journal, or in the file if the journal fails or does not
answer in time. No failure of one way keeps the next from being tried, and each is told in one line.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipelines.domain.halts import HaltEvent, Word
from serving.executor.door import say_at_door
from serving.executor.trading_state import halt_file, write_halt_file
from serving.executor.whereabouts import Whereabouts, last_whereabouts
from serving.leftovers import last_executor

JOURNAL_S = 8.0  #: seconds for the journal in all; then it counts as away
EVERY = "every account"  #: is stopped where nobody knows which
HEARD_S = 3.0  #: seconds that the executor has to write down itself what it heard at its door


@dataclass
class Stopped:
    """What came of it."""

    account: str  #: in words where none is known
    at_door: bool = False  #: whether the executor that runs has heard it
    noted: bool = False  #: whether it stands in the journal or in the file, so that it outlives the executor
    complaints: list[str] = field(default_factory=list)  #: one line each
    faults: bool = False  #: whether a complaint is about what was typed, or nothing was written down


def stop(account: str | None, event: HaltEvent) -> Stopped:
    """Stop an account's executor by whatever way works; never raises, and takes about ten seconds at most."""
    where = last_whereabouts()
    stopped = Stopped(account or (where.account if where else EVERY))
    known = account is None or (where is not None and where.account == account)
    if known:
        stopped.at_door = say_at_door(event)
        if not stopped.at_door and last_executor() is not None:
            _leave_file(event, stopped)
    failure = bounded(lambda: _note(account, where, event, stopped), JOURNAL_S, "the journal")
    if failure is not None:
        stopped.complaints.append(failure)
        if not stopped.noted:
            _leave_file(event, stopped)
        if not known:  # nobody can say whose it is: better one too many
            stopped.at_door = say_at_door(event)
    if not stopped.noted:
        stopped.faults = True
    return stopped


def bounded(work: Callable[[], Any], seconds: float, what: str) -> str | None:
    """Do something that may hang or fail, and give it up after a while; why it failed, in one line, or None."""
    failures: list[str] = []

    def attempt() -> None:
        try:
            work()
        except Exception as error:  # whatever it is: a person wants to stop trading, and one line about it
            failures.append(one_line(error))

    thread = threading.Thread(target=attempt, daemon=True)  # the command does not wait for it in the end
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        return f"{what} does not answer within {seconds:.0f} s"
    return failures[0] if failures else None


def one_line(error: BaseException) -> str:
    """An error as a person reads it: its first words, without what a library adds on further lines."""
    original = getattr(error, "orig", None) or error  # SQLAlchemy's errors carry the driver's
    words = " ".join((str(original).strip().splitlines() or [""])[0].split())
    return (words or type(error).__name__)[:300]


def _note(account: str | None, where: Whereabouts | None, event: HaltEvent, stopped: Stopped) -> None:
    """Write the word down in the journal, unless the executor that heard it has."""
    from pipelines.journal.postgres import database_url

    journal = journal_to_stop_by(database_url("journal"))
    try:
        names = journal.accounts()
        meant = _account_meant(account, where, names, stopped)
        if meant is None:
            stopped.account = EVERY
            raise LookupError("no executor was started in this state folder; name the account by --account")
        stopped.account = meant
        heard_until = time.monotonic() + (HEARD_S if stopped.at_door else 0.0)
        while event not in [noted for _, noted in journal.halt_events(meant)]:
            if time.monotonic() >= heard_until:
                journal.record_halt(meant, event)
                break
            time.sleep(0.1)
        stopped.noted = True
    finally:
        journal.close()


def _account_meant(account: str | None, where: Whereabouts | None, names: list[str], stopped: Stopped) -> str | None:
    """The account named, if there is one of that name; else that of the last executor here: a slip of the pen stops."""
    last = where.account if where else None
    if account is None or account in names or account == last:
        return account or last
    known = ", ".join(names[:5]) or "none"
    stopped.faults = True
    stopped.complaints.append(f"the journal has no account {account}, known are: {known}; stopped {last or 'all'} here")
    return last


def journal_to_stop_by(url: str, limits: Any = None) -> Any:
    """The journal, also with the schema of another release: words about trading are the same in each.

    `limits` are those of its calls; None: patient ones.
    """
    from pipelines.domain.errors import TradeSageError
    from pipelines.journal import journal_at
    from pipelines.journal.connecting import PATIENT
    from pipelines.journal.journal import Journal

    try:
        return journal_at(url, limits or PATIENT)
    except TradeSageError:
        return Journal(url, limits or PATIENT)


def _leave_file(event: HaltEvent, stopped: Stopped) -> None:
    """The word in the file; on a full disk an empty file, which is a halt."""
    path = halt_file()
    try:
        write_halt_file(path, event)
        stopped.complaints.append(f"the file {path} stops every executor of this state folder instead")
    except OSError as error:
        try:
            path.touch()
        except OSError:
            stopped.complaints.append(f"the file {path} cannot be written, either ({error.strerror})")
            return
        less = "; it says halt, since there is no room for more" if event.word is Word.FLATTEN else ""
        stopped.complaints.append(f"the empty file {path} stops every executor of this state folder{less}")
    stopped.noted = True
