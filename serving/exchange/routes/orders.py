"""Placing, changing and reading orders and trades."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange import answers
from serving.exchange.book import Order
from serving.exchange.hidden_rows import HiddenRows
from serving.exchange.order_forms import order_changes, order_request, order_variety, wants_slices
from serving.exchange.routes.edge import Edge, form, success
from serving.exchange.slicing import place_sliced


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue
    hidden = HiddenRows(edge.faults)
    told: dict[str, tuple[Order, dict[str, Any]]] = {}  # of each order the state that was last told, and how

    def row_of(order: Order) -> dict[str, Any]:
        if order.order_id not in told or told[order.order_id][0] is not order:
            told[order.order_id] = (order, answers.order(order))
        return told[order.order_id][1]

    @app.post("/orders/{variety}")
    async def place(request: Request, variety: str) -> JSONResponse:
        sessions.check(request)
        fields = await form(request)
        wanted = order_request(fields, venue.instruments, variety)
        if wants_slices(fields):
            return success(answers.sliced(place_sliced(venue, wanted)))
        return success({"order_id": venue.place(wanted).order_id})

    @app.put("/orders/{variety}/{order_id}")
    async def modify(request: Request, variety: str, order_id: str) -> JSONResponse:
        sessions.check(request)
        venue.modify(order_id, order_changes(await form(request), variety))
        return success({"order_id": order_id})

    @app.delete("/orders/{variety}/{order_id}")
    async def cancel(request: Request, variety: str, order_id: str) -> JSONResponse:
        sessions.check(request)
        order_variety(variety)
        venue.cancel(order_id)
        return success({"order_id": order_id})

    @app.get("/orders")
    async def orders(request: Request) -> JSONResponse:
        sessions.check(request)
        return success([row_of(order) for order in hidden.orders(venue.orders())])

    @app.get("/orders/{order_id}")
    async def history(request: Request, order_id: str) -> JSONResponse:
        sessions.check(request)
        return success([answers.order(state, state.status.value) for state in venue.book.history(order_id)])

    @app.get("/trades")
    async def trades(request: Request) -> JSONResponse:
        sessions.check(request)
        return success([answers.trade(trade) for trade in hidden.trades(venue.trades())])

    @app.get("/orders/{order_id}/trades")
    async def order_trades(request: Request, order_id: str) -> JSONResponse:
        sessions.check(request)
        venue.book.find(order_id)
        return success([answers.trade(trade) for trade in venue.book.trades if trade.order.order_id == order_id])
