"""The policy service's door: who may ask, under which name, and how much; what is no question is refused cheaply."""

import hmac

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.request_body import given_again

#: 500 instruments with 200 features each are about 2 MB
LARGEST_BODY = 8_000_000
#: Rows have two objects each. A body of lists in lists takes seconds to read, and as much memory as the machine has.
MOST_CONTAINERS = 20_000
MOST_VALUES = 2_000_000
OPEN_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/metrics"})


class Guard:
    """Refuses requests without the token (401), of other kinds than JSON (415), too large (413), or no object (400).

    Health and metrics are open. BentoML's own pages are not: they load scripts from elsewhere, and nobody needs them.
    It would read pickles and fetch files from addresses, too, if a request said that it brings them.
    """

    def __init__(self, app: ASGIApp, token: str):
        self._app, self._expected = app, f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers, body = dict(scope["headers"]), b""
        refusal = None
        if not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            refusal = refused(401, "the policy service wants its token: Authorization: Bearer <policy_token>")
        elif scope["method"] == "POST":
            refusal = _kind_fault(headers)
            if refusal is None:
                body, refusal = await _body(receive)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            await self._app(scope, given_again(body, receive), send)


def refused(status: int, line: str) -> JSONResponse:
    return JSONResponse({"error": line}, status_code=status)


def _kind_fault(headers: dict[bytes, bytes]) -> JSONResponse | None:
    kind = headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if kind == b"application/json" and headers.get(b"content-encoding", b"identity") == b"identity":
        return None
    return refused(415, "BadInput: only JSON is read, as it is; send Content-Type: application/json")


async def _body(receive: Receive) -> tuple[bytes, JSONResponse | None]:
    """The whole body, or why it is refused; no more is kept of it than may come."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            return b"", refused(413, f"the request is larger than {LARGEST_BODY:,} bytes; send fewer rows at once")
        parts.append(part)
        more = message.get("more_body", False)
    body = b"".join(parts)
    return body, _content_fault(body)


def _content_fault(body: bytes) -> JSONResponse | None:
    """Why a body is no question. Its parts are counted before it is read, which takes a moment for any of them."""
    from pydantic_core import from_json

    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS or body.count(b",") > MOST_VALUES:
        return refused(413, f"BadInput: more than {MOST_CONTAINERS:,} lists and objects; send fewer rows at once")
    try:
        is_object = body.lstrip().startswith(b"{") and isinstance(from_json(body, cache_strings="keys"), dict)
    except (ValueError, RecursionError):
        is_object = False
    if is_object:
        return None
    return refused(400, "BadInput: the body is no JSON object; send {} or what the API describes")
