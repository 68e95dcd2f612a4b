"""Features bar by bar: the same compiled step as the batch, on states that move with the market."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, Bar, Interval
from pipelines.domain.corporate_actions import adjustments
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.news import News
from pipelines.features.batch import instrument_rows, market_history, rises
from pipelines.features.catalogue import FEATURE_NAMES, MARKET_NAMES, catalogue_hash
from pipelines.features.state import INPUTS, MARKET_STATE
from pipelines.features.step import new_states, step_bars, step_market, step_returns

_EPOCH = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - a day number, no moment


@dataclass(frozen=True, slots=True)
class OnlineRows:
    close_time: datetime
    rows: dict[str, dict[str, float]]  #: by symbol, only of those with a bar at this close
    market: dict[str, float]  #: empty when no stock has a bar


class OnlineFeatures:
    """Features of a set of instruments at each close.

    `replay` takes the history in one stroke; after it, `update` gives the rows the batch builder would give, equal to
    the bit. Without it the features warm up from the first update on, and those with an endless memory (exponential
    means, RSI, ATR, ADX) come near the batch's only with time.

    Parameters
    ----------
    instruments : sequence of Instrument
        Indices are accepted and get no rows.
    interval : Interval
        Of the bars that will come.
    """

    def __init__(self, instruments: Sequence[Instrument], interval: Interval):
        stocks = sorted((item for item in instruments if item.kind is Kind.STOCK), key=lambda item: item.symbol)
        self.catalogue_hash = catalogue_hash(interval)
        self._has_volume = {item.symbol: item.has_volume for item in stocks}
        self._states = {symbol: new_states(1) for symbol in self._has_volume}
        self._last_close = dict.fromkeys(self._has_volume, math.nan)
        self._market = new_states(1, MARKET_STATE)
        self._news: dict[str, list[News]] = {symbol: [] for symbol in self._has_volume}
        self._now: datetime | None = None

    def replay(self, bars: Mapping[str, pd.DataFrame], news: pd.DataFrame) -> None:
        """Take in a history, as `batch.build_features` does; only before the first update.

        Raises
        ------
        BadInput : if something was taken in before.
        """
        if self._now is not None:
            raise BadInput(f"history must come before the first update, but {self._now} is known already; start anew")
        symbols = [symbol for symbol in self._states if symbol in bars and len(bars[symbol])]
        if not symbols:
            return
        market = market_history(bars, symbols)
        self._market = market.state
        for symbol in symbols:
            frame = bars[symbol]
            of_symbol = news[news["symbol"] == symbol]
            instrument_rows(frame, of_symbol, self._has_volume[symbol], market, self._states[symbol])
            self._last_close[symbol] = float(frame["close"].iloc[-1] * adjustments(frame)[-1])
            waiting = of_symbol[of_symbol["time"] > frame["close_time"].iloc[-1]]
            self._news[symbol] = [
                News(symbol, time.to_pydatetime(), float(sentiment))
                for time, sentiment in zip(waiting["time"], waiting["sentiment"], strict=True)
            ]
        self._now = max(bars[symbol]["close_time"].iloc[-1] for symbol in symbols).to_pydatetime()

    def update(self, close_time: datetime, bars: Mapping[str, Bar], news: Sequence[News] = ()) -> OnlineRows:
        """Features at one close.

        Parameters
        ----------
        close_time : datetime with a zone, later than the one before
        bars : mapping of symbol to Bar
            The bars that close now; a symbol without trades is left out. Unknown symbols and indices are passed over.
        news : sequence of News
            Items learnt since the update before; one with a later time waits for its bar.

        Returns
        -------
        OnlineRows with NaN for features that still warm up.

        Raises
        ------
        BadInput : if time does not move on, or a bar closes at another time.
        """
        present = [symbol for symbol in self._states if symbol in bars]
        self._check(close_time, {symbol: bars[symbol] for symbol in present})
        self._now = close_time
        for item in news:
            if item.symbol in self._news:
                self._news[item.symbol].append(item)
        if not present:
            return OnlineRows(close_time, {}, {})
        market = self._step_market(present, bars)
        local = close_time.astimezone(IST)
        moment = (local.toordinal() - _EPOCH, local.hour * 60 + local.minute, local.weekday(), local.month)
        rows = {}
        for symbol in present:
            values = step_bars(self._states[symbol], self._inputs(bars[symbol], moment, close_time), market)
            rows[symbol] = dict(zip(FEATURE_NAMES, values[0].tolist(), strict=True))
        return OnlineRows(close_time, rows, dict(zip(MARKET_NAMES, market[0].tolist(), strict=True)))

    def _check(self, close_time: datetime, bars: Mapping[str, Bar]) -> None:
        if self._now is not None and close_time <= self._now:
            raise BadInput(f"bars must close after {self._now}, but these close at {close_time}; a bar is given once")
        for symbol, bar in bars.items():
            if bar.close_time != close_time:
                raise BadInput(f"{symbol}: the bar closes at {bar.close_time}, but the update is for {close_time}")

    def _step_market(self, present: list[str], bars: Mapping[str, Bar]) -> np.ndarray:
        closes = np.array([bars[symbol].close * bars[symbol].adjustment for symbol in present])
        returns = np.array(
            [step_returns(closes[i : i + 1], self._last_close[symbol])[0] for i, symbol in enumerate(present)]
        )
        known = returns[~np.isnan(returns)]
        summed = rose = 0.0
        for moved, share in zip(known.tolist(), rises(known).tolist(), strict=True):  # one by one, as the batch adds
            summed += moved
            rose += share
        self._last_close.update(zip(present, closes.tolist(), strict=True))
        return step_market(self._market, np.array([summed]), np.array([float(len(known))]), np.array([rose]))

    def _inputs(self, bar: Bar, moment: tuple[int, int, int, int], close_time: datetime) -> np.ndarray:
        factor = bar.adjustment
        volume = float(bar.volume) / factor if self._has_volume[bar.symbol] else math.nan
        sentiment, items = self._take_news(bar.symbol, close_time)
        prices = (bar.open * factor, bar.high * factor, bar.low * factor, bar.close * factor)
        said = (*prices, volume, *moment, sentiment, items)
        return np.array(said, dtype=np.float64).reshape(1, len(INPUTS))

    def _take_news(self, symbol: str, close_time: datetime) -> tuple[float, float]:
        waiting = self._news[symbol]
        if not waiting:
            return 0.0, 0.0
        due = [item for item in waiting if item.time <= close_time and not math.isnan(item.sentiment)]
        self._news[symbol] = [item for item in waiting if item.time > close_time]
        sentiment = 0.0
        for item in sorted(due, key=lambda item: (item.time, item.sentiment)):
            sentiment += item.sentiment
        return sentiment, float(len(due))
