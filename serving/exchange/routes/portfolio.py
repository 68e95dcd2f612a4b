"""Who the account is and what it holds."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange import answers
from serving.exchange.refusals import input_error
from serving.exchange.routes.edge import Edge, success


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.get("/user/profile")
    async def profile(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(answers.PROFILE)

    @app.get("/user/margins")
    async def margins(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(answers.margins(venue))

    @app.get("/user/margins/{segment}")
    async def margins_of(request: Request, segment: str) -> JSONResponse:
        sessions.check(request)
        both = answers.margins(venue)
        if segment not in both:
            raise input_error("Invalid `segment`: equity or commodity.")
        return success(both[segment])

    @app.get("/portfolio/positions")
    async def positions(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(answers.positions(venue))

    @app.get("/portfolio/holdings")
    async def holdings(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(answers.holdings(venue))
