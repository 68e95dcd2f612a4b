"""Names under which our servers may be asked: those of this machine, and what `TRADESAGE_HOSTS` adds.

A browser that is led to a name of a stranger's which points to 127.0.0.1 asks under that name. It is refused.
"""

import json
import os
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def known_hosts(more: Iterable[str] = ()) -> frozenset[str]:
    """Lower-case names without port: of loopback, of `more`, and of the environment, with commas between them."""
    configured = os.environ.get("TRADESAGE_HOSTS", "").split(",")
    return LOOPBACK | {name.strip().lower() for name in (*configured, *more) if name.strip()}


def host_of(header: str) -> str:
    """The name or address in a Host header, without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        name, _, port = text[1:].partition("]")
        return name if not port or port.startswith(":") else text
    return text.rpartition(":")[0] if ":" in text else text


def is_known(header: str | None, known: frozenset[str]) -> bool:
    """Whether a request with this Host header is meant for us; one without any is of no browser."""
    if header is None:
        return True
    host = host_of(header)
    return host in known or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(header: str | None) -> str:
    return f"this server does not answer under the name {header or '?':.80}; add it to TRADESAGE_HOSTS if it is yours"


class KnownHosts:
    """ASGI middleware: a request or a WebSocket under a name that is not ours is refused before it is read."""

    def __init__(self, app: Any, more: Iterable[str] = ()):
        self._app, self._known = app, known_hosts(more)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        header = found[0] if found else None
        if len(found) <= 1 and is_known(header, self._known):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            body = json.dumps({"error": refusal(header)}).encode()
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 421, "headers": headers})
            await send({"type": "http.response.body", "body": body})
