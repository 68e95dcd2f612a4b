"""The HTTP edge: Kite Connect's routes, the ticker's WebSocket, and the exchange's own routes under /paper."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from serving.exchange.candles import Candles
from serving.exchange.conductor import Conductor, conducting
from serving.exchange.rate_limits import RateLimit
from serving.exchange.refusals import KiteError, input_error, not_found
from serving.exchange.routes import charges, market, orders, paper, portfolio, sessions, ticker
from serving.exchange.routes.edge import Edge, refusal
from serving.exchange.sessions import Keys, Sessions

__all__ = ["Keys", "create_app"]
ROUTES = (sessions, portfolio, orders, charges, market, ticker, paper)


def create_app(conductor: Conductor, candles: Candles, keys: Keys, orders_per_second: int | None = 10) -> FastAPI:
    """The application that uvicorn serves.

    Parameters
    ----------
    conductor : Conductor
        Plays the venue; started and stopped with the application.
    candles : Candles
    keys : Keys
    orders_per_second : int or None
        Of placing, modifying and cancelling together, on the wall clock; more are answered with 429.
    """
    app = FastAPI(title="TradeSage paper exchange", lifespan=lambda _: conducting(conductor))
    edge = Edge(conductor, candles, keys, Sessions(keys), RateLimit(orders_per_second))
    _add_errors(app)
    for module in ROUTES:
        module.add_routes(app, edge)
    return app


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(KiteError)
    async def refused(_: Request, error: KiteError) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> JSONResponse:
        return refusal(not_found() if error.status_code == 404 else KiteError("GeneralException", 405, "Bad method"))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][1:])
        return refusal(input_error(f"Missing or empty field `{where}`"))
