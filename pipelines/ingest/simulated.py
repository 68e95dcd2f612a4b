"""A seeded market like NSE's: sessions, ticks, volume curve, fat tails, clustered volatility, regimes, gaps, an edge.

A stock's log return over a bar is the sum of a market, a sector and an own part, each Student-t; their size follows
the time of day, the day's regime (a Markov chain over days, the same for all stocks) and a volatility that moves
slowly. Nights bring gaps of the same make. Nothing of this can be earned: without a planted edge the increments are a
martingale, but for a drift of bull and bear markets of half a per mille a day. The edge is a parameter beside it:

- momentum: a hidden drift of each stock that fades with a half-life of 30 bars; past returns carry it
- reversion: a hidden mispricing that decays with a half-life of 10 bars
- news: headlines with a sentiment that the price follows over the next 24 bars

It is measured in a bar's usual volatility, so it is as plain at every interval; what it earns after charges is not.

Splits and bonuses can be planted as well: they change prices and volumes as traded, and nothing else.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import lfilter

from pipelines.domain.bars import IST, TIME_DTYPE, Interval
from pipelines.domain.errors import BadParams
from pipelines.domain.instruments import Kind
from pipelines.domain.market_calendar import KNOWN_FROM, KNOWN_TO, Session, bar_times, trading_days_before
from pipelines.domain.portable_math import exps, halving
from pipelines.domain.tick_sizes import tick_size
from pipelines.ingest.simulated_actions import Planned, plan_actions, told
from pipelines.ingest.universe import Listing, listings
from pipelines.ingest.world import World, instruments_table
from pipelines.params import Edge, SimulatedParams

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

REGIMES = ("bull", "bear", "range", "high_volatility")

# The market's make. Shares of variance and times in days are of the size that liquid NSE stocks show.
_STAY = 0.88  #: probability that the regime of a day is that of the day before: a mean life of 8 days
_REGIME_VOLATILITY = np.array([0.75, 1.05, 0.55, 1.60])
_REGIME_DRIFT = np.array([5e-4, -5e-4, 0.0, 0.0])  #: log return a session
_MARKET_SHARE, _SECTOR_SHARE, _OWN_SHARE = 0.30, 0.15, 0.55  #: of a stock's variance
_NIGHT_SHARE = 0.25  #: of a day's variance that comes overnight
_TAIL = 5.0  #: degrees of freedom of the Student-t
_LARGEST = 9.0  #: standard deviations: no part of a return goes beyond, as the exchange's price bands would not let it
_SLOW_DAYS, _SLOW_SIZE = 8.0, 0.25  #: half-life and size of the log volatility's slow part
_FAST_DAYS, _FAST_SIZE = 0.5, 0.20
_POINTS = np.concatenate([[0.02], np.linspace(0.125, 1.0, 8)])  #: of a bar at which its path is looked at
_REGULAR_MINUTES = (
    375.0  #: the model's day, over which its sizes a day are spread; sessions are as long as the calendar's
)
_SESSIONS_A_YEAR = 248

# The edge, at strength 1, in standard deviations of a bar's usual return. Sizes were set so that a linear forecast from
# past returns, or the headline alone, earns 25 to 50 bps before charges over 24 bars of 5 minutes in its better third.
_MOMENTUM_HALF_LIFE, _MOMENTUM_SIZE = 30.0, 0.20  #: bars; standard deviation of the drift per bar
_REVERSION_HALF_LIFE, _REVERSION_SIZE = 10.0, 4.5  #: bars; standard deviation of the mispricing
_NEWS_BARS, _NEWS_SIZE = 24, 5.0  #: bars; the whole move after a headline of sentiment 1

_HEADLINES_A_DAY = 0.6  #: of a stock
_BEFORE_OPEN = 0.25  #: share of headlines that come before the open ...
_EARLY_HOURS = 2.0  #: ... by this many hours at most
_HEADLINES = {
    1: ("{} wins a large order", "{} profit beats estimates", "Brokerages raise targets for {}", "{} cuts its debt"),
    0: ("{} to consider a dividend", "{} board meets next week", "{} names a new director", "{} in talks over a plant"),
    -1: ("{} misses estimates", "Regulator questions {}", "{} loses a key contract", "Brokerages cut targets for {}"),
}


def simulate(params: SimulatedParams, interval: Interval | Literal["auto"] = "auto") -> World:
    """A market of `params.instruments` stocks over `params.days` sessions, the last one on or before `params.end`.

    The same parameters give the same bytes. A market is made forward from its first session: two runs with the same
    seed and the same first session agree in all bars, headlines and truth up to the end of the shorter one (so `days`
    and `end` moved by the same number of sessions add to the market, they change nothing). Another first session is
    another market. More instruments leave the others as they were.

    Returns
    -------
    World, with the truth: regime and planted drift at each bar's close; the drift is the log return that the edge adds
    to the next bar, as expected at that close.

    Raises
    ------
    BadParams : if the calendar does not cover the days asked for.
    """
    chosen = Interval.MIN_5 if interval == "auto" else interval
    sessions = trading_days_before(params.end, params.days)
    if len(sessions) < params.days or params.end > KNOWN_TO:
        raise BadParams(
            f"ingest.simulated: {params.days} sessions up to {params.end} leave the calendar, which covers "
            f"{KNOWN_FROM} to {KNOWN_TO}; choose another end or fewer days"
        )
    clock = _clock(sessions, chosen)
    regimes = _regimes(params.seed, len(sessions))
    market = _Parts(params.seed, "market", clock)
    planned = plan_actions(params.actions, [listing.symbol for listing in listings(params.instruments)], sessions)
    bars, news, truth = {}, [], []
    sectors: dict[str, _Parts] = {}
    for listing in listings(params.instruments):
        sector = sectors.setdefault(listing.sector, _Parts(params.seed, f"sector {listing.sector}", clock))
        stock = _Stock(params, listing, clock, regimes, _shares(planned.get(listing.symbol), clock))
        headlines = stock.headlines()
        edge = stock.edge(headlines)
        bars[listing.symbol] = stock.bars(market, sector, edge)
        news.append(stock.news(headlines))
        truth.append(stock.truth(edge))
    return World(
        bars=bars,
        instruments=_instruments(listings(params.instruments), sessions[0]),
        news=pd.concat(news).sort_values(["time", "symbol"], kind="stable", ignore_index=True),
        interval=chosen,
        truth=pd.concat(truth).sort_values(["close_time", "symbol"], kind="stable", ignore_index=True),
        actions=told(planned, sessions),
    )


@dataclass(frozen=True)
class _Clock:
    """The bars of all sessions; arrays of shape (n_bars,)."""

    opens: pd.DatetimeIndex
    closes: pd.DatetimeIndex
    day: Ints  #: number of the session
    first: npt.NDArray[np.bool_]  #: of its session
    length: Floats  #: share of the model's day
    loudness: Floats  #: of volatility by time of day, mean square 1 over a session
    crowd: Floats  #: share of the day's volume by time of day, 1 over a session
    bars_per_day: float  #: of the model's day

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True)
class _Edge:
    """What the plan adds to log returns; arrays of shape (n_bars,)."""

    added: Floats  #: log return added to the bar
    expected: Floats  #: log return that will be added to the next bar, as expected at the bar's close


class _Parts:
    """Standardised Student-t parts of returns, shared by those that belong to one group (market, sector, stock)."""

    def __init__(self, seed: int, name: str, clock: _Clock):
        self.returns = _student(seed, f"{name} returns", len(clock))
        self.nights = _student(seed, f"{name} nights", int(clock.day[-1]) + 1)
        slow = _fading(_normal(seed, f"{name} slow", len(clock)), _SLOW_DAYS * clock.bars_per_day)
        fast = _fading(_normal(seed, f"{name} fast", len(clock)), _FAST_DAYS * clock.bars_per_day)
        self.log_volatility = _SLOW_SIZE * slow + _FAST_SIZE * fast


class _Stock:
    """One stock of the market, on streams of random numbers of its own."""

    def __init__(self, params: SimulatedParams, listing: Listing, clock: _Clock, regimes: Ints, shares: Floats):
        self._shares = shares
        self._seed, self._plan, self._strength = params.seed, params.edge, params.edge_strength
        self._listing, self._clock, self._regime = listing, clock, regimes[clock.day]
        self._tick = tick_size(listing.price_inr, clock.opens[0].date())
        session = listing.volatility / np.sqrt(_SESSIONS_A_YEAR)
        self._night = session * np.sqrt(_NIGHT_SHARE)
        self._usual = session * np.sqrt((1 - _NIGHT_SHARE) * clock.length)  # volatility of a bar at its most usual
        self._bar = float(session * np.sqrt((1 - _NIGHT_SHARE) / clock.bars_per_day))

    def headlines(self) -> Floats:
        """Sentiment of the headline that came during a bar, or before a session's first one; NaN where none did."""
        clock = self._clock
        rate = _HEADLINES_A_DAY * ((1 - _BEFORE_OPEN) * clock.length + _BEFORE_OPEN * clock.first)
        came = self._uniform("headline comes") < rate
        sentiment = np.round(2.0 * self._uniform("sentiment") - 1.0, 2)
        return np.where(came, sentiment, np.nan)

    def edge(self, headlines: Floats) -> _Edge:
        size = self._strength * self._bar
        nothing = np.zeros(len(self._clock))
        if self._plan is Edge.MOMENTUM:
            drift = _MOMENTUM_SIZE * size * _fading(self._normal("momentum"), _MOMENTUM_HALF_LIFE)
            return _Edge(_before(drift), drift)
        if self._plan is Edge.REVERSION:
            mispricing = _REVERSION_SIZE * size * _fading(self._normal("mispricing"), _REVERSION_HALF_LIFE)
            keeps = halving(_REVERSION_HALF_LIFE)
            return _Edge(mispricing - _before(mispricing), (keeps - 1.0) * mispricing)
        if self._plan is Edge.NEWS:
            fading = np.linspace(1.0, 1.0 / _NEWS_BARS, _NEWS_BARS)
            moves = _NEWS_SIZE * size * np.nan_to_num(headlines)
            drift = lfilter(fading / fading.sum(), [1.0], moves)
            return _Edge(_before(drift), drift)
        return _Edge(nothing, nothing)

    def bars(self, market: _Parts, sector: _Parts, edge: _Edge) -> pd.DataFrame:
        clock, listing = self._clock, self._listing
        own = _Parts(self._seed, listing.symbol, clock)
        log_volatility = np.sqrt(0.5) * (market.log_volatility + own.log_volatility)
        calm = (
            exps(log_volatility - (_SLOW_SIZE * _SLOW_SIZE + _FAST_SIZE * _FAST_SIZE))
            * _REGIME_VOLATILITY[self._regime]
        )
        volatility = self._usual * clock.loudness * calm
        shock = _mixed(market.returns, sector.returns, own.returns)
        step = volatility * shock - np.square(volatility) / 2 + _REGIME_DRIFT[self._regime] * clock.length + edge.added
        night = np.zeros(len(clock))
        night[clock.first] = _mixed(market.nights, sector.nights, own.nights) * self._night * calm[clock.first]
        night[0] = 0.0
        path = self._path(step, night, volatility)
        paise = self._on_grid(listing.price_inr * exps(path) / self._shares[:, None])
        prices = paise / 100.0
        return pd.DataFrame(
            {
                "symbol": pd.Series([listing.symbol] * len(clock), dtype="str"),
                "open_time": clock.opens,
                "close_time": clock.closes,
                "open": prices[:, 0],
                "high": prices.max(axis=1),
                "low": prices.min(axis=1),
                "close": prices[:, -1],
                "volume": self._volume(calm, shock),
                "source": pd.Series(["simulated"] * len(clock), dtype="str"),
                "source_row": np.arange(1, len(clock) + 1),
            }
        )

    def news(self, headlines: Floats) -> pd.DataFrame:
        """Headlines with the moment they were known: inside their bar, or in the hours before the session."""
        clock = self._clock
        came = ~np.isnan(headlines)
        inside = (clock.closes - clock.opens) * self._uniform("moment")
        early = clock.first & (
            self._uniform("early") < _BEFORE_OPEN / (_BEFORE_OPEN + (1 - _BEFORE_OPEN) * clock.length)
        )
        before = pd.to_timedelta(-_EARLY_HOURS * self._uniform("early moment"), unit="h")
        moments = clock.opens + before.where(early, inside)
        sentiment = headlines[came]
        wording = (4 * self._uniform("wording")[came]).astype(int)
        signs = np.where(np.abs(sentiment) < 0.2, 0, np.sign(sentiment)).astype(int)
        texts = [_HEADLINES[s][w].format(self._listing.symbol) for s, w in zip(signs, wording, strict=True)]
        return pd.DataFrame(
            {
                "symbol": pd.Series([self._listing.symbol] * len(texts), dtype="str"),
                "time": moments[came].floor("s").as_unit("us"),
                "headline": pd.Series(texts, dtype="str"),
                "sentiment": sentiment,
            }
        )

    def truth(self, edge: _Edge) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "close_time": self._clock.closes,
                "regime": pd.Series([REGIMES[regime] for regime in self._regime], dtype="str"),
                "symbol": pd.Series([self._listing.symbol] * len(self._clock), dtype="str"),
                "drift": np.round(edge.expected, 8),
            }
        )

    def _path(self, step: Floats, night: Floats, volatility: Floats) -> Floats:
        """Log price since the start at the `_POINTS` of each bar, (n_bars, points): a bridge between the bar's ends."""
        ends = np.cumsum(night + step)
        starts = ends - step
        spacing = np.sqrt(np.diff(_POINTS, prepend=0.0))
        walk = np.cumsum(
            spacing * _normal(self._seed, f"{self._listing.symbol} path", (len(step), len(_POINTS))), axis=1
        )
        bridge = walk - _POINTS * walk[:, -1:]
        return starts[:, None] + _POINTS * step[:, None] + bridge * volatility[:, None]

    def _on_grid(self, prices: Floats) -> Ints:
        """Prices in whole paise on the tick grid, at least one tick."""
        tick = int(self._tick * 100)
        return np.maximum(np.rint(prices * 100.0 / tick), 1.0).astype(np.int64) * tick

    def _volume(self, calm: Floats, shock: Floats) -> Ints:
        """Shares: the day's curve, louder in wild markets and on large moves, with a level that wanders."""
        level = 0.3 * _fading(self._normal("volume level"), 2.0 * self._clock.bars_per_day)
        noise = 0.4 * self._normal("volume noise")
        louder = calm * (0.6 + 0.5 * np.abs(shock))
        traded = self._listing.shares_a_day * self._clock.crowd * louder * exps(level + noise)
        return np.rint(traded * self._shares).astype(np.int64)

    def _normal(self, name: str) -> Floats:
        return _normal(self._seed, f"{self._listing.symbol} {name}", len(self._clock))

    def _uniform(self, name: str) -> Floats:
        return _stream(self._seed, f"{self._listing.symbol} {name}").random(len(self._clock))


def _shares(planned: Planned | None, clock: _Clock) -> Floats:
    """Shares at each bar for one at the start, shape (n_bars,)."""
    if planned is None:
        return np.ones(len(clock))
    return np.where(clock.day >= planned.session, float(planned.ratio), 1.0)


def _clock(sessions: Sequence[Session], interval: Interval) -> _Clock:
    opens, closes, day, loud, crowd = [], [], [], [], []
    for number, session in enumerate(sessions):
        times = bar_times(session, interval)
        opens += [start for start, _ in times]
        closes += [end for _, end in times]
        day += [number] * len(times)
        length = np.array([(end - start).total_seconds() for start, end in times])
        middle = (np.cumsum(length) - length / 2) / length.sum()
        cubed = middle * middle * middle
        edge_of_day = exps(-middle / 0.08)
        volatility = 0.75 + 0.9 * edge_of_day + 0.25 * cubed * cubed
        loud.append(volatility / np.sqrt((np.square(volatility) * length).sum() / length.sum()))
        volume = length * (0.7 + 1.6 * edge_of_day + 1.2 * cubed * cubed * middle * middle)
        crowd.append(volume / volume.sum() * length.sum() / 60 / _REGULAR_MINUTES)
    days = np.array(day)
    starts, ends = _times(opens), _times(closes)
    return _Clock(
        opens=starts,
        closes=ends,
        day=days,
        first=np.diff(days, prepend=-1) > 0,
        length=((ends - starts).total_seconds() / 60 / _REGULAR_MINUTES).to_numpy(),
        loudness=np.concatenate(loud),
        crowd=np.concatenate(crowd),
        bars_per_day=_REGULAR_MINUTES / interval.minutes,
    )


def _times(moments: list) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(moments).tz_convert(IST.key).astype(TIME_DTYPE)


def _regimes(seed: int, days: int) -> Ints:
    """Number of the regime of each session: stays, or goes to one of the others with equal chance."""
    moves = _stream(seed, "regime moves").random(days)
    targets = _stream(seed, "regime targets").integers(1, len(REGIMES), days)
    jumps = np.where(moves < _STAY, 0, targets)
    jumps[0] = targets[0]
    return np.cumsum(jumps) % len(REGIMES)


def _instruments(chosen: Sequence[Listing], first: Session) -> pd.DataFrame:
    return instruments_table(
        [
            {
                "symbol": listing.symbol,
                "token": listing.token,
                "kind": Kind.STOCK.value,
                "tick_size": _plain(tick_size(listing.price_inr, first.day)),
                "lot_size": 1,
                "sector": listing.sector,
                "has_volume": True,
            }
            for listing in chosen
        ]
    )


def _plain(tick: Decimal) -> str:
    return f"{tick:.2f}"


def _stream(seed: int, name: str) -> np.random.Generator:
    """A stream of its own for each name, so that one quantity more or less moves no other."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, key])))


def _normal(seed: int, name: str, shape: int | tuple[int, ...]) -> Floats:
    return _stream(seed, name).standard_normal(shape)


def _student(seed: int, name: str, count: int) -> Floats:
    """Student-t of variance 1, cut at `_LARGEST` on both sides."""
    mixing = _stream(seed, f"{name} mixing").chisquare(_TAIL, count)
    draws = _normal(seed, name, count) * np.sqrt((_TAIL - 2.0) / mixing)
    return np.clip(draws, -_LARGEST, _LARGEST)


def _mixed(market: Floats, sector: Floats, own: Floats) -> Floats:
    return np.sqrt(_MARKET_SHARE) * market + np.sqrt(_SECTOR_SHARE) * sector + np.sqrt(_OWN_SHARE) * own


def _fading(noise: Floats, half_life: float) -> Floats:
    """An autoregression of variance 1, stationary from the first bar, that halves in `half_life` bars."""
    keeps = halving(half_life)
    pushes = noise * np.sqrt(1.0 - keeps * keeps)
    pushes[0] = noise[0]
    return lfilter([1.0], [1.0, -keeps], pushes)


def _before(values: Floats) -> Floats:
    """The value of the bar before; 0 for the first."""
    return np.concatenate([[0.0], values[:-1]])
