"""Instruments, candles and quotes."""

import csv
import io
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.signals import Side
from serving.exchange import answers
from serving.exchange.quotes import Quote
from serving.exchange.refusals import input_error
from serving.exchange.routes.edge import Edge, success
from serving.exchange.routes.margins import trigger_range
from serving.exchange.venue import Venue

DUMP_HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange\n"
)


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue, candles = edge.sessions, edge.venue, edge.candles
    quotes = venue.board

    @app.get("/instruments")
    async def instruments() -> Response:
        return _dump(venue, lambda exchange: True)

    @app.get("/instruments/{exchange}")
    async def instruments_of(exchange: str) -> Response:
        return _dump(venue, lambda listed: listed == exchange)

    @app.get("/instruments/historical/{token}/{interval}")
    async def historical(request: Request, token: str, interval: str) -> JSONResponse:
        sessions.check(request)
        instrument = next((i for i in venue.listed.values() if str(i.token) == token), None)
        if instrument is None:
            raise input_error("invalid token")
        query = request.query_params
        with_oi, continuous = (_flag(query.get(name, "0"), name) for name in ("oi", "continuous"))
        if continuous and (instrument.kind is not Kind.FUTURE or interval != "day"):
            raise input_error("invalid continuous: only daily candles of futures are joined from contract to contract")
        forming = quotes.forming.get(instrument.symbol)
        first, last = query.get("from", ""), query.get("to", "")
        found = candles.answer(instrument.symbol, interval, first, last, venue.clock, forming)
        return success({"candles": [[*candle, 0] for candle in found] if with_oi else found})

    def asked(request: Request) -> list[tuple[str, Any]]:
        """The instruments of a quote request that are known; Kite, too, leaves out the others."""
        sessions.check(request)
        keys = request.query_params.getlist("i")
        if not keys:
            raise input_error("Missing or empty field `i`")
        symbols = [(key, key.partition(":")) for key in keys]
        return [
            (key, quotes.quotes[symbol])
            for key, (exchange, _, symbol) in symbols
            if symbol in quotes.quotes and quotes.quotes[symbol].instrument.exchange == exchange
        ]

    @app.get("/instruments/trigger_range/{transaction_type}")
    async def ranges(request: Request, transaction_type: str) -> JSONResponse:
        side = {"buy": Side.BUY, "sell": Side.SELL}.get(transaction_type.lower())
        if side is None:
            raise input_error("Invalid `transaction_type`: buy or sell.")
        found = [(key, quote.instrument) for key, quote in asked(request)]
        return success({key: trigger_range(i.symbol, side, venue) for key, i in found if i.tradable})

    @app.get("/quote")
    async def quote(request: Request) -> JSONResponse:
        def told(found: Quote) -> dict[str, Any]:
            return answers.quote(found, venue.clock, venue.view(found.instrument.symbol).circuit)

        return success({key: told(found) for key, found in asked(request)})

    @app.get("/quote/ohlc")
    async def ohlc(request: Request) -> JSONResponse:
        return success({key: answers.ohlc(found) for key, found in asked(request)})

    @app.get("/quote/ltp")
    async def ltp(request: Request) -> JSONResponse:
        return success({key: answers.ltp(found) for key, found in asked(request)})


def _flag(text: str, name: str) -> bool:
    if text not in ("0", "1", ""):
        raise input_error(f"invalid {name}: 0 or 1")
    return text == "1"


def _dump(venue: Venue, wanted: Callable[[str], bool]) -> Response:
    """The instruments as Kite's CSV dump lists them."""
    out = io.StringIO(DUMP_HEADER)
    out.seek(0, io.SEEK_END)
    writer = csv.writer(out, lineterminator="\n")
    for instrument in venue.listed.values():
        if wanted(instrument.exchange):
            writer.writerow(_dump_row(instrument))
    return Response(out.getvalue(), media_type="text/csv")


def _dump_row(instrument: Instrument) -> list[Any]:
    segment = "NSE" if instrument.tradable else "INDICES"
    kind = "EQ"
    if instrument.derivative:
        kind = instrument.option_type.value if instrument.option_type else "FUT"
        segment = "NFO-OPT" if instrument.option_type else "NFO-FUT"
    return [
        instrument.token,
        instrument.token >> 8,
        instrument.symbol,
        instrument.underlying or instrument.symbol,
        "0.0",
        instrument.expiry or "",
        f"{instrument.strike or 0:.1f}",
        instrument.tick_size,
        instrument.lot_size,
        kind,
        segment,
        instrument.exchange,
    ]
