"""The exchange answers under names of this machine only."""

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.unit.exchange.test_edge import Desk


@pytest.fixture(scope="module")
def client() -> TestClient:
    return Desk().client


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example:7070", "169.254.169.254"])
def test_a_name_that_is_not_ours_is_refused_on_every_route(client, host):
    answers = [
        client.get(path, headers={"Host": host}).status_code
        for path in ("/", "/orders", "/connect/login", "/paper/status")
    ]

    assert answers == [421] * 4


def test_a_ticker_under_a_name_that_is_not_ours_is_closed(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/", headers={"Host": "attacker.example"}):
        pass


@pytest.mark.parametrize("host", ["127.0.0.1:7070", "localhost", "[::1]:7070"])
def test_names_of_this_machine_are_answered(client, host):
    assert client.get("/user/profile", headers={"Host": host}).status_code == 200
