"""Connections of uvicorn's servers that end by themselves: so many at once, and none that stays half a request."""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

FIRST_REQUEST_S = 3.0  #: from a connection to the end of its first request's headers
HALF_REQUEST_S = 10.0  #: that headers or a body may stay without their rest; longer than an idle connection is kept
MOST_OPEN = 400  #: connections at once, files that are open included there are a thousand; one more is closed


class BoundedConnection(AutoHTTPProtocol):  # type: ignore[valid-type, misc]
    """Uvicorn's HTTP protocol; hand it to `uvicorn.Config(http=...)`."""

    _seen: object = None  # the request that was under way at the last look
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_OPEN:
            self.transport.abort()
        else:
            self._look_in(FIRST_REQUEST_S)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(error)

    def _look_in(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """End the connection if nothing has come to its end since the last look."""
        if self.transport.is_closing() or self.transport.get_protocol() is not self:  # a WebSocket by now
            return
        request: Any = self.cycle
        waits = request is None or request.response_complete or request.more_body
        if waits and request is self._seen:
            self.transport.abort()
            return
        self._seen = request if waits else object()
        self._look_in(HALF_REQUEST_S)
