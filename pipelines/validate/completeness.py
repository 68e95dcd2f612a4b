"""How much of its sessions an instrument holds."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
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
    days, counts = np.unique(
        bars["open_time"].dt.tz_localize(None).to_numpy().astype("datetime64[D]"), return_counts=True
    )
    first, last = max(days[0].item(), KNOWN_FROM), min(days[-1].item(), KNOWN_TO)
    sessions, wanted = _sessions(first, last, interval)
    there = pd.Series(counts, index=days).reindex(sessions, fill_value=0).to_numpy()
    held = np.minimum(there, wanted)
    thin = np.flatnonzero((held > 0) & (held < least * wanted))
    return Completeness(
        share=float(held.sum() / wanted.sum()) if wanted.sum() else 1.0,
        missing_sessions=int((held == 0).sum()),
        thin_sessions=len(thin),
        first_thin=sessions[thin[0]].item() if len(thin) else None,
    )


@lru_cache(maxsize=1000)
def _sessions(first: date, last: date, interval: Interval) -> tuple[npt.NDArray[np.datetime64], npt.NDArray[np.int64]]:
    """Days with a session and how many bars each holds; instruments mostly share their first and last day."""
    wanted = bars_in_sessions(first, last, interval)
    return np.array(list(wanted), dtype="datetime64[D]"), np.array(list(wanted.values()), dtype=np.int64)
