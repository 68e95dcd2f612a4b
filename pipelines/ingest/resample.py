"""Finer bars joined to coarser ones inside their session: open of the first, close of the last, never over a break."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.session_grid import slots


@dataclass(frozen=True)
class Resampled:
    bars: pd.DataFrame  #: open_time, close_time, open, high, low, close, volume, source, source_row (of the first row)
    outside: int  #: rows before the open, in a pause or from the session's end on: in no bar
    unfinished: int = 0  #: rows of bars that were not over when the source's knowledge ends


def resample(rows: pd.DataFrame, interval: Interval, until: pd.Timestamp | None = None) -> Resampled:
    """Join rows to bars of `interval`.

    Parameters
    ----------
    rows : DataFrame with open_time, open, high, low, close, volume, source, source_row
        Sound, sorted bars without repeated times, each inside one bar of `interval`.
    interval : Interval
    until : Timestamp or None
        How far the source's knowledge reaches, e.g. the close of the last row of any instrument; bars that close later
        are not made. None: every bar is over.

    Returns
    -------
    Resampled. A bar's close time is the end of its interval, not that of its last row, so nothing in it is told early.
    A day's bar closes with the continuous session, or where it holds rows of stocks that trade on, with those.
    Rows of days without a session are joined on the regular hours, for validation to judge.
    """
    place = slots(rows["open_time"], interval)
    if interval is Interval.DAY:
        place["inside"] = slots(rows["open_time"], Interval.MIN_1)["inside"]
    inside = place["inside"].to_numpy()
    kept = rows[inside].assign(open_time=place.loc[inside, "open_time"], close_time=place.loc[inside, "close_time"])
    bars = kept.groupby("open_time", sort=True, as_index=False).agg(
        close_time=("close_time", "max"),
        open=("open", "first"),
        high=("high", "max"),
        low=("low", "min"),
        close=("close", "last"),
        volume=("volume", "sum"),
        source=("source", "first"),
        source_row=("source_row", "first"),
    )
    unfinished = 0
    if until is not None:
        over = bars["close_time"] <= until
        unfinished = int(kept["open_time"].isin(bars.loc[~over, "open_time"]).sum())
        bars = bars[over].reset_index(drop=True)
    return Resampled(bars, int(np.count_nonzero(~inside)), unfinished)
