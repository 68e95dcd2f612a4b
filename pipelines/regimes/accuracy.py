"""Regimes held against a truth that only a simulated market has. For the demo and tests: no stage may read a truth."""

from typing import Any

import numpy as np
import pandas as pd

from pipelines.regimes.filter import REGIMES, UNKNOWN


def regime_accuracy(table: pd.DataFrame, truth: pd.DataFrame) -> dict[str, Any]:
    """How well the stated regimes told the true ones, and how soon.

    Parameters
    ----------
    table : as `04_regimes/regimes.parquet`
    truth : `close_time, regime`, one row a close or one a symbol and close

    Returns
    -------
    dict of plain numbers: `closes` that were judged (a regime was stated), `accuracy` (share told rightly), `balanced`
    (mean recall of the regimes that occurred), `by_regime` with `closes`, `recall` and `precision` (None where there
    was nothing to tell or nothing told), `changes` of the true regime, `found` (told before the regime was over),
    `delay_bars_median` and `delay_bars_p90` of those found: closes from the first of the new regime to the first at
    which it was stated, 0 at once; `stated_changes`.
    """
    true = truth.drop_duplicates("close_time")[["close_time", "regime"]].rename(columns={"regime": "true"})
    joined = table[["close_time", "regime"]].merge(true, on="close_time").sort_values("close_time")
    joined = joined[joined["regime"] != UNKNOWN]
    told, was = joined["regime"].to_numpy(object), joined["true"].to_numpy(object)
    by_regime = {name: _of_regime(told, was, name) for name in REGIMES}
    recalls = [row["recall"] for row in by_regime.values() if row["recall"] is not None]
    changes, delays = _delays(told, was)
    return {
        "closes": len(told),
        "accuracy": _share(told == was),
        "balanced": float(np.mean(recalls)) if recalls else None,
        "by_regime": by_regime,
        "changes": changes,
        "found": len(delays),
        "delay_bars_median": float(np.median(delays)) if delays else None,
        "delay_bars_p90": float(np.quantile(delays, 0.9)) if delays else None,
        "stated_changes": int((told[1:] != told[:-1]).sum()),
    }


def _of_regime(told: np.ndarray, was: np.ndarray, name: str) -> dict[str, Any]:
    right = (told == name) & (was == name)
    return {
        "closes": int((was == name).sum()),
        "recall": _share(right[was == name]),
        "precision": _share(right[told == name]),
    }


def _share(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None


def _delays(told: np.ndarray, was: np.ndarray) -> tuple[int, list[int]]:
    """How often the true regime changed, and the delay of each change that was told before the next."""
    starts = np.flatnonzero(was[1:] != was[:-1]) + 1
    ends = np.append(starts[1:], len(was))[: len(starts)]
    found = [np.flatnonzero(told[start:end] == was[start]) for start, end in zip(starts, ends, strict=True)]
    return len(starts), [int(places[0]) for places in found if len(places)]
