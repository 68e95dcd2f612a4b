"""The paper account never spends on delivery what it has not, whatever is ordered and however prices jump."""

from contextlib import suppress
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.fills import FillModel
from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import Status, Variety
from serving.exchange.floor import OUT_OF_MONEY
from serving.exchange.market import FrameKind
from serving.exchange.refusals import KiteError
from tests.unit.exchange.builders import ALPHA, BETA, DAY, NEXT_DAY, a_request, a_venue, flat_bars, play
from tests.unit.exchange.derivatives import CALL


def two_days(second: float, cash: int = 100_000):
    bars = [flat_bars("ALPHA", DAY, 100.0, 3), flat_bars("ALPHA", NEXT_DAY, second, 3)]
    return a_venue(*bars, opening_cash_inr=Decimal(cash))


def test_an_order_for_the_next_opening_is_reckoned_with_its_protection_and_charges():
    venue = two_days(100.0)
    play(venue, FrameKind.CLOSING)
    venue.place(a_request(product=Product.CNC, quantity=980))

    free = venue.account.margin_available(venue.book.committed(), venue.board.quotes)

    assert Decimal(890) < free < Decimal(1020)  # 980 x 101 is 98,980, and about 118 of charges
    with suppress(KiteError):
        venue.place(a_request(product=Product.CNC, quantity=10))
    assert venue.orders()[-1].status is Status.REJECTED


def test_what_opens_above_it_is_bought_as_far_as_the_account_pays():
    venue = two_days(103.0)
    play(venue, FrameKind.CLOSING)
    order = venue.place(a_request(product=Product.CNC, quantity=985))

    play(venue)

    order = venue.book.find(order.order_id)
    assert (order.status, order.status_message) == (Status.CANCELLED, OUT_OF_MONEY)
    assert order.filled_quantity == 969
    assert 0 <= venue.account.cash < 104


def test_sold_shares_pay_for_others_and_fills_count_in_their_order():
    bars = [flat_bars(s, day, level, 3) for s in ("ALPHA", "M&B") for day, level in ((DAY, 100.0), (NEXT_DAY, 104.0))]
    venue = a_venue(*bars, opening_cash_inr=Decimal(100_000))
    play(venue, FrameKind.CLOSING)
    first = venue.place(a_request(product=Product.CNC, quantity=490))
    second = venue.place(a_request(instrument=BETA, product=Product.CNC, quantity=490))

    play(venue)

    filled = [venue.book.find(order.order_id).filled_quantity for order in (first, second)]
    assert filled == [490, 470]
    assert venue.account.cash >= 0


def test_an_option_that_opens_far_above_its_reckoned_premium_is_bought_as_far_as_the_account_pays():
    bars = [flat_bars("ALPHA", day, 100.0, 3) for day in (DAY, NEXT_DAY)]
    premiums = [flat_bars(CALL.symbol, DAY, 2.0, 3), flat_bars(CALL.symbol, NEXT_DAY, 3.0, 3)]
    venue = a_venue(*bars, *premiums, instruments=(ALPHA, CALL), opening_cash_inr=Decimal(10_000))
    play(venue, FrameKind.CLOSING)
    order = venue.place(a_request(instrument=CALL, product=Product.NRML, quantity=4000))

    play(venue)

    order = venue.book.find(order.order_id)
    assert (order.status, order.filled_quantity) == (Status.CANCELLED, 3300)
    assert venue.account.cash + 3300 * Decimal("3.00") > 9_900


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), cash=st.integers(5_000, 200_000), orders=st.integers(1, 8))
def test_cash_for_delivery_never_falls_below_zero(seed, cash, orders):
    rng = np.random.default_rng(seed)
    levels = {symbol: rng.uniform(30, 900) for symbol in ("ALPHA", "M&B")}
    jump = {symbol: rng.uniform(0.85, 1.15) for symbol in levels}
    bars = [
        flat_bars(
            symbol, day, round(level * (jump[symbol] if day == NEXT_DAY else 1.0), 1), 3, int(rng.integers(5, 400))
        )
        for symbol, level in levels.items()
        for day in (DAY, NEXT_DAY)
    ]
    fills = FillModel(5.0, 0.5, 5.0)
    venue = a_venue(*bars, opening_cash_inr=Decimal(cash), fills=fills, close="0.00", seed=seed % 97)

    while venue.state != "finished":
        venue.advance()
        for _ in range(int(rng.integers(0, orders))):
            with suppress(KiteError):
                venue.place(_drawn(rng, venue))
        assert venue.account.cash >= 0


def _drawn(rng, venue):
    instrument = (ALPHA, BETA)[int(rng.integers(2))]
    last = venue.board.quotes[instrument.symbol].last_price or Decimal(100)
    limit = rng.random() < 0.4
    price = instrument.to_tick(last * Decimal(str(round(rng.uniform(0.97, 1.03), 3))))
    return a_request(
        instrument=instrument,
        side=Side.BUY if rng.random() < 0.75 else Side.SELL,
        quantity=int(rng.integers(1, 300)),
        product=Product.CNC,
        order_type=OrderType.LIMIT if limit else OrderType.MARKET,
        price=price if limit else None,
        variety=Variety.AMO if rng.random() < 0.2 else Variety.REGULAR,
    )
