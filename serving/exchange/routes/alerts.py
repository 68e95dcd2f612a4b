"""Price alerts: creating, reading, changing, deleting, and when they were met."""

from decimal import Decimal
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange.alerts import Alert, AlertStatus, AlertType, Item, Met, Placed, alert_terms, exchange_of
from serving.exchange.answers import number, ohlc_of, stamp
from serving.exchange.book import USER_ID
from serving.exchange.order_forms import whole_number
from serving.exchange.quotes import Quote
from serving.exchange.refusals import input_error
from serving.exchange.routes.edge import Edge, form, success
from serving.exchange.venue import Venue

NEVER = "0001-01-01 00:00:00"  #: how Kite tells a time that there is not
PAGE = 100  #: alerts of an answer unless `page_size` says otherwise


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.post("/alerts")
    async def create(request: Request) -> JSONResponse:
        sessions.check(request)
        terms = alert_terms(await form(request), venue.listed)
        return success(_told(venue.alerts.add(terms, venue.board.quotes, venue.clock)))

    @app.get("/alerts")
    async def alerts(request: Request, status: str = "") -> JSONResponse:
        sessions.check(request)
        page, page_size = _asked(request, "page", 1), _asked(request, "page_size", PAGE)
        if status and status not in list(AlertStatus):
            raise input_error(f"Invalid `status`: one of {', '.join(AlertStatus)}.")
        if page < 1 or not 1 <= page_size <= 1000:
            raise input_error("Invalid `page` or `page_size`: above zero, at most 1000 alerts a page.")
        found = venue.alerts.all(AlertStatus(status) if status else None)
        return success([_with_basket(alert) for alert in found[(page - 1) * page_size : page * page_size]])

    @app.delete("/alerts")
    async def delete(request: Request) -> JSONResponse:
        """By `uuid` in the query, one or several."""
        sessions.check(request)
        asked = request.query_params.getlist("uuid")
        if not asked:
            raise input_error("Missing or empty field `uuid`")
        venue.alerts.delete(asked, venue.clock)
        return success(None)

    @app.get("/alerts/{alert_id}")
    async def alert_of(request: Request, alert_id: str) -> JSONResponse:
        sessions.check(request)
        return success(_with_basket(venue.alerts.find(alert_id)))

    @app.put("/alerts/{alert_id}")
    async def modify(request: Request, alert_id: str) -> JSONResponse:
        sessions.check(request)
        terms = alert_terms(await form(request), venue.listed)
        return success(_told(venue.alerts.modify(alert_id, terms, venue.board.quotes, venue.clock)))

    @app.get("/alerts/{alert_id}/history")
    async def history(request: Request, alert_id: str) -> JSONResponse:
        sessions.check(request)
        return success([_met(met, venue) for met in venue.alerts.history(alert_id)])


def _asked(request: Request, name: str, otherwise: int) -> int:
    """A whole number of the query."""
    text = request.query_params.get(name)
    return otherwise if text is None else whole_number(text, name)


def _told(alert: Alert) -> dict[str, Any]:
    terms, right = alert.terms, alert.terms.right
    return {
        "type": terms.type.value,
        "user_id": USER_ID,
        "uuid": alert.alert_id,
        "name": terms.name,
        "status": alert.status.value,
        "disabled_reason": "",
        "lhs_attribute": terms.left.attribute,
        "lhs_exchange": terms.left.exchange,
        "lhs_tradingsymbol": terms.left.instrument.symbol,
        "operator": terms.operator,
        "rhs_type": "constant" if right is None else "instrument",
        "rhs_attribute": right.attribute if right is not None else "",
        "rhs_exchange": right.exchange if right is not None else "",
        "rhs_tradingsymbol": right.instrument.symbol if right is not None else "",
        "rhs_constant": number(terms.constant),
        "alert_count": alert.times_met,
        "created_at": stamp(alert.created_at),
        "updated_at": stamp(alert.updated_at),
    }


def _with_basket(alert: Alert) -> dict[str, Any]:
    """As it is read; the answers to creating and changing an alert do not tell the basket."""
    if alert.terms.type is not AlertType.ATO:
        return _told(alert)
    return _told(alert) | {"basket": {"items": [_item(item) for item in alert.terms.basket]}}


def _item(item: Item) -> dict[str, Any]:
    order = item.order
    return {
        "id": item.number,
        "tradingsymbol": order.instrument.symbol,
        "exchange": order.instrument.exchange,
        "instrument_token": order.instrument.token,
        "weight": item.weight,
        "params": {
            "validity": order.validity.value,
            "validity_ttl": order.validity_ttl,
            "variety": order.variety.value,
            "product": order.product.value,
            "order_type": order.order_type.value,
            "transaction_type": order.side.value,
            "quantity": order.quantity,
            "disclosed_quantity": order.disclosed_quantity,
            "price": number(order.price),
            "trigger_price": number(order.trigger_price),
            "squareoff": 0,
            "stoploss": 0,
            "trailing_stoploss": 0,
            "gtt": {"target": 0, "stoploss": 0},
            "tags": [order.tag] if order.tag else [],
        },
    }


def _met(met: Met, venue: Venue) -> dict[str, Any]:
    alert = met.alert
    return {
        "uuid": alert.alert_id,
        "type": alert.terms.type.value,
        "meta": [_quoted(quote, met, venue) for quote in met.quotes],
        "condition": str(alert.terms),
        "created_at": stamp(met.at),
        "order_meta": [_placed(placed) for placed in met.orders] if met.orders else None,
    }


def _quoted(quote: Quote, met: Met, venue: Venue) -> dict[str, Any]:
    tradable = quote.instrument.tradable
    snapshot = quote.snapshot(met.at)
    lower, upper = venue.view(quote.instrument.symbol).limits if tradable else (Decimal(0), Decimal(0))
    return {
        "instrument_token": quote.instrument.token,
        "tradingsymbol": quote.instrument.symbol,
        "timestamp": stamp(met.at),
        "last_price": number(quote.last_price),
        "ohlc": ohlc_of(quote),
        "net_change": number(quote.last_price - quote.previous_close),
        "exchange": exchange_of(quote.instrument),
        "last_trade_time": (stamp(quote.last_trade_time) if tradable else None) or NEVER,
        "last_quantity": quote.last_quantity if tradable else 0,
        "buy_quantity": snapshot.buy_quantity,
        "sell_quantity": snapshot.sell_quantity,
        "volume": quote.volume,
        "volume_tick": 0,
        "average_price": number(quote.average_price),
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "lower_circuit_limit": number(lower),
        "upper_circuit_limit": number(upper),
    }


def _placed(placed: Placed) -> dict[str, Any]:
    return {
        "id": placed.item.number,
        "tradingsymbol": placed.item.order.instrument.symbol,
        "status": "failed" if placed.rejection else "success",
        "order_id": placed.order_id,
        "rejection_reason": placed.rejection,
    }
