from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.domain.errors import BadInput
from pipelines.domain.fills import FillModel, Match, PriceBar, WorkingOrder, match
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.orders import OrderType
from pipelines.domain.signals import Side

MODEL = FillModel(slippage_bps=2.0, participation=0.05)
STOCK = Instrument("SAMPLE", 257, Kind.STOCK, Decimal("0.05"), 1, "", True)
BAR = PriceBar(Decimal("100.00"), Decimal("102.00"), Decimal("98.00"), Decimal("101.00"), 10_000)


def an_order(
    side=Side.BUY, order_type=OrderType.MARKET, quantity=10, limit=None, trigger=None, triggered=False, rested=False
):
    as_price = lambda text: None if text is None else Decimal(text)  # noqa: E731
    return WorkingOrder(side, quantity, order_type, as_price(limit), as_price(trigger), triggered, rested)


def filled(order, bar=BAR, instrument=STOCK, model=MODEL) -> Match | None:
    return match(order, bar, instrument, model)


def test_a_market_order_fills_at_the_open_moved_against_it_to_the_next_tick():
    assert filled(an_order(Side.BUY)) == Match(10, Decimal("100.05"), False)
    assert filled(an_order(Side.SELL)) == Match(10, Decimal("99.95"), False)


def test_slippage_does_not_leave_the_bar():
    flat = PriceBar.tick(Decimal("100.00"), 10_000)

    assert filled(an_order(Side.BUY), flat).price == Decimal("100.00")


def test_a_limit_that_is_only_touched_does_not_fill():
    assert filled(an_order(Side.BUY, OrderType.LIMIT, limit="98.00")) is None
    assert filled(an_order(Side.SELL, OrderType.LIMIT, limit="102.00")) is None


def test_a_limit_that_is_traded_through_fills_at_its_price():
    assert filled(an_order(Side.BUY, OrderType.LIMIT, limit="98.05")).price == Decimal("98.05")
    assert filled(an_order(Side.SELL, OrderType.LIMIT, limit="101.95")).price == Decimal("101.95")


def test_a_new_limit_that_is_marketable_takes_and_pays_for_it_up_to_its_limit():
    assert filled(an_order(Side.BUY, OrderType.LIMIT, limit="101.00")).price == Decimal("100.05")
    assert filled(an_order(Side.SELL, OrderType.LIMIT, limit="99.00")).price == Decimal("99.95")
    assert filled(an_order(Side.BUY, OrderType.LIMIT, limit="100.02")).price == Decimal("100.02")


def test_a_limit_that_has_rested_fills_at_its_price_however_far_the_market_jumps_over_it():
    assert filled(an_order(Side.BUY, OrderType.LIMIT, limit="101.00", rested=True)).price == Decimal("101.00")
    assert filled(an_order(Side.SELL, OrderType.LIMIT, limit="95.00", rested=True)).price == Decimal("95.00")


def test_a_protected_market_order_takes_within_its_band_and_waits_at_it_when_the_market_is_beyond():
    assert filled(an_order(limit="100.50")).price == Decimal("100.05")
    assert filled(an_order(limit="99.50")).price == Decimal("99.50")  # the bar comes back through the band
    assert filled(an_order(limit="98.00")) is None
    assert filled(an_order(limit="100.50", rested=True)).price == Decimal("100.50")


def test_a_protected_stop_jumped_beyond_its_band_waits_at_it_for_the_market_to_come_back():
    order = an_order(Side.SELL, OrderType.SL_M, trigger="105.00", limit="101.85")

    assert filled(order) == Match(10, Decimal("101.85"), True)
    assert filled(order, PriceBar.tick(Decimal("100.00"))) == Match(0, Decimal("100.00"), True)
    assert filled(replace(order, triggered=True)) == Match(10, Decimal("101.85"), True)


def test_impact_grows_with_the_share_of_the_volume_that_is_taken():
    model = FillModel(slippage_bps=0.0, participation=0.05, impact_bps=100.0)

    assert filled(an_order(quantity=500), model=model).price == Decimal("101.00")
    assert filled(an_order(quantity=250), model=model).price == Decimal("100.50")
    assert filled(an_order(quantity=250), replace(BAR, taken=250), model=model).price == Decimal("101.00")
    assert filled(an_order(quantity=250), replace(BAR, volume=None), model=model).price == Decimal("100.00")


def test_slippage_reaches_as_far_as_prices_went_around_a_tick():
    tick = replace(PriceBar.tick(Decimal("100.00"), 10_000), reach=(Decimal("99.00"), Decimal("100.30")))

    assert filled(an_order(), tick, model=FillModel(20.0, 1.0)).price == Decimal("100.20")
    assert filled(an_order(), tick, model=FillModel(50.0, 1.0)).price == Decimal("100.30")


def test_what_our_orders_have_taken_of_the_volume_is_gone():
    assert filled(an_order(quantity=400), replace(BAR, taken=300)).quantity == 200
    assert filled(an_order(quantity=400), replace(BAR, taken=500)) is None


def test_a_stop_triggers_when_touched_and_fills_at_its_trigger_plus_slippage():
    assert filled(an_order(Side.SELL, OrderType.SL_M, trigger="98.50")) == Match(10, Decimal("98.45"), True)
    assert filled(an_order(Side.SELL, OrderType.SL_M, trigger="98.00")) == Match(10, Decimal("98.00"), True)
    assert filled(an_order(Side.SELL, OrderType.SL_M, trigger="97.95")) is None


def test_a_stop_behind_a_gap_fills_at_the_open():
    assert filled(an_order(Side.SELL, OrderType.SL_M, trigger="105.00")).price == Decimal("99.95")
    assert filled(an_order(Side.BUY, OrderType.SL_M, trigger="95.00")).price == Decimal("100.05")


def test_a_stop_limit_gapped_beyond_its_limit_is_only_triggered():
    order = an_order(Side.SELL, OrderType.SL, trigger="105.00", limit="104.00")

    assert filled(order) == Match(0, Decimal("100.00"), True)
    assert filled(replace(order, triggered=True)) is None  # from now on a limit far above the market


def test_a_triggered_stop_market_order_fills_like_a_market_order():
    order = an_order(Side.SELL, OrderType.SL_M, trigger="90.00", triggered=True)

    assert filled(order) == Match(10, Decimal("99.95"), True)


def test_no_more_than_a_share_of_the_volume_is_filled():
    assert filled(an_order(quantity=10_000)).quantity == 500
    assert filled(an_order(quantity=10_000), replace(BAR, volume=3)).quantity == 1
    assert filled(an_order(quantity=10_000), replace(BAR, volume=0)) is None
    assert filled(an_order(quantity=10_000), replace(BAR, volume=None)).quantity == 10_000
    assert filled(an_order(quantity=10_000), BAR, replace(STOCK, has_volume=False)).quantity == 10_000


def test_a_stop_touched_without_volume_is_only_triggered():
    order = an_order(Side.SELL, OrderType.SL_M, trigger="98.50")

    assert filled(order, replace(BAR, volume=0)) == Match(0, Decimal("98.45"), True)


def test_an_order_without_its_price_is_refused():
    with pytest.raises(BadInput, match="limit price"):
        an_order(order_type=OrderType.LIMIT)
    with pytest.raises(BadInput, match="trigger price"):
        an_order(order_type=OrderType.SL_M)
    with pytest.raises(BadInput, match="left to fill"):
        an_order(quantity=0)


ticks = st.integers(min_value=20, max_value=4000).map(lambda n: n * Decimal("0.05"))


@st.composite
def bars(draw):
    prices = sorted(draw(st.lists(ticks, min_size=4, max_size=4)))
    open_, close = draw(st.permutations(prices[1:3]))
    return PriceBar(open_, prices[3], prices[0], close, draw(st.none() | st.integers(0, 10**6)))


@st.composite
def orders(draw):
    return WorkingOrder(
        draw(st.sampled_from(Side)),
        draw(st.integers(1, 10**5)),
        draw(st.sampled_from(OrderType)),
        draw(ticks),
        draw(ticks),
        draw(st.booleans()),
        draw(st.booleans()),
    )


models = st.builds(FillModel, st.floats(0, 50), st.floats(0.001, 1), st.floats(0, 50))


@given(order=orders(), bar=bars(), model=models)
def test_a_fill_is_inside_the_bar_never_better_than_asked_and_within_the_volume(order, bar, model):
    result = filled(order, bar, STOCK, model)

    if result is None or result.quantity == 0:
        return
    waited = result.price == order.limit_price and order.rested
    assert bar.low <= result.price <= bar.high or waited
    assert order.side.sign * (order.limit_price - result.price) >= 0
    assert result.quantity <= order.quantity
    if bar.volume is not None:
        assert result.quantity <= max(1, model.participation * bar.volume)
    beyond = order.side.sign * (order.limit_price - order.trigger_price) >= 0
    if order.order_type is OrderType.SL_M and not order.triggered and beyond:
        assert order.side.sign * (result.price - order.trigger_price) >= 0


@given(order=orders(), bar=bars(), model=models)
def test_an_order_that_waits_is_served_only_when_the_market_trades_through_it(order, bar, model):
    stop = order.order_type in (OrderType.SL, OrderType.SL_M) and not order.triggered
    result = filled(replace(order, rested=True), bar, STOCK, model)

    best = bar.low if order.side is Side.BUY else bar.high
    through = order.side.sign * (order.limit_price - best) > 0
    if stop:
        return
    assert (result is not None) == (through and bar.volume != 0)
    if result is not None:
        assert result.price == order.limit_price


@given(order=orders(), bar=bars(), model=models)
def test_a_larger_order_or_a_fuller_bar_never_pays_less(order, bar, model):
    larger = replace(order, quantity=order.quantity * 2)

    small, large, late = (
        filled(one, met, STOCK, model)
        for one, met in ((order, bar), (larger, bar), (order, replace(bar, taken=order.quantity)))
    )

    for other in (large, late):
        if small is not None and other is not None and small.quantity and other.quantity:
            assert order.side.sign * (other.price - small.price) >= 0


@given(order=orders(), bar=bars())
def test_matching_is_the_same_for_buyer_and_seller_seen_in_a_mirror(order, bar):
    edge = Decimal("300.00")
    mirrored = PriceBar(edge - bar.open, edge - bar.low, edge - bar.high, edge - bar.close, bar.volume)
    opposite = replace(
        order,
        side=order.side.opposite,
        limit_price=edge - order.limit_price,
        trigger_price=edge - order.trigger_price,
    )
    no_slippage = FillModel(0.0, 0.05)

    one, other = filled(order, bar, model=no_slippage), filled(opposite, mirrored, model=no_slippage)

    assert (one is None) == (other is None)
    if one is not None:
        assert one.price == edge - other.price
        assert one.quantity == other.quantity
