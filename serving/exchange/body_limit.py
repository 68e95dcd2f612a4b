"""No request may bring more than the exchange is ready to read."""

from starlette.types import ASGIApp, Receive, Scope, Send

from serving.exchange.json_answers import refusal
from serving.exchange.refusals import KiteError

MAX_BODY_BYTES = 1_000_000  #: a basket of 200 orders has 50,000


class LimitedBodies:
    """ASGI middleware: a body that is too long, or does not say how long it is, is refused before it is read."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = _too_long(scope) if scope["type"] == "http" else None
        await (self._app if error is None else refusal(error))(scope, receive, send)


def _too_long(scope: Scope) -> KiteError | None:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding":
            return KiteError("InputException", 411, "A body must say its length in Content-Length.")
        if name == b"content-length" and not (value.isdigit() and int(value[:20]) <= MAX_BODY_BYTES):
            return KiteError("InputException", 413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
    return None
