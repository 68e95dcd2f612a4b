from dataclasses import replace
from decimal import Decimal

import pytest

from pipelines.domain.bars import Bar
from pipelines.domain.charges import order_charges
from pipelines.domain.fills import FillModel
from pipelines.domain.instruments import Kind
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import Status, Validity
from serving.exchange.market import FrameKind
from serving.exchange.quotes import Quote
from serving.exchange.refusals import KiteError
from serving.exchange.venue import RMS_TAG, State
from tests.unit.exchange.builders import (
    ALPHA,
    BETA,
    DAY,
    NEXT_DAY,
    a_request,
    a_stock,
    a_venue,
    at,
    bars_of,
    flat_bars,
    play,
    random_bars,
    whole_day,
)

FALLING = [(100, 100, 100, 100), (100, 100, 94, 94), (94, 94, 94, 94)]


def statuses(venue, order_id: str) -> list[str]:
    return [state.status.value for state in venue.book.history(order_id)]


def cash_from_trades(venue) -> Decimal:
    """The ledger anew: what was traded, and charges on every order's whole value."""
    cash = venue.rules.opening_cash_inr
    by_order: dict[str, Decimal] = {}
    for trade in venue.book.trades:
        value = trade.price * trade.quantity
        cash -= trade.order.request.side.sign * value
        by_order[trade.order.order_id] = by_order.get(trade.order.order_id, Decimal(0)) + value
    for order_id, value in by_order.items():
        order = venue.book.find(order_id)
        request, by_broker = order.request, order.request.tag == RMS_TAG
        cash -= order_charges(
            product=request.product, side=request.side, value=value, day=order.day, squared_off=by_broker
        ).total
    return cash


# orders


def test_a_market_order_goes_through_every_state_and_fills_at_the_next_tick():
    venue = a_venue(whole_day("ALPHA", DAY, [(100, 100, 100, 100), (100.5, 100.5, 100.5, 100.5)]))
    play(venue, FrameKind.BOUNDARY)

    order = venue.place(a_request())
    step = venue.advance()

    assert statuses(venue, order.order_id) == [
        "PUT ORDER REQ RECEIVED",
        "VALIDATION PENDING",
        "OPEN PENDING",
        "OPEN",
        "COMPLETE",
    ]
    assert [(state.order_id, event) for state, event in step.updates] == [
        (order.order_id, "OPEN"),
        (order.order_id, "COMPLETE"),
    ]
    assert [(trade.quantity, trade.price) for trade in venue.trades()] == [(10, Decimal("100.50"))]


def test_slippage_moves_a_market_order_against_us_within_the_bar():
    venue = a_venue(whole_day("ALPHA", DAY, [(100, 103, 97, 100)]), fills=FillModel(100.0, 1.0))
    play(venue, FrameKind.OPENING)

    venue.place(a_request())
    venue.place(a_request(side=Side.SELL))
    venue.advance()

    assert [trade.price for trade in venue.trades()] == [Decimal("101.00"), Decimal("99.00")]


def test_an_order_takes_its_share_of_a_bars_volume_and_the_rest_keeps_working():
    venue = a_venue(flat_bars("ALPHA", DAY, volume=400), fills=FillModel(0.0, 0.1))
    play(venue, FrameKind.OPENING)
    order = venue.place(a_request(quantity=100))

    play(venue, FrameKind.BOUNDARY)
    first = venue.book.find(order.order_id)
    told = play(venue, FrameKind.BOUNDARY)

    assert (first.status, first.filled_quantity) == (Status.OPEN, 40)
    assert venue.book.find(order.order_id).filled_quantity == 80
    assert [trade.quantity for trade in venue.trades()] == [40, 40]
    assert {event for step in told for _, event in step.updates} == {"UPDATE"}


def test_two_orders_share_a_bars_volume():
    venue = a_venue(flat_bars("ALPHA", DAY, volume=400), fills=FillModel(0.0, 0.5))
    play(venue, FrameKind.OPENING)
    orders = [venue.place(a_request(quantity=150)) for _ in range(2)]

    play(venue, FrameKind.BOUNDARY)

    assert [venue.book.find(order.order_id).filled_quantity for order in orders] == [150, 50]


def test_a_limit_order_waits_until_the_price_trades_through_it():
    venue = a_venue(whole_day("ALPHA", DAY, FALLING))
    play(venue, FrameKind.OPENING)
    order = venue.place(a_request(order_type=OrderType.LIMIT, price=Decimal("99.00")))

    play(venue, FrameKind.BOUNDARY)
    before = venue.book.find(order.order_id).status
    play(venue, FrameKind.BOUNDARY)

    assert before is Status.OPEN
    assert venue.book.find(order.order_id).status is Status.COMPLETE
    assert venue.trades()[0].price == Decimal("99.00")


def test_an_ioc_order_that_finds_no_price_is_cancelled_at_once():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)

    order = venue.place(a_request(order_type=OrderType.LIMIT, price=Decimal("99.00"), validity=Validity.IOC))
    venue.advance()

    assert statuses(venue, order.order_id)[-2:] == ["CANCEL PENDING", "CANCELLED"]
    assert venue.book.find(order.order_id).cancelled_quantity == 10


def test_a_stop_rests_until_its_trigger_is_touched_then_sells():
    venue = a_venue(whole_day("ALPHA", DAY, FALLING))
    play(venue, FrameKind.OPENING)
    venue.place(a_request())
    play(venue, FrameKind.BOUNDARY)
    stop = venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("97.00")))
    resting = venue.book.find(stop.order_id).status

    play(venue, FrameKind.BOUNDARY)

    assert resting is Status.TRIGGER_PENDING
    assert venue.book.find(stop.order_id).status is Status.COMPLETE
    assert venue.trades()[-1].price <= Decimal("97.00")
    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0


@pytest.mark.parametrize(
    "changes", [{"order_type": OrderType.MARKET}, {"order_type": OrderType.LIMIT, "price": Decimal("99.00")}]
)
def test_a_resting_stop_can_be_modified_into_the_exit(changes):
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    venue.place(a_request())
    venue.advance()
    stop = venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("95.00")))
    venue.advance()

    venue.modify(stop.order_id, changes)
    venue.advance()

    ended = venue.book.find(stop.order_id)
    assert ended.status is Status.COMPLETE
    assert ended.request.trigger_price is None
    assert "MODIFIED" in statuses(venue, stop.order_id)
    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0


def test_an_ended_order_can_neither_be_modified_nor_cancelled():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    order = venue.place(a_request())
    venue.advance()

    with pytest.raises(KiteError, match="COMPLETE"):
        venue.modify(order.order_id, {"quantity": 20})
    with pytest.raises(KiteError, match="COMPLETE"):
        venue.cancel(order.order_id)


def test_the_twenty_sixth_modification_is_refused():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)
    order = venue.place(a_request(order_type=OrderType.LIMIT, price=Decimal("99.00")))

    for quantity in range(11, 36):
        venue.modify(order.order_id, {"quantity": quantity})

    with pytest.raises(KiteError, match="modifications"):
        venue.modify(order.order_id, {"quantity": 99})


# rules


def test_no_order_is_taken_before_the_session_opens_or_after_its_end():
    venue = a_venue(flat_bars("ALPHA", DAY, count=1))

    with pytest.raises(KiteError, match="closed"):
        venue.place(a_request())
    play(venue)
    with pytest.raises(KiteError, match="closed"):
        venue.place(a_request())


def test_more_than_the_margin_allows_is_refused_and_stays_in_the_book():
    venue = a_venue(flat_bars("ALPHA", DAY), opening_cash_inr=Decimal(10_000))
    play(venue, FrameKind.OPENING)

    venue.place(a_request(quantity=494))  # intraday blocks a fifth of 494 x 101, the end of its protection, and charges
    with pytest.raises(KiteError, match=r"Insufficient funds\. Required margin is 20\.2\d but .* is 0\.17") as refused:
        venue.place(a_request(quantity=1))
        venue.place(a_request(quantity=1))

    assert refused.value.error_type == "MarginException"
    assert [order.status for order in venue.orders()].count(Status.REJECTED) == 1


def test_a_protective_stop_needs_no_margin_of_its_own():
    venue = a_venue(flat_bars("ALPHA", DAY), opening_cash_inr=Decimal(10_000))
    play(venue, FrameKind.OPENING)
    venue.place(a_request(quantity=480))
    venue.advance()

    stop = venue.place(
        a_request(quantity=480, side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("95.00"))
    )

    assert stop.status is Status.TRIGGER_PENDING


def test_delivery_shares_that_are_not_held_cannot_be_sold_but_intraday_ones_can():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)

    with pytest.raises(KiteError, match="Insufficient holdings"):
        venue.place(a_request(side=Side.SELL, product=Product.CNC))
    venue.place(a_request(side=Side.SELL))
    venue.advance()

    assert venue.account.net_quantity("ALPHA", Product.MIS) == -10


@pytest.mark.parametrize(("price", "side"), [("120.05", Side.BUY), ("79.95", Side.SELL)])
def test_a_price_beyond_the_circuit_is_rejected_by_the_exchange(price, side):
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)

    order = venue.place(a_request(side=side, order_type=OrderType.LIMIT, price=Decimal(price)))

    assert order.status is Status.REJECTED
    assert "circuit limit" in order.status_message


@pytest.mark.parametrize(("side", "trigger"), [(Side.SELL, "100.00"), (Side.BUY, "99.00")])
def test_a_stop_on_the_wrong_side_of_the_market_is_rejected(side, trigger):
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)

    order = venue.place(a_request(side=side, order_type=OrderType.SL_M, trigger_price=Decimal(trigger)))

    assert order.status is Status.REJECTED
    assert "Trigger price" in order.status_message


# the account


def test_cash_is_the_ledger_of_all_trades_less_charges_to_the_paisa():
    venue = a_venue(random_bars("ALPHA", DAY, 100.0, seed=4), random_bars("M&B", DAY, 850.0, seed=5, tick=0.1))
    play(venue, FrameKind.OPENING)

    for turn in range(24):
        side = Side.BUY if turn % 3 else Side.SELL
        venue.place(a_request(side=side, quantity=7 + turn))
        play(venue, FrameKind.BOUNDARY)
    play(venue)

    assert len(venue.book.trades) > 24
    assert venue.account.cash == cash_from_trades(venue)
    assert all(position.quantity == 0 for position in venue.account.positions.values())
    assert venue.account.cash == venue.account.margin_available([], venue.board.quotes)


def test_charges_are_taken_once_on_the_whole_value_when_the_order_ends():
    venue = a_venue(flat_bars("ALPHA", DAY, volume=400), fills=FillModel(0.0, 0.1))
    play(venue, FrameKind.OPENING)
    order = venue.place(a_request(quantity=60))
    venue.advance()
    during = venue.account.charges.total

    play(venue, FrameKind.BOUNDARY)
    play(venue, FrameKind.BOUNDARY)

    ended = venue.book.find(order.order_id)
    expected = order_charges(product=Product.MIS, side=Side.BUY, value=ended.filled_value, day=DAY)
    assert during == 0
    assert ended.status is Status.COMPLETE
    assert venue.charges_of[order.order_id] == expected
    assert venue.account.cash == Decimal(1_000_000) - ended.filled_value - expected.total


def test_the_broker_ends_intraday_positions_before_the_close():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, at(14, 50))
    venue.place(a_request())
    resting = venue.place(a_request(side=Side.SELL, order_type=OrderType.SL_M, trigger_price=Decimal("95.00")))
    play(venue, at(14, 58))
    before = venue.account.net_quantity("ALPHA", Product.MIS)

    play(venue, at(15, 1))

    placed_by_broker = [order for order in venue.orders() if order.request.tag == RMS_TAG]
    assert before == 10
    assert [order.status for order in placed_by_broker] == [Status.COMPLETE]
    assert venue.charges_of[placed_by_broker[0].order_id].brokerage == Decimal("50.30")
    assert venue.book.find(resting.order_id).status is Status.CANCELLED
    assert venue.account.net_quantity("ALPHA", Product.MIS) == 0
    with pytest.raises(KiteError, match="square-off"):
        venue.place(a_request())


def test_delivery_shares_are_held_overnight_and_cost_the_depository_charge_when_sold():
    venue = a_venue(flat_bars("ALPHA", DAY, count=2), flat_bars("ALPHA", NEXT_DAY, count=2))
    play(venue, FrameKind.OPENING)
    venue.place(a_request(product=Product.CNC))
    play(venue, FrameKind.OPENING)
    held = venue.account.holdings["ALPHA"]
    bought = (held.settled, held.t1, dict(venue.account.positions))

    sold = [venue.place(a_request(product=Product.CNC, side=Side.SELL, quantity=5)) for _ in range(2)]
    play(venue)

    assert bought == (0, 10, {})
    assert [venue.charges_of[order.order_id].dp > 0 for order in sold] == [True, False]
    assert venue.account.sellable("ALPHA", []) == 0


def test_shares_bought_and_sold_on_one_day_cost_no_depository_charge():
    venue = a_venue(flat_bars("ALPHA", DAY, count=2))
    play(venue, FrameKind.OPENING)
    venue.place(a_request(product=Product.CNC))
    venue.advance()

    sold = venue.place(a_request(product=Product.CNC, side=Side.SELL))
    venue.advance()

    assert venue.charges_of[sold.order_id].dp == 0


def test_orders_of_the_day_expire_and_those_given_at_the_close_meet_the_next_opening():
    venue = a_venue(
        flat_bars("ALPHA", DAY, count=2), bars_of("ALPHA", NEXT_DAY, [(104, 104, 104, 104)]), close="100.00"
    )
    play(venue, FrameKind.OPENING)
    resting = venue.place(a_request(order_type=OrderType.LIMIT, price=Decimal("90.00"), product=Product.CNC))
    play(venue, FrameKind.CLOSING)
    late = venue.place(a_request(product=Product.CNC))

    opening = play(venue, FrameKind.OPENING)[-1]
    venue.advance()

    assert [(order.order_id, event) for order, event in opening.updates] == [
        (late.order_id, "OPEN"),
        (resting.order_id, "CANCELLED"),
    ]
    assert venue.book.find(late.order_id).status is Status.COMPLETE
    assert venue.trades()[0].price == Decimal("104.00")
    assert [order.order_id for order in venue.orders()] == [late.order_id]


def test_what_is_ordered_at_the_last_close_trades_at_the_closing_price():
    venue = a_venue(bars_of("ALPHA", DAY, [(100, 100, 100, 100), (100, 106, 100, 105)]))
    play(venue, FrameKind.OPENING)
    venue.place(a_request(product=Product.CNC))
    play(venue, FrameKind.CLOSING)

    venue.place(a_request(product=Product.CNC, side=Side.SELL))
    play(venue)

    assert venue.state is State.FINISHED
    assert venue.trades()[-1].price == Decimal("105.00")


def test_two_plays_of_the_same_orders_give_the_same_book():
    def one_play():
        venue = a_venue(random_bars("ALPHA", DAY, 100.0, seed=4), fills=FillModel(3.0, 0.05), ticks_per_bar=8)
        play(venue, FrameKind.OPENING)
        for turn in range(10):
            venue.place(a_request(quantity=300 + turn, side=Side.BUY if turn % 2 else Side.SELL))
            play(venue, FrameKind.BOUNDARY)
        play(venue)
        return [(replace(t.order, request=a_request()), t.quantity, t.price, t.at) for t in venue.book.trades], venue

    (once, first), (again, second) = one_play(), one_play()

    assert once == again
    assert len(once) > 10
    assert first.account.cash == second.account.cash


def test_the_clock_index_follows_the_stocks_when_the_data_has_none():
    venue = a_venue(flat_bars("ALPHA", DAY, level=110.0), instruments=(ALPHA,))
    before = venue.board.quotes["NIFTY 50"].last_price

    play(venue, FrameKind.BOUNDARY)

    assert before == Decimal(20_000)
    assert venue.board.quotes["NIFTY 50"].last_price == Decimal("22000.00")


def test_an_index_of_the_data_is_the_clock_itself():
    index = a_stock(symbol="NIFTY50", token=256265, kind=Kind.INDEX, has_volume=False)
    bars = whole_day("NIFTY50", DAY, [(19_000, 19_010, 18_990, 19_005)])
    venue = a_venue(flat_bars("ALPHA", DAY), bars, instruments=(ALPHA, index), close="19100.00")

    play(venue, FrameKind.BOUNDARY)

    clock = venue.board.quotes["NIFTY50"]
    assert set(venue.listed) == {"ALPHA", "NIFTY50"}
    assert (clock.last_price, clock.high, clock.previous_close) == (19_005, 19_010, 19_100)


def test_a_daily_bar_is_a_session_in_which_a_position_can_be_left_before_the_close():
    day, tomorrow = (Bar("ALPHA", at(9, 15, d), at(15, 30, d), 100, 110, 95, 105, 80_000) for d in (DAY, NEXT_DAY))
    venue = a_venue([day], [tomorrow], ticks_per_bar=8)
    play(venue, FrameKind.OPENING)
    venue.place(a_request(product=Product.CNC))
    play(venue, FrameKind.OPENING)

    play(venue, at(15, 10, NEXT_DAY))
    venue.place(a_request(product=Product.CNC, side=Side.SELL))
    play(venue, FrameKind.CLOSING)

    assert [(trade.at.date(), trade.price) for trade in venue.book.trades] == [(DAY, 100), (NEXT_DAY, 105)]
    assert venue.account.sellable("ALPHA", []) == 0


def test_a_stop_at_the_close_expires_and_one_turned_into_the_exit_meets_the_next_opening():
    venue = a_venue(flat_bars("ALPHA", DAY, count=2), flat_bars("M&B", DAY, count=2), flat_bars("ALPHA", NEXT_DAY))
    play(venue, FrameKind.OPENING)
    for instrument in (ALPHA, BETA):
        venue.place(a_request(product=Product.CNC, instrument=instrument))
    venue.advance()
    terms = {"product": Product.CNC, "side": Side.SELL, "order_type": OrderType.SL_M, "trigger_price": Decimal(95)}
    turned, left = (venue.place(a_request(instrument=i, **terms)) for i in (ALPHA, BETA))
    play(venue, FrameKind.CLOSING)

    venue.modify(turned.order_id, {"order_type": OrderType.MARKET})
    venue.advance()
    venue.advance()

    assert venue.book.find(turned.order_id).status is Status.COMPLETE
    assert venue.book.find(left.order_id).status is Status.CANCELLED
    assert "expired" in venue.book.find(left.order_id).status_message


def test_every_order_has_an_exchange_order_id_of_its_own():
    venue = a_venue(flat_bars("ALPHA", DAY))
    play(venue, FrameKind.OPENING)

    orders = [venue.place(a_request()) for _ in range(25)]

    numbers = {venue.book.find(order.order_id).exchange_order_id for order in orders}
    assert len(numbers) == 25
    assert {len(number) for number in numbers} == {16}


def test_nobody_bids_less_than_a_tick():
    cheap = Quote.before_trading(ALPHA, Decimal("0.10"))
    cheap.trade(Decimal("0.10"), 10, at(9, 15))

    bids = cheap.snapshot(at(9, 15)).bids

    assert [level.price for level in bids] == [Decimal("0.10"), Decimal("0.05")]
