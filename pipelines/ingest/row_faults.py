"""Faults of single rows, as far as choosing between files and joining bars must see them; validation is the judge."""

import numpy as np
import pandas as pd

from pipelines.domain.corporate_actions import adjusted
from pipelines.ingest.spellings import PRICES

#: Overnight step that looks like a split no one adjusted for; NSE's own limits on stocks are 20 % at most.
SUSPECT_GAP = 0.15


def impossible(rows: pd.DataFrame) -> pd.Series:
    """For each row the rule it breaks, empty if none; the rules are named as in `expectations/raw_bars.py`."""
    prices = rows[list(PRICES)].to_numpy(dtype="float64")
    o, h, low, c = prices.T
    found = np.full(len(rows), "", dtype=object)
    same = rows.duplicated(["open_time", *PRICES, "volume"]).to_numpy()
    told = rows["open_time"][~same]
    found[rows["open_time"].isin(told[told.duplicated()]).to_numpy()] = "conflicting_rows"
    found[same] = "duplicate"
    found[(h < np.maximum(o, c)) | (low > np.minimum(o, c))] = "price_outside_range"
    found[(h < low)] = "high_below_low"
    found[(prices <= 0).any(axis=1) | (rows["volume"] < 0).to_numpy()] = "not_positive"
    found[np.isnan(prices).any(axis=1)] = "missing_value"
    return pd.Series(found, index=rows.index, dtype="str")


def overnight_gaps(rows: pd.DataFrame) -> pd.Series:
    """Open against the close before, adjusted, as a share, at the first row of each day; NaN elsewhere."""
    ordered = adjusted(rows).sort_values("open_time", kind="stable")
    new_day = ordered["open_time"].dt.normalize().ne(ordered["open_time"].dt.normalize().shift())
    gap = (ordered["open"] / ordered["close"].shift() - 1).abs()
    return gap.where(new_day).reindex(rows.index)


def defects(rows: pd.DataFrame, traded: bool) -> int:
    """How many rows are impossible or repeated, and for traded instruments how many nights look like a split."""
    faulty = impossible(rows) != ""
    steps = int((overnight_gaps(rows[~faulty]) > SUSPECT_GAP).sum()) if traded else 0
    return int(faulty.sum()) + steps
