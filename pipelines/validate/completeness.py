"""How much of its sessions an instrument holds."""

from dataclasses import dataclass
from datetime import date

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.market_calendar import KNOWN_FROM, KNOWN_TO
from pipelines.domain.session_grid import bars_in_sessions


@dataclass(frozen=True)
class Completeness:
    """Of one instrument, from its first to its last day."""

    share: float  #: bars there over bars that the sessions hold
    missing_sessions: int  #: sessions without a single bar
    thin_sessions: int  #: sessions with some bars, but a smaller share than asked for
    first_thin: date | None


def completeness(bars: pd.DataFrame, interval: Interval, least: float) -> Completeness:
    """Count the bars of one instrument (at least one row) against the calendar, on the days the calendar knows."""
    there = bars.groupby(bars["open_time"].dt.date).size()
    first, last = max(there.index[0], KNOWN_FROM), min(there.index[-1], KNOWN_TO)
    wanted = pd.Series(bars_in_sessions(first, last, interval), dtype="int64")
    held = there.reindex(wanted.index, fill_value=0).clip(upper=wanted)
    share = held / wanted
    thin = share[(held > 0) & (share < least)]
    return Completeness(
        share=float(held.sum() / wanted.sum()) if wanted.sum() else 1.0,
        missing_sessions=int((held == 0).sum()),
        thin_sessions=len(thin),
        first_thin=thin.index[0] if len(thin) else None,
    )
