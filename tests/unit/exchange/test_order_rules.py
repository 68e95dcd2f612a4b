"""What an order may ask for, how it is sent on, and what follows it."""

from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.fills import FillModel
from pipelines.domain.instruments import Kind, OptionType
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import Status, Validity, Variety
from serving.exchange.market import FrameKind
from serving.exchange.order_forms import order_request
from serving.exchange.refusals import KiteError
from serving.exchange.routes.margins import trigger_range
from serving.exchange.slicing import place_sliced
from tests.unit.exchange.builders import (
    ALPHA,
    BETA,
    DAY,
    HISTORY_DAY,
    NEXT_DAY,
    a_request,
    a_stock,
    a_venue,
    at,
    bars_of,
    flat_bars,
    play,
    whole_day,
)


def a_form(**changes) -> dict[str, str]:
    form = {
        "exchange": "NSE",
        "tradingsymbol": "ALPHA",
        "transaction_type": "BUY",
        "quantity": "1000",
        "product": "CNC",
        "order_type": "LIMIT",
        "price": "99.00",
    }
    return {name: value for name, value in (form | changes).items() if value is not None}


def asked(variety="regular", **changes):
    return order_request(a_form(**changes), {"ALPHA": ALPHA}, variety)


def statuses(venue, order_id: str) -> list[str]:
    return [state.status.value for state in venue.book.history(order_id)]


# market protection


def test_a_protected_market_order_is_shown_as_a_limit_at_its_band():
    venue = a_venue(flat_bars("ALPHA", DAY, level=90.0), close="90.00")
    play(venue, FrameKind.BOUNDARY)

    automatic, given = venue.place(a_request()), venue.place(a_request(market_protection=Decimal("1.5")))

    assert (automatic.request.order_type, automatic.request.price) == (OrderType.LIMIT, Decimal("91.80"))
    assert automatic.tags == ["mktp", "mktp:2.00"]
    assert (given.request.price, given.tags) == (Decimal("91.35"), ["mktp", "mktp:1.50"])


def test_a_protected_market_order_rests_unfilled_when_the_market_jumps_beyond_its_band():
    bars = [(100, 100, 100, 100), (103, 103, 103, 103), (103, 103, 100, 100)]
    venue = a_venue(whole_day("ALPHA", DAY, bars))
    play(venue, FrameKind.BOUNDARY)
    order = venue.place(a_request())

    play(venue, FrameKind.BOUNDARY)
    after_the_jump = venue.book.find(order.order_id)
    play(venue, FrameKind.BOUNDARY)

    assert (after_the_jump.status, after_the_jump.filled_quantity) == (Status.OPEN, 0)
    assert [trade.price for trade in venue.trades()] == [Decimal("101.00")]


def test_a_stop_jumped_beyond_its_band_rests_as_a_limit_until_somebody_moves_it():
    venue = a_venue(whole_day("ALPHA", DAY, [(100, 100, 100, 100), (90, 90, 90, 90)]))
    play(venue, FrameKind.OPENING)
    venue.place(a_request())
    play(venue, FrameKind.BOUNDARY)
    stop = venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("98.00")))

    play(venue, FrameKind.BOUNDARY)
    stale = venue.book.find(stop.order_id)
    venue.modify(stop.order_id, {"order_type": OrderType.MARKET})
    venue.advance()

    assert (stale.status, stale.request.order_type, stale.request.price) == (
        Status.OPEN,
        OrderType.LIMIT,
        Decimal("96.05"),
    )
    assert venue.book.find(stop.order_id).status is Status.COMPLETE
    assert venue.trades()[-1].price == Decimal("90.00")


def test_inside_a_bar_a_stop_fills_at_its_trigger_however_few_ticks_show_the_bar():
    venue = a_venue(whole_day("ALPHA", DAY, [(100, 100, 100, 100), (100, 100, 80, 80)]))
    play(venue, FrameKind.OPENING)
    venue.place(a_request())
    play(venue, FrameKind.BOUNDARY)
    venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("97.00")))

    play(venue, FrameKind.BOUNDARY)

    assert venue.trades()[-1].price == Decimal("97.00")


def test_an_order_given_for_the_next_opening_is_protected_by_the_opening_price():
    venue = a_venue(flat_bars("ALPHA", DAY, count=2), bars_of("ALPHA", NEXT_DAY, [(104, 104, 104, 104)]))
    play(venue, FrameKind.CLOSING)
    order = venue.place(a_request(product=Product.CNC))

    play(venue, FrameKind.TICKS)
    play(venue, FrameKind.TICKS)

    assert venue.book.find(order.order_id).request.price == Decimal("105.00")
    assert venue.trades()[0].price == Decimal("104.00")


# forms


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantity": "100001", "price": "1.00"}, "freeze quantity"),
        ({"quantity": "50000", "price": "2100.00"}, "at most 47619"),
    ],
)
def test_more_than_the_freeze_quantity_is_refused_with_the_figure(changes, words):
    venue = a_venue(flat_bars("ALPHA", DAY), opening_cash_inr=Decimal(10**12))
    play(venue, FrameKind.OPENING)

    with pytest.raises(KiteError, match=words) as refused:
        venue.place(asked(**changes))

    assert (refused.value.error_type, refused.value.http_status) == ("InputException", 400)


def test_autoslice_places_what_the_account_can_carry_and_tells_of_the_rest():
    venue = a_venue(flat_bars("ALPHA", DAY, level=1.0), close="1.00", opening_cash_inr=Decimal(215_000))
    play(venue, FrameKind.BOUNDARY)

    sliced = place_sliced(venue, asked(quantity="250000", price="1.00"))

    first, second, third = sliced.children
    assert (first.request.quantity, second.request.quantity) == (100_000, 100_000)
    assert third.error_type == "MarginException"
    assert first.tags == ["autoslice", f"autoslice:{sliced.order_id}"]
    assert sliced.order_id not in {order.order_id for order in venue.orders()}


def test_more_than_ten_slices_are_refused_whole():
    venue = a_venue(flat_bars("ALPHA", DAY, level=1.0), close="1.00")
    play(venue, FrameKind.BOUNDARY)

    with pytest.raises(KiteError, match="11 slices"):
        place_sliced(venue, asked(quantity="1000001", price="1.00"))

    assert venue.orders() == []


@pytest.mark.parametrize(
    ("variety", "changes", "words"),
    [
        ("regular", {"disclosed_quantity": "99"}, "10%"),
        ("regular", {"disclosed_quantity": "1001"}, "10%"),
        ("regular", {"validity": "TTL"}, "validity_ttl"),
        ("regular", {"validity": "TTL", "validity_ttl": "999999999999"}, "validity_ttl"),
        ("regular", {"validity": "IOC", "disclosed_quantity": "500"}, "IOC"),
        ("regular", {"price": "99.02"}, "Tick size"),
        ("regular", {"tag": "x" * 21}, "20 characters"),
        ("iceberg", {"iceberg_legs": "11"}, "2 to 10"),
        ("iceberg", {"iceberg_legs": "4", "iceberg_quantity": "100"}, "iceberg_quantity"),
        ("iceberg", {"iceberg_legs": "4", "order_type": "SL", "trigger_price": "98.00"}, "Iceberg"),
        ("co", {"trigger_price": "95.00"}, "MIS"),
        ("co", {"product": "MIS"}, "trigger_price"),
        ("bo", {}, "variety"),
    ],
)
def test_terms_that_do_not_fit_together_are_refused(variety, changes, words):
    with pytest.raises(KiteError, match=words) as refused:
        asked(variety, **changes)

    assert refused.value.error_type == "InputException"


# varieties and validities


def test_an_after_market_order_waits_at_the_broker_and_meets_the_next_opening():
    venue = a_venue(flat_bars("ALPHA", DAY))
    order = venue.place(a_request(variety=Variety.AMO, product=Product.CNC))
    before = venue.book.find(order.order_id).status

    play(venue, FrameKind.TICKS)

    assert before is Status.AMO_RECEIVED
    assert venue.book.find(order.order_id).status is Status.COMPLETE
    assert venue.trades()[0].at == venue.clock


def test_an_after_market_order_is_refused_in_session_and_can_be_taken_back_before():
    venue = a_venue(flat_bars("ALPHA", DAY))
    order = venue.place(a_request(variety=Variety.AMO, product=Product.CNC))
    venue.cancel(order.order_id)
    play(venue, FrameKind.OPENING)

    with pytest.raises(KiteError, match="AMO"):
        venue.place(a_request(variety=Variety.AMO))

    assert venue.book.find(order.order_id).status is Status.CANCELLED


def test_an_intraday_after_market_order_of_the_evening_is_for_the_next_session():
    venue = a_venue(flat_bars("ALPHA", DAY, count=20), flat_bars("ALPHA", NEXT_DAY))
    play(venue, FrameKind.CLOSING)

    order = venue.place(a_request(variety=Variety.AMO))
    play(venue, FrameKind.TICKS)

    assert venue.book.find(order.order_id).status is Status.COMPLETE
    assert venue.trades()[0].at.date() == NEXT_DAY


def test_an_order_of_some_minutes_expires_when_they_are_over():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, at(9, 30))
    order = venue.place(asked(validity="TTL", validity_ttl="2"))

    play(venue, at(9, 31))
    during = venue.book.find(order.order_id).status
    play(venue, at(9, 33))

    assert during is Status.OPEN
    assert venue.book.find(order.order_id).status is Status.CANCELLED
    assert "TTL" in venue.book.find(order.order_id).status_message


def test_an_ioc_order_takes_what_is_there_and_cancels_the_rest():
    venue = a_venue(flat_bars("ALPHA", DAY, volume=400), fills=FillModel(0.0, 0.1))
    play(venue, FrameKind.OPENING)

    order = venue.place(a_request(quantity=100, validity=Validity.IOC))
    venue.advance()

    ended = venue.book.find(order.order_id)
    assert (ended.status, ended.filled_quantity, ended.cancelled_quantity) == (Status.CANCELLED, 40, 60)


def test_an_ioc_order_whose_instrument_does_not_trade_is_cancelled_all_the_same():
    venue = a_venue(flat_bars("ALPHA", DAY), bars_of("M&B", DAY, [(100, 100, 100, 100)]))
    play(venue, at(9, 30))

    order = venue.place(a_request(instrument=BETA, validity=Validity.IOC))
    venue.advance()

    assert venue.book.find(order.order_id).status is Status.CANCELLED


def test_an_iceberg_shows_one_leg_after_the_other():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    first = venue.place(asked("iceberg", quantity="250", price="101.00", iceberg_legs="3"))
    shown = [order.request.quantity for order in venue.orders()]

    play(venue, FrameKind.BOUNDARY)

    legs = venue.orders()
    assert shown == [84]
    assert [(leg.leg, leg.request.quantity, leg.status) for leg in legs] == [
        (1, 84, Status.COMPLETE),
        (2, 84, Status.COMPLETE),
        (3, 82, Status.COMPLETE),
    ]
    assert {leg.parent_order_id for leg in legs[1:]} == {first.order_id}


def test_a_changed_price_holds_for_the_legs_that_follow():
    venue = a_venue(whole_day("ALPHA", DAY, [(100,) * 4, (98,) * 4]))
    play(venue, FrameKind.OPENING)
    leg = venue.place(asked("iceberg", quantity="200", price="97.00", iceberg_legs="2"))
    venue.modify(leg.order_id, {"price": Decimal("99.00")})

    play(venue, FrameKind.BOUNDARY)
    play(venue, FrameKind.BOUNDARY)

    assert [order.request.price for order in venue.orders()] == [Decimal("99.00"), Decimal("99.00")]
    assert {order.status for order in venue.orders()} == {Status.COMPLETE}


def test_an_iceberg_that_is_cancelled_shows_no_further_leg():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    leg = venue.place(asked("iceberg", iceberg_legs="4"))

    venue.cancel(leg.order_id)
    play(venue, FrameKind.BOUNDARY)

    assert len(venue.orders()) == 1


def test_the_stop_of_a_cover_order_follows_what_its_entry_has_filled():
    venue = a_venue(flat_bars("ALPHA", DAY, volume=400), fills=FillModel(0.0, 0.1))
    play(venue, FrameKind.OPENING)
    entry = venue.place(a_request(quantity=70, variety=Variety.CO, stop_price=Decimal("95.00")))

    play(venue, FrameKind.BOUNDARY)
    covered = venue.book.child_of(entry.order_id).request.quantity
    play(venue, FrameKind.BOUNDARY)

    stop = venue.book.child_of(entry.order_id)
    assert (covered, stop.request.quantity) == (40, 70)
    assert (stop.status, stop.request.trigger_price, stop.request.side) == (
        Status.TRIGGER_PENDING,
        Decimal("95.00"),
        Side.SELL,
    )


def test_taking_back_the_stop_of_a_cover_order_ends_the_position():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    entry = venue.place(a_request(variety=Variety.CO, stop_price=Decimal("95.00")))
    venue.advance()

    venue.cancel(venue.book.child_of(entry.order_id).order_id)
    venue.advance()

    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0


def test_an_auction_order_is_refused_where_nothing_is_auctioned():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)

    with pytest.raises(KiteError, match="auction"):
        venue.place(a_request(variety=Variety.AUCTION))


# the way to the exchange


def test_with_latency_an_order_is_seen_on_its_way_and_meets_the_market_after_it():
    venue = a_venue(flat_bars("ALPHA", DAY), latency=timedelta(minutes=6))
    play(venue, at(9, 30))
    order = venue.place(a_request())
    seen = []
    while venue.book.find(order.order_id).status is not Status.COMPLETE:
        seen.append(venue.book.find(order.order_id).status)
        venue.advance()

    assert list(dict.fromkeys(seen)) == [Status.RECEIVED, Status.VALIDATION_PENDING, Status.OPEN_PENDING]
    assert venue.trades()[0].at >= order.placed_at + timedelta(minutes=6)
    with pytest.raises(KiteError, match="COMPLETE"):
        venue.cancel(order.order_id)


def test_an_order_on_its_way_can_be_neither_changed_nor_cancelled():
    venue = a_venue(flat_bars("ALPHA", DAY), latency=timedelta(minutes=3))
    play(venue, at(9, 30))
    order = venue.place(asked())

    with pytest.raises(KiteError, match="being processed"):
        venue.cancel(order.order_id)
    with pytest.raises(KiteError, match="being processed"):
        venue.modify(order.order_id, {"quantity": 5})


def test_an_order_may_fill_while_its_cancellation_is_on_its_way():
    venue = a_venue(whole_day("ALPHA", DAY, [(100,) * 4] * 4 + [(98,) * 4]), latency=timedelta(minutes=10))
    play(venue, FrameKind.OPENING)
    order = venue.place(asked(quantity="10"))
    play(venue, at(9, 34))

    venue.cancel(order.order_id)
    under_way = venue.book.find(order.order_id).status
    play(venue, at(9, 50))

    assert under_way is Status.CANCEL_PENDING
    assert venue.book.find(order.order_id).status is Status.COMPLETE


def test_a_modification_takes_effect_after_its_way():
    venue = a_venue(flat_bars("ALPHA", DAY), latency=timedelta(minutes=4))
    play(venue, FrameKind.OPENING)
    order = venue.place(asked(quantity="10"))
    play(venue, at(9, 25))

    venue.modify(order.order_id, {"quantity": 20})
    before = venue.book.find(order.order_id)
    play(venue, at(9, 30))

    assert (before.status, before.request.quantity) == (Status.MODIFY_VALIDATION_PENDING, 10)
    assert venue.book.find(order.order_id).request.quantity == 20
    assert statuses(venue, order.order_id)[-4:] == [
        "MODIFY VALIDATION PENDING",
        "MODIFY PENDING",
        "MODIFIED",
        "OPEN",
    ]


def test_a_stop_that_is_triggered_while_its_size_is_changed_keeps_its_band():
    bars = [(100,) * 4] * 4 + [(94,) * 4] * 4
    venue = a_venue(whole_day("ALPHA", DAY, bars), latency=timedelta(minutes=10))
    play(venue, FrameKind.OPENING)
    terms = {"side": Side.SELL, "order_type": OrderType.SL_M, "trigger_price": Decimal("99.00")}
    stop = venue.place(a_request(**terms))
    play(venue, at(9, 34))

    venue.modify(stop.order_id, {"quantity": 20})
    play(venue, at(9, 50))

    resting = venue.book.find(stop.order_id)
    assert (resting.status, resting.request.quantity, resting.filled_quantity) == (Status.OPEN, 20, 0)
    assert (resting.request.order_type, resting.request.price) == (OrderType.LIMIT, Decimal("97.05"))
    assert resting.protected


def test_an_exit_that_rests_can_be_made_a_stop_again():
    venue = a_venue(whole_day("ALPHA", DAY, [(100,) * 4, (95,) * 4]))
    play(venue, FrameKind.OPENING)
    venue.place(a_request())
    play(venue, FrameKind.BOUNDARY)
    leaving = venue.place(a_request(side=Side.SELL))
    play(venue, FrameKind.BOUNDARY)

    venue.modify(leaving.order_id, {"order_type": OrderType.SL_M, "trigger_price": Decimal("90.00")})

    stop = venue.book.find(leaving.order_id)
    assert (stop.status, stop.request.order_type, stop.protected) == (Status.TRIGGER_PENDING, OrderType.SL_M, False)


def test_no_step_looks_at_instruments_without_working_orders():
    many = tuple(a_stock(symbol=f"S{n:04d}", token=(n + 1) * 256 + 1) for n in range(300))
    venue = a_venue(*(flat_bars(i.symbol, DAY, count=2) for i in many), instruments=many)
    play(venue, FrameKind.OPENING)
    venue.place(a_request(instrument=many[7], product=Product.CNC))

    step = venue.advance()

    assert len(step.frame.ticks) == 300
    assert [trade.order.symbol for trade in venue.trades()] == ["S0007"]


# futures and options

OPTION = a_stock(
    symbol="NIFTY26NOV24400CE",
    token=10189826,
    kind=Kind.OPTION,
    lot_size=75,
    underlying="NIFTY",
    expiry=NEXT_DAY,
    strike=Decimal(24_400),
    option_type=OptionType.CALL,
)


def an_option_venue(prices, **rules):
    bars = whole_day(OPTION.symbol, DAY, prices)
    return a_venue(bars, instruments=(OPTION,), opening_cash_inr=Decimal(10**9), **rules)


def an_option_order(**changes):
    return a_request(**({"instrument": OPTION, "quantity": 75, "product": Product.NRML} | changes))


def test_a_limit_far_from_an_options_price_is_rejected_by_the_exchange():
    venue = an_option_venue([(100, 100, 100, 100)])
    play(venue, FrameKind.BOUNDARY)

    far, near = (
        venue.place(an_option_order(order_type=OrderType.LIMIT, price=Decimal(price))) for price in ("140.05", "140.00")
    )

    assert far.status is Status.REJECTED
    assert "limit price protection" in far.status_message
    assert near.status is Status.OPEN


def test_every_instrument_has_the_price_band_of_its_kind():
    future = a_stock(symbol="ALPHA26NOVFUT", token=5122, kind=Kind.FUTURE, underlying="ALPHA", expiry=NEXT_DAY)
    instruments = (ALPHA, BETA, OPTION, future)
    venue = a_venue(flat_bars("ALPHA", DAY), instruments=instruments, circuits={"M&B": Decimal("0.05")})

    bands = [venue.view(instrument.symbol).limits for instrument in instruments]

    assert bands == [
        (Decimal(80), Decimal(120)),
        (Decimal(95), Decimal(105)),
        (Decimal("0.05"), Decimal(2540)),
        (Decimal(90), Decimal(110)),
    ]


def test_a_stop_limit_of_an_option_is_cancelled_when_its_limit_is_too_far_at_the_trigger():
    venue = an_option_venue([(100, 100, 100, 100), (100, 100, 80, 80)])
    play(venue, FrameKind.BOUNDARY)
    terms = {"side": Side.SELL, "order_type": OrderType.SL, "trigger_price": Decimal("90.00")}
    far = venue.place(an_option_order(price=Decimal("40.00"), **terms))
    near = venue.place(an_option_order(price=Decimal("80.00"), **terms))

    play(venue, FrameKind.BOUNDARY)

    assert venue.book.find(far.order_id).status is Status.CANCELLED
    assert "cancelled by the exchange" in venue.book.find(far.order_id).status_message
    assert venue.book.find(near.order_id).status is Status.COMPLETE


def test_an_option_order_above_the_freeze_quantity_is_sliced_into_whole_lots():
    venue = an_option_venue([(100, 100, 100, 100)])
    play(venue, FrameKind.BOUNDARY)

    sliced = place_sliced(venue, an_option_order(quantity=4_500))

    assert [child.request.quantity for child in sliced.children] == [1_800, 1_800, 900]


def test_a_contract_that_has_expired_cannot_be_ordered():
    gone = a_stock(**{name: getattr(OPTION, name) for name in OPTION.__dataclass_fields__} | {"expiry": HISTORY_DAY})
    venue = a_venue(whole_day(gone.symbol, DAY, [(100, 100, 100, 100)]), instruments=(gone,))
    play(venue, FrameKind.OPENING)

    with pytest.raises(KiteError, match="expired"):
        venue.place(an_option_order(instrument=gone))


def test_a_cover_orders_stop_may_lie_within_the_stocks_own_band():
    venue = a_venue(flat_bars("ALPHA", DAY), circuits={"M&B": Decimal("0.05")})
    play(venue, FrameKind.BOUNDARY)

    found = {symbol: trigger_range(symbol, Side.BUY, venue) for symbol in ("ALPHA", "M&B")}

    assert {symbol: row["lower"] for symbol, row in found.items()} == {"ALPHA": 80, "M&B": 95}


@pytest.mark.parametrize(("side", "stop"), [(Side.BUY, "100.00"), (Side.BUY, "79.95"), (Side.SELL, "99.00")])
def test_a_cover_order_whose_stop_would_protect_nothing_is_rejected(side, stop):
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.BOUNDARY)

    order = venue.place(a_request(side=side, variety=Variety.CO, stop_price=Decimal(stop)))

    assert venue.book.find(order.order_id).status is Status.REJECTED


def test_a_cover_orders_entry_ends_with_its_stop():
    prices = [(100,) * 4, (100,) * 4, (94, 94, 94, 94), (100,) * 4, (100,) * 4]
    venue = a_venue(whole_day("ALPHA", DAY, prices), fills=FillModel(0.0, 0.001))
    play(venue, FrameKind.BOUNDARY)
    terms = {"order_type": OrderType.LIMIT, "price": Decimal("100.05"), "quantity": 100}
    entry = venue.place(a_request(variety=Variety.CO, stop_price=Decimal("95.00"), **terms))
    play(venue, FrameKind.BOUNDARY)
    part = venue.book.find(entry.order_id).filled_quantity
    venue.modify(entry.order_id, {"price": Decimal("90.00")})

    play(venue, at(9, 45))

    assert (part, venue.book.child_of(entry.order_id).status) == (40, Status.COMPLETE)
    assert venue.book.find(entry.order_id).status is Status.CANCELLED
    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0


@pytest.mark.parametrize(("validity", "ttl"), [("TTL", "5"), ("IOC", None)])
@pytest.mark.parametrize("variety", ["regular", "amo"])
def test_short_validities_of_an_order_given_by_night_count_from_the_opening(variety, validity, ttl):
    venue = a_venue(flat_bars("ALPHA", DAY, count=3), flat_bars("ALPHA", NEXT_DAY, count=3))
    play(venue, FrameKind.CLOSING)
    order = venue.place(asked(variety, validity=validity, validity_ttl=ttl, price="101.00"))

    play(venue, FrameKind.TICKS)

    assert venue.book.find(order.order_id).status is Status.COMPLETE


def test_an_icebergs_leg_grows_beyond_no_other():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    leg = venue.place(asked("iceberg", quantity="200", price="101.00", iceberg_legs="2"))

    with pytest.raises(KiteError, match="at most 100"):
        venue.modify(leg.order_id, {"quantity": 500})
