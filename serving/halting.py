"""What `tradesage halt`, `resume` and `flatten` do. Halt and flatten stop first and complain later, see `stopping.py`.

Exit codes: 0 it is done; 1 it is not, or nobody can tell; 3 it is done, and there is a complaint about what was typed,
or that it was written down nowhere. Whatever fails is one line; nothing here ends in a traceback.
"""

import getpass
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from pipelines.deadlines import within
from pipelines.domain.bars import IST
from pipelines.domain.errors import NotFound, TradeSageError
from pipelines.domain.halts import Cause, HaltEvent, Mode, Word, state_after
from pipelines.journal.journal import Journal
from pipelines.params import Params, load_params
from pipelines.paths import state_folder
from serving.broker_desk import Ours
from serving.executor.trading_state import halt_file, write_halt_file
from serving.executor.whereabouts import Whereabouts, last_whereabouts
from serving.stopping import EVERY, JOURNAL_S, Stopped, bounded, journal_to_stop_by, one_line, stop

RESUME_S = 20.0  #: seconds for all that a resume asks the journal
HEARD_WITHIN_S = 10.0  #: a daemon reads the journal with every frame, and at least every few seconds
LOOK_S = 1.0
LONGEST_TEXT = 1_000  #: characters of a reason or a name
NO_REASON = "no reason given"
CONSOLE = Console()


def default_actor() -> str:
    """Who asks, as user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def halt(account: str | None, reason: str, by: str, ignored: list[str] | None = None) -> int:
    """No entries from now on; what is open is protected and closed as ever. The exit code."""
    stopped = _stop_first(Word.HALT, account, reason, by, ignored)
    code = _confirm(stopped, {Mode.HALTED, Mode.FLATTENING})
    return code or (3 if stopped.faults else 0)


def flatten(account: str | None, reason: str, by: str, patience_s: float, ignored: list[str] | None = None) -> int:
    """Halt, leave every position, and prove at the broker that nothing is left. The exit code: not 1 only if so."""
    stopped = _stop_first(Word.FLATTEN, account, reason, by, ignored)
    where = last_whereabouts()
    if where is None or where.account != stopped.account:
        whose = "" if stopped.account == EVERY else f" for {stopped.account}"
        _say(f"no executor was started in this state folder{whose}: give the executor's by TRADESAGE_STATE")
        return 1
    try:
        flat = _get_flat(where, patience_s)
    except Exception as error:  # whatever it is: what is left to do is the same
        _say(one_line(error), "yellow")
        flat = False
    if flat:
        _say("flat: 0 positions, 0 orders", "green")
        return 3 if stopped.faults else 0
    _say("NOT flat. Close what stands at the broker by hand; docs/runbook.md says how.", "red")
    return 1


def resume(account: str | None, reason: str, by: str, *, force: bool) -> int:
    """Let trading go on, unless what stopped it still stands. The exit code."""
    try:
        if not _clean(reason):
            _say("not resumed: it needs a reason, e.g. --reason 'what you found'", "red")
            return 1
        return _resume(account, _clean(reason), _clean(by) or default_actor(), force=force)
    except TradeSageError:
        raise
    except Exception as error:
        _say(f"not resumed: {one_line(error)}", "red")
        return 1


def _resume(account: str | None, reason: str, by: str, *, force: bool) -> int:
    if account is None and last_whereabouts() is None and halt_file().exists():  # it is all that stands
        halt_file().unlink(missing_ok=True)
        _say("resumed: the file that stopped every executor of this state folder is gone; none was started yet")
        return 0
    with within(RESUME_S), _journal() as journal:
        account = _account(account, journal)
        state = state_after(event for _, event in journal.halt_events(account))
        if not state.standing and not halt_file().exists():
            _say(f"{account} is not halted")
            return 0
        health = _health(account)
        refused = (
            _why_not(health["trading"], health.get("books_equal"), force=force)
            if health
            else _why_not_yet(account, journal, state.standing, force=force)
        )
        if refused:
            _say(f"not resumed: {refused}", "red")
            return 1
        halt_file().unlink(missing_ok=True)
        journal.record_halt(account, _event(Word.RESUME, reason, by, forced=force))
    return _confirm(Stopped(account, noted=True), {Mode.TRADING})


# --- words ---


def _stop_first(word: Word, account: str | None, reason: str, by: str, ignored: list[str] | None) -> Stopped:
    """Stop, then say what was wrong."""
    event = _event(word, _clean(reason) or NO_REASON, _clean(by) or default_actor())
    stopped = stop(account or None, event)
    _leave_for_the_next_run(event, stopped)
    if not _clean(reason):
        stopped.faults = True
        stopped.complaints.append(f"no reason was given; it is noted as {NO_REASON!r}. Give one by --reason next time")
    if ignored:
        stopped.faults = True
        stopped.complaints.append(f"not understood and left aside: {' '.join(ignored)}")
    for complaint in stopped.complaints:
        _say(complaint, "yellow")
    return stopped


def _leave_for_the_next_run(event: HaltEvent, stopped: Stopped) -> None:
    """A paper exchange that is started anew has another account, of which the journal's word knows nothing: while no
    executor answers, the word is left in the file, too, for whoever starts in this state folder.
    """
    where = last_whereabouts()
    if not stopped.noted or where is None or not where.paper or stopped.account != where.account:
        return
    if _health(stopped.account) is not None:
        return
    try:
        write_halt_file(halt_file(), event)
    except OSError as error:
        stopped.complaints.append(f"a new paper run would not know of it: {halt_file()}: {error.strerror}")


def _event(word: Word, reason: str, by: str, *, forced: bool = False) -> HaltEvent:
    return HaltEvent(word, Cause.BY_HAND, reason, by, datetime.now(IST), forced)


def _clean(text: str) -> str:
    """One line that PostgreSQL can hold."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.encode("utf-8", "replace").decode().split())[:LONGEST_TEXT]


def _say(line: str, style: str | None = None) -> None:
    CONSOLE.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _confirm(stopped: Stopped, wanted: set[Mode]) -> int:
    """Wait until the daemon shows it; without one the next that starts reads it first of all."""
    account, deadline = stopped.account, time.monotonic() + HEARD_WITHIN_S
    health = _health(account)
    if health is None:
        if stopped.noted:
            _say(f"{account}: noted. No executor answers; the next one reads it before it trades.")
        elif stopped.at_door:
            _say(f"{account}: the executor has heard it, but it is written down nowhere: a restart forgets it", "red")
        else:
            _say(f"{account}: NOT stopped; nothing could be written down. docs/runbook.md says what is left", "red")
        return 0 if stopped.noted or stopped.at_door else 1
    while Mode(health["trading"]["mode"]) not in wanted:
        if time.monotonic() > deadline:
            _say(f"noted, but the executor still shows {health['trading']['mode']}: see its log", "red")
            return 1
        time.sleep(0.2)
        health = _health(account) or health
    told = "; ".join(f"{one['cause']}: {one['reason']} ({one['actor']})" for one in health["trading"]["standing"])
    _say(f"{account}: {health['trading']['mode']}{'. ' + told if told else ''}")
    return 0


def _why_not(trading: dict[str, Any], books_equal: bool | None, *, force: bool) -> str | None:
    """Why a running executor must not go on. Unequal books are no matter of opinion, so force does not help."""
    if books_equal is False:
        return "the books of journal and broker differ; trading goes on by itself when they are equal"
    still = [f"{one['cause']}: {one['reason']}" for one in trading["standing"] if one["still"]]
    if still and not force:
        return f"{'; '.join(still)}. It still stands; to go on all the same: --force"
    return None


def _why_not_yet(account: str, journal: Journal, standing: dict[Cause, HaltEvent], *, force: bool) -> str | None:
    """The same without an executor, from what the journal knows."""
    if Cause.RECONCILIATION in standing:
        return "the books differed when they were last compared; start the executor, it compares them first"
    still = []
    equity = journal.last_equity(account)
    if Cause.DRAWDOWN in standing and equity is not None:
        still.append(f"drawdown: equity {equity.last:.2f} is {equity.drawdown:.2%} below its peak {equity.peak:.2f}")
    if Cause.LOSSES in standing:
        still.append(f"losses in a row: {standing[Cause.LOSSES].reason}")
    return f"{'; '.join(still)}. It still stands; to go on all the same: --force" if still and not force else None


# --- getting flat ---


def _get_flat(where: Whereabouts, patience_s: float) -> bool:
    """Watch the executor get flat, or leave the positions without one; whether nothing is left at the broker."""
    from serving.broker_desk import broker_of

    with broker_of(where) as desk:
        standing = _flat_by_daemon(desk, where.account, patience_s)
        if standing is None:
            _say("no executor answers; this command leaves the positions itself")
            standing = _flat_by_ourselves(desk, where, patience_s)
        CONSOLE.print(standing.table(f"{where.account} at {where.broker}, {datetime.now(IST):%H:%M:%S}"))
        return bool(standing.flat)


def _flat_by_daemon(desk: Any, account: str, patience_s: float) -> Any:
    """Watch the executor get flat; what stands in the end, None if no executor answers."""
    show, deadline = _shown(), time.monotonic() + patience_s
    ours: Ours | None = None
    asked_at = float("-inf")
    while _health(account) is not None:
        if time.monotonic() - asked_at > HEARD_WITHIN_S:  # exits make new ones; a journal that hangs is not asked again
            ours = _ours(account) or ours
            asked_at = time.monotonic()
        standing = desk.standing(ours)
        show(standing)
        if standing.flat or time.monotonic() > deadline:
            return standing
        time.sleep(LOOK_S)
    return None


def _ours(account: str) -> Ours | None:
    """Tags and symbols that are ours; None while the journal does not answer, then all that stands counts as ours."""
    found: list[Ours] = []

    def read() -> None:
        with _journal() as journal:
            tags = {intent.tag for intent in journal.intents(account)}
            found.append(Ours(tags, {position.symbol for position in journal.open_positions(account)}))

    failure = bounded(read, JOURNAL_S, "the journal")
    if failure:
        _say(f"{failure}; all that stands at the broker counts as ours", "yellow")
    return found[0] if found else None


def _flat_by_ourselves(desk: Any, where: Whereabouts, patience_s: float) -> Any:
    """Leave the positions under the account's writer lock; what stands in the end, also if that fails.

    As the executor does it: notes that it left in its file are taken over first, and ours wait there where PostgreSQL
    hangs in the midst of it.
    """
    from pipelines.journal.connecting import PROMPT
    from pipelines.journal.spool import SpooledJournal

    try:
        with _journal(PROMPT) as ours:
            journal = SpooledJournal(ours, state_folder() / "spool")
            return desk.flattener(where.account, _params_of(Path(where.workspace)), journal).run(patience_s, _shown())
    except Exception as error:  # whatever it is: what stands is shown, for somebody has to close it
        _say(one_line(error), "yellow")
        return desk.standing(None)


def _params_of(workspace: Path) -> Params:
    """The workspace's parameters; if they cannot be read, those of its last commit."""
    import subprocess

    import yaml

    from pipelines.params import params_from

    try:
        return load_params(workspace / "params.yaml")
    except TradeSageError as error:
        command = ("git", "-C", str(workspace), "show", "HEAD:./params.yaml")
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
        if done.returncode:
            raise
        _say(f"{one_line(error)}; the numbers of the last commit are used", "yellow")
        return params_from(yaml.safe_load(done.stdout), f"params.yaml in the last commit of {workspace}")


# --- the executor and its journal ---


@contextmanager
def _journal(limits: Any = None) -> Iterator[Journal]:
    from pipelines.journal.postgres import database_url

    journal = journal_to_stop_by(database_url("journal"), limits)
    try:
        yield journal
    finally:
        journal.close()


def _account(given: str | None, journal: Journal) -> str:
    """The account meant: the one named, else that of the last executor of this state folder."""
    known = journal.accounts()
    where = last_whereabouts()
    account = given or (where.account if where else None)
    if account is not None and (account in known or (where is not None and account == where.account)):
        return account
    names = ", ".join(known[:5]) or "none"
    if account is None:
        raise NotFound(f"no executor was started in this state folder; give --account, known are: {names}")
    raise NotFound(f"the journal has no account {account}; known are: {names}")


def _health(account: str) -> dict[str, Any] | None:
    """What the account's executor tells, None if none trades now."""
    where = last_whereabouts()
    if where is None:
        return None
    found: list[Any] = []
    address = f"http://127.0.0.1:{where.port}/health"
    bounded(lambda: found.append(httpx.get(address, timeout=2, trust_env=False).json()), 3.0, "the executor")
    told = found[0] if found else None
    return told if isinstance(told, dict) and told.get("account") == account and "trading" in told else None


def _shown() -> Callable[[Any], None]:
    """Prints a line whenever what stands has changed."""
    before: list[tuple[int, int]] = []

    def show(standing: Any) -> None:
        now = (len(standing.shares), len(standing.orders))
        if before[-1:] != [now]:
            before.append(now)
            _say(f"{datetime.now(IST):%H:%M:%S}  {now[0]} positions, {now[1]} working orders")

    return show
