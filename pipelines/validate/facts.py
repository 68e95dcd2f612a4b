"""What judging needs to know of a row besides its own values: its neighbours, its session, its place."""

from collections.abc import Set

import numpy as np
import pandas as pd

from pipelines.domain.bars import PRICE_COLUMNS, Interval
from pipelines.domain.corporate_actions import adjusted
from pipelines.domain.session_grid import slots

BEFORE = 5  #: closes before a bar whose median its prices are held against


def with_facts(bars: pd.DataFrame, interval: Interval, ungapped: Set[str]) -> pd.DataFrame:
    """Bars of one instrument with the columns the suites speak of.

    Parameters
    ----------
    bars : DataFrame of raw or validated bars of one instrument, in the source's order; steps between them are measured
        on adjusted prices
    interval : Interval
    ungapped : symbols whose level may jump (indices): they have no corporate actions, some of them no ceiling

    Returns
    -------
    DataFrame with these columns more: `copies_before` (identical rows above), `rows_at_time` (different rows of one
    time), `in_order`, `on_session`, `in_hours`, `on_grid`, `deviation` (of the four prices from the closes before, as a
    share; 0 for `ungapped`), `overnight_gap` (open against the close of the day before,
    as a share; NaN within a day and for `ungapped`).
    """
    facts = bars.reset_index(drop=True)
    jumps = not (len(facts) and facts["symbol"].iloc[0] in ungapped)
    facts["copies_before"] = _copies_before(facts)
    facts["rows_at_time"] = (facts["copies_before"] == 0).groupby(facts["open_time"], dropna=False).transform("sum")
    facts["in_order"] = _in_order(facts["open_time"])
    facts = facts.join(_place(facts["open_time"], interval))
    comparable = adjusted(facts)
    facts["deviation"] = deviations(comparable) if jumps else 0.0
    facts["overnight_gap"] = overnight_gaps(comparable) if jumps else np.nan
    return facts


def overnight_gaps(bars: pd.DataFrame) -> pd.Series:
    """|open / close of the day before - 1| at the first bar of each day in time, NaN elsewhere."""
    ordered = bars.sort_values("open_time", kind="stable")
    day = ordered["open_time"].dt.normalize()
    gap = (ordered["open"] / ordered["close"].shift() - 1).abs()
    return gap.where(day.ne(day.shift())).reindex(bars.index)


def deviations(bars: pd.DataFrame) -> pd.Series:
    """How far a row's prices lie from what was traded just before, as a share; NaN where nothing was.

    Each price is held against the median of the closes before it, and against the last of them; the nearer counts.
    After a wild bar the median still stands, after a lasting step (a split) the last close does, so that either sets
    aside one bar only. Nothing later than the bar is looked at: a row fit for use stays so whatever follows.
    """
    ordered = bars.sort_values("open_time", kind="stable")
    before = ordered["close"].shift()
    references = (before.rolling(BEFORE, min_periods=1).median(), before)
    farthest = [(ordered[list(PRICE_COLUMNS)].div(reference, axis=0) - 1).abs().max(axis=1) for reference in references]
    return farthest[0].combine(farthest[1], np.minimum).replace(np.inf, np.nan).reindex(bars.index)


def _copies_before(bars: pd.DataFrame) -> pd.Series:
    values = ["open_time", *PRICE_COLUMNS, "volume"]
    if not bars["open_time"].duplicated().any():
        return pd.Series(0, index=bars.index)
    return bars.groupby(values, dropna=False).cumcount()


def _in_order(times: pd.Series) -> pd.Series:
    """Whether a row stands in its place; where order is broken, the smaller side is blamed.

    One stamp far ahead would put every later row behind it, one far back every earlier row before it.
    """
    stamps = times.astype("int64").where(times.notna())
    late = stamps < stamps.cummax()
    early = stamps > stamps[::-1].cummin()[::-1]
    return ~(late if late.sum() <= early.sum() else early)


def _place(times: pd.Series, interval: Interval) -> pd.DataFrame:
    known = times.dropna()
    place = slots(known, interval)
    # a row is judged once: what is not on a session's day is not also outside its hours
    found = pd.DataFrame(
        {
            "on_session": place["trades"],
            "in_hours": place["inside"] | ~place["trades"],
            "on_grid": (place["open_time"] == known) | ~place["inside"] | ~place["trades"],
        }
    )
    return found.reindex(times.index).fillna(True).astype(bool)
