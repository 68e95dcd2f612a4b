"""Orders that wait for a price: placing, changing and reading triggers."""

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange.answers import number, stamp
from serving.exchange.book import USER_ID, OrderRequest
from serving.exchange.gtt import Fired, Trigger, terms_from
from serving.exchange.order_forms import whole_number
from serving.exchange.routes.edge import Edge, form, success


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.get("/gtt/triggers")
    async def triggers(request: Request) -> JSONResponse:
        sessions.check(request)
        return success([_told(trigger) for trigger in venue.triggers.all()])

    @app.get("/gtt/triggers/{trigger_id}")
    async def trigger_of(request: Request, trigger_id: str) -> JSONResponse:
        sessions.check(request)
        return success(_told(venue.triggers.find(_number(trigger_id))))

    @app.post("/gtt/triggers")
    async def place(request: Request) -> JSONResponse:
        sessions.check(request)
        placed = venue.triggers.add(terms_from(await form(request), venue.instruments), venue.clock)
        return success({"trigger_id": placed.trigger_id})

    @app.put("/gtt/triggers/{trigger_id}")
    async def modify(request: Request, trigger_id: str) -> JSONResponse:
        sessions.check(request)
        terms = terms_from(await form(request), venue.instruments)
        return success({"trigger_id": venue.triggers.modify(_number(trigger_id), terms, venue.clock).trigger_id})

    @app.delete("/gtt/triggers/{trigger_id}")
    async def delete(request: Request, trigger_id: str) -> JSONResponse:
        sessions.check(request)
        return success({"trigger_id": venue.triggers.delete(_number(trigger_id), venue.clock).trigger_id})


def _told(trigger: Trigger) -> dict[str, Any]:
    terms = trigger.terms
    return {
        "id": trigger.trigger_id,
        "user_id": USER_ID,
        "parent_trigger": None,
        "type": terms.type,
        "created_at": stamp(trigger.created_at),
        "updated_at": stamp(trigger.updated_at),
        "expires_at": stamp(trigger.expires_at),
        "status": trigger.status.value,
        "condition": {
            "exchange": terms.instrument.exchange,
            "last_price": number(terms.last_price),
            "tradingsymbol": terms.instrument.symbol,
            "trigger_values": [number(value) for value in terms.values],
            "instrument_token": terms.instrument.token,
        },
        "orders": [
            _order(request) | {"result": _result(trigger, leg, request)} for leg, request in enumerate(terms.orders)
        ],
        "meta": {},
    }


def _order(request: OrderRequest) -> dict[str, Any]:
    return {
        "exchange": request.instrument.exchange,
        "tradingsymbol": request.instrument.symbol,
        "product": request.product.value,
        "order_type": request.order_type.value,
        "transaction_type": request.side.value,
        "quantity": request.quantity,
        "price": number(request.price),
    }


def _result(trigger: Trigger, leg: int, request: OrderRequest) -> dict[str, Any] | None:
    fired: Fired | None = trigger.fired.get(leg)
    if fired is None:
        return None
    return _order(request) | {
        "account_id": USER_ID,
        "validity": request.validity.value,
        "meta": json.dumps({"app_id": 0, "gtt": trigger.trigger_id}, separators=(",", ":")),
        "timestamp": stamp(fired.at),
        "triggered_at": number(fired.price),
        "order_result": {
            "status": "failed" if fired.rejection else "success",
            "order_id": fired.order_id,
            "rejection_reason": fired.rejection,
        },
    }


def _number(trigger_id: str) -> int:
    return whole_number(trigger_id, "trigger_id")
