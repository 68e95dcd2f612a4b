"""The HTTP edge: Kite Connect's routes, the ticker's WebSocket, and the exchange's own routes under /paper."""

import csv
import hashlib
import hmac
import io
import json
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from pipelines.domain.charges import order_charges
from serving.exchange import answers
from serving.exchange.account import reference_price
from serving.exchange.book import Order, OrderRequest
from serving.exchange.candles import Candles
from serving.exchange.conductor import Conductor, Subscriber, conducting
from serving.exchange.order_forms import order_changes, order_request
from serving.exchange.refusals import KiteError, input_error, not_found, token_error, too_many_requests
from serving.exchange.venue import Venue

DUMP_HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange\n"
)


@dataclass(frozen=True)
class Keys:
    """The secrets of the paper broker's one account."""

    api_key: str
    api_secret: str
    admin_token: str


@dataclass
class Sessions:
    """Log-in as at Kite: a request token, used once, becomes an access token; here it lives until log-out."""

    keys: Keys
    _request_tokens: set[str] = field(default_factory=set)
    _access_tokens: set[str] = field(default_factory=set)

    def log_in(self, api_key: str) -> str:
        if not hmac.compare_digest(api_key, self.keys.api_key):
            raise input_error("Invalid `api_key`.")
        token = secrets.token_urlsafe(24)
        self._request_tokens.add(token)
        return token

    def exchange(self, api_key: str, request_token: str, checksum: str) -> str:
        expected = hashlib.sha256((self.keys.api_key + request_token + self.keys.api_secret).encode()).hexdigest()
        if api_key != self.keys.api_key or request_token not in self._request_tokens:
            raise token_error("Token is invalid or has expired.")
        self._request_tokens.discard(request_token)
        if not hmac.compare_digest(checksum, expected):
            raise token_error("Invalid `checksum`.")
        token = secrets.token_urlsafe(24)
        self._access_tokens.add(token)
        return token

    def log_out(self, access_token: str) -> None:
        self._access_tokens.discard(access_token)

    def knows(self, api_key: str, access_token: str) -> bool:
        return api_key == self.keys.api_key and access_token in self._access_tokens

    def check(self, request: Request) -> None:
        kind, _, pair = request.headers.get("authorization", "").partition(" ")
        api_key, _, access_token = pair.partition(":")
        if kind != "token" or not self.knows(api_key, access_token):
            raise token_error()


@dataclass
class RateLimit:
    """At most `per_second` calls within a second of the wall clock; more are refused, not queued. None: no limit."""

    per_second: int | None
    _calls: deque[float] = field(default_factory=deque)

    def check(self) -> None:
        if self.per_second is None:
            return
        now = time.monotonic()
        while self._calls and now - self._calls[0] >= 1.0:
            self._calls.popleft()
        if len(self._calls) >= self.per_second:
            raise too_many_requests()
        self._calls.append(now)


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
    sessions = Sessions(keys)
    _add_errors(app)
    _add_sessions(app, sessions, conductor.venue)
    _add_account(app, sessions, conductor.venue)
    _add_orders(app, sessions, conductor.venue, RateLimit(orders_per_second))
    _add_market(app, sessions, conductor.venue, candles)
    _add_ticker(app, sessions, conductor)
    _add_paper(app, conductor, keys)
    return app


def _data(content: Any) -> JSONResponse:
    return JSONResponse({"status": "success", "data": content})


def _refusal(error: KiteError) -> JSONResponse:
    body = {"status": "error", "message": error.message, "data": None, "error_type": error.error_type}
    return JSONResponse(body, status_code=error.http_status)


async def _form(request: Request) -> dict[str, str]:
    body = await request.body()
    return dict(parse_qsl(body.decode("utf-8", errors="replace"), keep_blank_values=True))


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(KiteError)
    async def refused(_: Request, error: KiteError) -> JSONResponse:
        return _refusal(error)

    @app.exception_handler(HTTPException)
    async def no_route(_: Request, error: HTTPException) -> JSONResponse:
        return _refusal(not_found() if error.status_code == 404 else KiteError("GeneralException", 405, "Bad method"))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        where = ".".join(str(part) for part in error.errors()[0]["loc"][1:])
        return _refusal(input_error(f"Missing or empty field `{where}`"))


def _add_sessions(app: FastAPI, sessions: Sessions, venue: Venue) -> None:
    @app.get("/connect/login")
    async def login(request: Request, api_key: str) -> RedirectResponse:
        """Paper logs in by itself; the redirect carries the request token, as Kite's does."""
        query = {"request_token": sessions.log_in(api_key), "action": "login", "type": "login", "status": "success"}
        return RedirectResponse(f"{request.base_url}paper/redirected?{urlencode(query)}", status_code=302)

    @app.get("/paper/redirected")
    async def redirected(request_token: str) -> JSONResponse:
        """Where a real application would take over."""
        return _data({"request_token": request_token})

    @app.post("/session/token")
    async def token(request: Request) -> JSONResponse:
        form = await _form(request)
        api_key = form.get("api_key", "")
        access_token = sessions.exchange(api_key, form.get("request_token", ""), form.get("checksum", ""))
        return _data(answers.session(api_key, access_token, venue.clock))

    @app.delete("/session/token")
    async def log_out(api_key: str, access_token: str) -> JSONResponse:
        if not sessions.knows(api_key, access_token):
            raise token_error()
        sessions.log_out(access_token)
        return _data(True)


def _add_account(app: FastAPI, sessions: Sessions, venue: Venue) -> None:
    @app.get("/user/profile")
    async def profile(request: Request) -> JSONResponse:
        sessions.check(request)
        return _data(answers.PROFILE)

    @app.get("/user/margins")
    async def margins(request: Request) -> JSONResponse:
        sessions.check(request)
        return _data(answers.margins(venue))

    @app.get("/user/margins/{segment}")
    async def margins_of(request: Request, segment: str) -> JSONResponse:
        sessions.check(request)
        both = answers.margins(venue)
        if segment not in both:
            raise input_error("Invalid `segment`: equity or commodity.")
        return _data(both[segment])

    @app.get("/portfolio/positions")
    async def positions(request: Request) -> JSONResponse:
        sessions.check(request)
        return _data(answers.positions(venue))

    @app.get("/portfolio/holdings")
    async def holdings(request: Request) -> JSONResponse:
        sessions.check(request)
        return _data(answers.holdings(venue))


def _add_orders(app: FastAPI, sessions: Sessions, venue: Venue, limit: RateLimit) -> None:
    told: dict[str, tuple[Order, dict[str, Any]]] = {}  # of each order the state that was last told, and how

    def row_of(order: Order) -> dict[str, Any]:
        if order.order_id not in told or told[order.order_id][0] is not order:
            told[order.order_id] = (order, answers.order(order))
        return told[order.order_id][1]

    @app.post("/orders/{variety}")
    async def place(request: Request, variety: str) -> JSONResponse:
        sessions.check(request)
        limit.check()
        placed = venue.place(order_request(await _form(request), venue.instruments, variety))
        return _data({"order_id": placed.order_id})

    @app.put("/orders/{variety}/{order_id}")
    async def modify(request: Request, variety: str, order_id: str) -> JSONResponse:
        sessions.check(request)
        limit.check()
        venue.modify(order_id, order_changes(await _form(request), variety))
        return _data({"order_id": order_id})

    @app.delete("/orders/{variety}/{order_id}")
    async def cancel(request: Request, variety: str, order_id: str) -> JSONResponse:
        sessions.check(request)
        limit.check()
        if variety != "regular":
            raise input_error("Invalid `variety`: the paper exchange knows regular.")
        venue.cancel(order_id)
        return _data({"order_id": order_id})

    @app.get("/orders")
    async def orders(request: Request) -> JSONResponse:
        sessions.check(request)
        return _data([row_of(order) for order in venue.orders()])

    @app.get("/orders/{order_id}")
    async def history(request: Request, order_id: str) -> JSONResponse:
        sessions.check(request)
        return _data([answers.order(state, state.status.value) for state in venue.book.history(order_id)])

    @app.get("/trades")
    async def trades(request: Request) -> JSONResponse:
        sessions.check(request)
        return _data([answers.trade(trade) for trade in venue.trades()])

    @app.get("/orders/{order_id}/trades")
    async def order_trades(request: Request, order_id: str) -> JSONResponse:
        sessions.check(request)
        venue.book.find(order_id)
        return _data([answers.trade(trade) for trade in venue.book.trades if trade.order.order_id == order_id])

    @app.post("/charges/orders")
    async def contract_note(request: Request) -> JSONResponse:
        """Charges of orders that were or might be filled, by the rates of the market's day."""
        sessions.check(request)
        return _data([_noted(row, venue) for row in await _rows(request)])


def _add_market(app: FastAPI, sessions: Sessions, venue: Venue, candles: Candles) -> None:
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
        symbol = next((i.symbol for i in venue.listed.values() if str(i.token) == token), None)
        if symbol is None:
            raise input_error("invalid token")
        query = request.query_params
        found = candles.answer(symbol, interval, query.get("from", ""), query.get("to", ""), venue.clock)
        with_oi = query.get("oi") == "1"
        return _data({"candles": [[*candle, 0] for candle in found] if with_oi else found})

    def asked(request: Request) -> list[tuple[str, Any]]:
        """The instruments of a quote request that are known; Kite, too, leaves out the others."""
        sessions.check(request)
        keys = request.query_params.getlist("i")
        if not keys:
            raise input_error("Missing or empty field `i`")
        symbols = [(key, key.partition(":")) for key in keys]
        return [(key, quotes.quotes[s]) for key, (nse, _, s) in symbols if nse == "NSE" and s in quotes.quotes]

    @app.get("/quote")
    async def quote(request: Request) -> JSONResponse:
        circuit = venue.rules.circuit
        return _data({key: answers.quote(found, venue.clock, circuit) for key, found in asked(request)})

    @app.get("/quote/ohlc")
    async def ohlc(request: Request) -> JSONResponse:
        return _data({key: answers.ohlc(found) for key, found in asked(request)})

    @app.get("/quote/ltp")
    async def ltp(request: Request) -> JSONResponse:
        return _data({key: answers.ltp(found) for key, found in asked(request)})


def _add_ticker(app: FastAPI, sessions: Sessions, conductor: Conductor) -> None:
    @app.websocket("/")
    async def ticker(socket: WebSocket) -> None:
        query = socket.query_params
        if not sessions.knows(query.get("api_key", ""), query.get("access_token", "")):
            await socket.close(code=1008)  # before accepting: the client sees HTTP 403, as at Kite
            return
        await socket.accept()
        subscriber = Subscriber(socket)
        conductor.subscribers.add(subscriber)
        try:
            while True:
                await _listen(socket, subscriber)
        except WebSocketDisconnect:
            pass
        finally:
            conductor.subscribers.discard(subscriber)


async def _listen(socket: WebSocket, subscriber: Subscriber) -> None:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text") or (message.get("bytes") or b"").decode("utf-8", errors="replace")
    try:
        complaint = subscriber.obey(json.loads(text))
    except ValueError:
        complaint = "invalid message"
    if complaint:
        await socket.send_text(json.dumps({"type": "error", "data": complaint}))


def _add_paper(app: FastAPI, conductor: Conductor, keys: Keys) -> None:
    venue = conductor.venue

    def check(request: Request) -> None:
        expected = f"Bearer {keys.admin_token}"
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode()):
            raise KiteError("PermissionException", 401, "the /paper routes need the bearer token exchange_admin_token")

    @app.get("/healthz")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.get("/paper/status")
    async def status(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse(
            {
                "run": conductor.run_id,
                "clock": venue.clock.isoformat(),
                "state": venue.state.value,
                "step": venue.steps,
                "day": venue.session.day.isoformat(),
                "session_open": venue.session.open.isoformat(),
                "session_close": venue.session.close.isoformat(),
                "last_day": venue.last_day,
                "pace": conductor.pace,
                "tickers": len(conductor.subscribers),
                "opening_cash": str(venue.account.opening_cash),
                "cash": f"{venue.account.cash:.2f}",
                "charges": f"{venue.account.charges.total:.2f}",
                "charges_by_item": {name: str(amount) for name, amount in venue.account.charges.as_dict().items()},
            }
        )

    @app.post("/paper/continue")
    async def go_on(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse(await conductor.go_on())


def _dump(venue: Venue, wanted: Callable[[str], bool]) -> Response:
    """The instruments as Kite's CSV dump lists them."""
    out = io.StringIO(DUMP_HEADER)
    out.seek(0, io.SEEK_END)
    writer = csv.writer(out, lineterminator="\n")
    for instrument in venue.listed.values():
        if not wanted(answers.EXCHANGE):
            continue
        segment = "NSE" if instrument.tradable else "INDICES"
        name = instrument.symbol
        row = (instrument.token, instrument.token >> 8, name, name, "0.0", "", "0.0", instrument.tick_size)
        writer.writerow([*row, instrument.lot_size, "EQ", segment, answers.EXCHANGE])
    return Response(out.getvalue(), media_type="text/csv")


async def _rows(request: Request) -> Iterable[dict]:
    try:
        rows = json.loads(await request.body())
    except ValueError:
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise input_error("A JSON list of orders is expected.")
    return rows


def _noted(row: dict, venue: Venue) -> dict:
    """One order of a virtual contract note; `average_price` is the filled price, a DP charge is not foreseen."""
    form = {name: str(value) for name, value in row.items()} | {"market_protection": "-1"}
    wanted: OrderRequest = order_request(form, venue.instruments, str(row.get("variety", "regular")))
    price = Decimal(str(row.get("average_price") or 0)) or reference_price(
        wanted, venue.board.quotes[wanted.instrument.symbol]
    )
    charges = order_charges(
        product=wanted.product, side=wanted.side, value=price * wanted.quantity, day=venue.session.day
    )
    gst = float(charges.gst)
    return {
        "transaction_type": wanted.side.value,
        "tradingsymbol": wanted.instrument.symbol,
        "exchange": answers.EXCHANGE,
        "variety": "regular",
        "product": wanted.product.value,
        "order_type": wanted.order_type.value,
        "quantity": wanted.quantity,
        "price": answers.number(price),
        "charges": {
            "transaction_tax": float(charges.stt),
            "transaction_tax_type": "stt",
            "exchange_turnover_charge": float(charges.exchange),
            "sebi_turnover_charge": float(charges.sebi),
            "brokerage": float(charges.brokerage),
            "stamp_duty": float(charges.stamp),
            "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
            "total": float(charges.total),
        },
    }
