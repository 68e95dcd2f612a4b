"""The WebSocket of ticks and order updates."""

import json
from functools import partial

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketState

from serving.exchange.conductor import Subscriber
from serving.exchange.connections import break_off, can_break
from serving.exchange.routes.edge import Edge


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, conductor = edge.sessions, edge.conductor
    connections, instruments = edge.ticker_limits

    @app.websocket("/")
    async def ticker(socket: WebSocket) -> None:
        query = socket.query_params
        allowed = partial(sessions.knows, query.get("api_key", ""), query.get("access_token", ""))
        if not allowed():
            await socket.close(code=1008)  # before accepting: the client sees HTTP 403, as at Kite
            return
        if len(conductor.subscribers) >= connections:
            await socket.send_denial_response(PlainTextResponse("Too many connections of this api_key", 429))
            return
        await socket.accept()
        subscriber = Subscriber(
            socket,
            most=instruments,
            allowed=allowed,
            break_off=partial(break_off, socket.scope) if can_break(socket.scope) else None,
        )
        conductor.subscribers.add(subscriber)
        try:
            while True:
                await _listen(socket, subscriber)
        except WebSocketDisconnect:
            pass
        except RuntimeError:  # what Starlette raises when a socket is read that we have closed
            if socket.application_state is WebSocketState.CONNECTED:
                raise
        finally:
            conductor.subscribers.discard(subscriber)


async def _listen(socket: WebSocket, subscriber: Subscriber) -> None:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text") or (message.get("bytes") or b"").decode("utf-8", errors="replace")
    try:
        complaint = subscriber.obey(json.loads(text))
    except (ValueError, RecursionError):
        complaint = "invalid message"
    if complaint:
        await socket.send_text(json.dumps({"type": "error", "data": complaint}))
