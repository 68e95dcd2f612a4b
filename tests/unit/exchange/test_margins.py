from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.orders import Product
from pipelines.domain.signals import Side
from serving.exchange.margins import Leg, Margin, basket_margin, margin_of
from serving.exchange.quotes import Quote
from tests.unit.exchange.builders import ALPHA, DAY
from tests.unit.exchange.derivatives import CALL, FUTURE, HIGHER_CALL, PUT

ALL = (ALPHA, FUTURE, CALL, HIGHER_CALL, PUT)
LEVEL = Decimal(100)
QUOTES = {
    instrument.symbol: Quote.before_trading(instrument, LEVEL if instrument in (ALPHA, FUTURE) else Decimal(2))
    for instrument in ALL
}


def a_leg(instrument=ALPHA, side=Side.BUY, quantity=50, price="100", product=Product.NRML) -> Leg:
    return Leg(instrument, product, side, quantity, Decimal(price))


def blocked(leg: Leg, day: date = DAY) -> Margin:
    return margin_of(leg, QUOTES, day)


@pytest.mark.parametrize(
    ("leg", "expected"),
    [
        (a_leg(product=Product.CNC), Margin(var=Decimal(5000))),
        (a_leg(product=Product.CNC, side=Side.SELL), Margin()),
        (a_leg(product=Product.MIS, side=Side.SELL), Margin(var=Decimal(1000))),
        (a_leg(FUTURE), Margin(span=Decimal(800), exposure=Decimal(175))),
        (a_leg(CALL, price="2"), Margin(option_premium=Decimal(100))),
        (a_leg(CALL, side=Side.SELL, price="2"), Margin(span=Decimal(800), exposure=Decimal(175))),
        # ten rupees out of the money: 16 - 10 is less than half, half is blocked
        (a_leg(HIGHER_CALL, side=Side.SELL, price="1"), Margin(span=Decimal(400), exposure=Decimal(175))),
    ],
)
def test_each_kind_blocks_by_its_own_rule(leg, expected):
    assert blocked(leg) == expected


def test_opposite_orders_of_one_instrument_net_in_a_basket():
    legs = [a_leg(FUTURE), a_leg(FUTURE, side=Side.SELL)]

    assert basket_margin(legs, [], QUOTES, DAY).total == 0


def test_a_bought_option_bounds_what_a_sold_one_blocks():
    """As in Kite's recorded basket: SPAN falls to the distance of the strikes, exposure stays, premiums net."""
    legs = [a_leg(CALL, side=Side.SELL, price="2"), a_leg(HIGHER_CALL, price="1")]

    final = basket_margin(legs, [], QUOTES, DAY)

    assert final.span == 10 * 50
    assert final.exposure == blocked(legs[0]).exposure
    assert final.option_premium == -50


def test_an_order_that_closes_what_is_held_blocks_nothing():
    held = [a_leg(FUTURE, quantity=100)]

    assert basket_margin([a_leg(FUTURE, side=Side.SELL)], held, QUOTES, DAY).total == 0
    assert basket_margin([a_leg(FUTURE)], held, QUOTES, DAY) == blocked(a_leg(FUTURE))


LEGS = st.lists(
    st.builds(
        lambda instrument, side, lots, price, intraday: a_leg(
            instrument,
            side,
            lots * instrument.lot_size,
            str(price),
            Product.MIS if intraday else Product.CNC if instrument is ALPHA else Product.NRML,
        ),
        st.sampled_from(ALL),
        st.sampled_from(Side),
        st.integers(1, 20),
        st.integers(1, 400),
        st.booleans(),
    ),
    max_size=8,
)


@given(legs=LEGS, held=LEGS)
def test_a_basket_never_blocks_more_than_its_orders_one_by_one(legs, held):
    one_by_one = sum((blocked(leg) for leg in legs), Margin())

    final = basket_margin(legs, held, QUOTES, DAY)

    assert final.total <= one_by_one.total
    assert min(final.var, final.span, final.exposure) >= 0
