"""The WebSocket of ticks and order updates."""

import json

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from serving.exchange.conductor import Subscriber
from serving.exchange.routes.edge import Edge


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, conductor = edge.sessions, edge.conductor

    @app.websocket("/")
    async def ticker(socket: WebSocket) -> None:
        query = socket.query_params
        if not sessions.knows(query.get("api_key", ""), query.get("access_token", "")):
            await socket.close(code=1008)  # before accepting: the client sees HTTP 403, as at Kite
            return
        await socket.accept()
        subscriber = Subscriber(socket)
        conductor.subscribers.add(subscriber)
        try:
            while True:
                await _listen(socket, subscriber)
        except WebSocketDisconnect:
            pass
        finally:
            conductor.subscribers.discard(subscriber)


async def _listen(socket: WebSocket, subscriber: Subscriber) -> None:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text") or (message.get("bytes") or b"").decode("utf-8", errors="replace")
    try:
        complaint = subscriber.obey(json.loads(text))
    except ValueError:
        complaint = "invalid message"
    if complaint:
        await socket.send_text(json.dumps({"type": "error", "data": complaint}))
