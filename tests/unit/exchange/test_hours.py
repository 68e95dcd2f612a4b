"""A day by NSE's calendar: pre-open, continuous trading, closing auction and post-close."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import Bar
from pipelines.domain.fills import FillModel
from pipelines.domain.instruments import Instrument, Kind, OptionType
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from pipelines.domain.trading_phases import Group
from serving.exchange.book import Status, Validity, Variety
from serving.exchange.hours import CalendarHours, group_of
from serving.exchange.market import FrameKind
from serving.exchange.recording import rules_from
from serving.exchange.refusals import KiteError
from serving.exchange.venue import Venue
from tests.conftest import workspace_at
from tests.unit.exchange.builders import ALPHA, BETA, a_request, a_venue, at, play

MINUTE = timedelta(minutes=1)
COSTLY = FillModel(slippage_bps=30.0, participation=1.0)


def minutes(symbol: str, prices: dict[str, float], last: str = "16:00") -> list[Bar]:
    """A bar a minute from 09:00; the price stands from each of the given times on."""
    level, bars = 0.0, []
    moment = at(9, 0)
    while moment < at(*map(int, last.split(":"))):
        level = prices.get(f"{moment:%H:%M}", level)
        spread = 0.5 if f"{moment:%H:%M}" not in prices else 0.0
        bars.append(Bar(symbol, moment, moment + MINUTE, level, level + spread, level - spread, level, 40_000))
        moment += MINUTE
    return bars


def a_calendar_day(*bars: list[Bar], **rules) -> Venue:
    hours = CalendarHours(frozenset({"M&B"}), seed=5)
    return a_venue(*bars, hours=hours, **({"fills": COSTLY} | rules))


def a_limit(price: str, **changes):
    terms = {"order_type": OrderType.LIMIT, "price": Decimal(price), "product": Product.CNC}
    return a_request(**(terms | changes))


def test_the_pre_open_collects_orders_and_opens_at_one_price_for_all():
    venue = a_calendar_day(minutes("ALPHA", {"09:00": 100.0, "09:09": 102.0, "09:10": 102.0}, "09:30"))
    play(venue, FrameKind.OPENING)
    market = venue.place(a_request(product=Product.CNC))
    limit, too_low = venue.place(a_limit("103.00")), venue.place(a_limit("101.00"))
    with pytest.raises(KiteError, match="plain market and limit"):
        venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("95.00")))

    play(venue, at(9, 6))
    with pytest.raises(KiteError, match="limit orders"):
        venue.place(a_request(product=Product.CNC))
    with pytest.raises(KiteError, match="cannot be changed"):
        venue.cancel(market.order_id)
    late = venue.place(a_limit("102.50"))
    venue.cancel(venue.place(a_limit("99.00")).order_id)
    collected = len(venue.trades())
    play(venue, at(9, 11))
    with pytest.raises(KiteError, match="pre-open match"):
        venue.place(a_limit("103.00"))
    play(venue, at(9, 13))
    with pytest.raises(KiteError, match="pre-open buffer"):
        venue.place(a_limit("103.00"))

    assert collected == 0
    assert venue.book.find(late.order_id).status is Status.COMPLETE
    assert [trade.price for trade in venue.trades()] == [Decimal(102)] * 3
    assert venue.book.find(market.order_id).status is Status.COMPLETE
    assert venue.book.find(limit.order_id).status is Status.COMPLETE
    assert venue.book.find(too_low.order_id).status is Status.OPEN


def a_contract(expiry: str, kind: Kind = Kind.FUTURE) -> Instrument:
    terms = {"strike": Decimal(24_000), "option_type": OptionType.CALL} if kind is Kind.OPTION else {}
    return replace(ALPHA, kind=kind, underlying="NIFTY", expiry=date.fromisoformat(expiry), **terms)


@pytest.mark.parametrize(
    ("contract", "day", "group"),
    [
        (a_contract("2026-10-27"), "2026-10-05", Group.NEAR_FUTURE),
        (a_contract("2026-11-24"), "2026-10-05", Group.DERIVATIVE),
        (a_contract("2026-11-24"), "2026-10-16", Group.DERIVATIVE),
        (a_contract("2026-11-24"), "2026-10-19", Group.NEAR_FUTURE),  # the fifth session before the expiry
        (a_contract("2026-11-24"), "2026-10-21", Group.NEAR_FUTURE),
        (a_contract("2026-11-23"), "2026-10-28", Group.NEAR_FUTURE),  # the 24th is a holiday
        (a_contract("2026-12-29"), "2026-10-21", Group.DERIVATIVE),
        (a_contract("2026-10-27", Kind.OPTION), "2026-10-05", Group.DERIVATIVE),
        (a_contract("2027-01-26"), "2027-01-04", Group.DERIVATIVE),  # nobody knows the month's expiry
        (ALPHA, "2026-10-05", Group.AUCTION_STOCK),
    ],
)
def test_only_near_futures_have_a_pre_open(contract, day, group):
    assert group_of(contract, date.fromisoformat(day)) is group


def test_after_market_orders_reach_the_exchange_at_their_times():
    venue = a_calendar_day(minutes("ALPHA", {"09:00": 100.0}, "09:30"))
    plain = venue.place(a_limit("95.00", variety=Variety.AMO))
    stop = venue.place(a_limit("104.00", order_type=OrderType.SL, trigger_price=Decimal("103.00"), variety=Variety.AMO))

    play(venue, at(9, 1))
    early = [venue.book.find(order.order_id).status for order in (plain, stop)]
    play(venue, at(9, 16))

    assert early == [Status.OPEN, Status.AMO_RECEIVED]
    assert venue.book.find(stop.order_id).status is Status.TRIGGER_PENDING


def test_the_closing_auction_knows_no_stops_and_trades_at_one_price():
    venue = a_calendar_day(minutes("ALPHA", {"09:00": 100.0, "15:28": 101.0, "15:29": 101.0, "15:30": 101.0}))
    play(venue, at(15, 14))
    stop = venue.place(
        a_request(
            order_type=OrderType.SL, trigger_price=Decimal("110.00"), price=Decimal("110.00"), product=Product.CNC
        )
    )
    play(venue, at(15, 16))
    with pytest.raises(KiteError, match="auction reference"):
        venue.place(a_limit("101.00"))
    play(venue, at(15, 21))
    market, limit = venue.place(a_request(product=Product.CNC)), venue.place(a_limit("102.50"))
    beyond = venue.place(a_limit("104.00"))
    with pytest.raises(KiteError, match="plain market and limit"):
        venue.place(a_request(validity=Validity.IOC))
    play(venue, at(15, 26))
    with pytest.raises(KiteError, match="limit orders"):
        venue.place(a_request(product=Product.CNC))
    with pytest.raises(KiteError, match="cannot be changed"):
        venue.cancel(market.order_id)
    before = len(venue.trades())

    play(venue, at(15, 31))

    assert venue.book.find(stop.order_id).status is Status.CANCELLED
    assert "closing auction" in venue.book.find(stop.order_id).status_message
    assert (beyond.status, "circuit limit of 103" in beyond.status_message) == (Status.REJECTED, True)
    assert before == 0
    assert [(trade.order.order_id, trade.price) for trade in venue.trades()] == [
        (market.order_id, Decimal(101)),
        (limit.order_id, Decimal(101)),
    ]


def test_a_stock_without_derivatives_trades_on_until_half_past_three():
    venue = a_calendar_day(minutes("ALPHA", {"09:00": 100.0}), minutes("M&B", {"09:00": 100.0}))
    play(venue, at(15, 28))

    other = venue.place(a_request(instrument=BETA, product=Product.CNC))
    with pytest.raises(KiteError, match="limit orders"):
        venue.place(a_request(instrument=ALPHA, product=Product.CNC))
    venue.advance()

    assert venue.book.find(other.order_id).status is Status.COMPLETE


def test_after_the_close_trades_are_at_the_closing_price():
    venue = a_calendar_day(minutes("ALPHA", {"09:00": 100.0, "15:30": 101.0, "15:50": 101.0, "15:51": 101.0}))
    play(venue, at(15, 45))
    with pytest.raises(KiteError, match="closed"):
        venue.place(a_request(product=Product.CNC))
    play(venue, at(15, 50))

    order = venue.place(a_request(product=Product.CNC))
    venue.advance()

    assert [trade.price for trade in venue.trades()] == [Decimal(101)]
    assert venue.book.find(order.order_id).status is Status.COMPLETE


def test_intraday_positions_end_before_the_auction_and_no_new_ones_are_taken():
    venue = a_calendar_day(minutes("ALPHA", {"09:00": 100.0}))
    play(venue, at(14, 50))
    venue.place(a_request())
    play(venue, at(14, 58))
    held = venue.account.net_quantity("ALPHA", Product.MIS)

    play(venue, at(15, 1))

    assert held == 10
    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0
    with pytest.raises(KiteError, match="square-off"):
        venue.place(a_request())


def test_parameters_choose_hours_latency_and_bands(tmp_path):
    chosen = {"latency_ms": 250, "hours": "calendar", "stocks_without_derivatives": ["M&B"], "circuits": {"M&B": 0.05}}
    _, shipped = workspace_at(tmp_path / "shipped", {})
    _, other = workspace_at(tmp_path / "other", {f"exchange.{name}": value for name, value in chosen.items()})

    plain, rules = rules_from(shipped), rules_from(other)

    assert (plain.latency, plain.hours, plain.circuits) == (timedelta(0), None, {})
    assert rules.latency == timedelta(milliseconds=250)
    assert rules.hours == CalendarHours(frozenset({"M&B"}), other.exchange.seed)
    assert rules.circuits == {"M&B": Decimal("0.05")}
