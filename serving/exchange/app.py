"""The HTTP edge: Kite Connect's routes, the ticker's WebSocket, and the exchange's own routes under /paper."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.exchange.body_limit import LimitedBodies
from serving.exchange.candles import Candles
from serving.exchange.conductor import Conductor, conducting
from serving.exchange.http_faults import FaultyCalls, purpose_by
from serving.exchange.rate_limits import NO_LIMITS, LimitedCalls, Limits, RateLimits
from serving.exchange.refusals import KiteError, input_error, not_found
from serving.exchange.routes import (
    alerts,
    gtt,
    margins,
    market,
    mutual_funds,
    orders,
    paper,
    portfolio,
    sessions,
    ticker,
)
from serving.exchange.routes.edge import Edge, refusal
from serving.exchange.sessions import Keys, Sessions
from serving.known_hosts import KnownHosts

__all__ = ["Keys", "create_app"]
ROUTES = (sessions, portfolio, orders, gtt, alerts, margins, mutual_funds, market, ticker, paper)
LOG = logging.getLogger("tradesage.exchange")


def create_app(
    conductor: Conductor,
    candles: Candles,
    keys: Keys,
    *,
    limits: Limits = NO_LIMITS,
    token_expiry: bool = True,
) -> FastAPI:
    """The application that uvicorn serves.

    Parameters
    ----------
    conductor : Conductor
        Plays the venue; started and stopped with the application. The faults of its venue are those of the calls, too.
    candles : Candles
    keys : Keys
    limits : mapping of quote, historical, orders, other to the most calls by second, minute and day
        Of the wall clock; more are answered with 429. `rate_limits.kite_limits()` are Kite's; none by default.
    token_expiry : bool
        Whether access tokens die at six in the morning of the market's time.
    """
    app = FastAPI(
        title="TradeSage paper exchange",
        lifespan=lambda _: conducting(conductor),
        openapi_url=None,
        redirect_slashes=False,  # a redirect would be no answer in Kite's form
    )
    venue = conductor.venue
    edge = Edge(conductor, candles, keys, Sessions(keys, lambda: venue.clock, token_expiry))

    def now() -> dict[str, Any]:
        return {"step": venue.steps, "clock": venue.clock.isoformat()}

    _add_errors(app)
    for module in ROUTES:
        module.add_routes(app, edge)
    app.add_middleware(
        FaultyCalls, faults=venue.faults, sessions=edge.sessions, purpose_of=purpose_by(venue), clock=now
    )
    if limits:
        app.add_middleware(LimitedCalls, limits=RateLimits(limits), api_key=keys.api_key)
    app.add_middleware(LimitedBodies)
    app.add_middleware(KnownHosts)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(KiteError)
    async def refused(_: Request, error: KiteError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return refusal(not_found())
        if error.status_code == 405:
            return refusal(KiteError("GeneralException", 405, "Method not allowed"))
        return refusal(KiteError("GeneralException", error.status_code, str(error.detail)))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][1:])
        return refusal(input_error(f"Missing or empty field `{where}`"))

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        """An error of ours: the caller gets Kite's form of it, the log the rest."""
        LOG.error("a call could not be answered: %s", type(error).__name__)
        return refusal(KiteError("GeneralException", 500, "Something went wrong at the paper exchange; see its log."))
