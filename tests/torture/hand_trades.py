"""A person trades by hand in the account of a tortured daemon: in its instruments, either way, there and back."""

from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from pipelines.domain.orders import OrderType, Product
from pipelines.domain.signals import Side
from serving.exchange.book import OrderRequest, Validity
from serving.exchange.conductor import Conductor
from serving.exchange.order_forms import AUTO_PROTECTION
from serving.exchange.refusals import KiteError

PERSON = "BYHAND"  #: who places them at the exchange


@dataclass(frozen=True, slots=True)
class HandTrade:
    """One order by hand, before a frame of the market is played."""

    frame: int
    instrument: int  #: place among those that are traded
    side: Side
    quantity: int


def hand_trades(seed: int, bars: int, instruments: int, ticks_per_bar: int) -> tuple[HandTrade, ...]:
    """Of every third schedule, by a generator of their own; most are round trips."""
    rng = np.random.default_rng([seed, 9012])
    if rng.random() > 1 / 3:
        return ()
    trades: list[HandTrade] = []
    last = bars * ticks_per_bar
    for _ in range(int(rng.integers(1, 5))):
        frame, instrument = int(rng.integers(2, last - 8)), int(rng.integers(0, instruments))
        side, quantity = (Side.BUY, Side.SELL)[int(rng.integers(0, 2))], int(rng.integers(5, 400))
        trades.append(HandTrade(frame, instrument, side, quantity))
        if rng.random() < 0.8:
            back = frame + int(rng.integers(1, 12))
            trades.append(HandTrade(back, instrument, side.opposite, quantity))
    return tuple(sorted(trades, key=lambda trade: trade.frame))


def trade_by_hand(conductor: Conductor, trades: tuple[HandTrade, ...], traded: tuple[Any, ...]) -> None:
    """Place each order just before its frame; what the exchange refuses is not tried again."""
    venue: Any = conductor.venue
    advance, waiting = venue.advance, list(trades)

    def advanced(*args: Any, **named: Any) -> Any:
        while waiting and venue.steps >= waiting[0].frame:
            trade = waiting.pop(0)
            request = OrderRequest(
                traded[trade.instrument],
                trade.side,
                trade.quantity,
                Product.MIS,
                OrderType.MARKET,
                Validity.DAY,
                market_protection=Decimal(AUTO_PROTECTION),
            )
            with suppress(KiteError):
                venue.place(request, PERSON)
        return advance(*args, **named)

    venue.advance = advanced
