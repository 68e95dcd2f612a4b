"""One process of ours on this machine: start, wait until it answers, stop with all that it started; and its port."""

import base64
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from pipelines.domain.errors import PortTaken, ServiceUnavailable
from pipelines.paths import state_folder
from serving import family
from serving.log_files import open_log

LOOPBACK = "127.0.0.1"
Progress = Callable[[str, float], None]  #: name of the process and seconds waited so far
Environment = Mapping[str, str | None]
PRIVATE = 0o077  #: umask of all our processes: what they write is read by their owner only


def free_port(host: str = LOOPBACK) -> int:
    """A port that nobody listens on now. Another process may take it before you do, so use it at once."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


def require_free_port(
    port: int, wanted_for: str = "this process", key: str | None = None, host: str = LOOPBACK
) -> None:
    """Do nothing if `port` can be listened on.

    Parameters
    ----------
    port : int
    wanted_for : str
        The process that wants it, for the message.
    key : str, optional
        The key of `params.yaml` that holds the number, for the message.

    Raises
    ------
    PortTaken : names the port, who listens where that can be seen, and what to do.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free to listen on
        try:
            probe.bind((host, port))
        except OSError:
            change = f"set {key} in params.yaml" if key else "choose another port"
            raise PortTaken(
                f"port {port}, wanted for {wanted_for}, is taken{_listener(port)}; end that process, or {change}"
            ) from None


def _listener(port: int) -> str:
    from serving.leftovers import holder_of

    holder = holder_of(port)
    return f" by {holder.name()} (pid {holder.pid})" if holder else ""


@dataclass
class Process:
    """A program with its family, its output in a log file. As a context manager it starts and stops.

    It and all that it started end when it is stopped, when it ends by itself, and when this process ends, however.

    Attributes
    ----------
    name : short name, used for the log file and in messages
    command : program and arguments, no shell
    port : where it listens; `start` refuses with `PortTaken` if somebody else does; None if it does not listen
    health_url : any answer below 500 means healthy; None with a port means healthy once the port accepts
    login : user and password for `health_url`, made when asked; with one, only an answer below 400 means healthy
    env : set on top of the present environment; None as a value removes the variable. A function is called at the start
    port_key : key of `params.yaml` behind `port`, for messages
    folder : working folder, None for the present one
    log_folder : where `<name>.log` lies with its standard output and error, appended; `<state>/logs` by default
    missing : says what it waits for, in a few words, or None; asked by `tradesage up` before it is started
    over : asked after it has ended with code 0: what it waits for before it is worth a start, or None
    upkeep : called once a day while `tradesage up` keeps it running
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    health_url: str | None = None
    login: Callable[[], tuple[str, str]] | None = None
    env: Environment | Callable[[], Environment] = field(default_factory=dict)
    port_key: str | None = None
    folder: Path | None = None
    log_folder: Path | None = None
    missing: Callable[[], str | None] | None = None
    over: Callable[[], str | None] | None = None
    upkeep: Callable[[], None] | None = None
    _child: subprocess.Popen | None = field(default=None, init=False, repr=False)  # keeps the program's family
    _program: int | None = field(default=None, init=False, repr=False)
    _log_start: int = field(default=0, init=False, repr=False)

    @property
    def log(self) -> Path:
        return (self.log_folder or state_folder() / "logs") / f"{self.name}.log"

    @property
    def url(self) -> str:
        """Where it answers, without a path."""
        return f"http://{LOOPBACK}:{self.port}" if self.port else ""

    @property
    def pid(self) -> int | None:
        """Of the program itself."""
        return self._program

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def returncode(self) -> int | None:
        """Exit code once it has ended, below zero for a signal; None before."""
        return self._child.poll() if self._child else None

    def environment(self) -> dict[str, str]:
        merged: dict[str, str | None] = {**os.environ, **(self.env() if callable(self.env) else self.env)}
        return {name: value for name, value in merged.items() if value is not None}

    def start(self) -> "Process":
        """Start it; it may take some seconds more until it answers, see `wait_until_healthy`."""
        if self.running:
            return self
        if self.port is not None:
            require_free_port(self.port, self.name, self.port_key)
        read, write = os.pipe()
        with open_log(self.log) as log, os.fdopen(read) as told:
            self._log_start = self.log.stat().st_size
            try:
                self._child = subprocess.Popen(
                    family.command(self.command, tell=write),
                    env=self.environment(),
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(write,),
                    umask=PRIVATE,
                    start_new_session=True,  # a signal to our group or terminal is not one to it
                )
            finally:
                os.close(write)
            line = told.readline()
        self._program = int(line) if line else None
        return self

    def healthy(self) -> bool:
        """Whether it answers now. A process without a port is healthy while it runs."""
        if self.health_url:
            if self.login:  # MLflow takes a part of a second to check a password, more on a busy machine
                return answers(self.health_url, 5.0, self.login())
            return answers(self.health_url)
        if self.port is not None:
            return accepts(self.port)
        return self.running

    def wait_until_healthy(self, timeout_s: float = 60.0, progress: Progress | None = None) -> "Process":
        """Wait until it answers; `progress(name, seconds)` is called about once a second meanwhile.

        Raises
        ------
        ServiceUnavailable : if it ended or does not answer in time; carries the last lines of its log.
        """
        started = told = time.monotonic()
        while not self.healthy():
            now = time.monotonic()
            if self._child is not None and self._child.poll() is not None:
                raise ServiceUnavailable(f"{self.name} ended with code {self.returncode}; {self._last_words()}")
            if now - started > timeout_s:
                raise ServiceUnavailable(f"{self.name} does not answer after {timeout_s:.0f} s; {self._last_words()}")
            if progress and now - told >= 1.0:
                told = now
                progress(self.name, now - started)
            time.sleep(0.1)
        return self

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it ends by itself; its exit code. `ServiceUnavailable` if it still runs after `timeout_s`."""
        if self._child is None:
            raise ServiceUnavailable(f"{self.name} was not started")
        try:
            return self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ServiceUnavailable(f"{self.name} still runs after {timeout_s:.0f} s; {self._last_words()}") from None

    def stop(self, patience_s: float = 10.0) -> int | None:
        """Ask it and its children to end (SIGTERM), insist after `patience_s`, 10 at most (SIGKILL); its exit code."""
        if self._child is None:
            return None
        for patience in (min(patience_s, family.PATIENCE_S), 8.0):  # a second SIGTERM cuts its patience short
            if self._child.poll() is None:
                self._child.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._child.wait(patience)
        if self._child.poll() is None:  # stopped by SIGSTOP, or stuck in the kernel
            for group in (self._program, self._child.pid):
                _kill_group(group)
        return self._child.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines of what it wrote since it was started."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - 16_384))
            text = log.read().decode("utf-8", errors="replace")
        return "\n".join(text.rstrip().splitlines()[-lines:])

    def __enter__(self) -> "Process":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _last_words(self) -> str:
        tail = self.tail()
        said = f"its last words:\n{_indented(tail)}" if tail else "it said nothing"
        return f"log {self.log}; {said}"


class ProcessGroup:
    """Processes that are stopped together, last started first, however the `with` block ends.

    In the main thread a SIGTERM inside the block becomes `SystemExit`, so that it, too, stops them.
    """

    def __init__(self, progress: Progress | None = None):
        self._progress = progress
        self._started: list[Process] = []
        self._handler: object = None

    def start(self, process: Process, timeout_s: float = 60.0, wait: bool = True) -> Process:
        self._started.append(process)
        process.start()
        return process.wait_until_healthy(timeout_s, self._progress) if wait else process

    def stop(self, process: Process) -> int | None:
        """Stop one of the group before the others."""
        self._started.remove(process)
        return process.stop()

    def __enter__(self) -> "ProcessGroup":
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._started:
                self._started.pop().stop()
        finally:
            if self._handler is not None:
                signal.signal(signal.SIGTERM, self._handler)  # type: ignore[arg-type]


def answers(url: str, timeout_s: float = 2.0, login: tuple[str, str] | None = None) -> bool:
    """Whether `url` answers in all of `timeout_s`: below 500, with a log-in below 400. Proxies are not asked."""
    found: list[bool] = []
    asking = threading.Thread(target=lambda: found.append(_answers(url, timeout_s, login)), daemon=True)
    asking.start()  # the library's time-out is for one read: an answer that drips would be waited for without end
    asking.join(timeout_s)
    return found == [True]


def _answers(url: str, timeout_s: float, login: tuple[str, str] | None) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url)  # noqa: S310  (an address of ours)
    if login:
        request.add_header("Authorization", f"Basic {base64.b64encode(':'.join(login).encode()).decode()}")
    try:
        with opener.open(request, timeout=timeout_s):
            return True
    except urllib.error.HTTPError as error:
        return login is None and error.code < 500
    except (OSError, ValueError):
        return False


def accepts(port: int, host: str = LOOPBACK, timeout_s: float = 1.0) -> bool:
    """Whether somebody accepts connections on `port`."""
    with suppress(OSError), socket.create_connection((host, port), timeout_s):
        return True
    return False


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _kill_group(group: int | None) -> None:
    if group is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _indented(text: str) -> str:
    return "\n".join(f"  | {line}" for line in text.splitlines())
