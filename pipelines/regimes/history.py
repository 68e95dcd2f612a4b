"""Regimes of a whole history: the live filter's step, looped over the market's closes."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.bars import IST, TIME_DTYPE
from pipelines.params import RegimeParams
from pipelines.regimes.filter import OBSERVATIONS, REGIMES, Fit, RegimeFilter, most_probable, observe
from pipelines.regimes.fit import fit_history


@dataclass(frozen=True)
class Regimes:
    table: pd.DataFrame  #: `close_time`, one probability a regime, `regime`
    model: dict  #: plain numbers: what `OnlineRegimes` takes
    notes: tuple[str, ...]


def find_regimes(market: pd.DataFrame, params: RegimeParams) -> Regimes:
    """Filtered regimes at every market close; a model is fitted on closes before its first use only.

    Parameters
    ----------
    market : DataFrame of shape (n, 1 + market features) with `close_time`, ascending
    params : RegimeParams

    Returns
    -------
    Regimes; probabilities are NaN and the regime `unknown` before the first fit.
    """
    observations = np.array([observe(row) for row in market.to_dict("records")]).reshape(-1, len(OBSERVATIONS))
    times = list(market["close_time"])
    warm = np.flatnonzero(np.isfinite(observations).all(axis=1))
    found = fit_history([times[i] for i in warm], observations[warm], params.min_bars, params.refits, params.seed)
    notes = list(found.notes)
    if found.fits:
        last = found.fits[-1]
        notes.append(f"{len(found.fits)} fits, the last on {last.bars:,} of {len(warm):,} warm market bars")
    return Regimes(filter_history(times, observations, found.fits), model_content(found.fits), tuple(notes))


def filter_history(times: list, observations: np.ndarray, fits: tuple[Fit, ...]) -> pd.DataFrame:
    """The table of regimes: one filter step a close."""
    running = RegimeFilter(fits)
    steps = [running.update(time, row) for time, row in zip(times, observations, strict=True)]
    table = pd.DataFrame(np.array(steps).reshape(-1, len(REGIMES)), columns=list(REGIMES))
    table.insert(0, "close_time", pd.Series(times, dtype=TIME_DTYPE))
    table["regime"] = [most_probable(row) for row in table[list(REGIMES)].to_dict("records")]
    return table


def model_content(fits: tuple[Fit, ...]) -> dict:
    """What `model.json` holds."""
    return {"regimes": list(REGIMES), "observations": list(OBSERVATIONS), "fits": [fit.as_dict() for fit in fits]}


def daily_means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean probabilities of each day, with `day` as text; days before the first fit are left out."""
    known = table.dropna(subset=list(REGIMES))
    days = known["close_time"].dt.tz_convert(IST).dt.strftime("%Y-%m-%d").rename("day")
    return known.groupby(days)[list(REGIMES)].mean().reset_index()
