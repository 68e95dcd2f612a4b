"""A small HTTP server of our own, for a few routes on loopback: every request ends in time, few are open at once."""

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from pipelines.deadlines import bounded, within
from serving.known_hosts import is_known, known_hosts, refusal

REQUEST_S = 3.0  #: from the connection to the last byte of its answer
MOST_OPEN = 32  #: connections at once; one more is closed without an answer


class SmallServer(ThreadingHTTPServer):
    """Parameters: as of `ThreadingHTTPServer`; `hosts` are names under which it may be asked, beside loopback's."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type["SmallHandler"], hosts: tuple[str, ...] = ()):
        self._free = threading.BoundedSemaphore(MOST_OPEN)
        self.known_hosts = known_hosts((*hosts, address[0]))
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            with within(REQUEST_S):
                super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def get_request(self) -> tuple[socket, Any]:
        connection, address = super().get_request()
        return bounded(connection), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Half a request, or a client that went away, is worth no line."""


class SmallHandler(BaseHTTPRequestHandler):
    """Answers GET; `answer_to` says what."""

    server: SmallServer
    server_version, sys_version = "TradeSage", ""

    def answer_to(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        raise NotImplementedError

    def do_GET(self) -> None:
        headers = self.headers.get_all("Host") or []
        header = headers[0] if headers else None
        if len(headers) > 1 or not is_known(header, self.server.known_hosts):
            self._send(421, "text/plain; charset=utf-8", refusal(header).encode())
        else:
            self._send(*self.answer_to(self.path))

    def _send(self, status: int, kind: str, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *what: Any) -> None:
        """A probe every few seconds is not worth a line, and an address may carry a token."""
