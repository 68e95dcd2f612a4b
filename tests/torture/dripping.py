"""Answers of the exchange that come byte by byte: what was asked is done, and its answer is never whole in time."""

import asyncio
import random
from collections import Counter
from typing import Any

from tests.torture.neighbours import DEADLINE_S


class DrippingAnswers:
    """ASGI middleware: a share of the answers drips for longer than any client waits.

    Parameters
    ----------
    share : of the calls of Kite's routes
    seed : of the draws
    counts : gets how many there were
    """

    def __init__(self, app: Any, share: float, seed: int, counts: Counter[str]):
        self._app, self._share, self._counts = app, share, counts
        self._draw = random.Random(seed * 7919 + 9103)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        ours = scope["type"] != "http" or scope["path"].startswith(("/paper", "/connect", "/session"))
        if ours or self._draw.random() >= self._share:
            await self._app(scope, receive, send)
            return
        self._counts["dripping answer"] += 1

        async def drip(message: Any) -> None:
            body = message.get("body", b"")
            if message["type"] != "http.response.body" or not body:
                await send(message)
                return
            pause = 2 * DEADLINE_S / min(len(body), 20)
            for place in range(min(len(body), 20)):
                await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
                await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": body[20:], "more_body": message.get("more_body", False)})

        await self._app(scope, receive, drip)


def short_deadlines() -> None:
    """In this process: a call is cut soon enough for a day to end."""
    from serving.executor import kite_client

    kite_client.DEADLINES_S = dict.fromkeys(kite_client.DEADLINES_S, DEADLINE_S)
