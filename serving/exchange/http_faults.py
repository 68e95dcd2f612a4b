"""Faults of calls: what becomes of a request and its answer on the way."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qsl

from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.connections import break_off, broken_off, can_break
from serving.exchange.faults import CALLS, FaultKind, Faults, Injection, Purpose, order_purpose
from serving.exchange.json_answers import refusal
from serving.exchange.refusals import KiteError, too_many_requests
from serving.exchange.sessions import Sessions
from serving.exchange.venue import Venue
from serving.request_body import given_again

OWN_ROUTES = ("/paper", "/healthz", "/connect", "/session")  #: these work always; a log-in must be possible
_PHRASES = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
PurposeOf = Callable[[str, str, dict[str, str]], Purpose | None]  #: of a method, a path and a form


def purpose_by(venue: Venue) -> PurposeOf:
    """Says what the order of a call is for: a new one by its form, a changed one by the book and what it becomes."""

    def purpose_of(method: str, path: str, form: dict[str, str]) -> Purpose | None:
        parts = path.strip("/").split("/")
        if parts[0] != "orders" or method not in ("POST", "PUT", "DELETE") or len(parts) < 2:
            return None
        if method == "POST":
            return _purpose_of_form(venue, form)
        if not venue.book.knows(parts[-1]):
            return None
        order = venue.book.find(parts[-1])
        held = venue.account.net_quantity(order.symbol, order.request.product)
        becomes = form.get("order_type", "")
        turned = replace(order.request, order_type=OrderType(becomes)) if becomes in set(OrderType) else order.request
        return order_purpose(turned, held)

    return purpose_of


def _purpose_of_form(venue: Venue, form: dict[str, str]) -> Purpose | None:
    try:
        side, product = Side(form.get("transaction_type", "")), Product(form.get("product", ""))
    except ValueError:
        return None
    if form.get("order_type", "").startswith("SL"):
        return Purpose.STOP
    held = venue.account.net_quantity(form.get("tradingsymbol", ""), product)
    return Purpose.EXIT if held * side.sign < 0 else Purpose.ENTRY


class FaultyCalls:
    """ASGI middleware; one question for each call, and none while no fault is asked for.

    Parameters
    ----------
    app : the application behind
    faults : Faults
    sessions : Sessions, whose tokens a fault may end
    purpose_of : what the order of a call is for, None if it has none
    clock : gives what is listed beside each fault
    """

    def __init__(
        self, app: ASGIApp, faults: Faults, sessions: Sessions, purpose_of: PurposeOf, clock: Callable[[], dict]
    ):
        self._app, self._faults, self._sessions = app, faults, sessions
        self._purpose_of, self._clock = purpose_of, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._faults.active or scope["type"] != "http" or scope["path"].startswith(OWN_ROUTES):
            await self._app(scope, receive, send)
            return
        purpose = None
        if self._faults.asks_purpose:
            body = await _read(receive)
            receive = given_again(body, receive)
            form = dict(parse_qsl(body.decode(errors="replace")))
            purpose = self._purpose_of(scope["method"], scope["path"], form)
        route = f"{scope['method']} {scope['path']}"
        found = self._faults.decide(CALLS, route, purpose=purpose, about=self._clock())
        if found is None:
            await self._app(scope, receive, send)
        else:
            await self._suffer(found, scope, receive, send)

    async def _suffer(self, found: Injection, scope: Scope, receive: Receive, send: Send) -> None:
        match found.kind:
            case FaultKind.TOKEN_EXPIRED:
                self._sessions.expire()
                await self._app(scope, receive, send)
            case FaultKind.TOO_MANY_REQUESTS:
                await refusal(too_many_requests())(scope, receive, send)
            case FaultKind.SERVER_ERROR:
                if found.fault.executed:
                    await self._app(scope, receive, _nowhere)
                await _server_error(found.status)(scope, receive, send)
            case FaultKind.SLOW_ANSWER:
                answer: list[Message] = []
                await self._app(scope, receive, _into(answer))
                await asyncio.sleep(found.seconds)
                for message in answer:
                    await send(message)
            case FaultKind.RESET_BEFORE:
                await _break(scope, receive, reset=True)
            case FaultKind.ANSWER_LOST:
                await self._app(scope, receive, _nowhere)
                await _break(scope, receive, reset=False)


async def _break(scope: Scope, receive: Receive, *, reset: bool) -> None:
    if not can_break(scope):
        raise RuntimeError("this server does not let connections be broken off; start it with http=OpenConnection")
    break_off(scope, reset=reset)
    await broken_off(receive)


def _server_error(status: int) -> ASGIApp:
    if status == 500:
        return refusal(KiteError("GeneralException", 500, "Something went wrong. Please try again later."))
    phrase = f"{status} {_PHRASES[status]}"
    page = f"<html><head><title>{phrase}</title></head><body><center><h1>{phrase}</h1></center></body></html>"
    return HTMLResponse(page, status_code=status)


async def _nowhere(message: Message) -> None:
    """Where an answer goes that is lost."""


def _into(answer: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        answer.append(message)

    return keep


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body
