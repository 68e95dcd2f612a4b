"""Who the account is and what it holds."""

import secrets

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange import answers, portfolio_answers
from serving.exchange.conversion import conversion_from, convert
from serving.exchange.refusals import input_error
from serving.exchange.routes.edge import Edge, form, success


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.get("/user/profile")
    async def profile(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(answers.PROFILE)

    @app.get("/user/profile/full")
    async def full_profile(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(answers.FULL_PROFILE)

    @app.get("/user/margins")
    async def margins(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(portfolio_answers.margins(venue))

    @app.get("/user/margins/{segment}")
    async def margins_of(request: Request, segment: str) -> JSONResponse:
        sessions.check(request)
        both = portfolio_answers.margins(venue)
        if segment not in both:
            raise input_error("Invalid `segment`: equity or commodity.")
        return success(both[segment])

    @app.get("/portfolio/positions")
    async def positions(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(portfolio_answers.positions(venue))

    @app.put("/portfolio/positions")
    async def convert_position(request: Request) -> JSONResponse:
        sessions.check(request)
        convert(venue, conversion_from(await form(request), venue.instruments))
        return success(True)

    @app.get("/portfolio/holdings/auctions")
    async def auctions(request: Request) -> JSONResponse:
        """Shares that may be offered in an auction: none is ever held here."""
        sessions.check(request)
        return success([])

    @app.post("/portfolio/holdings/authorise")
    async def authorise(request: Request) -> JSONResponse:
        """The paper depository lets everything go; the request is answered and nothing has to be confirmed."""
        sessions.check(request)
        return success({"request_id": secrets.token_urlsafe(24)})

    @app.get("/portfolio/holdings")
    async def holdings(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(portfolio_answers.holdings(venue))

    @app.get("/portfolio/holdings/summary")
    async def holdings_summary(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(portfolio_answers.holdings_summary(venue))

    @app.get("/portfolio/holdings/compact")
    async def compact_holdings(request: Request) -> JSONResponse:
        sessions.check(request)
        return success(portfolio_answers.compact_holdings(venue))
