"""What every route works with, and how bodies come in and answers go out."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import JSONResponse

from serving.exchange.candles import Candles
from serving.exchange.conductor import Conductor
from serving.exchange.rate_limits import RateLimit
from serving.exchange.refusals import KiteError, input_error
from serving.exchange.sessions import Keys, Sessions
from serving.exchange.venue import Venue


@dataclass(frozen=True)
class Edge:
    """The parts behind the HTTP edge; every module of routes has `add_routes(app, edge)`."""

    conductor: Conductor
    candles: Candles
    keys: Keys
    sessions: Sessions
    order_limit: RateLimit

    @property
    def venue(self) -> Venue:
        return self.conductor.venue


def success(content: Any) -> JSONResponse:
    return JSONResponse({"status": "success", "data": content})


def refusal(error: KiteError) -> JSONResponse:
    body = {"status": "error", "message": error.message, "data": None, "error_type": error.error_type}
    return JSONResponse(body, status_code=error.http_status)


async def form(request: Request) -> dict[str, str]:
    body = await request.body()
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


async def json_rows(request: Request) -> Iterable[dict]:
    try:
        rows = json.loads(await request.body())
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise input_error("A JSON list of orders is expected.")
    return rows
