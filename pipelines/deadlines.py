"""One deadline for all that a thread asks of its neighbours inside a block: databases and servers over HTTP.

A time-out of a socket counts from byte to byte, so a server that sends one byte a second is waited for without end.
Here the end is a moment. Each wait is cut to what is left until then.

    with within(2.0):
        answer = session.post(address, json=question)
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import requests

LARGEST_ANSWER = 64_000_000  #: bytes; the broker's dump of all that it lists has about ten million
_SHORTEST_WAIT_S = 0.001  #: a time-out of 0 would mean a socket that does not wait at all
_now = threading.local()


class Overdue(TimeoutError):
    """The deadline has passed. An `OSError`, so that every client takes it for a failed connection."""


class TooLarge(OSError):
    """More bytes came than the answer may have."""


@contextmanager
def within(seconds: float, most_bytes: int = LARGEST_ANSWER) -> Iterator[None]:
    """Whatever this thread asks inside is answered by then, or fails; a deadline around it that ends sooner holds.

    Parameters
    ----------
    seconds : from now on, of the wall clock
    most_bytes : that may be received inside over HTTP
    """
    before = getattr(_now, "until", None), getattr(_now, "bytes_left", None)
    until = time.monotonic() + seconds
    _now.until = until if before[0] is None else min(before[0], until)
    _now.bytes_left = most_bytes
    try:
        yield
    finally:
        _now.until, _now.bytes_left = before


def seconds_left(otherwise: float | None = None) -> float | None:
    """Seconds until the thread's deadline, below zero behind it; `otherwise` where there is none."""
    until = getattr(_now, "until", None)
    return otherwise if until is None else until - time.monotonic()


def shortened(timeout: float | None) -> float | None:
    """A time-out, cut to what is left.

    Raises
    ------
    Overdue : if nothing is left.
    """
    left = seconds_left()
    if left is None:
        return timeout
    if left <= 0:
        raise Overdue("the deadline has passed")
    return max(min(left, timeout if timeout is not None else left), _SHORTEST_WAIT_S)


class _Bounded:
    """A socket whose every wait ends at the thread's deadline. What it is mixed into does the work."""

    _asked: float | None = None  # the time-out that was set, for the waits of a later deadline

    def settimeout(self, value: float | None) -> None:
        self._asked = value
        super().settimeout(value)  # type: ignore[misc]

    def _cut(self) -> None:
        super().settimeout(shortened(self._asked))  # type: ignore[misc]

    def _count(self, received: Any) -> None:
        left = getattr(_now, "bytes_left", None)
        if left is not None:
            _now.bytes_left = left - (len(received) if isinstance(received, bytes) else int(received))
            if _now.bytes_left < 0:
                raise TooLarge("the answer is larger than it may be")


class BoundedSocket(_Bounded, socket.socket):
    def recv(self, *arguments: Any) -> bytes:
        self._cut()
        received = super().recv(*arguments)
        self._count(received)
        return received

    def recv_into(self, *arguments: Any) -> int:
        self._cut()
        received = super().recv_into(*arguments)
        self._count(received)
        return received

    def send(self, *arguments: Any) -> int:
        self._cut()
        return super().send(*arguments)

    def sendall(self, *arguments: Any) -> None:
        self._cut()
        super().sendall(*arguments)


class BoundedTlsSocket(_Bounded, ssl.SSLSocket):
    """The methods that receive and send go by `read` and `send`; each of them and the handshake end as a whole."""

    def read(self, *arguments: Any) -> Any:
        self._cut()
        received = super().read(*arguments)
        self._count(received)
        return received

    def send(self, *arguments: Any) -> int:
        self._cut()
        return super().send(*arguments)

    def do_handshake(self, block: bool = False) -> None:
        self._cut()
        super().do_handshake(block)


def bounded(connection: socket.socket) -> BoundedSocket:
    """The same connection, held to the thread's deadline; the socket that is given is used up."""
    timeout = connection.gettimeout()
    held = BoundedSocket(fileno=connection.detach())
    held.settimeout(timeout)
    return held


def bounded_tls(purpose: ssl.SSLContext | None = None) -> ssl.SSLContext:
    """A client's context whose connections are held to the thread's deadline, by the certificates of `certifi`."""
    import certifi

    context = purpose or ssl.create_default_context(cafile=certifi.where())
    context.sslsocket_class = BoundedTlsSocket
    return context


def hold(session: "requests.Session") -> "requests.Session":
    """The session with every connection held to the thread's deadline: name look-up, handshake, headers and body."""
    adapter = _adapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _adapter() -> Any:
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    def connect(connection: Any) -> BoundedSocket:
        try:
            return _connected(connection.host, connection.port, connection.timeout, connection.socket_options)
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, f"{connection.host} did not take the connection: {error}") from error
        except OSError as error:
            raise NewConnectionError(connection, f"{connection.host} refuses the connection: {error}") from error

    class Plain(HTTPConnection):
        def _new_conn(self) -> Any:
            return connect(self)

    class Tls(HTTPSConnection):
        def _new_conn(self) -> Any:
            return connect(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
            super().init_poolmanager(*arguments, **named, ssl_context=bounded_tls())
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}

    return Adapter()


def _connected(host: str, port: int, timeout: Any, options: Any) -> BoundedSocket:
    """Connect to the first address that takes it; the time-out is for all of them together."""
    end = None if not isinstance(timeout, int | float) else time.monotonic() + timeout
    problem: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in _addresses(host, port):
        connection = BoundedSocket(family, kind, protocol)
        try:
            for option in options or ():
                connection.setsockopt(*option)
            connection.settimeout(shortened(None if end is None else max(end - time.monotonic(), _SHORTEST_WAIT_S)))
            connection.connect(address)
        except OSError as error:
            problem = error
            connection.close()
        else:
            return connection
    raise problem


def _addresses(host: str, port: int) -> list[Any]:
    """A name server that does not answer is waited for in a thread of its own: the look-up knows no time-out."""
    found: list[Any] = []

    def look() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)

    if host in ("localhost", "127.0.0.1", "::1") or host.replace(".", "").isdigit():
        look()
    else:
        thread = threading.Thread(target=look, name=f"look-up of {host}", daemon=True)
        thread.start()
        thread.join(shortened(None))
    if not found:
        raise Overdue(f"no name server knows {host} yet")
    if isinstance(found[0], Exception):
        raise OSError(f"{host} has no address ({found[0]})")
    return list(found[0])
