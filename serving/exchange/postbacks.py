"""Postbacks: the order updates that Kite posts to an app's address.

Source: kite.trade/docs/connect/v3/postbacks: raw JSON on COMPLETE, CANCELLED, REJECTED and UPDATE of orders that were
placed with the app's key; `checksum` is SHA-256 of order_id, order_timestamp and the api secret.
"""

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipelines.domain.errors import BadParams
from serving.exchange import answers
from serving.exchange.book import Order
from serving.exchange.venue import USER_ID

LOG = logging.getLogger("tradesage.exchange")
EVENTS = frozenset({"COMPLETE", "CANCELLED", "REJECTED", "UPDATE"})
BOOK_ONLY = frozenset({"account_id", "modified", "validity_ttl", "tags"})  #: these the recorded postback lacks
PAUSES_SECONDS = (0.2, 1.0, 3.0)  #: before the second, third and fourth try; then it is given up
TIMEOUT_SECONDS = 5.0
MOST_WAITING = 10_000
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def postback(state: Order, event: str, api_secret: str) -> dict[str, Any]:
    """The body of one postback: the order update of the WebSocket with a checksum."""
    update = answers.order_update(state, event)["data"]
    text = f"{update['order_id']}{update['order_timestamp']}{api_secret}"
    body = {name: value for name, value in update.items() if name not in BOOK_ONLY}
    return body | {"checksum": hashlib.sha256(text.encode()).hexdigest()}


class Postbacks:
    """Posts updates one after another, beside the market, which never waits for the receiver.

    Parameters
    ----------
    url : where the app listens, on this machine
    api_secret : str

    Raises
    ------
    BadParams : if the address is not http or https on the loopback interface.
    """

    def __init__(self, url: str, api_secret: str):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname not in LOOPBACK:
            raise BadParams(f"exchange.postback_url {url}: an http address on this machine was expected")
        self.url, self._secret = url, api_secret
        self._waiting: asyncio.Queue[tuple[Order, str]] = asyncio.Queue(MOST_WAITING)

    def put(self, updates: Iterable[tuple[Order, str]]) -> None:
        """Take updates to be posted; what is too much is lost and logged, as a real receiver loses some."""
        for state, event in updates:
            if event not in EVENTS or state.placed_by != USER_ID:
                continue
            try:
                self._waiting.put_nowait((state, event))
            except asyncio.QueueFull:
                LOG.warning("postback of order %s lost: %d wait already", state.order_id, MOST_WAITING)

    async def run(self) -> None:
        """Post until cancelled."""
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            while True:
                state, event = await self._waiting.get()
                await self._post(client, postback(state, event, self._secret))

    async def _post(self, client: httpx.AsyncClient, body: dict[str, Any]) -> None:
        for pause in (*PAUSES_SECONDS, None):
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):  # the client's counts from byte to byte
                    answer = await client.post(self.url, json=body)
                if answer.is_success:
                    return
                reason = str(answer.status_code)
            except (httpx.HTTPError, TimeoutError) as error:
                reason = type(error).__name__
            if pause is not None:
                await asyncio.sleep(pause)
        LOG.warning("postback of order %s given up: %s", body["order_id"], reason)
