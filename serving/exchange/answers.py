"""The shapes of Kite's JSON answers: same keys and kinds of values as the recorded ones; money leaves as numbers."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.orders import Product
from serving.exchange.account import Account, Holding, Position
from serving.exchange.book import Order, Trade
from serving.exchange.market import PAISA
from serving.exchange.packets import DEPTH_LEVELS, Level
from serving.exchange.quotes import Quote
from serving.exchange.refusals import KiteError
from serving.exchange.slicing import Sliced
from serving.exchange.venue import RMS_USER, USER_ID, Venue

EXCHANGE = "NSE"
PROFILE: dict[str, Any] = {
    "user_id": USER_ID,
    "user_type": "individual",
    "email": "paper@localhost",
    "user_name": "Paper Account",
    "user_shortname": "Paper",
    "broker": "ZERODHA",
    "exchanges": ["NSE"],
    "products": ["CNC", "MIS"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
    "meta": {"demat_consent": "physical"},
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
        "exchange": EXCHANGE,
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
        "exchange": EXCHANGE,
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


def position(held: Position, quote: Quote) -> dict[str, Any]:
    """A day's position; `pnl` is what was received less what was paid plus what the open part is worth."""
    value = held.sell_value - held.buy_value
    pnl = value + held.quantity * quote.last_price
    buy, sell = _mean(held.buy_value, held.buy_quantity), _mean(held.sell_value, held.sell_quantity)
    return {
        "tradingsymbol": held.instrument.symbol,
        "exchange": EXCHANGE,
        "instrument_token": held.instrument.token,
        "product": held.product.value,
        "quantity": held.quantity,
        "overnight_quantity": 0,
        "multiplier": 1,
        "average_price": number(held.average_price.quantize(Decimal("0.0001"))),
        "close_price": number(quote.previous_close),
        "last_price": number(quote.last_price),
        "value": rounded(value),
        "pnl": rounded(pnl),
        "m2m": rounded(pnl),
        "unrealised": rounded(held.unrealised(quote.last_price)),
        "realised": rounded(held.realised),
        "buy_quantity": held.buy_quantity,
        "buy_price": rounded(buy),
        "buy_value": number(held.buy_value),
        "buy_m2m": number(held.buy_value),
        "sell_quantity": held.sell_quantity,
        "sell_price": rounded(sell),
        "sell_value": number(held.sell_value),
        "sell_m2m": number(held.sell_value),
        "day_buy_quantity": held.buy_quantity,
        "day_buy_price": rounded(buy),
        "day_buy_value": number(held.buy_value),
        "day_sell_quantity": held.sell_quantity,
        "day_sell_price": rounded(sell),
        "day_sell_value": number(held.sell_value),
    }


def positions(venue: Venue) -> dict[str, Any]:
    listed = [position(held, venue.board.quotes[held.instrument.symbol]) for held in venue.account.positions.values()]
    return {"net": listed, "day": listed}


def holding(held: Holding, quote: Quote, sold_today: int) -> dict[str, Any]:
    change = quote.last_price - quote.previous_close
    share = change / quote.previous_close * 100 if quote.previous_close else Decimal(0)
    return {
        "tradingsymbol": held.instrument.symbol,
        "exchange": EXCHANGE,
        "instrument_token": held.instrument.token,
        "isin": "",
        "product": Product.CNC.value,
        "price": 0,
        "quantity": max(held.settled - sold_today, 0),
        "used_quantity": sold_today,
        "t1_quantity": held.t1 - max(sold_today - held.settled, 0),
        "realised_quantity": held.settled,
        "authorised_quantity": 0,
        "authorised_date": stamp(quote.last_trade_time),
        "authorisation": {},
        "opening_quantity": held.quantity,
        "short_quantity": 0,
        "collateral_quantity": 0,
        "collateral_type": "",
        "discrepancy": False,
        "average_price": number(held.average_price.quantize(Decimal("0.0001"))),
        "last_price": number(quote.last_price),
        "close_price": number(quote.previous_close),
        "pnl": rounded((quote.last_price - held.average_price) * (held.quantity - sold_today)),
        "day_change": rounded(change),
        "day_change_percentage": float(share),
        "mtf": {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0},
    }


def holdings(venue: Venue) -> list[dict[str, Any]]:
    account, quotes = venue.account, venue.board.quotes
    return [
        holding(held, quotes[symbol], max(-account.net_quantity(symbol, Product.CNC), 0))
        for symbol, held in sorted(account.holdings.items())
    ]


def margins(venue: Venue) -> dict[str, Any]:
    """`available.cash` is the ledger after every fill and charge; `net` and `live_balance` what may still be spent."""
    account, quotes = venue.account, venue.board.quotes
    net = account.margin_available(venue.book.working(), quotes)
    equity = _segment(
        net=net,
        cash=account.cash,
        opening=account.day_opening_cash,
        realised=account.realised_today(),
        unrealised=account.unrealised(quotes),
        blocked=_blocked(account, venue),
    )
    nothing = Decimal(0)
    empty = _segment(net=nothing, cash=nothing, opening=nothing, realised=nothing, unrealised=nothing, blocked=nothing)
    return {"equity": equity, "commodity": empty | {"enabled": False}}


def quote(found: Quote, at: datetime, circuit: Decimal) -> dict[str, Any]:
    """A full quote; an index has no depth, volume or circuit."""
    snapshot = found.snapshot(at)
    head = {
        "instrument_token": snapshot.token,
        "timestamp": stamp(at),
        "last_price": number(snapshot.last_price),
        "net_change": 0,
        "ohlc": _ohlc(found),
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
    return ltp(found) | {"ohlc": _ohlc(found)}


def ltp(found: Quote) -> dict[str, Any]:
    return {"instrument_token": found.instrument.token, "last_price": number(found.last_price)}


def _segment(
    *, net: Decimal, cash: Decimal, opening: Decimal, realised: Decimal, unrealised: Decimal, blocked: Decimal
) -> dict[str, Any]:
    return {
        "enabled": True,
        "net": number(net),
        "available": {
            "adhoc_margin": 0,
            "cash": number(cash),
            "opening_balance": number(opening),
            "live_balance": number(net),
            "collateral": 0,
            "intraday_payin": 0,
        },
        "utilised": {
            "debits": number(opening - net),
            "exposure": rounded(blocked),
            "m2m_realised": rounded(realised),
            "m2m_unrealised": rounded(unrealised),
            "option_premium": 0,
            "payout": 0,
            "span": 0,
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": 0,
            "delivery": 0,
        },
    }


def _blocked(account: Account, venue: Venue) -> Decimal:
    orders = account.blocked_by_orders(venue.book.working(), venue.board.quotes)
    return orders + account.blocked_by_positions()


def _ohlc(found: Quote) -> Mapping[str, Any]:
    return {
        "open": number(found.open),
        "high": number(found.high),
        "low": number(found.low),
        "close": number(found.previous_close),
    }


def _levels(levels: Any) -> list[dict[str, Any]]:
    filled: list[Level] = list(levels) + [Level(Decimal(0), 0, 0)] * (DEPTH_LEVELS - len(levels))
    return [{"price": number(level.price), "quantity": level.quantity, "orders": level.orders} for level in filled]


def _mean(value: Decimal, quantity: int) -> Decimal:
    return value / quantity if quantity else Decimal(0)
