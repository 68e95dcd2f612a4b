"""The door of /health: half a request, a crowd and a stranger's name do not close it."""

import http.client
import json
import socket
import time
from contextlib import ExitStack

import pytest

from serving import small_server
from serving.executor.health import HealthServer, Metrics


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(small_server, "REQUEST_S", 0.5)
    server = HealthServer("127.0.0.1", 0, lambda: {"state": "trading"}, Metrics())
    yield server
    server.close()


def asked(server, host: str | None = None, path: str = "/health") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path, headers={"Host": host} if host is not None else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_health_and_metrics_are_answered(server):
    assert json.loads(asked(server)[1]) == {"state": "trading"}
    assert "tradesage_executor_alarms" in asked(server, path="/metrics")[1]
    assert asked(server, path="/else")[0] == 404


def test_half_requests_by_the_hundred_do_not_keep_it_from_answering(server):
    with ExitStack() as stack:
        for _ in range(400):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            half.sendall(b"GET /health HTTP/1.1\r\nHost: 127")
        time.sleep(1.0)

        status, _ = asked(server)

    assert status == 200


def test_a_request_that_drips_is_cut(server):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        ended = False
        while not ended and time.monotonic() - began < 5:
            try:
                slow.sendall(b"G")
                slow.settimeout(0.05)
                ended = slow.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True

    assert ended
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:7071", "127.0.0.1.nip.io", "[::2]:7071", ""])
def test_a_name_that_is_not_ours_is_refused(server, host):
    status, text = asked(server, host)

    assert status == 421
    assert "trading" not in text


@pytest.mark.parametrize("host", ["127.0.0.1:7071", "localhost", "LOCALHOST:80", "[::1]:7071", "127.0.0.2"])
def test_names_of_this_machine_are_ours(server, host):
    assert asked(server, host)[0] == 200


def test_a_configured_name_is_ours(monkeypatch):
    monkeypatch.setenv("TRADESAGE_HOSTS", "trade.example, desk.example")
    server = HealthServer("127.0.0.1", 0, dict, Metrics())

    status, _ = asked(server, "Trade.Example:443")

    server.close()
    assert status == 200
