"""The market's pulse at a close: what its stocks did in the bar, summed, and what was said about them.

Each bar adds to the sums of its close by one compiled step, in the batch as live; the stocks are added in the order of
their symbols. So the sums are equal to the bit, and only what a step remembers is kept of an instrument.
"""

import math
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Bar
from pipelines.domain.compiled import kept
from pipelines.domain.corporate_actions import adjustments
from pipelines.domain.instruments import Kind
from pipelines.domain.news import News
from pipelines.domain.portable_math import halving, log

#: Earlier bars whose highest and lowest are a stock's range
RANGE_BARS = 55
#: Half-life in bars of the volume that counts as usual
_VOLUME_KEEPS = halving(60.0)

#: What a bar adds to the sums of its close
SUMS = (
    "known",  # stocks with a bar before
    "moved",  # log return over that bar
    "true_range",  # log of the highest over the lowest price since that bar's close
    "volume_known",  # stocks whose volume and usual volume are known
    "volume_surprise",  # log of the volume over the usual one
    "ready",  # stocks whose range is known as well
    "up",  # of these: closed above their range with volume
    "down",  # of these: closed below it with volume
)
SUM: Any = namedtuple("SUM", SUMS)(*range(len(SUMS)))  # type: ignore[misc]

_ring = (np.float64, (RANGE_BARS,))
STATE = np.dtype(
    [
        ("count", np.int64),
        ("close", np.float64),
        ("volume", np.float64),
        ("volumes", np.int64),
        ("highs", *_ring),
        ("lows", *_ring),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True)
class Pulse:
    """One close of the market; shares and means are over the stocks that know the figure, NaN where none does."""

    close_time: datetime
    moved: float  #: mean log return
    true_range: float  #: mean log true range
    volume_surprise: float  #: mean log of the volume over the usual one
    up: float  #: share of stocks that left their range upwards with volume
    down: float  #: the same downwards
    items: int  #: news items since the close before
    sentiment: float  #: their sum, 0 without any


@kept(error_model="numpy")
def pulse_step(state, high, low, close, volume, breakout_volume, out):
    """What one bar adds, shape (len(SUMS),); `state` moves on. Prices and volume adjusted; volume NaN where unknown."""
    s = state[0]
    out[:] = 0.0
    before = s.close
    surprise = math.nan
    if volume >= 0.0:
        if s.volumes >= 20:
            surprise = log((volume + 1.0) / (s.volume + 1.0))
            out[SUM.volume_known] = 1.0
            out[SUM.volume_surprise] = surprise
        keeps = min(_VOLUME_KEEPS, s.volumes / (s.volumes + 1.0))  # a plain mean until it is long enough
        s.volume = keeps * s.volume + (1.0 - keeps) * volume
        s.volumes += 1
    if s.count > 0:
        out[SUM.known] = 1.0
        out[SUM.moved] = log(close / before)
        out[SUM.true_range] = log(max(high, before) / min(low, before))
    if s.count >= RANGE_BARS and not math.isnan(surprise):
        out[SUM.ready] = 1.0
        loud = surprise >= breakout_volume
        out[SUM.up] = 1.0 if loud and close > s.highs.max() else 0.0
        out[SUM.down] = 1.0 if loud and close < s.lows.min() else 0.0
    at = s.count % RANGE_BARS
    s.highs[at] = high
    s.lows[at] = low
    s.close = close
    s.count += 1


@kept(error_model="numpy")
def _pulse_bars(state, prices, volumes, breakout_volume, out):
    for i in range(len(volumes)):
        pulse_step(state, prices[i, 0], prices[i, 1], prices[i, 2], volumes[i], breakout_volume, out[i])


def observed_instruments(instruments: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    """Whose bars make the pulse, and whether they have volume: the stocks, or the indices where there is no stock."""
    rows = [(str(row["symbol"]), Kind(row["kind"]), bool(row["has_volume"])) for row in instruments]
    stocks = {symbol: volume for symbol, kind, volume in rows if kind is Kind.STOCK}
    return stocks or {symbol: volume for symbol, _, volume in rows}


class MarketPulse:
    """The pulse close by close.

    Parameters
    ----------
    volumes : whether each symbol has volume, as `observed_instruments` gives it
    breakout_volume : times the usual volume that a breakout needs
    """

    def __init__(self, volumes: Mapping[str, bool], breakout_volume: float):
        self._volumes = {symbol: volumes[symbol] for symbol in sorted(volumes)}
        self._loud = log(breakout_volume)
        self._states = {symbol: np.zeros(1, dtype=STATE) for symbol in self._volumes}
        self._waiting: list[News] = []  # for the next close at which a stock has a bar

    def history(self, bars: Mapping[str, pd.DataFrame], news: pd.DataFrame) -> list[Pulse]:
        """The pulses of a whole history, one instrument in memory at a time; the states move on to its end.

        Parameters
        ----------
        bars : by symbol; validated columns sorted by time (without `adjustment`: never split); each is asked for twice
        news : columns symbol, time, sentiment
        """
        symbols = [symbol for symbol in self._volumes if symbol in bars]
        times = np.empty(0, dtype=np.int64)
        for symbol in symbols:
            times = np.union1d(times, _microseconds(bars[symbol]["close_time"]))
        sums = np.zeros((len(times), len(SUMS)))
        for symbol in symbols:
            frame = bars[symbol]
            sums[np.searchsorted(times, _microseconds(frame["close_time"]))] += self._added(symbol, frame)
        items, sentiment = _news_by_close(news[news["symbol"].isin(self._volumes)], times)
        late = news[_microseconds(news["time"]) > times[-1]] if len(times) else news
        self._waiting = [
            News(str(symbol), time.to_pydatetime(), float(sentiment))
            for symbol, time, sentiment in zip(late["symbol"], late["time"], late["sentiment"], strict=True)
            if symbol in self._volumes
        ]
        closes = pd.Series(pd.to_datetime(times, unit="us", utc=True)).astype(TIME_DTYPE)
        return [
            _pulse(close.to_pydatetime(), row, count, said)
            for close, row, count, said in zip(closes, sums, items, sentiment, strict=True)
        ]

    def update(self, close_time: datetime, bars: Mapping[str, Bar], news: Sequence[News] = ()) -> Pulse | None:
        """The pulse of one more close, from its bars and the news learnt since; None where no stock has a bar."""
        self._waiting += [item for item in news if item.symbol in self._volumes]
        added, sums = np.zeros(len(SUMS)), np.zeros(len(SUMS))
        present = [symbol for symbol in self._states if symbol in bars]
        for symbol in present:
            bar = bars[symbol]
            volume = bar.volume / bar.adjustment if self._volumes[symbol] else math.nan
            prices = (bar.high * bar.adjustment, bar.low * bar.adjustment, bar.close * bar.adjustment)
            pulse_step(self._states[symbol], *prices, volume, self._loud, added)
            sums += added
        if not present:
            return None
        due = [item.sentiment for item in self._waiting if item.time <= close_time]
        self._waiting = [item for item in self._waiting if item.time > close_time]
        return _pulse(close_time, sums, len(due), math.fsum(value for value in due if not math.isnan(value)))

    def _added(self, symbol: str, frame: pd.DataFrame) -> np.ndarray:
        factor = adjustments(frame)
        prices = frame[["high", "low", "close"]].to_numpy(np.float64) * factor[:, None]
        known = self._volumes[symbol]
        volumes = frame["volume"].to_numpy(np.float64) / factor if known else np.full(len(frame), math.nan)
        out = np.zeros((len(frame), len(SUMS)))
        _pulse_bars(self._states[symbol], prices, volumes, self._loud, out)
        return out


def _pulse(close_time: datetime, sums: np.ndarray, items: int, sentiment: float) -> Pulse:
    known, moved, true_range, volume_known, surprise, ready, up, down = sums.tolist()
    return Pulse(
        close_time=close_time,
        moved=moved / known if known else math.nan,
        true_range=true_range / known if known else math.nan,
        volume_surprise=surprise / volume_known if volume_known else math.nan,
        up=up / ready if ready else math.nan,
        down=down / ready if ready else math.nan,
        items=int(items),
        sentiment=float(sentiment),
    )


def _news_by_close(news: pd.DataFrame, times: np.ndarray) -> tuple[list[int], list[float]]:
    """How many items each close is the first to know, and the sum of their sentiment; exact, in whatever order."""
    said: dict[int, list[float]] = {}
    places = np.searchsorted(times, _microseconds(news["time"]), side="left").tolist() if len(news) else []
    for place, sentiment in zip(places, news["sentiment"], strict=True):
        said.setdefault(place, []).append(float(sentiment))
    items = [len(said.get(i, ())) for i in range(len(times))]
    return items, [math.fsum(v for v in said.get(i, ()) if not math.isnan(v)) for i in range(len(times))]


def _microseconds(times: pd.Series) -> np.ndarray:
    return times.dt.as_unit("us").astype("int64").to_numpy()
