"""What the steps are given for each bar, from a table of bars and the news on their instrument."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import adjustments
from pipelines.features.state import IN, INPUTS

MICROSECONDS_PER_DAY = 86_400_000_000
MICROSECONDS_PER_HOUR = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def bar_inputs(frame: pd.DataFrame, times: np.ndarray, news: pd.DataFrame, has_volume: bool) -> np.ndarray:
    """Rows of `state.INPUTS`, shape (n_bars, inputs), without what other instruments tell.

    Parameters
    ----------
    frame : DataFrame of validated bars; their prices and volumes are adjusted for corporate actions
    times : array of shape (n_bars,), their closes, microseconds since 1970
    news : DataFrame with `time, sentiment`, of the instrument alone
    has_volume : whether the source tells volumes
    """
    local = frame["close_time"].dt.tz_convert(IST).dt
    factor = adjustments(frame)
    inputs = np.zeros((len(frame), len(INPUTS)))
    for name in ("open", "high", "low", "close"):
        inputs[:, getattr(IN, name)] = frame[name].to_numpy(np.float64) * factor
    inputs[:, IN.volume] = frame["volume"].to_numpy(np.float64) / factor if has_volume else np.nan
    inputs[:, IN.session] = microseconds(local.tz_localize(None)) // MICROSECONDS_PER_DAY
    inputs[:, IN.minute] = local.hour * 60 + local.minute
    inputs[:, IN.weekday] = local.dayofweek
    inputs[:, IN.month] = local.month
    inputs[:, IN.hour] = times / MICROSECONDS_PER_HOUR
    inputs[:, IN.nifty_return] = np.nan
    _add_news(inputs, times, news)
    return inputs


def _add_news(inputs: np.ndarray, times: np.ndarray, news: pd.DataFrame) -> None:
    """Each item goes to the first bar that closes at or after it; items after the last bar are not known yet."""
    said = news.sort_values(["time", "sentiment"], kind="stable")
    item_times = microseconds(said["time"])
    at = np.searchsorted(times, item_times, side="left")
    for bar, time, sentiment in zip(at.tolist(), item_times.tolist(), said["sentiment"].tolist(), strict=True):
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
    return times.dt.as_unit("us").astype("int64").to_numpy()


def moment_us(moment: datetime) -> int:
    """A moment with a zone as microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND
