"""The shapes of Kite's JSON answers: same keys and kinds of values as the recorded ones; money leaves as numbers."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pipelines.domain.bars import IST
from serving.exchange.book import Order, Trade
from serving.exchange.market import PAISA
from serving.exchange.packets import DEPTH_LEVELS, Level
from serving.exchange.quotes import Quote
from serving.exchange.refusals import KiteError
from serving.exchange.slicing import Sliced
from serving.exchange.venue import RMS_USER, USER_ID

TERMINAL_ID = "111111111111100"  #: 15 digits, as in the recorded answer
PROFILE: dict[str, Any] = {
    "user_id": USER_ID,
    "user_type": "individual",
    "email": "paper@localhost",
    "user_name": "Paper Account",
    "user_shortname": "Paper",
    "broker": "ZERODHA",
    "exchanges": ["NSE", "NFO"],
    "products": ["CNC", "MIS", "NRML"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
    "meta": {"demat_consent": "physical"},
}

FULL_PROFILE: dict[str, Any] = {
    "user_id": USER_ID,
    "twofa_type": "totp",
    "user_name": PROFILE["user_name"],
    "user_type": PROFILE["user_type"],
    "email": PROFILE["email"],
    "phone": "*0000",
    "broker": PROFILE["broker"],
    "bank_accounts": [{"name": "PAPER BANK", "branch": "", "account": "*0000"}],
    "dp_ids": ["0000000000000000"],
    "products": PROFILE["products"],
    "order_types": PROFILE["order_types"],
    "exchanges": PROFILE["exchanges"],
    "pan": "*0000",
    "user_shortname": PROFILE["user_shortname"],
    "avatar_url": None,
    "tags": [],
    "password_timestamp": "1970-01-01 00:00:00",
    "twofa_timestamp": "1970-01-01 00:00:00",
    "meta": {"poa": "physical", "silo": "", "account_blocks": []},
}


def stamp(moment: datetime | None) -> str | None:
    """Kite's local time without a zone, e.g. 2026-10-30 09:15:00."""
    return moment.astimezone(IST).strftime("%Y-%m-%d %H:%M:%S") if moment else None


def number(amount: Decimal | None) -> float | int:
    if amount is None:
        return 0
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def rounded(amount: Decimal) -> float | int:
    return number(amount.quantize(PAISA, ROUND_HALF_UP))


def session(api_key: str, access_token: str, at: datetime) -> dict[str, Any]:
    return PROFILE | {
        "api_key": api_key,
        "access_token": access_token,
        "public_token": access_token[::-1],
        "enctoken": "",
        "refresh_token": "",
        "silo": "",
        "login_time": stamp(at),
    }


def order(state: Order, event: str | None = None) -> dict[str, Any]:
    """One state of an order, as in the order book; with `event`, as the update that tells of it."""
    request = state.request
    return {
        "account_id": USER_ID,
        "placed_by": state.placed_by,
        "terminal_id": TERMINAL_ID,
        "order_id": state.order_id,
        "exchange_order_id": state.exchange_order_id,
        "parent_order_id": state.parent_order_id,
        "status": event or state.status.value,
        "status_message": state.status_message,
        "status_message_raw": f"RMS: {state.status_message}" if state.status_message else None,
        "order_timestamp": stamp(state.placed_at if event is None else state.changed_at),
        "exchange_update_timestamp": stamp(state.exchange_at),
        "exchange_timestamp": stamp(state.exchange_at),
        "variety": request.variety.value,
        "modified": state.modifications > 0,
        "exchange": request.instrument.exchange,
        "tradingsymbol": state.symbol,
        "instrument_token": request.instrument.token,
        "order_type": request.order_type.value,
        "transaction_type": request.side.value,
        "validity": request.validity.value,
        "validity_ttl": request.validity_ttl,
        "product": request.product.value,
        "quantity": request.quantity,
        "disclosed_quantity": request.disclosed_quantity,
        "price": number(request.price),
        "trigger_price": number(request.trigger_price),
        "auction_number": None,  # no auction is ever open here
        "average_price": number(state.average_price.quantize(Decimal("0.0001"))),
        "filled_quantity": state.filled_quantity,
        "pending_quantity": state.pending_quantity,
        "cancelled_quantity": state.cancelled_quantity,
        "market_protection": number(request.market_protection),
        "meta": _meta(state),
        "tag": request.tag,
        "tags": state.tags,
        "guid": f"{state.order_id}paper",
    }


def sliced(placed: Sliced) -> dict[str, Any]:
    """The answer to an order that could be sliced: the parent's id and what became of each slice."""
    children = [
        {"error": {"code": child.http_status, "error_type": child.error_type, "message": child.message, "data": None}}
        if isinstance(child, KiteError)
        else {"order_id": child.order_id}
        for child in placed.children
    ]
    return {"order_id": placed.order_id} | ({"children": children} if children else {})


def _meta(state: Order) -> dict[str, Any]:
    request = state.request
    if not request.iceberg_legs:
        return {"square_off": True} if state.placed_by == RMS_USER else {}
    sent = min(state.leg * request.iceberg_quantity, request.iceberg_total)
    legs = {
        "leg": state.leg,
        "legs": request.iceberg_legs,
        "leg_quantity": request.iceberg_quantity,
        "total_quantity": request.iceberg_total,
        "remaining_quantity": request.iceberg_total - sent,
    }
    return {"iceberg": legs}


def order_update(state: Order, event: str) -> dict[str, Any]:
    """What the WebSocket tells of an order; `unfilled_quantity`, `checksum`, `app_id` and `user_id` only stand here."""
    extra = {"user_id": USER_ID, "unfilled_quantity": state.pending_quantity, "app_id": 0, "checksum": ""}
    return {"type": "order", "id": "", "data": order(state, event) | extra}


def trade(done: Trade) -> dict[str, Any]:
    request = done.order.request
    return {
        "trade_id": done.trade_id,
        "order_id": done.order.order_id,
        "exchange": request.instrument.exchange,
        "tradingsymbol": done.order.symbol,
        "instrument_token": request.instrument.token,
        "product": request.product.value,
        "average_price": number(done.price),
        "quantity": done.quantity,
        "exchange_order_id": done.order.exchange_order_id,
        "transaction_type": request.side.value,
        "fill_timestamp": stamp(done.at),
        "order_timestamp": done.order.placed_at.astimezone(IST).strftime("%H:%M:%S"),
        "exchange_timestamp": stamp(done.at),
    }


def quote(found: Quote, at: datetime, circuit: Decimal) -> dict[str, Any]:
    """A full quote; an index has no depth, volume or circuit."""
    snapshot = found.snapshot(at)
    head = {
        "instrument_token": snapshot.token,
        "timestamp": stamp(at),
        "last_price": number(snapshot.last_price),
        "net_change": 0,
        "ohlc": ohlc_of(found),
    }
    if not found.instrument.tradable:
        return head
    lower, upper = found.circuit(circuit)
    return head | {
        "last_trade_time": stamp(snapshot.last_trade_time),
        "last_quantity": snapshot.last_quantity,
        "buy_quantity": snapshot.buy_quantity,
        "sell_quantity": snapshot.sell_quantity,
        "volume": snapshot.volume,
        "average_price": number(snapshot.average_price),
        "oi": 0,
        "oi_day_high": 0,
        "oi_day_low": 0,
        "lower_circuit_limit": number(lower),
        "upper_circuit_limit": number(upper),
        "depth": {"buy": _levels(snapshot.bids), "sell": _levels(snapshot.asks)},
    }


def ohlc(found: Quote) -> dict[str, Any]:
    return ltp(found) | {"ohlc": ohlc_of(found)}


def ltp(found: Quote) -> dict[str, Any]:
    return {"instrument_token": found.instrument.token, "last_price": number(found.last_price)}


def ohlc_of(found: Quote) -> Mapping[str, Any]:
    return {
        "open": number(found.open),
        "high": number(found.high),
        "low": number(found.low),
        "close": number(found.previous_close),
    }


def _levels(levels: Any) -> list[dict[str, Any]]:
    filled: list[Level] = list(levels) + [Level(Decimal(0), 0, 0)] * (DEPTH_LEVELS - len(levels))
    return [{"price": number(level.price), "quantity": level.quantity, "orders": level.orders} for level in filled]
