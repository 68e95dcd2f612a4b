"""From features to decisions: the one judgement that backtest, service and paper share."""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.errors import FeatureMismatch
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.signals import Action, Decision, FeatureRow, Side, View
from pipelines.policy.bundle import Bundle
from pipelines.policy.labels import ATR
from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS, REGIMES, STATED_REGIME
from pipelines.policy.sizing import size_position, stop_and_target

UNKNOWN_REGIME = "unknown"
SIGN_TO_SIDE = {1: Side.BUY, -1: Side.SELL}


def head_views(heads: Sequence[Any], columns: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Directions and confidences of the heads, each of shape (n_rows, n_heads), without NaN.

    `columns` gives an array of shape (n_rows,) by feature name; a DataFrame will do.
    """
    views = [head.view_arrays(columns) for head in heads]
    directions = np.column_stack([direction for direction, _ in views])
    confidences = np.column_stack([confidence for _, confidence in views])
    return np.where(np.isnan(directions), 0.0, directions), np.where(np.isnan(confidences), 0.0, confidences)


def signal_context(views: np.ndarray, signal: np.ndarray) -> np.ndarray:
    """What the trade model is told of every signal, after the features: the heads' views, the signal and its side."""
    return np.column_stack([views, signal, np.sign(signal)])


def judge(bundle: Bundle, table: pd.DataFrame) -> pd.DataFrame:
    """Judge every row of a decision table by itself; no row sees another.

    Parameters
    ----------
    bundle : Bundle
    table : DataFrame
        The columns in `bundle.inputs`; more do no harm.

    Returns
    -------
    DataFrame with the table's index: `<head>_direction`, `<head>_confidence`, `signal`, `side` (1, -1, 0 without a
    direction), `probability`, `expected_return`, `stop_risk` (NaN where there is no signal), `stop_distance`,
    `target_distance` (shares of the close), `regime`, `action` (take, reduce, skip).

    Raises
    ------
    FeatureMismatch : if the table lacks a column the policy uses.
    """
    missing = [name for name in bundle.inputs if name not in table.columns]
    if missing:
        raise _mismatch(bundle, "the table", missing)
    numbers = table[list(bundle.inputs)].to_numpy(np.float64)
    return pd.DataFrame(_judged_columns(bundle, numbers), index=table.index)


def _judged_columns(bundle: Bundle, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of `judge`, for `numbers` of shape (n_rows, n_inputs): the judgement itself.

    Arrays only: around a single row, tables would take ten times as long as all the arithmetic.
    """
    columns = dict(zip(bundle.inputs, numbers.T, strict=True))
    regimes = numbers[:, -len(REGIME_COLUMNS) :]
    directions, confidences = head_views(bundle.heads, columns)
    views = directions * confidences
    signal = bundle.consensus.signal(views, regimes)
    limits, atr = bundle.thresholds, columns[ATR]
    side = np.where(np.abs(signal) >= limits.min_signal, np.sign(signal), 0.0).astype(np.int8)
    judged = np.flatnonzero((side != 0) & (atr > 0) & ((side > 0) | (not bundle.long_only)))
    probability, expected, stop_risk = np.full((3, len(numbers)), np.nan)
    if len(judged):
        given = [columns[name][judged] for name in bundle.trade_model.features]
        inputs = np.column_stack([*given, signal_context(views[judged], signal[judged])])
        probability[judged], expected[judged], stop_risk[judged] = bundle.trade_model.predict(inputs)
    clears = (probability >= limits.min_probability) & (expected >= limits.min_expected_return)
    action = np.where(clears, np.where(expected < limits.reduce_below, Action.REDUCE, Action.TAKE), Action.SKIP)
    said: dict[str, np.ndarray] = {}
    for i, head in enumerate(bundle.heads):
        said[f"{head.name}_direction"] = directions[:, i]
        said[f"{head.name}_confidence"] = confidences[:, i]
    return said | {
        "signal": signal,
        "side": side,
        "probability": probability,
        "expected_return": expected,
        "stop_risk": stop_risk,
        "stop_distance": atr * bundle.barriers.stop_atr,
        "target_distance": atr * bundle.barriers.target_atr,
        "regime": regime_names(columns[STATED_REGIME]),
        "action": action.astype(object),
    }


def regime_names(stated: np.ndarray) -> np.ndarray:
    """The stated regime of each row by its number, or `unknown` where it is no regime's number."""
    known = np.isin(stated, np.arange(len(REGIMES)))
    names = np.array(REGIMES, dtype=object)[np.where(known, stated, 0).astype(np.int64)]
    return np.where(known, names, UNKNOWN_REGIME)


def decide(bundle: Bundle, rows: Sequence[FeatureRow], equity_inr: Decimal) -> list[Decision]:
    """Decide for instruments at a bar's close, in the order of `rows`.

    Raises
    ------
    FeatureMismatch : if a row was built from another feature catalogue, or lacks a value the policy uses.
    """
    if not rows:
        return []
    numbers = np.array([_numbers(bundle, row) for row in rows], dtype=np.float64)
    columns = {name: column.tolist() for name, column in _judged_columns(bundle, numbers).items()}
    return [
        _decision(bundle, row, {name: column[i] for name, column in columns.items()}, equity_inr)
        for i, row in enumerate(rows)
    ]


def _numbers(bundle: Bundle, row: FeatureRow) -> list[float]:
    """The row's values in the order of the bundle's inputs."""
    if row.catalogue_hash != bundle.catalogue_hash:
        raise FeatureMismatch(
            f"policy {bundle.version} wants features of catalogue {bundle.catalogue_hash}, the row of {row.symbol} has "
            f"{row.catalogue_hash}; retrain with the present catalogue or promote a policy of that catalogue"
        )
    missing = [name for name in bundle.inputs if name not in row.values]
    if missing:
        raise _mismatch(bundle, f"the row of {row.symbol}", missing)
    return [row.values[name] for name in bundle.inputs]


def _mismatch(bundle: Bundle, what: str, missing: Sequence[str]) -> FeatureMismatch:
    wanted = len(bundle.inputs) - len(FLAG_COLUMNS) - 1 - len(REGIME_COLUMNS)
    return FeatureMismatch(
        f"policy {bundle.version} wants {wanted} features, regimes and flags, {what} lacks {list(missing[:5])}; build "
        "rows with OnlineFeatures and OnlineRegimes of this release"
    )


def _decision(bundle: Bundle, row: FeatureRow, judged: Mapping[str, Any], equity_inr: Decimal) -> Decision:
    action, sign = Action(judged["action"]), int(judged["side"])
    instrument = Instrument(row.symbol, 0, Kind.STOCK, row.tick_size, row.lot_size, "", True)
    limits = bundle.thresholds
    quantity = size_position(
        equity_inr=equity_inr,
        price=row.close,
        stop_distance=float(judged["stop_distance"]),
        risk_per_trade=limits.risk_per_trade,
        max_position=limits.max_position,
        action=action,
        instrument_lot=row.lot_size,
    )
    stop = target = None
    if action is not Action.SKIP and quantity > 0:
        stop, target = stop_and_target(
            row.close, sign, float(judged["stop_distance"]), float(judged["target_distance"]), instrument
        )
    return Decision(
        symbol=row.symbol,
        close_time=row.close_time,
        action=action if quantity > 0 else Action.SKIP,
        side=SIGN_TO_SIDE.get(sign),
        quantity=quantity,
        reference_price=Decimal(repr(float(row.close))),
        stop=stop,
        target=target,
        hold_bars=bundle.hold_bars,
        signal=float(judged["signal"]),
        probability=_finite(judged["probability"]),
        expected_return=_finite(judged["expected_return"]),
        stop_risk=_finite(judged["stop_risk"]),
        views=_views(bundle, row, judged),
        reasons=_reasons(bundle, judged, action, quantity),
        policy_version=bundle.version,
        catalogue_hash=bundle.catalogue_hash,
        regime=str(judged["regime"]),
        extra={name: row.values[name] for name in FLAG_COLUMNS if math.isfinite(row.values[name])},
    )


def _views(bundle: Bundle, row: FeatureRow, judged: Mapping[str, Any]) -> tuple[View, ...]:
    views = []
    for head in bundle.heads:
        direction, confidence = float(judged[f"{head.name}_direction"]), float(judged[f"{head.name}_confidence"])
        reasons = tuple(head.reasons(row.values, direction)) if confidence > 0 and direction != 0 else ()
        views.append(View(head.name, direction, confidence, reasons))
    return tuple(views)


def _reasons(bundle: Bundle, judged: Mapping[str, Any], action: Action, quantity: int) -> tuple[str, ...]:
    limits, signal, sign = bundle.thresholds, float(judged["signal"]), int(judged["side"])
    if sign == 0:
        return (f"consensus {signal:+.3f} is weaker than {limits.min_signal:.3f}",)
    if sign < 0 and bundle.long_only:
        return (f"consensus {signal:+.3f} points down, and delivery cannot be sold short",)
    if not math.isfinite(judged["probability"]):
        return (f"consensus {signal:+.3f}, but the true range is not known yet",)
    said = [
        f"consensus {signal:+.3f}, limit {limits.min_signal:.3f}",
        f"success {judged['probability']:.1%}, limit {limits.min_probability:.1%}",
        f"expected {judged['expected_return']:+.3%} after charges, limit {limits.min_expected_return:+.3%}",
        f"stop hit first {judged['stop_risk']:.1%}",
    ]
    if action is Action.REDUCE:
        said.append(f"half size: expected is under {limits.reduce_below:+.3%}")
    if action is not Action.SKIP and quantity == 0:
        said.append("equity does not buy one lot within the risk share")
    return tuple(said)


def _finite(value: float) -> float:
    """A number for a decision that was not judged: 0, since a decision knows no NaN."""
    return float(value) if math.isfinite(value) else 0.0
