from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.charges import exercise_charges
from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.account import Account
from serving.exchange.book import Order, Status, Trade
from serving.exchange.conversion import Conversion, convert
from serving.exchange.market import FrameKind
from serving.exchange.portfolio_answers import margins, positions
from serving.exchange.recording import read_instruments
from serving.exchange.refusals import KiteError
from serving.exchange.venue import Venue
from tests.unit.exchange.builders import (
    ALPHA,
    DAY,
    NEXT_DAY,
    a_request,
    a_venue,
    at,
    flat_bars,
    play,
    whole_day,
    write_workspace,
)
from tests.unit.exchange.derivatives import CALL, FUTURE, PUT

CASH = Decimal(1_000_000)


def day_at(level: float, *instruments, day=DAY) -> list:
    return [flat_bars(instrument.symbol, day, level) for instrument in instruments]


def with_derivatives(*bars, **rules) -> Venue:
    return a_venue(*bars, instruments=(ALPHA, FUTURE, CALL, PUT), **rules)


def bought(venue: Venue, instrument, quantity: int, product: Product, side: Side = Side.BUY) -> Order:
    """An order that is filled by the next frames at the market."""
    order = venue.place(a_request(instrument=instrument, quantity=quantity, product=product, side=side))
    play(venue, FrameKind.BOUNDARY)
    return venue.book.find(order.order_id)


def rows_of(venue: Venue, which: str = "net") -> dict[str, dict]:
    return {f"{row['tradingsymbol']} {row['product']}": row for row in positions(venue)[which]}


# futures


def test_a_future_costs_margin_and_charges_but_not_its_value():
    venue = with_derivatives(*day_at(100.0, ALPHA, FUTURE))
    play(venue, FrameKind.OPENING)

    order = bought(venue, FUTURE, 500, Product.NRML)

    assert order.status is Status.COMPLETE
    assert venue.account.cash == CASH - venue.account.charges.total
    blocked = venue.account.blocked_by_positions(venue.board.quotes)
    assert (blocked.span, blocked.exposure) == (Decimal("8000.00"), Decimal("1750.00"))  # 16 % and 3.5 % of 50,000
    assert margins(venue)["equity"]["utilised"]["span"] == 8000


def test_a_futures_gain_reaches_cash_at_the_close_and_the_position_stays_overnight():
    rising = whole_day(FUTURE.symbol, DAY, [(100.0,) * 4, (100.0, 104.0, 100.0, 104.0)])
    later = [*day_at(104.0, ALPHA, day=NEXT_DAY), flat_bars(FUTURE.symbol, NEXT_DAY, 106.0)]
    venue = with_derivatives(*day_at(100.0, ALPHA), rising, *later)
    play(venue, FrameKind.OPENING)
    bought(venue, FUTURE, 500, Product.NRML)
    charges = venue.account.charges.total

    play(venue, FrameKind.CLOSING)
    before = venue.account.cash
    play(venue, at(9, 20, NEXT_DAY))

    assert before == CASH - charges
    assert venue.account.cash == CASH - charges + 4 * 500
    row = rows_of(venue)["ALPHA26OCTFUT NRML"]
    assert (row["quantity"], row["overnight_quantity"], row["average_price"], row["close_price"]) == (
        500,
        500,
        100,
        104,
    )
    assert (row["pnl"], row["m2m"], row["exchange"]) == (3000, 1000, "NFO")
    assert "ALPHA26OCTFUT NRML" not in rows_of(venue, "day")


def test_a_future_is_settled_at_its_expiry_by_the_close_of_its_underlying():
    bars = [*day_at(100.0, ALPHA, FUTURE), *day_at(103.0, ALPHA, day=NEXT_DAY)]
    venue = with_derivatives(*bars, *day_at(102.0, FUTURE, day=NEXT_DAY))
    play(venue, FrameKind.OPENING)
    bought(venue, FUTURE, 50, Product.NRML)

    play(venue)

    assert venue.account.cash == CASH - venue.account.charges.total + 3 * 50
    assert venue.account.positions == {}


# options


def test_a_bought_option_costs_its_premium_and_is_exercised_with_tax():
    bars = [*day_at(100.0, ALPHA), *day_at(2.0, CALL), *day_at(107.0, ALPHA, day=NEXT_DAY)]
    venue = with_derivatives(*bars, *day_at(6.0, CALL, day=NEXT_DAY), close="2.00")
    play(venue, FrameKind.OPENING)
    order = bought(venue, CALL, 500, Product.NRML)
    paid, charges = venue.account.cash, venue.account.charges.total

    play(venue)

    assert paid == CASH - order.filled_value - charges
    tax = exercise_charges(Decimal(7 * 500), NEXT_DAY).total
    assert tax == Decimal("5.25")
    assert venue.account.cash == paid + 7 * 500 - tax
    assert venue.account.charges.total == charges + tax


def test_a_sold_option_blocks_margin_and_loses_what_it_is_worth_at_its_expiry():
    bars = [*day_at(100.0, ALPHA), *day_at(2.0, PUT), *day_at(95.0, ALPHA, day=NEXT_DAY)]
    venue = with_derivatives(*bars, *day_at(5.0, PUT, day=NEXT_DAY), close="2.00")
    play(venue, FrameKind.OPENING)
    order = bought(venue, PUT, 500, Product.NRML, Side.SELL)

    blocked = venue.account.blocked_by_positions(venue.board.quotes).total
    play(venue)

    assert blocked == Decimal("9750.00")  # 16 % and 3.5 % of 500 x 100
    assert venue.account.cash == CASH + order.filled_value - venue.account.charges.total - 5 * 500


def test_an_option_that_ends_worthless_costs_its_holder_no_more():
    bars = [*day_at(100.0, ALPHA), *day_at(2.0, PUT), *day_at(101.0, ALPHA, day=NEXT_DAY)]
    venue = with_derivatives(*bars, *day_at(1.0, PUT, day=NEXT_DAY), close="2.00")
    play(venue, FrameKind.OPENING)
    order = bought(venue, PUT, 50, Product.NRML)

    play(venue)

    assert venue.account.cash == CASH - order.filled_value - venue.account.charges.total


def test_what_has_expired_cannot_be_ordered():
    expired = replace(FUTURE, expiry=at(9, 15).date().replace(day=1))
    venue = a_venue(*day_at(100.0, ALPHA, expired), instruments=(ALPHA, expired))
    play(venue, FrameKind.OPENING)

    with pytest.raises(KiteError, match="expired"):
        venue.place(a_request(instrument=expired, quantity=50, product=Product.NRML))


# positions as Kite reckons them


def test_the_numbers_of_a_position_agree_with_the_recorded_ones():
    """GOLDGUINEA17DECFUT of Kite's recorded positions: 3 overnight at 23057, 1 bought, 4 sold."""
    venue = with_derivatives(*day_at(100.0, ALPHA, FUTURE))
    held = venue.account.position(FUTURE, Product.NRML)
    held.take(Side.BUY, 3, Decimal(23057))
    held.carry_over()
    held.take(Side.BUY, 1, Decimal(23388))
    held.take(Side.SELL, 4, Decimal(23340))
    quote = venue.board.quotes[FUTURE.symbol]
    quote.last_price, quote.previous_close = Decimal(23355), Decimal(23232)

    net, day = rows_of(venue)["ALPHA26OCTFUT NRML"], rows_of(venue, "day")["ALPHA26OCTFUT NRML"]

    names = [
        "quantity",
        "overnight_quantity",
        "average_price",
        "value",
        "pnl",
        "m2m",
        "unrealised",
        "buy_quantity",
        "buy_price",
        "buy_value",
        "buy_m2m",
        "sell_value",
        "sell_m2m",
        "day_buy_value",
        "day_sell_value",
    ]
    assert [net[name] for name in names] == [
        0, 3, 0, 801, 801, 276, 801, 4, 23139.75, 92559, 93084, 93360, 93360, 23388, 93360,
    ]  # fmt: skip
    assert [day[name] for name in names] == [
        -3, 0, 23340, 69972, -93, -93, -93, 1, 23388, 23388, 23388, 93360, 93360, 23388, 93360,
    ]  # fmt: skip


# conversion


def a_conversion(**changes) -> Conversion:
    fields = {"instrument": ALPHA, "side": Side.BUY, "quantity": 10, "old": Product.MIS, "new": Product.CNC}
    return Conversion(**(fields | {"overnight": False} | changes))


def test_intraday_shares_become_delivery_and_are_held_the_next_day():
    venue = a_venue(*day_at(100.0, ALPHA), *day_at(100.0, ALPHA, day=NEXT_DAY), instruments=(ALPHA,))
    play(venue, FrameKind.OPENING)
    bought(venue, ALPHA, 10, Product.MIS)

    convert(venue, a_conversion(quantity=6))
    play(venue, at(9, 20, NEXT_DAY))

    assert venue.account.holdings["ALPHA"].quantity == 6
    assert venue.account.cash == CASH - 6 * 100 - venue.account.charges.total


def test_a_conversion_that_money_does_not_reach_for_changes_nothing():
    venue = a_venue(*day_at(100.0, ALPHA), instruments=(ALPHA,))
    play(venue, FrameKind.OPENING)
    bought(venue, ALPHA, 20_000, Product.MIS)
    before = (venue.account.cash, rows_of(venue))

    with pytest.raises(KiteError) as caught:
        convert(venue, a_conversion(quantity=20_000))

    assert caught.value.error_type == "MarginException"
    assert (venue.account.cash, rows_of(venue)) == before


@pytest.mark.parametrize(
    ("changes", "error_type"),
    [
        ({"quantity": 11}, "InputException"),
        ({"side": Side.SELL}, "InputException"),
        ({"overnight": True}, "InputException"),
        ({"old": Product.CNC, "new": Product.MIS}, "InputException"),
    ],
)
def test_only_what_is_open_today_is_converted(changes, error_type):
    venue = a_venue(*day_at(100.0, ALPHA), instruments=(ALPHA,))
    play(venue, FrameKind.OPENING)
    bought(venue, ALPHA, 10, Product.MIS)

    with pytest.raises(KiteError) as caught:
        convert(venue, a_conversion(**changes))

    assert caught.value.error_type == error_type


def test_short_shares_do_not_become_delivery_without_holdings():
    venue = a_venue(*day_at(100.0, ALPHA), instruments=(ALPHA,))
    play(venue, FrameKind.OPENING)
    bought(venue, ALPHA, 10, Product.MIS, Side.SELL)

    with pytest.raises(KiteError) as caught:
        convert(venue, a_conversion(side=Side.SELL))

    assert caught.value.error_type == "HoldingException"


def test_nothing_becomes_intraday_after_the_square_off():
    venue = a_venue(*day_at(100.0, ALPHA), instruments=(ALPHA,))
    play(venue, FrameKind.OPENING)
    bought(venue, ALPHA, 10, Product.CNC)
    play(venue, at(15, 25))

    with pytest.raises(KiteError, match="square-off"):
        convert(venue, a_conversion(old=Product.CNC, new=Product.MIS))


# properties

FILLS = st.lists(
    st.tuples(
        st.sampled_from([(ALPHA, Product.MIS), (FUTURE, Product.NRML), (FUTURE, Product.MIS), (CALL, Product.NRML)]),
        st.sampled_from(Side),
        st.integers(1, 300),
        st.integers(1, 40_000),
    ),
    max_size=30,
)


def a_trade(instrument, product: Product, side: Side, quantity: int, price: Decimal) -> Trade:
    request = a_request(instrument=instrument, product=product, side=side, quantity=quantity)
    order = Order("1", request, Status.OPEN, at(10, 0), at(10, 0), DAY, "PAPER1")
    return Trade("1", order, quantity, price, at(10, 0))


@given(fills=FILLS, marks=st.lists(st.integers(1, 40_000), min_size=1, max_size=3))
def test_cash_and_what_is_held_are_worth_what_was_paid_and_received(fills, marks):
    account = Account(CASH)
    flows = Decimal(0)
    for place, ((instrument, product), side, quantity, ticks) in enumerate(fills):
        price = ticks * Decimal("0.05")
        account.fill(a_trade(instrument, product, side, quantity, price))
        flows -= side.sign * quantity * price
        if place % 7 == 6:  # a close now and then: futures are settled
            for position in account.positions.values():
                if position.settled_daily:
                    account.cash += position.mark(marks[place % len(marks)] * Decimal("0.05"))

    carried = sum((position.carried for position in account.positions.values()), Decimal(0))

    assert account.cash + carried == CASH + flows
    assert account.cash == account.cash.quantize(Decimal("0.01"))
    flat = [position for position in account.positions.values() if position.settled_daily and not position.quantity]
    assert all(position.carried == 0 for position in flat)


@given(fills=FILLS, quantity=st.integers(1, 300))
def test_a_conversion_there_and_back_leaves_cash_and_quantities_as_they_were(fills, quantity):
    account = Account(CASH)
    for (instrument, product), side, shares, ticks in fills:
        account.fill(a_trade(instrument, product, side, shares, ticks * Decimal("0.05")))
    before = {key: (p.buy_quantity, p.sell_quantity, p.buy_value, p.sell_value) for key, p in account.positions.items()}
    position = account.positions.get((ALPHA.symbol, Product.MIS))
    if position is None or not position.quantity:
        return
    side = Side.BUY if position.quantity > 0 else Side.SELL
    moved = min(quantity, abs(position.quantity))
    cash, price = account.cash, position.average_price.quantize(Decimal("0.01"))

    delivery = account.position(ALPHA, Product.CNC)
    account.cash += position.give(side, moved, price)
    account.cash += delivery.take(side, moved, price)
    between = account.cash
    account.cash += delivery.give(side, moved, price)
    account.cash += position.take(side, moved, price)
    del account.positions[ALPHA.symbol, Product.CNC]

    assert account.cash == between == cash
    assert before == {
        key: (p.buy_quantity, p.sell_quantity, p.buy_value, p.sell_value) for key, p in account.positions.items()
    }


def test_futures_and_options_of_kites_dump_are_listed_beside_the_runs_instruments(tmp_path):
    paths = write_workspace(tmp_path, [], [flat_bars("ALPHA", DAY)], (ALPHA,))
    paths.instruments.with_name("derivatives.csv").write_text(
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        "instrument_type,segment,exchange\n"
        "12683010,49543,ALPHA26OCTFUT,ALPHA,0.0,2026-10-30,0.0,0.05,50,FUT,NFO-FUT,NFO\n"
    )

    assert read_instruments(paths) == (ALPHA, FUTURE)
