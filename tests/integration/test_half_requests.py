"""Half requests by the thousand do not keep a server from answering."""

import contextlib
import socket
import threading
import time

import httpx
import pytest
import uvicorn

from serving import bounded_connections
from serving.bounded_connections import BoundedConnection
from serving.known_hosts import KnownHosts


async def app(scope, receive, send):
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False) and message["type"] == "http.request"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setattr(bounded_connections, "FIRST_REQUEST_S", 0.4)
    monkeypatch.setattr(bounded_connections, "HALF_REQUEST_S", 0.5)
    monkeypatch.setattr(bounded_connections, "MOST_OPEN", 50)
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(KnownHosts(app), http=BoundedConnection, log_level="critical", lifespan="off")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HTTP/1.1\r\nHo",
    ],
)
def test_half_requests_are_ended_and_others_answered(address, half):
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(200)]
        for connection in crowd:
            with contextlib.suppress(OSError):
                connection.sendall(half)
        time.sleep(1.6)

        status = httpx.get(f"http://127.0.0.1:{address[1]}/", trust_env=False, timeout=5).status_code

    assert status == 200


def test_a_connection_that_asks_again_and_again_is_kept(address):
    with httpx.Client(base_url=f"http://127.0.0.1:{address[1]}", trust_env=False, timeout=5) as client:
        began = time.monotonic()
        statuses = set()
        while time.monotonic() - began < 2.0:
            statuses.add(client.get("/").status_code)
            time.sleep(0.1)

    assert statuses == {200}
