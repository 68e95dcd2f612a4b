"""What the account holds and may spend, in the shapes of Kite's JSON answers."""

from decimal import Decimal
from typing import Any

from pipelines.domain.orders import Product
from serving.exchange.account import Holding, Position
from serving.exchange.answers import number, rounded, stamp
from serving.exchange.quotes import Quote
from serving.exchange.venue import Venue


def position(held: Position, quote: Quote, *, overnight: bool) -> dict[str, Any]:
    """A position as Kite reckons it, with or without what came over the night.

    `pnl` is what was received less what was paid plus what the open part is worth; `m2m` the same with the night's
    part at the last close. As in the recorded answers all of `pnl` stands as unrealised.
    """
    night = held.overnight_quantity if overnight else 0
    long, short = max(night, 0), max(-night, 0)
    cost, close, last = abs(held.overnight_value), quote.previous_close, quote.last_price
    bought, sold = held.buy_quantity + long, held.sell_quantity + short
    buy_value, sell_value = held.buy_value + (cost if long else 0), held.sell_value + (cost if short else 0)
    buy_m2m, sell_m2m = held.buy_value + long * close, held.sell_value + short * close
    quantity, value = bought - sold, sell_value - buy_value
    pnl = value + quantity * last
    return {
        "tradingsymbol": held.instrument.symbol,
        "exchange": held.instrument.exchange,
        "instrument_token": held.instrument.token,
        "product": held.product.value,
        "quantity": quantity,
        "overnight_quantity": night,
        "multiplier": 1,
        "average_price": number(_average_of(held, quantity).quantize(Decimal("0.0001"))),
        "close_price": number(close),
        "last_price": number(last),
        "value": rounded(value),
        "pnl": rounded(pnl),
        "m2m": rounded(sell_m2m - buy_m2m + quantity * last),
        "unrealised": rounded(pnl),
        "realised": 0,
        "buy_quantity": bought,
        "buy_price": rounded(_mean(buy_value, bought)),
        "buy_value": rounded(buy_value),
        "buy_m2m": rounded(buy_m2m),
        "sell_quantity": sold,
        "sell_price": rounded(_mean(sell_value, sold)),
        "sell_value": rounded(sell_value),
        "sell_m2m": rounded(sell_m2m),
        "day_buy_quantity": held.buy_quantity,
        "day_buy_price": rounded(_mean(held.buy_value, held.buy_quantity)),
        "day_buy_value": rounded(held.buy_value),
        "day_sell_quantity": held.sell_quantity,
        "day_sell_price": rounded(_mean(held.sell_value, held.sell_quantity)),
        "day_sell_value": rounded(held.sell_value),
    }


def positions(venue: Venue) -> dict[str, Any]:
    """`net` with what came over the night, `day` only what was traded today."""
    all_, quotes = list(venue.account.positions.values()), venue.board.quotes
    net = [position(held, quotes[held.instrument.symbol], overnight=True) for held in all_]
    traded = [held for held in all_ if held.buy_quantity or held.sell_quantity or not held.overnight_quantity]
    return {
        "net": net,
        "day": [position(held, quotes[held.instrument.symbol], overnight=False) for held in traded],
    }


def _average_of(held: Position, quantity: int) -> Decimal:
    """Of a position without its night's part the mean of the side that is open."""
    if quantity == held.quantity:
        return held.average_price
    if quantity > 0:
        return _mean(held.buy_value, held.buy_quantity)
    return _mean(held.sell_value, held.sell_quantity) if quantity else Decimal(0)


def holding(held: Holding, quote: Quote, sold_today: int) -> dict[str, Any]:
    change = quote.last_price - quote.previous_close
    share = change / quote.previous_close * 100 if quote.previous_close else Decimal(0)
    return {
        "tradingsymbol": held.instrument.symbol,
        "exchange": held.instrument.exchange,
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


def compact_holdings(venue: Venue) -> list[dict[str, Any]]:
    """The holdings by their shares alone."""
    names = ("exchange", "tradingsymbol", "instrument_token", "t1_quantity", "quantity")
    return [{name: row[name] for name in names} for row in holdings(venue)]


def holdings_summary(venue: Venue) -> dict[str, Any]:
    """What all holdings together cost, are worth, and have gained, since they were bought and today."""
    account, quotes = venue.account, venue.board.quotes
    invested = worth = before = Decimal(0)
    for symbol, held in account.holdings.items():
        shares = held.quantity - max(-account.net_quantity(symbol, Product.CNC), 0)
        invested += held.average_price * shares
        worth += quotes[symbol].last_price * shares
        before += quotes[symbol].previous_close * shares
    return {
        "total_pnl": rounded(worth - invested),
        "total_pnl_percent": float(_percent(worth - invested, invested)),
        "today_pnl": rounded(worth - before),
        "today_pnl_percent": float(_percent(worth - before, before)),
        "invested_amount": rounded(invested),
        "current_value": rounded(worth),
    }


def margins(venue: Venue) -> dict[str, Any]:
    """`available.cash` is the ledger after every fill and charge; `net` and `live_balance` what may still be spent."""
    account, quotes = venue.account, venue.board.quotes
    net = account.margin_available(venue.book.committed(), quotes)
    blocked = account.blocked_by_positions(quotes)
    orders = account.blocked_by_orders(venue.book.committed(), quotes)
    equity = _segment(
        net=net,
        cash=account.cash,
        opening=account.day_opening_cash,
        realised=account.realised_today(),
        unrealised=account.unrealised(quotes),
        exposure=blocked.var + blocked.exposure + orders,
        span=blocked.span,
    )
    nothing = Decimal(0)
    empty = _segment(
        net=nothing,
        cash=nothing,
        opening=nothing,
        realised=nothing,
        unrealised=nothing,
        exposure=nothing,
        span=nothing,
    )
    return {"equity": equity, "commodity": empty | {"enabled": False}}


def _segment(
    *,
    net: Decimal,
    cash: Decimal,
    opening: Decimal,
    realised: Decimal,
    unrealised: Decimal,
    exposure: Decimal,
    span: Decimal,
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
            "exposure": rounded(exposure),
            "m2m_realised": rounded(realised),
            "m2m_unrealised": rounded(unrealised),
            "option_premium": 0,
            "payout": 0,
            "span": rounded(span),
            "holding_sales": 0,
            "turnover": 0,
            "liquid_collateral": 0,
            "stock_collateral": 0,
            "delivery": 0,
        },
    }


def _mean(value: Decimal, quantity: int) -> Decimal:
    return value / quantity if quantity else Decimal(0)


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return part / whole * 100 if whole else Decimal(0)
