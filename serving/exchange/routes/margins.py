"""What orders would block and cost: margins of orders and baskets, the list of margins, the virtual contract note."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from pipelines.domain.charges import Charges, exact_charges
from pipelines.domain.instruments import Kind
from pipelines.domain.margin_rates import margin_rates_on
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.answers import number
from serving.exchange.book import OrderRequest
from serving.exchange.margins import Leg, Margin, basket_margin, margin_of, order_price, reference_price
from serving.exchange.order_forms import order_request, price_field
from serving.exchange.refusals import input_error
from serving.exchange.routes.edge import Edge, json_rows, success
from serving.exchange.venue import Venue

NO_CHARGES = Charges()


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.post("/charges/orders")
    async def contract_note(request: Request) -> JSONResponse:
        """Charges of orders that were or might be filled, by the rates of the market's day, not rounded."""
        sessions.check(request)
        return success([_noted(row, venue) for row in await json_rows(request)])

    @app.post("/margins/orders")
    async def order_margins(request: Request) -> JSONResponse:
        """What each order blocks by itself."""
        sessions.check(request)
        wanted = [_wanted(row, venue) for row in await json_rows(request)]
        return success([_told(margin, leg, charges) for leg, margin, charges in _reckoned(wanted, venue)])

    @app.post("/margins/basket")
    async def basket_margins(request: Request) -> JSONResponse:
        """What orders block one by one, and together; with `consider_positions` beside what is open."""
        sessions.check(request)
        wanted = [_wanted(row, venue) for row in await json_rows(request)]
        beside = request.query_params.get("consider_positions", "true").lower() == "true"
        held = venue.account.legs() if beside else []
        each = _reckoned(wanted, venue)
        legs = [leg for leg, _, _ in each]
        final = basket_margin(legs, held, venue.board.quotes, venue.session.day)
        initial = sum((margin for _, margin, _ in each), Margin())
        charges = sum((charges for _, _, charges in each), NO_CHARGES)
        return success(
            {
                "initial": _told(initial),
                "final": _told(final),
                "orders": [_told(margin, leg, charges) for leg, margin, charges in each],
                "charges": _charges(charges, ""),
            }
        )

    @app.get("/margins/{segment}")
    async def margins_of(request: Request, segment: str) -> JSONResponse:
        """Of each instrument of a segment its margins in percent, and where a cover order's stop may lie."""
        sessions.check(request)
        if segment not in ("equity", "futures", "commodity", "currency"):
            raise input_error("Invalid `segment`: equity, futures, commodity or currency.")
        kind = {"equity": Kind.STOCK, "futures": Kind.FUTURE}.get(segment)
        return success([_listed(symbol, venue) for symbol, i in venue.instruments.items() if i.kind is kind])


def _wanted(row: dict, venue: Venue) -> OrderRequest:
    """An order of a JSON list; a MARKET order needs no protection to be reckoned."""
    form = {name: str(value) for name, value in row.items() if value is not None} | {"market_protection": "-1"}
    return order_request(form, venue.instruments, str(row.get("variety", "regular")))


def _reckoned(wanted: list[OrderRequest], venue: Venue) -> list[tuple[Leg, Margin, Charges]]:
    quotes, day = venue.board.quotes, venue.session.day
    found = []
    for order in wanted:
        price = reference_price(order, quotes[order.instrument.symbol], day)
        leg = Leg(order.instrument, order.product, order.side, order.quantity, price)
        found.append((leg, margin_of(leg, quotes, day), _charges_of(leg, venue)))
    return found


def _charges_of(leg: Leg, venue: Venue) -> Charges:
    value = leg.price * leg.quantity
    return exact_charges(
        product=leg.product, side=leg.side, value=value, day=venue.session.day, kind=leg.instrument.kind
    )


def _told(margin: Margin, leg: Leg | None = None, charges: Charges = NO_CHARGES) -> dict[str, Any]:
    """Kite's items; without a leg those of a basket."""
    value = leg.price * leg.quantity if leg is not None else margin.total
    leverage = round(value / margin.var) if margin.var else 1
    return {
        "type": "equity" if leg is not None else "",
        "tradingsymbol": leg.instrument.symbol if leg is not None else "",
        "exchange": leg.instrument.exchange if leg is not None else "",
        "span": number(margin.span),
        "exposure": number(margin.exposure),
        "option_premium": number(margin.option_premium),
        "additional": 0,
        "bo": 0,
        "cash": 0,
        "var": number(margin.var),
        "pnl": {"realised": 0, "unrealised": 0},
        "leverage": leverage if leg is not None else 0,
        "charges": _charges(charges, "stt" if leg is not None else ""),
        "total": number(margin.total),
    }


def _noted(row: dict, venue: Venue) -> dict[str, Any]:
    """One order of a virtual contract note; `average_price` is the filled price, a DP charge is not foreseen."""
    wanted = _wanted(row, venue)
    given = price_field({name: str(value) for name, value in row.items() if value is not None}, "average_price")
    price = given or order_price(wanted, venue.board.quotes[wanted.instrument.symbol])
    leg = Leg(wanted.instrument, wanted.product, wanted.side, wanted.quantity, price)
    return {
        "transaction_type": wanted.side.value,
        "tradingsymbol": wanted.instrument.symbol,
        "exchange": wanted.instrument.exchange,
        "variety": wanted.variety.value,
        "product": wanted.product.value,
        "order_type": wanted.order_type.value,
        "quantity": wanted.quantity,
        "price": number(price),
        "charges": _charges(_charges_of(leg, venue), "stt"),
    }


def _charges(charges: Charges, tax: str) -> dict[str, Any]:
    gst = number(charges.gst)
    return {
        "transaction_tax": number(charges.stt),
        "transaction_tax_type": tax,
        "exchange_turnover_charge": number(charges.exchange),
        "sebi_turnover_charge": number(charges.sebi),
        "brokerage": number(charges.brokerage),
        "stamp_duty": number(charges.stamp),
        "gst": {"igst": gst, "cgst": 0, "sgst": 0, "total": gst},
        "total": number(charges.total),
    }


def _listed(symbol: str, venue: Venue) -> dict[str, Any]:
    instrument, day = venue.instruments[symbol], venue.session.day
    long = Product.CNC if instrument.kind is Kind.STOCK else Product.NRML
    over_night, intraday = (margin_rates_on(instrument, product, day) for product in (long, Product.MIS))
    shares = [rates.var + rates.span + rates.exposure for rates in (over_night, intraday)]
    lower, upper = venue.view(symbol).limits
    return {
        "tradingsymbol": symbol,
        "margin": number(shares[0] * 100),
        "nrml_margin": number(shares[0] * 100),
        "mis_margin": number(shares[1] * 100),
        "mis_multiplier": number(round(shares[0] / shares[1], 2)),
        "co_lower": number(lower),
        "co_upper": number(upper),
    }


def trigger_range(symbol: str, side: Side, venue: Venue) -> dict[str, Any]:
    """Where the stop of a cover order may lie: between the last price and the circuit limit beyond it."""
    quote = venue.board.quotes[symbol]
    lower, upper = venue.view(symbol).limits
    low, high = (lower, quote.last_price) if side is Side.BUY else (quote.last_price, upper)
    return {"instrument_token": quote.instrument.token, "lower": number(low), "upper": number(high)}
