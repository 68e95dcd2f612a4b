"""Walk-forward: train on the past, judge the next window, move on, as a policy retrained on schedule would."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.errors import TooFewBars
from pipelines.params import EvaluationParams, PolicyParams
from pipelines.policy.decide import judge
from pipelines.policy.fit import fit_policy
from pipelines.policy.labels import Costs, session_days
from pipelines.policy.panel import Panel


@dataclass(frozen=True, slots=True)
class Window:
    """A test window in time; microseconds since 1970 UTC, both ends included."""

    trained_until: int
    first: int
    last: int


@dataclass(frozen=True)
class WalkForward:
    judged: pd.DataFrame  #: every test row as `judge` says, plus `fold`, `policy_version`; index = row of the panel
    folds: tuple[dict[str, Any], ...]
    windows: tuple[Window, ...]
    importance: tuple[pd.DataFrame | None, ...] = ()  #: of every feature, window by window; see `fit_policy`


def windows_over(panel: Panel, params: EvaluationParams, embargo_bars: int) -> tuple[Window, ...]:
    """Windows of whole days over the last part of the history, each with the time up to which it may be trained.

    The embargo is counted in the market's bars before the window, whether anything traded in them or not. Labels that
    need a later bar than `trained_until` do not exist in training, which is the purge.

    Raises
    ------
    TooFewBars : if there are no two days to test on, or nothing to train on.
    """
    days = session_days(panel)
    unique = np.unique(days)
    start = int(np.ceil(len(unique) * params.min_train_share))
    if len(unique) - start < 2 or start < 2:
        raise TooFewBars(needed=4, received=len(unique), what="trading days to train and test on")
    windows = []
    for block in np.array_split(unique[start:], min(params.folds, len(unique) - start)):
        tested = (days >= block[0]) & (days <= block[-1])
        inside, first_bar = panel.closes[tested], panel.bar_numbers[tested].min()
        known = panel.closes[(panel.bar_numbers < first_bar - embargo_bars) & (panel.closes < inside.min())]
        if not len(known):
            received = int((panel.times < inside.min()).sum())
            raise TooFewBars(needed=embargo_bars + 2, received=received, what="bars before the test")
        windows.append(Window(int(known.max()), int(inside.min()), int(inside.max())))
    return tuple(windows)


def walk_forward(
    panel: Panel,
    heads: Sequence[Any],
    policy: PolicyParams,
    evaluation: EvaluationParams,
    costs: Costs,
    regime_model: Mapping[str, Any],
) -> WalkForward:
    """Fit and judge window by window, training on an ever longer past.

    Each fit is given the panel as it was known at `trained_until`, so that neither a bar nor a label from later can
    reach it.
    """
    windows = windows_over(panel, evaluation, policy.embargo_bars)
    parts, folds, importance = [], [], []
    for number, window in enumerate(windows):
        known = panel.closed_by(window.trained_until)
        fitted = fit_policy(known, heads, policy, costs, regime_model)
        bundle = fitted.bundle
        rows = np.flatnonzero((panel.closes >= window.first) & (panel.closes <= window.last))
        judged = judge(bundle, panel.table.iloc[rows]).set_axis(rows, axis=0)
        importance.append(fitted.importance)
        parts.append(judged.assign(fold=number, policy_version=bundle.version))
        folds.append(
            {
                "fold": number,
                "trained_until": _iso(window.trained_until),
                "first": _iso(window.first),
                "last": _iso(window.last),
                "train_rows": len(known.table),
                "test_rows": len(rows),
                "decisions": int((judged["action"] != "skip").sum()),
                "policy_version": bundle.version,
                "weights": bundle.consensus.as_dict()["overall"],
                "edges": bundle.consensus.as_dict()["edges"],
                "trade_model": dict(bundle.trade_model.report) | {"signals": bundle.trade_model.rows},
                "features": list(bundle.trade_model.features),
                "calibration": {k: list(v) for k, v in bundle.trade_model.calibration.items()},
            }
        )
    return WalkForward(pd.concat(parts).sort_index(), tuple(folds), windows, tuple(importance))


def _iso(time_us: int) -> str:
    return pd.Timestamp(time_us, unit="us", tz="UTC").tz_convert("Asia/Kolkata").isoformat()
