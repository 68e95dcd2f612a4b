"""Volumes that are no shares traded in their bar: nothing at all, running totals, lakhs."""

import numpy as np
import pandas as pd

from pipelines.domain.errors import BadInput
from pipelines.domain.listings import current_symbol
from pipelines.ingest.universe import usual_volumes

_FEW_ROWS = 30  #: below so many nothing is said
_BARS_A_DAY = 4  #: below so many within a day a rise says nothing
_RISES = 0.99  #: share of steps within a day at which a running total does not fall
_GROWS = 2.0  #: a day's last value over its first, in the median, of a running total
_FRACTIONS, _SMALL = 0.5, 1_000  #: share of volumes with a fraction, and their median, of lakhs or thousands
_FAR_BELOW = 500  #: times below a share's usual day
_LEAST_VALUE = 50_000.0  #: rupees that a listed share trades on a day in the median, if any; less is told


def checked_volumes(rows: pd.DataFrame, symbol: str, file: str, *, daily: bool) -> tuple[pd.Series, list[str]]:
    """The volumes of a traded instrument's rows, mended where the file itself says how, and what was done or is odd.

    Parameters
    ----------
    rows : open_time, close, volume; in the file's order

    Raises
    ------
    BadInput : if they are a daily running total, or fractions of another unit.
    """
    volume = rows["volume"]
    if not len(rows) or not (volume > 0).any():
        return volume, [f"{file}: volume is 0 in all rows: read as without volume"] if len(rows) else []
    notes = []
    if len(volume) >= _FEW_ROWS and volume.nunique() == 1:
        notes.append(f"{file}: volume is {volume.iloc[0]:,.0f} in all rows: look whether a program filled it in")
    if daily:
        _refuse_total(rows, file)
    elif _totals_of_days(rows):
        volume = _differences(rows)
        notes.append(f"{file}: volume is the day's running total: read as the rise from row to row")
    traded = volume[volume > 0]
    if len(traded) >= _FEW_ROWS and (traded % 1 != 0).mean() > _FRACTIONS and traded.median() < _SMALL:
        raise BadInput(
            f"{file}: volumes are fractions such as {traded.iloc[0]:g}, so no shares; in lakhs or thousands? Say so in "
            "the header, e.g. Volume (lakhs), or write shares"
        )
    return volume, notes + _too_small(rows.assign(volume=volume), symbol, file)


def _totals_of_days(rows: pd.DataFrame) -> bool:
    ordered = rows.sort_values("open_time", kind="stable")
    days = ordered.groupby(ordered["open_time"].dt.normalize())["volume"]
    if len(rows) < _FEW_ROWS or days.size().median() < _BARS_A_DAY:
        return False
    steps = days.diff().dropna()
    grown = (days.last() / days.first().clip(lower=1)).median()
    return bool((steps >= 0).mean() >= _RISES and grown > _GROWS)


def _differences(rows: pd.DataFrame) -> pd.Series:
    ordered = rows.sort_values("open_time", kind="stable")
    days = ordered.groupby(ordered["open_time"].dt.normalize())["volume"]
    return days.diff().fillna(ordered["volume"]).clip(lower=0).reindex(rows.index)


def _refuse_total(rows: pd.DataFrame, file: str) -> None:
    ordered = rows.sort_values("open_time", kind="stable")["volume"]
    steps = ordered.diff().dropna()
    if len(rows) >= _FEW_ROWS and (steps >= 0).mean() >= _RISES and ordered.iloc[-1] > _GROWS * max(ordered.iloc[0], 1):
        raise BadInput(f"{file}: volume never falls from day to day: a running total; give the shares of each day")


def _too_small(rows: pd.DataFrame, symbol: str, file: str) -> list[str]:
    days = rows.groupby(rows["open_time"].dt.normalize()).agg(volume=("volume", "sum"), close=("close", "median"))
    shares, value = float(days["volume"].median()), float((days["volume"] * days["close"]).median())
    if len(rows) < _FEW_ROWS or np.isnan(value):
        return []
    usual = usual_volumes().get(current_symbol(symbol))
    if usual is not None and 0 < shares < usual / _FAR_BELOW:
        return [f"{file}: volume looks too small: {shares:,.0f} shares a day in the median, some {usual:,} are usual; "
                "in lakhs or thousands? Say so in the header, e.g. Volume (lakhs)"]  # fmt: skip
    if usual is None and 0 < value < _LEAST_VALUE:
        return [f"{file}: volume looks too small: a median day trades for {value:,.0f} rupees; in lakhs or thousands? "
                "Say so in the header, e.g. Volume (lakhs)"]  # fmt: skip
    return []
