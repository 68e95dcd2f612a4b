"""What every route works with, and how bodies come in."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request

from serving.exchange.candles import Candles
from serving.exchange.conductor import Conductor
from serving.exchange.faults import Faults
from serving.exchange.json_answers import refusal, success
from serving.exchange.rate_limits import ticker_limits
from serving.exchange.refusals import input_error
from serving.exchange.sessions import Keys, Sessions
from serving.exchange.venue import Venue

__all__ = ["Edge", "form", "json_body", "json_rows", "refusal", "success"]
MAX_FIELDS = 200  #: of a form


@dataclass(frozen=True)
class Edge:
    """The parts behind the HTTP edge; every module of routes has `add_routes(app, edge)`."""

    conductor: Conductor
    candles: Candles
    keys: Keys
    sessions: Sessions
    ticker_limits: tuple[int, int] = field(default_factory=ticker_limits)  #: connections, instruments of each

    @property
    def venue(self) -> Venue:
        return self.conductor.venue

    @property
    def faults(self) -> Faults:
        return self.venue.faults


async def form(request: Request) -> dict[str, str]:
    """The fields of a form; of a field that is given twice the last."""
    try:
        fields = parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
        if any("\ufffd" in text for pair in fields for text in pair):
            raise ValueError("not UTF-8 behind its escapes")
    except ValueError:
        raise input_error(f"The body is no form of at most {MAX_FIELDS} fields in UTF-8.") from None
    return dict(fields)


async def json_body(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError):
        raise input_error("The body is not JSON.") from None


async def json_rows(request: Request) -> Iterable[dict]:
    rows = await json_body(request)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise input_error("A JSON list of orders is expected.")
    return rows
