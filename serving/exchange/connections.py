"""Connections that can be broken off in the middle, which a well-behaved server never does.

Uvicorn hides the socket from the application. A connection of this protocol puts its transport into the state of
each of its requests, and a WebSocket inherits it.
"""

import asyncio
import socket
import struct
from typing import Any

from starlette.types import Receive, Scope

from serving.bounded_connections import BoundedConnection

_TRANSPORT = "transport"
_RESET = struct.pack("ii", 1, 0)  #: SO_LINGER on, for no time: closing sends RST, not FIN


class OpenConnection(BoundedConnection):
    """Uvicorn's HTTP protocol; hand it to `uvicorn.Config(http=...)`."""

    app_state: dict[str, Any]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.app_state = self.app_state | {_TRANSPORT: transport}


def can_break(scope: Scope) -> bool:
    return _TRANSPORT in scope.get("state", {})


def break_off(scope: Scope, *, reset: bool = False) -> None:
    """End the connection without another byte; `reset` has the peer see a reset instead of an end."""
    transport = scope["state"][_TRANSPORT]
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()


async def broken_off(receive: Receive) -> None:
    """Wait until the server knows that its client is gone: before that it would still answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
