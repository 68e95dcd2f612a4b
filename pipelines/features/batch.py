"""Features of a whole history: the compiled step, looped over each instrument in turn."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE, Interval
from pipelines.domain.corporate_actions import adjustments
from pipelines.domain.instruments import Kind
from pipelines.features.catalogue import FEATURE_NAMES, MARKET_NAMES
from pipelines.features.state import IN, INPUTS, MARKET_STATE
from pipelines.features.step import new_states, step_bars, step_market, step_returns

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class FeatureTables:
    """The market's table, and the instruments' tables one after another: only one is in memory at a time."""

    market: pd.DataFrame
    rows: Iterator[tuple[str, pd.DataFrame]]


@dataclass(frozen=True)
class Market:
    """The market at every close at which a stock has a bar."""

    times: np.ndarray  #: microseconds since 1970, shape (n,), ascending
    values: np.ndarray  #: shape (n, market features)
    state: np.ndarray  #: after the last close, shape (1,)

    def at(self, times: np.ndarray) -> np.ndarray:
        """Rows of the closes `times`, each of which must be one of the market's."""
        return self.values[np.searchsorted(self.times, times)]


def build_features(
    bars: Mapping[str, pd.DataFrame], news: pd.DataFrame, instruments: pd.DataFrame, interval: Interval
) -> FeatureTables:
    """Features of every stock at every bar's close, from what was known then.

    Parameters
    ----------
    bars : mapping of symbol to DataFrame of shape (n_bars, 9)
        Validated columns, sorted by `open_time`; may read lazily, each is asked for two or three times.
    news : DataFrame with `symbol, time, sentiment`
        An item counts from the first bar that closes at or after its time.
    instruments : DataFrame with `symbol, kind, has_volume`
        Indices get no rows.
    interval : Interval
        Of the bars. The features are the same for all; the catalogue's hash is not.

    Returns
    -------
    FeatureTables
        `market` with `close_time` and the market features, `rows` with `symbol, close_time` and one float64 column a
        feature, in the catalogue's order; NaN for the first `look_back` bars of an instrument.
    """
    Interval(interval)
    volumes = stocks_with_volume(instruments)
    symbols = sorted(set(bars) & set(volumes))
    market = market_history(bars, symbols)
    return FeatureTables(market_table(market), _tables(bars, news, symbols, volumes, market))


def stocks_with_volume(instruments: pd.DataFrame) -> dict[str, bool]:
    """The stocks by symbol, and whether their source has volume."""
    stocks = instruments[instruments["kind"] == Kind.STOCK.value]
    return {str(symbol): bool(known) for symbol, known in zip(stocks["symbol"], stocks["has_volume"], strict=True)}


def market_history(bars: Mapping[str, pd.DataFrame], symbols: list[str]) -> Market:
    """The equal-weighted market of `symbols`; sums run in the order of `symbols`, as they do online."""
    times = np.empty(0, dtype=np.int64)
    for symbol in symbols:
        times = np.union1d(times, microseconds(bars[symbol]["close_time"]))
    summed, stocks, rose = np.zeros(len(times)), np.zeros(len(times)), np.zeros(len(times))
    for symbol in symbols:
        frame = bars[symbol]
        if len(frame) < 2:
            continue
        at = np.searchsorted(times, microseconds(frame["close_time"])[1:])
        closes = frame["close"].to_numpy(np.float64) * adjustments(frame)
        returns = step_returns(closes[1:], closes[0])
        summed[at] += returns
        stocks[at] += 1.0
        rose[at] += rises(returns)
    state = new_states(1, MARKET_STATE)
    return Market(times, step_market(state, summed, stocks, rose), state)


def rises(returns: np.ndarray) -> np.ndarray:
    """1 where a return is above zero, a half where it is zero: their mean over the stocks is the breadth."""
    return np.where(returns > 0.0, 1.0, np.where(returns == 0.0, 0.5, 0.0))


def market_table(market: Market) -> pd.DataFrame:
    frame = pd.DataFrame(market.values, columns=list(MARKET_NAMES))
    frame.insert(0, "close_time", _close_times(market.times))
    return frame


def instrument_rows(
    frame: pd.DataFrame, news: pd.DataFrame, has_volume: bool, market: Market, state: np.ndarray
) -> np.ndarray:
    """Feature rows of one instrument, shape (n_bars, features); `state` (1,) moves on."""
    times = microseconds(frame["close_time"])
    return step_bars(state, step_inputs(frame, times, news, has_volume), market.at(times))


def step_inputs(frame: pd.DataFrame, times: np.ndarray, news: pd.DataFrame, has_volume: bool) -> np.ndarray:
    """What the step is given for each bar, adjusted for corporate actions, shape (n_bars, inputs)."""
    local = frame["close_time"].dt.tz_convert(IST).dt
    inputs = np.zeros((len(frame), len(INPUTS)))
    factors = adjustments(frame)
    for name in ("open", "high", "low", "close"):
        inputs[:, getattr(IN, name)] = frame[name].to_numpy(np.float64) * factors
    inputs[:, IN.volume] = frame["volume"].to_numpy(np.float64) / factors if has_volume else np.nan
    inputs[:, IN.session] = microseconds(local.tz_localize(None)) // MICROSECONDS_PER_DAY
    inputs[:, IN.minute] = local.hour * 60 + local.minute
    inputs[:, IN.weekday] = local.dayofweek
    inputs[:, IN.month] = local.month
    _add_news(inputs, times, news)
    return inputs


def _add_news(inputs: np.ndarray, times: np.ndarray, news: pd.DataFrame) -> None:
    """Each item goes to the first bar that closes at or after it; items after the last bar are not known yet."""
    known = news[news["sentiment"].notna()].sort_values(["time", "sentiment"], kind="stable")
    at = np.searchsorted(times, microseconds(known["time"]), side="left")
    for bar, sentiment in zip(at, known["sentiment"], strict=True):
        if bar < len(times):
            inputs[bar, IN.news_sentiment] += sentiment
            inputs[bar, IN.news_items] += 1.0


def _tables(
    bars: Mapping[str, pd.DataFrame], news: pd.DataFrame, symbols: list[str], volumes: dict[str, bool], market: Market
) -> Iterator[tuple[str, pd.DataFrame]]:
    for symbol in symbols:
        frame = bars[symbol]
        values = instrument_rows(frame, news[news["symbol"] == symbol], volumes[symbol], market, new_states(1))
        table = pd.DataFrame(values, columns=list(FEATURE_NAMES))
        table.insert(0, "close_time", _close_times(microseconds(frame["close_time"])))
        table.insert(0, "symbol", symbol)
        yield symbol, table


def microseconds(times: pd.Series) -> np.ndarray:
    """Times as microseconds since 1970 (UTC for times with a zone), shape (n,)."""
    return times.dt.as_unit("us").astype("int64").to_numpy()


def _close_times(times: np.ndarray) -> pd.Series:
    return pd.Series(pd.to_datetime(times, unit="us", utc=True)).astype(TIME_DTYPE)
