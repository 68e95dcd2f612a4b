"""Mutual funds: Kite has them, the paper exchange says that it has not."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange.refusals import not_found
from serving.exchange.routes.edge import Edge


def add_routes(app: FastAPI, edge: Edge) -> None:
    @app.api_route("/mf/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def mutual_funds(request: Request, rest: str) -> JSONResponse:
        edge.sessions.check(request)
        raise not_found("Mutual funds are not available at the paper exchange.")
