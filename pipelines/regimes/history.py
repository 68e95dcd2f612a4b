"""Regimes of a whole history: the live steps, looped over the market's closes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE, Interval
from pipelines.params import RegimeParams
from pipelines.regimes.figures import MarketFigures
from pipelines.regimes.filter import OBSERVATIONS, REGIMES, Fit, observe
from pipelines.regimes.fit import fit_history
from pipelines.regimes.flags import FLAGS
from pipelines.regimes.online import COLUMNS, RegimeSteps
from pipelines.regimes.pulse import MarketPulse


@dataclass(frozen=True)
class Regimes:
    table: pd.DataFrame  #: `close_time` and `online.COLUMNS`
    model: dict  #: plain numbers: what `OnlineRegimes` takes
    notes: tuple[str, ...]


def find_regimes(
    bars: Mapping[str, pd.DataFrame],
    volumes: Mapping[str, bool],
    news: pd.DataFrame,
    interval: Interval,
    params: RegimeParams,
) -> Regimes:
    """Filtered regimes and flags at every market close; a model is fitted on closes before its first use only.

    Parameters
    ----------
    bars : validated bars by symbol, sorted by time; may read lazily
    volumes : whose bars are looked at, and whether they have volume: `pulse.observed_instruments`
    news : columns symbol, time, sentiment
    interval : of the bars
    params : RegimeParams

    Returns
    -------
    Regimes; probabilities are NaN and the regime `unknown` before the first fit.
    """
    market = MarketFigures()
    pulses = MarketPulse(volumes, params.flags.breakout_volume).history(bars, news)
    times = [pulse.close_time for pulse in pulses]
    figures = [market.update(pulse) for pulse in pulses]
    observations = np.array([observe(row) for row in figures]).reshape(-1, len(OBSERVATIONS))
    warm = np.flatnonzero(np.isfinite(observations).all(axis=1))
    window = params.window_bars if interval.intraday else params.window_days
    found = fit_history([times[i] for i in warm], observations[warm], params.min_bars, window, params.refits)
    steps = RegimeSteps(found.fits, params.min_confidence, params.min_stay_bars, params.flags)
    rows = [steps.update(time, row).row() for time, row in zip(times, figures, strict=True)]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"regime": "str"})
    table.insert(0, "close_time", pd.Series(times, dtype=TIME_DTYPE))
    return Regimes(table, model_content(found.fits, params), (*found.notes, *_notes(table, found.fits, len(warm))))


def model_content(fits: Sequence[Fit], params: RegimeParams) -> dict:
    """What `model.json` holds."""
    return {
        "regimes": list(REGIMES),
        "observations": list(OBSERVATIONS),
        "min_confidence": params.min_confidence,
        "min_stay_bars": params.min_stay_bars,
        "flags": params.flags.model_dump(),
        "fits": [fit.as_dict() for fit in fits],
    }


def _notes(table: pd.DataFrame, fits: Sequence[Fit], warm: int) -> list[str]:
    notes = []
    if fits:
        notes.append(f"{len(fits)} fits, the last on {fits[-1].bars:,} of {warm:,} warm market bars")
    raised = [f"{name} {int((table[name].fillna(0) != 0).sum()):,}" for name in FLAGS if table[name].notna().any()]
    if raised:
        notes.append(f"closes flagged: {', '.join(raised)} of {len(table):,}")
    unknown = [name for name in FLAGS if len(table) and table[name].isna().all()]
    if unknown:
        notes.append(f"never judged, for want of volume, news or a past: {', '.join(unknown)}")
    return notes


def daily_means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean probabilities of each day, with `day` as text; days before the first fit are left out."""
    known = table.dropna(subset=list(REGIMES))
    days = known["close_time"].dt.tz_convert(IST).dt.strftime("%Y-%m-%d").rename("day")
    return known.groupby(days)[list(REGIMES)].mean().reset_index()
