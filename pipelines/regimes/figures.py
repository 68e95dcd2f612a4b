"""Figures of the market at a close, from its pulses so far: what the regimes are seen by, what the flags are judged by.

Scales are robust figures of the past: the bar that is judged is never part of its own measure.
"""

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, fields, replace

from pipelines.domain.bars import IST
from pipelines.domain.portable_math import exp, halving, log
from pipelines.regimes.pulse import Pulse

# Half-lives and windows in bars
ACTIVITY_HALF_LIFE = 6.0
TREND_HALF_LIFE = 36.0
PAST_BARS = 500  #: that a robust scale is taken from
LEAST_BARS = 100  #: of them before a scale is believed
BREAKOUT_BARS = 55  #: earlier closes that are the market's range
BURST_BARS = 6  #: over which news and the move with it are summed
NEWS_HALF_LIFE = 500.0
LEAST_NEWS = 20  #: items before a burst can be told from the usual

_LEAST_VISITS = 3  #: of a time of day before its usual activity is believed
_FLAT = 1e-5  #: log; a bar that moved less counts as this much
_NORMAL = 1.4826  #: standard deviations of a normal distribution in a median absolute deviation


@dataclass(frozen=True, slots=True)
class Figures:
    """NaN while a figure is not known."""

    level: float  #: of the equal-weighted market, 100 before the first return
    trend: float  #: recent log return over what it would spread without a trend
    activity: float  #: log of the recent true range, with the usual shape of a day taken off
    move_z: float  #: the bar's log return in robust deviations of the past bars, by time of day
    burst_move_z: float  #: the same of the last BURST_BARS together
    volatility_z: float  #: activity over its past median, in robust deviations
    volume_surprise: float  #: mean log of volume over usual, with the usual shape of a day taken off
    range_break: float  #: 1 above all of the last BREAKOUT_BARS closes, -1 below, 0 inside
    up: float  #: share of stocks that left their range upwards with volume
    down: float
    news_z: float  #: items in the last BURST_BARS over the usual, in standard deviations
    sentiment_z: float  #: their summed sentiment in standard deviations, with its sign


_UNKNOWN = Figures(*(math.nan for _ in fields(Figures)))


class MarketFigures:
    """Takes pulses in order of time; each update costs the same, however long the history is."""

    def __init__(self) -> None:
        self._ranges, self._volumes = _TimeOfDay(), _TimeOfDay()
        self._days, self._day = 0, 0
        self._log_level = 0.0
        self._trend, self._spread = _Fading(TREND_HALF_LIFE), _Fading(2.0 * TREND_HALF_LIFE)
        self._activity = _Fading(ACTIVITY_HALF_LIFE)
        self._moves, self._activities = _Past(), _Past()
        self._levels: deque[float] = deque(maxlen=BREAKOUT_BARS)
        self._recent: deque[float] = deque(maxlen=BURST_BARS)
        self._news = _News()

    def update(self, pulse: Pulse) -> Figures:
        local = pulse.close_time.astimezone(IST)
        self._days += local.toordinal() != self._day
        self._day = local.toordinal()
        news_z, sentiment_z = self._news.update(pulse)
        if not math.isfinite(pulse.moved):
            return replace(_UNKNOWN, level=self._level, news_z=news_z, sentiment_z=sentiment_z)
        minute = local.hour * 60 + local.minute
        usual = self._ranges.usual(minute)
        plain = self._ranges.update(minute, log(max(pulse.true_range, _FLAT)))
        move_z, burst_z = self._move(pulse.moved, exp(usual))
        activity = self._activity.update(plain)
        known = self._days > _LEAST_VISITS
        return Figures(
            level=self._level,
            trend=self._direction(pulse.moved),
            activity=activity if known else math.nan,
            move_z=move_z if known else math.nan,
            burst_move_z=burst_z if known else math.nan,
            volatility_z=self._volatility(activity) if known else math.nan,
            volume_surprise=self._loudness(minute, pulse.volume_surprise) if known else math.nan,
            range_break=self._breaks(),
            up=pulse.up,
            down=pulse.down,
            news_z=news_z,
            sentiment_z=sentiment_z,
        )

    @property
    def _level(self) -> float:
        return 100.0 * exp(self._log_level)

    def _direction(self, moved: float) -> float:
        trend, spread = self._trend.update(moved), math.sqrt(self._spread.update(moved * moved))
        if self._trend.seen < 2.0 * TREND_HALF_LIFE or spread < _FLAT:
            return math.nan
        return trend / spread * math.sqrt(self._trend.effective)

    def _move(self, moved: float, usual: float) -> tuple[float, float]:
        """The move of this bar and of the last few, each in robust deviations of the bars before."""
        scaled = moved / usual
        scale = _NORMAL * self._moves.median()
        self._recent.append(scaled)
        self._moves.add(abs(scaled))
        self._log_level += moved
        if not scale > _FLAT * _FLAT:
            return math.nan, math.nan
        return scaled / scale, math.fsum(self._recent) / (scale * math.sqrt(BURST_BARS))

    def _volatility(self, activity: float) -> float:
        middle, spread = self._activities.median(), _NORMAL * self._activities.deviation()
        self._activities.add(activity)
        return (activity - middle) / spread if spread > _FLAT else math.nan

    def _loudness(self, minute: int, surprise: float) -> float:
        if math.isnan(surprise):
            return math.nan
        return self._volumes.update(minute, surprise)

    def _breaks(self) -> float:
        full = len(self._levels) == BREAKOUT_BARS
        above = full and self._log_level > max(self._levels)
        below = full and self._log_level < min(self._levels)
        self._levels.append(self._log_level)
        return (1.0 if above else -1.0 if below else 0.0) if full else math.nan


class _Fading:
    """An exponential mean whose weights sum to one from the first value on."""

    def __init__(self, half_life: float):
        self._keeps = halving(half_life)
        self._sum = self._weight = 0.0
        self.seen = 0

    @property
    def effective(self) -> float:
        """Values of equal weight that a mean would be as certain with."""
        return (1.0 + self._keeps) / (1.0 - self._keeps)

    def update(self, value: float) -> float:
        self._sum = self._keeps * self._sum + value
        self._weight = self._keeps * self._weight + 1.0
        self.seen += 1
        return self._sum / self._weight

    @property
    def mean(self) -> float:
        return self._sum / self._weight if self.seen else math.nan


class _TimeOfDay:
    """How a figure usually stands at a time of day against its recent mean, by minute of the day."""

    def __init__(self) -> None:
        self._away: dict[int, tuple[float, int]] = {}
        self._recent = _Fading(TREND_HALF_LIFE)

    def usual(self, minute: int) -> float:
        away, visits = self._away.get(minute, (0.0, 0))
        return away if visits >= _LEAST_VISITS else 0.0

    def update(self, minute: int, value: float) -> float:
        """The value with what is usual at that time taken off, as known before it."""
        plain = value - self.usual(minute)
        if self._recent.seen:
            away, visits = self._away.get(minute, (0.0, 0))
            self._away[minute] = (away + (value - self._recent.mean - away) / (visits + 1), visits + 1)
        self._recent.update(plain)
        return plain


class _Past:
    """The last PAST_BARS values in order of size; a median costs nothing, a value the move of a few hundred numbers."""

    def __init__(self) -> None:
        self._queue: deque[float] = deque()
        self._ordered: list[float] = []

    def add(self, value: float) -> None:
        self._queue.append(value)
        insort(self._ordered, value)
        if len(self._queue) > PAST_BARS:
            del self._ordered[bisect_left(self._ordered, self._queue.popleft())]

    def median(self) -> float:
        return self._ordered[len(self._ordered) // 2] if len(self._queue) >= LEAST_BARS else math.nan

    def deviation(self) -> float:
        """Median absolute deviation, taken as half the distance between the quartiles: the same where symmetric."""
        if len(self._queue) < LEAST_BARS:
            return math.nan
        quarter = len(self._ordered) // 4
        return (self._ordered[-1 - quarter] - self._ordered[quarter]) / 2.0


class _News:
    """Bursts of news against their own past; unknown until there was some, so that a run without news stays unknown."""

    def __init__(self) -> None:
        self._items: deque[int] = deque(maxlen=BURST_BARS)
        self._sentiment: deque[float] = deque(maxlen=BURST_BARS)
        self._mean, self._square = _Fading(NEWS_HALF_LIFE), _Fading(NEWS_HALF_LIFE)
        self._sentiment_square = _Fading(NEWS_HALF_LIFE)
        self._seen = 0

    def update(self, pulse: Pulse) -> tuple[float, float]:
        self._seen += pulse.items
        self._items.append(pulse.items)
        self._sentiment.append(pulse.sentiment)
        items, sentiment = float(sum(self._items)), math.fsum(self._sentiment)
        mean, square, power = self._mean.mean, self._square.mean, self._sentiment_square.mean
        self._mean.update(items)
        self._square.update(items * items)
        self._sentiment_square.update(sentiment * sentiment)
        if self._seen - pulse.items < LEAST_NEWS or self._mean.seen <= LEAST_BARS:
            return math.nan, math.nan
        spread = math.sqrt(max(square - mean * mean, mean))  # no narrower than that of chance arrivals
        return (items - mean) / spread, sentiment / math.sqrt(max(power, 1e-4))
