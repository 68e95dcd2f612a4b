"""Runs one program and takes its whole family with it: nothing it started outlives it, or the one who asked for it.

    python -I -S family.py <pid of the one who asked> <file descriptor> -- <program> <arguments>

Linux hands the orphans of a family to this process (child subreaper), wherever they hide: in another group, in another
session, with another environment. It ends them when the program ends, however it ends; when it is told to by SIGTERM;
and when the one who asked for it has died. If it is killed itself, the program gets SIGTERM from the kernel.
Only the standard library is used: it starts in 20 ms and takes 10 MiB.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

PATIENCE_S = 10.0  #: seconds to end after SIGTERM; a second SIGTERM cuts them short
ORPHANS_S = 2.0  #: seconds that children have once their parent has ended
LOOK_S = 0.5  #: how soon the death of the one who asked is seen
#: Stays when its family ends: the embedded PostgreSQL is shared by all processes, and `down` ends it last of all
STAYS = ("postgres",)
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # of prctl(2)
_ASKED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


def command(program: Sequence[str], tell: int | None = None) -> list[str]:
    """The command that runs `program` with its family kept together, until this process ends.

    Parameters
    ----------
    tell : file descriptor, inherited by the command, on which the program's process id is written as a line
    """
    own = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(os.getpid()), str(-1 if tell is None else tell)]
    return [*own, "--", *program]


def adopt() -> None:
    """From now on orphans among our descendants become our children, so that `end_children` finds them."""
    _prctl(_SUBREAPER, 1)


def run(
    program: Sequence[str], asker: int | None = None, tell: int = -1, tick: Callable[[], None] | None = None
) -> int:
    """Run a program until it ends, is told to end, or the process `asker` is no more our parent; then end its family.

    Parameters
    ----------
    tell : file descriptor for the program's process id; none below zero
    tick : called twice a second meanwhile

    Returns
    -------
    Its exit status as `os.waitpid` gives it.
    """
    adopt()
    awaited: set[signal.Signals] = {*_ASKED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    if tell >= 0:
        os.set_inheritable(tell, False)
    child = _start(program, before)
    if tell >= 0:
        with os.fdopen(tell, "w") as file:
            file.write(f"{child}\n")
    status: int | None = None
    deadline: float | None = None
    while status is None and (deadline is None or time.monotonic() < deadline):
        caught = signal.sigtimedwait(awaited, LOOK_S)
        status = _reap(child)
        asked = caught is not None and caught.si_signo in _ASKED
        if status is None and (asked or (asker is not None and os.getppid() != asker)):
            if deadline is not None and asked:
                break  # told twice
            if deadline is None:
                deadline = time.monotonic() + PATIENCE_S
                _signal_group(child, signal.SIGTERM)
        if tick:
            tick()
    killed = status is None or (deadline is None and os.WIFSIGNALED(status))
    end_children(0.0 if killed else ORPHANS_S)
    return status if status is not None else signal.SIGKILL


def end_children(patience_s: float = ORPHANS_S) -> None:
    """End all descendants of this process but `STAYS`: SIGTERM, then SIGKILL after `patience_s`.

    Without patience there is no SIGTERM. It is the end for the children of a program that was killed: what dies with
    it is taken up again by its successor, but what has time to say goodbye, as a task of Airflow, tells of its failure.
    """
    for number, seconds in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        if not seconds:
            continue
        deadline = time.monotonic() + seconds
        told: set[int] = set()
        while living := list(_descendants()):
            for pid in living:
                if pid not in told:
                    told.add(pid)
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, number)
            _reap_all()
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    _reap_all()


def _start(program: Sequence[str], mask: Iterable[int]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        os.setpgid(0, 0)  # a group of its own: a signal to ours is handed on once, by us
        _prctl(_DEATH_SIGNAL, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if os.getppid() == parent:
            os.execvp(program[0], list(program))  # noqa: S606  (a program and its arguments, no shell)
    except OSError as error:
        print(f"{program[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(127)


def _reap(child: int) -> int | None:
    """Wait for whatever has ended; the program's status if it is among them."""
    found = None
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                found = ended[1]
    return found


def _reap_all() -> None:
    _reap(0)


def _descendants() -> Iterator[int]:
    """Living descendants of this process, but `STAYS` and what belongs to it."""
    children: dict[int, list[tuple[int, str, str]]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError), open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                before, _, after = file.read().rpartition(")")  # the name may hold spaces and brackets
                state, parent = after.split()[:2]
                children.setdefault(int(parent), []).append((int(entry), state, before.partition("(")[2]))
    waiting = [os.getpid()]
    while waiting:
        for pid, state, name in children.get(waiting.pop(), []):
            if name not in STAYS:
                waiting.append(pid)
                if state not in "ZX":
                    yield pid


def _signal_group(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _prctl(option: int, value: int) -> None:
    with suppress(OSError, AttributeError):  # elsewhere than on Linux: only groups are ended
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _leave_as(status: int) -> int:
    """End the way the program did, so that whoever waits for us sees its code or its signal."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(_leave_as(run(sys.argv[4:], int(sys.argv[1]), int(sys.argv[2]))))
