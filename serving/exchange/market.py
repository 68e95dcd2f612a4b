"""The market that is played: recorded bars become ticks, ticks become frames. Pure and seeded.

A bar's ticks begin at its open, end at its close, touch exactly its high and low and add up to its volume, so a client
that builds bars from ticks gets the recorded ones back. At every bar boundary stands a frame without trades: the
market's clock, which goes on through bars that nobody recorded.

A day's first recorded bar opens at the price of the pre-open auction, as Kite's candles do. Where it is asked for, the
auction trades by itself, told with the opening, and the first continuous trade is at another price.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum, auto
from typing import Protocol

import numpy as np
import pandas as pd

from pipelines.domain.bars import Bar, Interval
from pipelines.domain.errors import NotFound
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.market_calendar import bar_times, session_on
from pipelines.domain.trading_phases import post_close_on

PAISA = Decimal("0.01")
CLOCK_TOKEN = 256265  #: Kite's token of the index NIFTY 50
CLOCK_SYMBOL = "NIFTY 50"
CLOCK_BASE = Decimal(20_000)  #: level of the synthesised index at the previous close, points
AUCTION_SHARE = 0.02  #: of the first bar's volume that trades in the auction, where it trades by itself
POST_CLOSE = timedelta(minutes=10)  #: from the last session's close to its post-close session, of days without one


class FrameKind(Enum):
    OPENING = auto()  #: the session opens; no trades but those of the pre-open auction
    TICKS = auto()
    BOUNDARY = auto()  #: a bar has ended; no trades
    CLOSING = auto()  #: the session's last bar has ended; no trades
    POST_CLOSE = auto()  #: after the last session: what was ordered at its close trades at the closing price


@dataclass(frozen=True, slots=True)
class Tick:
    """Trades of one instrument since the tick before, told by the last of them."""

    instrument: Instrument
    price: Decimal
    quantity: int  #: shares since the tick before; 0 where the source has no volume
    bar_low: Decimal  #: how far prices went in the recorded bar: the reach of slippage
    bar_high: Decimal
    bar_volume: int | None = None  #: shares of the whole recorded bar; None where no bar is known: a tape, live
    path_from: Decimal | None = None  #: price before, where prices moved on continuously; None after a jump
    best: "Best | None" = None  #: where the source tells its depth
    day_open: Decimal | None = None  #: the day's first price, where the source tells it
    day_volume: int | None = None  #: shares of the day so far, where the source tells them


@dataclass(frozen=True, slots=True)
class Best:
    """The first level of a market's depth on both sides."""

    bid: Decimal
    bid_quantity: int
    offer: Decimal
    offer_quantity: int


@dataclass(frozen=True, slots=True)
class Frame:
    kind: FrameKind
    at: datetime
    ticks: tuple[Tick, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """One bar of the market and what was recorded in it: the bars of the instruments that traded, perhaps none."""

    open: datetime
    close: datetime
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionDay:
    """One day of a market; of a recorded one also its bars, one by one."""

    day: date
    open: datetime
    close: datetime
    slots: tuple[Slot, ...] = ()


class Market(Protocol):
    """Where a venue's frames come from: recorded bars, a tape of ticks, a live feed."""

    @property
    def days(self) -> Sequence[SessionDay]:
        """At least one, in order of time; known before they are played."""
        ...

    def next_frame(self) -> Frame:
        """The next frame in order of time: each day opens and closes, the last frame of all is a post-close one."""
        ...


class BarMarket:
    """Recorded bars as a market.

    Parameters
    ----------
    days : Sequence of SessionDay, in time, with their bars
    instruments : Mapping of symbol to Instrument
        Of every bar.
    ticks_per_bar : int, at least 4
    seed : int
        Of the paths that prices take inside of bars.
    auction_gap_bps : float
        How far each day's first continuous trade is off the auction's price, within its bar; 0: no auction.
    """

    def __init__(
        self,
        days: Sequence[SessionDay],
        instruments: Mapping[str, Instrument],
        ticks_per_bar: int,
        seed: int,
        auction_gap_bps: float = 0.0,
    ):
        self.days = list(days)
        self._frames = frames(self.days, instruments, ticks_per_bar, seed, auction_gap_bps)

    def next_frame(self) -> Frame:
        return next(self._frames)


def session_days(bars: Mapping[str, pd.DataFrame], *, whole: bool = False) -> list[SessionDay]:
    """Recorded bars by day; a day opens with its first bar and closes with its last.

    Bars of the market's calendar that nobody recorded stand between them, empty.

    Parameters
    ----------
    bars : per symbol a DataFrame of the bar columns, sorted by `open_time` (Asia/Kolkata)
    whole : bool
        Whether a day opens and closes with its session in the calendar, however little of it was recorded.

    Raises
    ------
    NotFound : if there is no bar at all.
    """
    by_day: dict[date, dict[tuple[datetime, datetime], list[Bar]]] = {}
    for symbol in sorted(bars):
        for bar in _bars_of(symbol, bars[symbol]):
            by_day.setdefault(bar.open_time.date(), {}).setdefault((bar.open_time, bar.close_time), []).append(bar)
    if not by_day:
        raise NotFound("the session bars hold no bar; set ingest.session_days to at least 1 and run dvc repro")
    return [_day_of(day, slots, whole=whole) for day, slots in sorted(by_day.items())]


def frames(
    days: Sequence[SessionDay],
    instruments: Mapping[str, Instrument],
    ticks_per_bar: int,
    seed: int,
    auction_gap_bps: float = 0.0,
) -> Iterator[Frame]:
    """Every frame of the market in order: per day an opening, then per bar its ticks and a boundary."""
    for session in days:
        first = session.slots[0] if auction_gap_bps and session.slots else None
        opened = first.bars if first is not None else ()
        auctions = {bar.symbol: auctioned(bar, instruments[bar.symbol], seed, auction_gap_bps) for bar in opened}
        yield Frame(FrameKind.OPENING, session.open, tuple(auction.tick for auction in auctions.values()))
        for slot in session.slots:
            bars = tuple(auctions[bar.symbol].rest for bar in slot.bars) if auctions and slot is first else slot.bars
            yield from _ticks_of(bars, instruments, ticks_per_bar, seed)
            last = slot is session.slots[-1]
            yield Frame(FrameKind.CLOSING if last else FrameKind.BOUNDARY, slot.close)
    yield Frame(FrameKind.POST_CLOSE, post_close_of(days[-1]))


def post_close_of(session: SessionDay) -> datetime:
    """When orders trade at a day's closing price: in NSE's post-close session, if that comes after it."""
    dated = post_close_on(session.day)
    return dated if dated is not None and dated > session.close else session.close + POST_CLOSE


@dataclass(frozen=True, slots=True)
class Auctioned:
    """A day's first bar in two parts."""

    tick: Tick  #: the auction's trade, at the bar's open
    rest: Bar  #: what is traded continuously after it


def auctioned(bar: Bar, instrument: Instrument, seed: int, gap_bps: float) -> Auctioned:
    """Part a bar: the auction takes its open and some of its shares, the rest opens further on within its range."""
    rng = np.random.default_rng([seed, instrument.token, int(bar.open_time.timestamp()), 1])
    step = max(int(instrument.tick_size * 100), 1)
    open_, high, low = (to_paise(price) for price in (bar.open, bar.high, bar.low))
    gap = max(round(open_ * gap_bps / 10_000 / step), 1) * step
    sides = (1, -1) if rng.random() < 0.5 else (-1, 1)
    reached = [min(max(open_ + side * gap, low), high) for side in sides]
    first = next((price for price in reached if price != open_), open_)
    shares = int(bar.volume * AUCTION_SHARE) if instrument.has_volume else 0
    tick = Tick(instrument, rupees(open_), shares, rupees(low), rupees(high))
    return Auctioned(tick, replace(bar, open=float(rupees(first)), volume=bar.volume - shares))


def tick_path(bar: Bar, instrument: Instrument, count: int, seed: int) -> list[tuple[Decimal, int]]:
    """Prices (rupees) and shares of `count` >= 4 ticks that make up the bar; the same arguments give the same path."""
    rng = np.random.default_rng([seed, instrument.token, int(bar.open_time.timestamp())])
    open_, high, low, close = (to_paise(price) for price in (bar.open, bar.high, bar.low, bar.close))
    first, second = sorted(rng.choice(np.arange(1, count - 1), size=2, replace=False))
    low_first = rng.random() < (0.7 if close >= open_ else 0.3)  # a rising bar has mostly dipped before
    anchors = {0: open_, first: low if low_first else high, second: high if low_first else low, count - 1: close}
    prices = np.interp(np.arange(count), list(anchors), list(anchors.values()))
    prices += rng.normal(0.0, 0.1 * (high - low), size=count)
    step = max(int(instrument.tick_size * 100), 1)
    on_grid = np.clip(np.round(prices / step) * step, low, high).astype(int)
    for place, price in anchors.items():
        on_grid[place] = price
    return list(zip([rupees(int(paise)) for paise in on_grid], _shares(bar, instrument, count, rng), strict=True))


def tick_times(open_time: datetime, close_time: datetime, count: int) -> list[datetime]:
    """When the `count` >= 4 ticks of a bar happen: evenly spread, whole seconds, before its close.

    Of a whole day's bar the last two lie in its last twentieth, so that who leaves before the close meets a price.
    """
    length = (close_time - open_time).total_seconds()
    shares = [(k + 0.5) / count for k in range(count)]
    if close_time - open_time > timedelta(hours=2):
        shares = [0.9 * k / (count - 2) for k in range(count - 2)] + [0.965, 0.995]
    return [open_time + timedelta(seconds=int(length * share)) for share in shares]


def clock_instrument() -> Instrument:
    return Instrument(CLOCK_SYMBOL, CLOCK_TOKEN, Kind.INDEX, Decimal("0.05"), 1, "", False)


def to_paise(price: float) -> int:
    return int((Decimal(repr(float(price))) * 100).to_integral_value(rounding=ROUND_HALF_UP))


def rupees(paise: int) -> Decimal:
    return Decimal(paise).scaleb(-2)


def _bars_of(symbol: str, frame: pd.DataFrame) -> Iterator[Bar]:
    for row in frame.itertuples(index=False):
        yield Bar(
            symbol,
            row.open_time.to_pydatetime(),
            row.close_time.to_pydatetime(),
            float(row.open),
            float(row.high),
            float(row.low),
            float(row.close),
            int(row.volume),
        )


def _day_of(day: date, recorded: Mapping[tuple[datetime, datetime], list[Bar]], *, whole: bool) -> SessionDay:
    opened, closed = min(opened for opened, _ in recorded), max(closed for _, closed in recorded)
    length = max(closed - opened for opened, closed in recorded)
    found = {times: tuple(bars) for times, bars in recorded.items()}
    for begins, ends in _grid(day, length):
        inside = whole or (opened <= begins and ends <= closed)
        if inside and not any(start < ends and begins < end for start, end in recorded):
            found[begins, ends] = ()
    ordered = sorted(found)
    return SessionDay(
        day,
        open=ordered[0][0],
        close=max(close for _, close in ordered),
        slots=tuple(Slot(*times, found[times]) for times in ordered),
    )


def _grid(day: date, length: timedelta) -> list[tuple[datetime, datetime]]:
    """The calendar's bars of a day, of an interval that is as long; none where it knows no such interval or session."""
    session = session_on(day)
    interval = next((each for each in Interval if each.intraday and timedelta(minutes=each.minutes) == length), None)
    return bar_times(session, interval) if session is not None and interval is not None else []


def _ticks_of(
    slot: Sequence[Bar], instruments: Mapping[str, Instrument], ticks_per_bar: int, seed: int
) -> Iterator[Frame]:
    if not slot:
        return
    traded = [(bar, instruments[bar.symbol]) for bar in slot]
    paths = [tick_path(bar, instrument, ticks_per_bar, seed) for bar, instrument in traded]
    reach = [(rupees(to_paise(bar.low)), rupees(to_paise(bar.high))) for bar in slot]
    for place, at in enumerate(tick_times(slot[0].open_time, slot[0].close_time, ticks_per_bar)):
        ticks = (
            Tick(instrument, *path[place], *low_high, bar.volume, path[place - 1][0] if place else None)
            for (bar, instrument), path, low_high in zip(traded, paths, reach, strict=True)
        )
        yield Frame(FrameKind.TICKS, at, tuple(ticks))


def _shares(bar: Bar, instrument: Instrument, count: int, rng: np.random.Generator) -> list[int]:
    if not instrument.has_volume:
        return [0] * count
    weights = rng.uniform(0.5, 1.5, size=count)
    reached = np.floor(np.cumsum(weights) / weights.sum() * bar.volume).astype(int)
    reached[-1] = bar.volume
    return np.diff(reached, prepend=0).tolist()
