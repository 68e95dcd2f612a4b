"""The pre-open auction told apart: the live bars are the recorded ones, at the auction's price and with its shares."""

import asyncio
from datetime import timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import Interval
from serving.exchange.candles import Candles
from serving.exchange.deliveries import Deliveries, Subscriber
from serving.exchange.market import BarMarket, FrameKind
from serving.exchange.packets import Mode
from serving.exchange.tape import tape_of
from serving.exchange.venue import State, Venue
from serving.executor.bar_builder import BarBuilder, session_grid
from serving.executor.packet_reader import CLOCK_TOKEN, PacketReader
from serving.executor.ticks import TickFilter
from tests.unit.exchange.builders import (
    ALPHA,
    BETA,
    DAY,
    NEXT_DAY,
    a_frame,
    at,
    bars_of,
    days_of,
    play,
    random_bars,
    some_rules,
)

BARS = [*random_bars("ALPHA", DAY, 500.0, 1, count=6), *random_bars("ALPHA", NEXT_DAY, 520.0, 2, count=6)]
OTHERS = random_bars("M&B", DAY, 90.0, 3, tick=0.1, count=6)
LATE = random_bars("M&B", NEXT_DAY, 91.0, 4, tick=0.1, count=6)[2:]  # no trade before 09:25
BY_SYMBOL = {"ALPHA": ALPHA, "M&B": BETA}


def a_market(*bars, gap_bps: float = 30.0, ticks_per_bar: int = 4) -> BarMarket:
    return BarMarket(days_of(*(bars or (BARS, OTHERS, LATE))), BY_SYMBOL, ticks_per_bar, 7, gap_bps)


class Wire:
    def __init__(self):
        self.sent = []

    async def send_text(self, data): ...

    async def send_bytes(self, data):
        self.sent.append(data)


def live_bars(market: BarMarket) -> dict[str, list]:
    """What the executor's reader, filter and builder make of what the exchange sends."""
    venue = Venue((ALPHA, BETA), market, {"ALPHA": Decimal(500), "M&B": Decimal(90)}, some_rules())
    deliveries, wire = Deliveries(venue), Wire()
    deliveries.subscribers.add(Subscriber(wire, dict.fromkeys([ALPHA.token, BETA.token, CLOCK_TOKEN], Mode.FULL)))
    reader = PacketReader({instrument.token: symbol for symbol, instrument in BY_SYMBOL.items()})
    builder, found, day, ticks = BarBuilder(session_grid(Interval.MIN_5)), {}, None, None
    while venue.state is not State.FINISHED:
        asyncio.run(deliveries.tell(venue.advance()))
        frame = reader.read(wire.sent.pop())
        if frame.at.date() != day:
            day, ticks = frame.at.date(), TickFilter(timedelta(seconds=5), 0.1)
        for closed in builder.advance(frame.at):
            for symbol, bar in closed.bars.items():
                found.setdefault(symbol, []).append(bar)
        for tick, _ in ticks.believe(frame.ticks, frame.at):
            builder.add(tick)
    return found


@pytest.mark.parametrize("gap_bps", [0.0, 10.0, 30.0, 500.0])
def test_bars_built_live_are_the_recorded_ones_whatever_the_auction(gap_bps):
    assert live_bars(a_market(gap_bps=gap_bps)) == {"ALPHA": BARS, "M&B": [*OTHERS, *LATE]}


def test_the_first_continuous_trade_is_off_the_auctions_price():
    market = a_market()

    frames = [market.next_frame() for _ in range(3)]

    opening = {tick.instrument.symbol: tick for tick in frames[0].ticks}
    first = {tick.instrument.symbol: tick for tick in frames[1].ticks}
    assert frames[0].kind is FrameKind.OPENING
    assert float(opening["ALPHA"].price) == BARS[0].open
    assert first["ALPHA"].price != opening["ALPHA"].price
    assert BARS[0].low <= float(first["ALPHA"].price) <= BARS[0].high


def test_the_quote_and_the_growing_candle_open_at_the_auctions_price():
    bars = bars_of("ALPHA", DAY, [(500.0, 503.0, 498.0, 502.0)] * 3)
    market = a_market(bars)
    venue = Venue((ALPHA, BETA), market, {"ALPHA": Decimal(500), "M&B": Decimal(90)}, some_rules())
    play(venue, until=at(9, 16))
    quote = venue.board.quotes["ALPHA"]

    candles = Candles(lambda symbol: a_frame(bars), Interval.MIN_5)
    forming = venue.board.forming["ALPHA"]
    [grown] = candles.answer("ALPHA", "5minute", f"{DAY} 09:00:00", f"{DAY} 09:20:00", venue.clock, forming)
    play(venue, until=at(9, 20))
    [closed] = candles.answer("ALPHA", "5minute", f"{DAY} 09:00:00", f"{DAY} 09:19:00", venue.clock)

    assert quote.open == Decimal("500.00")
    assert (grown[0][11:16], grown[1]) == ("09:15", 500.0)
    assert closed[1:] == [500.0, 503.0, 498.0, 502.0, 40_000]
    assert grown[5] > 800, "the auction's shares are the first bar's"


def test_orders_meet_no_price_of_the_auction():
    assert tape_of(a_market())[0].ticks == {}
