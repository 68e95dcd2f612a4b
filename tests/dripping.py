"""A server that answers byte by byte, for tests of deadlines: it listens on loopback and ends with its block."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
DRIPS = {
    "nothing": b"",
    "the headers": HEADERS,
    "the body": HEADERS,
    "an endless header": b"HTTP/1.1 200 OK\r\nX-Long: ",
}


@contextmanager
def dripping(kind: str, every_s: float = 0.05) -> Iterator[str]:
    """Address of a server that answers each request by `kind` of drip, one byte every `every_s` seconds."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()
    threading.Thread(target=_serve, args=(listener, kind, every_s, ended), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _serve(listener: socket.socket, kind: str, every_s: float, ended: threading.Event) -> None:
    with suppress(OSError):
        while not ended.is_set():
            connection, _ = listener.accept()
            threading.Thread(target=_drip, args=(connection, kind, every_s, ended), daemon=True).start()


def _drip(connection: socket.socket, kind: str, every_s: float, ended: threading.Event) -> None:
    with connection, suppress(OSError):
        connection.recv(65_536)
        if kind == "nothing":
            ended.wait()
            return
        at_once = DRIPS[kind] if kind == "the body" else b""
        connection.sendall(at_once)
        rest = b"" if at_once else DRIPS[kind]
        for byte in chain(rest, repeat(ord(" "))):
            if ended.wait(every_s):
                return
            connection.sendall(bytes([byte]))
