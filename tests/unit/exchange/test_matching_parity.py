"""The exchange, tick by tick, and the backtest, bar by bar, give an order the same fill of a recorded bar."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.domain.fills import FillModel, PriceBar, match
from pipelines.domain.orders import OrderType
from pipelines.domain.signals import Side
from serving.exchange.book import TERMINAL
from serving.exchange.market import FrameKind
from tests.unit.exchange.builders import ALPHA, DAY, a_request, a_venue, bars_of, play

TICK = Decimal("0.05")
steps = st.integers(-60, 60)


@st.composite
def bars(draw) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    open_, close = (Decimal(100) + TICK * draw(steps) for _ in range(2))
    above, below = (TICK * draw(st.integers(0, 40)) for _ in range(2))
    return open_, max(open_, close) + above, min(open_, close) - below, close


@st.composite
def requests(draw):
    side, order_type = draw(st.sampled_from(Side)), draw(st.sampled_from(OrderType))
    trigger = Decimal(100) + side.sign * TICK * draw(st.integers(1, 60))
    limit = Decimal(100) + TICK * draw(steps)
    if order_type is OrderType.SL:
        limit = trigger + side.sign * TICK * draw(st.integers(0, 20))
    return a_request(
        side=side,
        order_type=order_type,
        quantity=draw(st.integers(1, 400)),
        price=limit if order_type in (OrderType.LIMIT, OrderType.SL) else None,
        trigger_price=trigger if order_type in (OrderType.SL, OrderType.SL_M) else None,
    )


models = st.builds(FillModel, st.floats(0, 40), st.sampled_from([0.01, 0.1, 1.0]), st.floats(0, 40))


@settings(max_examples=150, deadline=None)
@given(bar=bars(), request=requests(), model=models, ticks=st.integers(4, 12), seed=st.integers(0, 99))
def test_what_a_bar_gives_an_order_is_what_its_ticks_give_it(bar, request, model, ticks, seed):
    prices = [(100.0,) * 4, tuple(map(float, bar)), *[(float(bar[3]),) * 4] * 8]
    recorded = bars_of("ALPHA", DAY, prices, volume=2_000)
    venue = a_venue(recorded, fills=model, ticks_per_bar=ticks, seed=seed)
    play(venue, FrameKind.BOUNDARY)

    order = venue.place(request)
    expected = match(order.working, PriceBar(*bar, 2_000), ALPHA, model)
    play(venue, FrameKind.BOUNDARY)

    filled = [(trade.quantity, trade.price) for trade in venue.trades()]
    assert filled[:1] == ([(expected.quantity, expected.price)] if expected is not None and expected.quantity else [])
    triggered = venue.book.find(order.order_id).triggered
    assert triggered == (expected is not None and expected.triggered)


@settings(max_examples=60, deadline=None)
@given(
    wanted=st.lists(requests(), min_size=1, max_size=6),
    several=st.lists(bars(), min_size=3, max_size=5),
    model=models,
    seed=st.integers(0, 99),
)
def test_no_fill_lies_outside_of_its_bar_beyond_its_limit_or_above_our_share_of_the_volume(
    wanted, several, model, seed
):
    prices = [(100.0,) * 4, *[tuple(map(float, bar)) for bar in several], *[(float(several[-1][3]),) * 4] * 4]
    recorded = bars_of("ALPHA", DAY, prices, volume=1_000)
    venue = a_venue(recorded, fills=model, ticks_per_bar=8, seed=seed)
    play(venue, FrameKind.BOUNDARY)
    for request in wanted:
        venue.place(request)

    taken = {bar.open_time: 0 for bar in recorded}
    for _ in several:
        play(venue, FrameKind.BOUNDARY)
    for trade in venue.trades():
        bar = next(bar for bar in recorded if bar.open_time <= trade.at < bar.close_time)
        taken[bar.open_time] += trade.quantity
        limit = trade.order.request.price
        waited = trade.order.rested and trade.price == limit
        assert Decimal(str(bar.low)) <= trade.price <= Decimal(str(bar.high)) or waited
        assert limit is None or trade.order.request.side.sign * (limit - trade.price) >= 0
    assert max(taken.values()) <= max(1, int(1_000 * model.participation))
    for order in venue.orders():
        assert order.filled_quantity <= order.request.quantity
        assert (order.pending_quantity == 0) == (order.status in TERMINAL)
