"""Trades become bars. A bar closes when any packet is stamped at or after its close time, whoever it is of."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import lru_cache

from pipelines.domain.bars import Bar, Interval
from pipelines.domain.market_calendar import Session, bar_times, session_on, sessions_between
from serving.executor.bar_doubts import BarDoubts

PRE_OPEN = timedelta(minutes=15)  #: before a session's open; in it the auction for the first price is held
FAR_OPEN = 0.1  #: share of the first price within which the day's open is taken from one packet
OPEN_PACKETS = 4  #: that tell the same open before one further away is believed

Grid = Callable[[datetime], tuple[datetime, datetime] | None]


@dataclass(frozen=True, slots=True)
class Tick:
    """What one packet tells of one instrument."""

    symbol: str
    price: float  #: of the last trade, rupees
    volume_today: int  #: shares of the day so far, the pre-open auction's too; 0 where the source has no volume
    at: datetime  #: market time
    day_open: float = 0.0  #: the day's first price, that of the pre-open auction if it traded; 0 where it is not told
    previous_close: float = 0.0  #: of the session before; 0 where it is not told
    doubted_since: datetime | None = None  #: the shares told since then are not sure; None if they are


@dataclass(frozen=True, slots=True)
class ClosedBars:
    open_time: datetime
    close_time: datetime
    bars: dict[str, Bar]  #: of the instruments that traded, by symbol
    complete: bool = True  #: whether the feed was there all the time
    doubtful: frozenset[str] = frozenset()  #: instruments whose bar may be wrong or lacking, as a packet was doubted


class BarBuilder:
    """Builds the bars of all instruments at once.

    Parameters
    ----------
    grid : function of a time to the open and close of the bar it lies in, None outside of sessions
    carry : function of a bar that is over to the bar with its adjustment
    """

    def __init__(self, grid: Grid, carry: Callable[[Bar], Bar] = lambda bar: bar):
        self._grid, self._carry = grid, carry
        self._open: dict[tuple[datetime, datetime], dict[str, Bar]] = {}
        self._totals: dict[str, tuple[datetime, int]] = {}  # the running volume of the day when it was last seen
        self._closed_until: datetime | None = None
        self._opens: dict[str, tuple[date, Counter[float]]] = {}  # the day's first price as its first packets told it
        self.doubts = BarDoubts(self._slot_at)
        self._unseen: tuple[datetime, datetime] | None = None  # the last time in which no tick could come
        self._closes: dict[date, list[datetime]] = {}  # of the days that were asked for

    def add(self, tick: Tick) -> None:
        """Take a trade into the bar it was made in; one that comes after its bar was closed is left out."""
        slot = self._slot_of(tick)
        if slot is None:
            return
        self._hear_open(tick, slot)
        self._hear_doubt(tick)
        late = tick.at < self._totals.get(tick.symbol, (tick.at, 0))[0]
        shares = self._shares_since_last(tick)
        if self._closed_until is not None and slot[1] <= self._closed_until:
            return
        bars = self._open.setdefault(slot, {})
        before = bars.get(tick.symbol)
        if before is None:
            before = Bar(tick.symbol, *slot, tick.price, tick.price, tick.price, tick.price, 0)
        bars[tick.symbol] = Bar(
            tick.symbol,
            *slot,
            before.open,
            max(before.high, tick.price),
            min(before.low, tick.price),
            before.close if late else tick.price,
            max(before.volume + shares, 0),
        )

    def advance(self, now: datetime) -> list[ClosedBars]:
        """Bars that are over by `now`, oldest first."""
        before = self._closed_until
        doubted = {slot for slot in self.doubts.slots_over(now) if before is None or slot[1] > before}
        over = sorted({*(slot for slot in self._open if slot[1] <= now), *self._slots_unseen(now), *doubted})
        self._closed_until = now if before is None else max(now, before)
        closed = [self._closed(slot) for slot in over]
        if self._unseen is not None and self._unseen[1] <= now:
            last = self._grid(self._unseen[1])
            if last is None or last[1] <= now:
                self._unseen = None
        return closed

    def _closed(self, slot: tuple[datetime, datetime]) -> ClosedBars:
        bars = {symbol: self._opened(bar) for symbol, bar in self._open.pop(slot, {}).items()}
        return ClosedBars(*slot, self._carried(bars), not self._was_unseen(slot), self.doubts.take(slot))

    def not_seen(self, since: datetime, until: datetime) -> None:
        """No tick could come in this time: its bars lack what was traded then."""
        if self._unseen is not None and since <= self._unseen[1]:
            since = min(since, self._unseen[0])
        self._unseen = since, until

    def _was_unseen(self, slot: tuple[datetime, datetime]) -> bool:
        return self._unseen is not None and slot[0] < self._unseen[1] and self._unseen[0] < slot[1]

    def _slots_unseen(self, now: datetime) -> list[tuple[datetime, datetime]]:
        """Bars that are over by now and lie in a time in which no tick could come, traded or not."""
        if self._unseen is None:
            return []
        session = _session_of(self._unseen[0].date())
        found, moment = [], self._unseen[0] if session is None else max(self._unseen[0], session.open)
        while moment < self._unseen[1]:
            slot = self._grid(moment)
            if slot is None:
                break
            if slot[1] <= now and (self._closed_until is None or slot[1] > self._closed_until):
                found.append(slot)
            moment = slot[1]
        return found

    def _carried(self, bars: dict[str, Bar]) -> dict[str, Bar]:
        return {symbol: self._carry(bar) for symbol, bar in bars.items()}

    def closes_between(self, after: datetime, until: datetime) -> int:
        """How many bars of continuous trading closed after one moment and not later than another.

        It is the market's count: bars in which nobody traded are in it.
        """
        days = [after.date(), *(session.day for session in sessions_between(after.date(), until.date()))]
        closes = (self._closes_on(day) for day in dict.fromkeys(days))
        return sum(bisect_right(of_day, until) - bisect_right(of_day, after) for of_day in closes)

    def _closes_on(self, day: date) -> list[datetime]:
        """When the bars of a day close, in order."""
        if day not in self._closes:
            self._closes[day] = list(self._walk(day))
        return self._closes[day]

    def _walk(self, day: date) -> Iterator[datetime]:
        session = session_on(day)
        moment = session.open if session is not None else None
        while session is not None and moment is not None and moment < session.close:
            slot = self._grid(moment)
            if slot is None:  # a pause
                moment = session.pause[1] if session.pause is not None else session.close
                continue
            moment = slot[1]
            yield moment

    def volume_seen(self, symbol: str, total: int, at: datetime) -> None:
        """Begin in mid-session: shares up to `total` belong to bars that are known from elsewhere."""
        self._totals[symbol] = (at, total)

    def _shares_since_last(self, tick: Tick) -> int:
        """Shares that a tick adds; below zero where a total has fallen: what was counted before was told wrong."""
        at, total = self._totals.get(tick.symbol, (tick.at, 0))
        self._totals[tick.symbol] = (tick.at, tick.volume_today)
        same_day = at.date() == tick.at.date()
        if same_day and tick.at < at:  # an older tick tells of shares that are counted already
            self._totals[tick.symbol] = (at, total)
            return 0
        return tick.volume_today - (total if same_day else 0)

    def _slot_of(self, tick: Tick) -> tuple[datetime, datetime] | None:
        """The bar of a tick; that of a pre-open auction belongs to the day's first bar, as in the broker's candles."""
        session = _session_of(tick.at.date())
        if session is not None and tick.volume_today and session.open - PRE_OPEN <= tick.at < session.open:
            return self._grid(session.open)
        return self._grid(tick.at)

    def _slot_at(self, moment: datetime) -> tuple[datetime, datetime] | None:
        """The bar of a moment; before the open the day's first."""
        session = _session_of(moment.date())
        return self._grid(moment if session is None else max(moment, session.open))

    def _hear_doubt(self, tick: Tick) -> None:
        """Whether the shares that a tick tells are sure."""
        if tick.doubted_since is None:
            self.doubts.settle(tick.symbol, "volume", tick.at)
        else:
            self.doubts.begin(tick.symbol, "volume", tick.doubted_since)

    def _hear_open(self, tick: Tick, slot: tuple[datetime, datetime]) -> None:
        """What the packets of the day's first bar tell of its open."""
        session = _session_of(tick.at.date())
        if tick.day_open <= 0 or session is None or slot[0] != session.open:
            return
        day = tick.at.date()
        if self._opens.get(tick.symbol, (None,))[0] != day:
            self._opens[tick.symbol] = day, Counter()
        self._opens[tick.symbol][1][tick.day_open] += 1

    def _opened(self, bar: Bar) -> Bar:
        """The day's first bar with the auction's price as its open, which every packet of the day tells.

        Of several prices the one told most often counts, of equally many the first one, and those near the first trade
        before others. A price that is far from it is believed when four packets tell it.
        """
        day, told = self._opens.get(bar.symbol, (None, Counter[float]()))
        session = _session_of(bar.open_time.date())
        if not told or day != bar.open_time.date() or session is None or bar.open_time != session.open:
            return bar
        near = Counter({price: count for price, count in told.items() if abs(price / bar.open - 1.0) <= FAR_OPEN})
        [(opened, count)] = (near or told).most_common(1)
        if 2 * count <= told.total() or not (near or count >= OPEN_PACKETS):
            self.doubts.spoil(bar.symbol, bar.open_time)
        if not near and count < OPEN_PACKETS:
            return bar
        return replace(bar, open=opened, high=max(bar.high, opened), low=min(bar.low, opened))


@lru_cache(maxsize=64)
def _session_of(day: date) -> Session | None:
    return session_on(day)


@lru_cache(maxsize=64)  # ticks and candles come day by day
def _bar_times_of(day: date, interval: Interval) -> tuple[tuple[datetime, datetime], ...]:
    session = session_on(day)
    return tuple(bar_times(session, interval)) if session else ()


def session_grid(interval: Interval) -> Grid:
    """The bars of NSE's sessions. Stocks that trade on after a session's `close` get bars up to its `end`."""

    def slot_of(moment: datetime) -> tuple[datetime, datetime] | None:
        session = session_on(moment.date())
        if session is None:
            return None
        times = _bar_times_of(session.day, interval)
        for opened, closed in times:
            if opened <= moment < closed:
                return opened, closed
        if interval.intraday and session.close <= moment < session.end:
            step = timedelta(minutes=interval.minutes)
            opened = session.close + step * ((moment - session.close) // step)
            return opened, min(opened + step, session.end)
        return None

    return slot_of
