"""The trade model: three small boosted forests that judge a signal, calibrated on predictions they made out of fold."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.errors import TooFewBars
from pipelines.domain.portable_math import exps, log
from pipelines.params import PolicyParams
from pipelines.policy.purge import purged_folds
from pipelines.policy.selected import Signals, select_features

TARGETS = ("success", "return", "stop")
_CLIP = 30.0  #: log odds beyond which a logistic function is flat in float64 for our purposes


@dataclass(frozen=True)
class TradeModel:
    """Probability of success, expected return after charges and risk of the stop, for a signal in its context.

    Without forests (too few signals to learn from) it answers with the base rates it has seen.
    """

    features: tuple[str, ...]  #: of the catalogue, or regimes, that it is given before the signal's context
    forests: Mapping[str, str]  #: LightGBM's text format by target; empty if too little was known
    calibration: Mapping[str, tuple[float, float]]  #: intercept and slope by target; log odds for success and stop
    rows: int  #: signals it was learnt from
    report: Mapping[str, float]  #: out-of-fold figures, for people

    def predict(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Success probability, expected net return per rupee, stop risk; each of shape (n_rows,)."""
        raw = {target: self._raw(target, inputs) for target in TARGETS}
        a, b = self.calibration["return"]
        return self._chance("success", raw), a + b * raw["return"], self._chance("stop", raw)

    def _chance(self, target: str, raw: Mapping[str, np.ndarray]) -> np.ndarray:
        a, b = self.calibration[target]
        return _logistic(a + b * raw[target])

    def _raw(self, target: str, inputs: np.ndarray) -> np.ndarray:
        if not self.forests or not len(inputs):
            return np.zeros(len(inputs))
        return self._boosters[target].predict(inputs, raw_score=True, num_threads=1)

    @cached_property
    def _boosters(self) -> dict[str, Any]:
        import lightgbm

        return {target: lightgbm.Booster(model_str=text) for target, text in self.forests.items()}

    def as_dict(self) -> dict[str, Any]:
        """Everything but the forests, for the manifest."""
        return {
            "features": list(self.features),
            "calibration": {target: list(pair) for target, pair in self.calibration.items()},
            "rows": self.rows,
            "report": dict(self.report),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], forests: Mapping[str, str]) -> "TradeModel":
        calibration = {target: (float(a), float(b)) for target, (a, b) in content["calibration"].items()}
        features, report = tuple(content["features"]), dict(content["report"])
        return cls(features, dict(forests), calibration, int(content["rows"]), report)


def fit_trade_model(
    signals: Signals, names: tuple[str, ...], params: PolicyParams
) -> tuple[TradeModel, pd.DataFrame | None]:
    """Select features and learn the forests on all signals, and their calibration on purged out-of-fold predictions.

    Every fold selects on its own training rows, so that the predictions which calibrate know nothing of their own
    outcome; the forest that is kept has the features that the folds agree on. Expected returns are regressed on
    out-of-fold predictions, and the slope is shrunk by its block-wise standard error: where the forest predicts
    nothing, every signal gets the mean return, which after charges is a loss.

    Parameters
    ----------
    signals : Signals
        Made with out-of-fold consensus.
    names : of `signals.features`
    params : PolicyParams
        Folds, embargo, selection, size and number of trees, seed.

    Returns
    -------
    the model, and the importance of every feature as `pipelines.features.selection.choose` tells it; None where nothing
    was selected from, since it is switched off or there is too little to learn from
    """
    count = len(signals.net)
    one_sided = any(len(np.unique(truth)) < 2 for truth in (signals.net > 0, signals.stopped))
    if count < 4 * params.min_leaf or one_sided:
        return _base_rates(signals), None
    targets = {
        "success": (signals.net > 0).astype(np.float64),
        "return": signals.net,
        "stop": signals.stopped.astype(np.float64),
    }
    folds = purged_folds(signals.decided, signals.ended, params.folds, params.embargo_bars)
    try:
        selected = select_features(signals, names, folds, params)
    except TooFewBars:  # no fold can hold rows out of its own: too little to tell features from noise
        return _base_rates(signals), None
    inputs = [_inputs(signals, columns) for columns in (selected.whole, *selected.by_fold)]
    trainings = [np.arange(count), *(fold.train for fold in folds)]
    forests, calibration, report = {}, {}, {"base_rate": float(targets["success"].mean())}
    for target, truth in targets.items():
        whole, *parts = _grow_all(inputs, truth, trainings, target, params)
        beyond = np.zeros(count)
        for fold, forest, table in zip(folds, parts, inputs[1:], strict=True):
            beyond[fold.test] = forest.predict(table[fold.test], raw_score=True, num_threads=1)
        calibrate = _line if target == "return" else _platt
        calibration[target] = calibrate(beyond, truth, signals.blocks)
        report |= _quality(target, beyond, truth)
        forests[target] = whole.model_to_string()
    features = tuple(names[i] for i in selected.whole)
    return TradeModel(features, forests, calibration, count, report), selected.importance


def _inputs(signals: Signals, columns: np.ndarray) -> np.ndarray:
    return np.column_stack([signals.features[:, columns], signals.context])


def _base_rates(signals: Signals) -> TradeModel:
    """Constants, pulled to no edge by twenty imagined signals of no return and even odds."""
    weight = len(signals.net) + 20.0
    success, stop = ((signals.net > 0).sum() + 10.0) / weight, (signals.stopped.sum() + 10.0) / weight
    calibration = {
        "success": (log(success / (1 - success)), 0.0),
        "return": (float(signals.net.sum() / weight), 0.0),
        "stop": (log(stop / (1 - stop)), 0.0),
    }
    return TradeModel((), {}, calibration, len(signals.net), {"base_rate": float(success)})


def _grow_all(
    inputs: list[np.ndarray], truth: np.ndarray, trainings: list[np.ndarray], target: str, params: PolicyParams
) -> list[Any]:
    """One forest for each table of inputs, on its training rows.

    Each grows on one thread, two at a time: LightGBM's own threads wait for each other busily, which takes ten times
    as long on a machine that does other things too.
    """
    import lightgbm

    options = {
        "objective": "regression" if target == "return" else "binary",
        "learning_rate": params.learning_rate,
        "num_leaves": params.leaves,
        "min_data_in_leaf": params.min_leaf,
        "lambda_l2": 5.0,
        "feature_fraction": 0.7,
        "max_bin": 63,
        "feature_pre_filter": False,
        "seed": params.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }

    def grow(table: np.ndarray, rows: np.ndarray) -> Any:
        # LightGBM refuses some characters in names; the manifest knows the features
        data = lightgbm.Dataset(table[rows], label=truth[rows], params=options)
        return lightgbm.train(options, data, num_boost_round=params.trees)

    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(grow, inputs, trainings))


def _line(raw: np.ndarray, truth: np.ndarray, blocks: np.ndarray) -> tuple[float, float]:
    """Intercept and slope in [0, 1] of truth on raw, the slope shrunk by its block-wise standard error."""
    centred = raw - raw.mean()
    spread = np.square(centred).sum()
    if spread <= 0:
        return float(truth.mean()), 0.0
    slope = (centred * truth).sum() / spread
    left = centred * (truth - truth.mean() - slope * centred)
    _, groups = np.unique(blocks, return_inverse=True)
    error = np.sqrt(np.square(np.bincount(groups, weights=left)).sum()) / spread
    shrunk = float(np.clip(slope * slope * slope / (slope * slope + error * error), 0.0, 1.0)) if slope > 0 else 0.0
    return float(truth.mean() - shrunk * raw.mean()), shrunk


def _platt(raw: np.ndarray, truth: np.ndarray, blocks: np.ndarray) -> tuple[float, float]:
    """Logistic regression of a 0/1 truth on raw log odds, slope in [0, 1] (Platt 1999), by Newton's method."""
    del blocks  # the same arguments as `_line`
    intercept, slope = 0.0, 1.0
    for _ in range(25):
        chance = _logistic(intercept + slope * raw)
        missed, certainty = truth - chance, chance * (1 - chance)
        gradient = float(missed.sum()) - 1e-3 * intercept, float((missed * raw).sum()) - 1e-3 * slope
        a, b = float(certainty.sum()) + 1e-3, float((certainty * raw).sum())
        c = float((certainty * raw * raw).sum()) + 1e-3
        determinant = a * c - b * b
        steps = (c * gradient[0] - b * gradient[1]) / determinant, (a * gradient[1] - b * gradient[0]) / determinant
        intercept, slope = (min(max(x + s, -_CLIP), _CLIP) for x, s in zip((intercept, slope), steps, strict=True))
        if max(abs(s) for s in steps) < 1e-10:
            break
    if 0 <= slope <= 1:
        return intercept, slope
    return _intercept(raw, truth, min(max(slope, 0.0), 1.0))


def _intercept(raw: np.ndarray, truth: np.ndarray, slope: float) -> tuple[float, float]:
    """The intercept that keeps the mean right when the slope is held."""
    low, high = -_CLIP, _CLIP
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(middle + slope * raw).mean() < truth.mean() else (low, middle)
    return (low + high) / 2, slope


def _quality(target: str, raw: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    if target == "return":
        spread = raw.std() * truth.std()
        relation = float(((raw - raw.mean()) * (truth - truth.mean())).mean() / spread) if spread > 0 else 0.0
        return {"return_correlation": relation}
    ranks = np.empty(len(raw))
    ranks[np.argsort(raw, kind="stable")] = np.arange(1, len(raw) + 1)
    wins = truth.sum()
    area = (ranks[truth > 0].sum() - wins * (wins + 1) / 2) / (wins * (len(truth) - wins))
    return {f"{target}_auc": float(area)}


def _logistic(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + exps(-np.clip(odds, -_CLIP, _CLIP)))
