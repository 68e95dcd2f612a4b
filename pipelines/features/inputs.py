"""What the steps are given for each bar, from a table of bars and the news on their instrument."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from pipelines.domain.corporate_actions import adjustments
from pipelines.features.state import IN, INPUTS

MICROSECONDS_PER_DAY = 86_400_000_000
MICROSECONDS_PER_HOUR = 3_600_000_000
MICROSECONDS_PER_MINUTE = 60_000_000
IST_US = 330 * MICROSECONDS_PER_MINUTE  #: India is ahead of UTC by five hours and a half, all year since 1945
THURSDAY = 3  #: the weekday of 1970-01-01, Monday is 0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Said:
    """News on one instrument, by time, then by sentiment; those without one last."""

    times: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))  #: microseconds since 1970
    sentiments: np.ndarray = field(default_factory=lambda: np.empty(0))


def news_by_symbol(news: pd.DataFrame) -> dict[str, Said]:
    """The news of a table with `symbol, time, sentiment`, instrument by instrument; one without news is left out."""
    codes, symbols = pd.factorize(news["symbol"])
    times, sentiments = microseconds(news["time"]), news["sentiment"].to_numpy(np.float64)
    order = np.lexsort((sentiments, times, codes))
    starts = np.searchsorted(codes[order], np.arange(len(symbols) + 1))
    return {
        str(symbol): Said(times[order[first:last]], sentiments[order[first:last]])
        for symbol, first, last in zip(symbols, starts[:-1], starts[1:], strict=True)
    }


def bar_inputs(frame: pd.DataFrame, times: np.ndarray, news: Said, has_volume: bool) -> np.ndarray:
    """Rows of `state.INPUTS`, shape (n_bars, inputs), without what other instruments tell.

    Parameters
    ----------
    frame : DataFrame of validated bars; their prices and volumes are adjusted for corporate actions
    times : array of shape (n_bars,), their closes, microseconds since 1970
    news : of the instrument alone
    has_volume : whether the source tells volumes
    """
    local = times + IST_US
    days = local // MICROSECONDS_PER_DAY
    factor = adjustments(frame)
    inputs = np.zeros((len(frame), len(INPUTS)))
    for name in ("open", "high", "low", "close"):
        inputs[:, getattr(IN, name)] = frame[name].to_numpy(np.float64) * factor
    inputs[:, IN.volume] = frame["volume"].to_numpy(np.float64) / factor if has_volume else np.nan
    inputs[:, IN.session] = days
    inputs[:, IN.minute] = (local - days * MICROSECONDS_PER_DAY) // MICROSECONDS_PER_MINUTE
    inputs[:, IN.weekday] = (days + THURSDAY) % 7
    inputs[:, IN.month] = _months(days)
    inputs[:, IN.hour] = times / MICROSECONDS_PER_HOUR
    inputs[:, IN.market_return] = inputs[:, IN.nifty_return] = np.nan
    _add_news(inputs, times, news)
    return inputs


def _months(days: np.ndarray) -> np.ndarray:
    """Month of each day (days since 1970), 1 to 12; bars of a day stand together, so few days are looked at."""
    starts = np.flatnonzero(np.diff(days, prepend=days[:1] - 1))
    months = days[starts].astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    return np.repeat(months, np.diff(starts, append=len(days)))


def _add_news(inputs: np.ndarray, times: np.ndarray, news: Said) -> None:
    """Each item goes to the first bar that closes at or after it; items after the last bar are not known yet."""
    at = np.searchsorted(times, news.times, side="left")
    for bar, time, sentiment in zip(at.tolist(), news.times.tolist(), news.sentiments.tolist(), strict=True):
        if bar < len(times):
            add_item(inputs[bar], time, sentiment)


def add_item(row: np.ndarray, time: int, sentiment: float) -> None:
    """Add a news item, of a time in microseconds since 1970; without a sentiment (NaN) it counts, and says nothing."""
    if sentiment == sentiment:
        row[IN.news_sentiment] += sentiment
        row[IN.news_squares] += sentiment * sentiment
        row[IN.news_levels] += 1.0
    row[IN.news_items] += 1.0
    row[IN.news_hour] = max(row[IN.news_hour], time / MICROSECONDS_PER_HOUR)


def microseconds(times: pd.Series) -> np.ndarray:
    """Times as microseconds since 1970 (UTC for times with a zone), shape (n,)."""
    return times.to_numpy("datetime64[us]").astype(np.int64)


def moment_us(moment: datetime) -> int:
    """A moment with a zone as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND
