"""The virtual contract note: charges of orders that were or might be filled."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from pipelines.domain.charges import order_charges
from serving.exchange import answers
from serving.exchange.account import reference_price
from serving.exchange.book import OrderRequest
from serving.exchange.order_forms import order_request, price_field
from serving.exchange.routes.edge import Edge, json_rows, success
from serving.exchange.venue import Venue


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.post("/charges/orders")
    async def contract_note(request: Request) -> JSONResponse:
        """Charges of orders that were or might be filled, by the rates of the market's day."""
        sessions.check(request)
        return success([_noted(row, venue) for row in await json_rows(request)])


def _noted(row: dict, venue: Venue) -> dict:
    """One order of a virtual contract note; `average_price` is the filled price, a DP charge is not foreseen."""
    form = {name: str(value) for name, value in row.items()} | {"market_protection": "-1"}
    wanted: OrderRequest = order_request(form, venue.instruments, str(row.get("variety", "regular")))
    price = price_field(form, "average_price") or reference_price(wanted, venue.board.quotes[wanted.instrument.symbol])
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
