"""Fit a policy on a panel: labels, out-of-fold consensus, trade model. Pure: the same panel gives the same bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.errors import BadParams, TooFewBars
from pipelines.params import PolicyParams
from pipelines.policy.bundle import Barriers, Bundle, Thresholds
from pipelines.policy.consensus import Consensus, learn_consensus
from pipelines.policy.decide import head_views, signal_context
from pipelines.policy.labels import Costs, barrier_labels, hold_limit, session_days
from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS, Panel
from pipelines.policy.purge import purged_folds
from pipelines.policy.selected import Signals
from pipelines.policy.trade_model import fit_trade_model


@dataclass(frozen=True)
class Fitted:
    """A policy and what it was fitted on."""

    bundle: Bundle
    importance: pd.DataFrame | None  #: of every feature, see `fit_trade_model`


def fit_policy(
    panel: Panel,
    heads: Sequence[Any],
    params: PolicyParams,
    costs: Costs,
    regime_model: Mapping[str, Any],
    views: np.ndarray | None = None,
) -> Fitted:
    """Learn everything a policy learns from the bars of a panel, and from nothing else.

    Parameters
    ----------
    panel : Panel
        What was known: rows whose trade is not over at its end have no label and are not learnt from.
    heads : heads of the policy, e.g. `heads_from(params.heads)`
    params : PolicyParams
    costs : Costs
        Slippage and position size assumed in the labels.
    regime_model : dict
        As in `04_regimes/model.json`, handed on to the bundle.
    views : array of shape (n_rows, n_heads), optional
        Direction times confidence, out of fold for heads that learn; rule heads are asked if it is not given.

    Raises
    ------
    TooFewBars : if there are too few labelled bars for the purged folds.
    """
    labels = barrier_labels(panel, params.label, costs)
    if views is None:
        directions, confidences = head_views(heads, panel.table)
        views = directions * confidences
    long_gross, short_gross = labels["long_gross"].to_numpy(), labels["short_gross"].to_numpy()
    rows = np.flatnonzero(np.isfinite(long_gross) & np.isfinite(short_gross))
    if len(rows) < params.folds:
        raise TooFewBars(needed=params.folds * params.embargo_bars, received=len(rows), what="bars with a label")
    learnt = _Learnt(panel, heads, params, views, labels, rows)
    consensus = learnt.consensus(rows)
    signal = learnt.out_of_fold_signal()
    names = (*panel.feature_names, *FLAG_COLUMNS, *REGIME_COLUMNS)
    unknown = sorted(set(params.selection.never) - set(names))
    if unknown:
        raise BadParams(f"policy.selection.never names {unknown}, which the catalogue does not have; correct or remove")
    trade_model, importance = fit_trade_model(learnt.signals(signal), names, params)
    bundle = Bundle(
        interval=panel.interval,
        product=panel.product,
        catalogue=dict(panel.catalogue),
        heads=tuple(heads),
        consensus=consensus,
        trade_model=trade_model,
        regime_model=dict(regime_model),
        thresholds=Thresholds(
            min_signal=params.min_signal,
            min_probability=params.min_probability,
            min_expected_return=params.min_expected_return,
            reduce_below=params.reduce_below,
            risk_per_trade=params.risk_per_trade,
            max_position=params.max_position,
        ),
        barriers=Barriers(
            stop_atr=params.label.stop_atr,
            target_atr=params.label.target_atr,
            hold_bars=hold_limit(params.label, panel.interval),
            square_off_minutes=params.label.square_off_minutes,
        ),
    )
    return Fitted(bundle, importance)


class _Learnt:
    """The arrays of one fit, by row of the panel; `rows` are those with both labels."""

    def __init__(self, panel, heads, params, views, labels, rows) -> None:  # type: ignore[no-untyped-def]
        self.panel, self.heads, self.params, self.views, self.labels, self.rows = (
            panel,
            heads,
            params,
            views,
            labels,
            rows,
        )
        self.regimes = panel.table[list(REGIME_COLUMNS)].to_numpy(np.float64)
        self.decided = panel.bar_numbers
        self.ended = np.maximum(labels["long_end_bar"].to_numpy(), labels["short_end_bar"].to_numpy())
        self.blocks = time_blocks(panel, params)

    def consensus(self, rows: np.ndarray) -> Consensus:
        return learn_consensus(
            [head.name for head in self.heads],
            self.views[rows],
            self.labels["long_gross"].to_numpy()[rows],
            self.labels["short_gross"].to_numpy()[rows],
            self.regimes[rows],
            self.blocks[rows],
        )

    def out_of_fold_signal(self) -> np.ndarray:
        """The signal of each labelled row by weights learnt on other times; shape of `rows`."""
        signal = np.zeros(len(self.rows))
        decided, ended = self.decided[self.rows], self.ended[self.rows]
        for fold in purged_folds(decided, ended, self.params.folds, self.params.embargo_bars):
            train, test = self.rows[fold.train], self.rows[fold.test]
            signal[fold.test] = self.consensus(train).signal(self.views[test], self.regimes[test])
        return signal

    def signals(self, signal: np.ndarray) -> Signals:
        """The labelled rows with a signal that may be traded, thinned evenly to `max_rows`."""
        from pipelines.domain.orders import Product

        strong = np.abs(signal) >= max(self.params.min_signal, 1e-9)
        allowed = (signal > 0) | (self.panel.product is Product.MIS)
        kept = np.flatnonzero(strong & allowed)
        kept = kept[:: max(1, -(-len(kept) // self.params.max_rows))]
        rows, signal = self.rows[kept], signal[kept]
        table = self.panel.table
        names = (*self.panel.feature_names, *FLAG_COLUMNS, *REGIME_COLUMNS)
        features = [table[name].to_numpy(np.float64)[rows] for name in names]
        instrument = table["symbol"].astype("category").cat.codes.to_numpy()
        long = signal > 0

        def of_side(name: str) -> np.ndarray:
            columns = (self.labels[f"{side}_{name}"].to_numpy()[rows] for side in ("long", "short"))
            return np.where(long, *columns)

        return Signals(
            features=np.column_stack(features),
            context=signal_context(self.views[rows], signal),
            instrument=instrument[rows],
            net=of_side("net"),
            stopped=of_side("how") == 1,
            decided=self.decided[rows],
            ended=self.ended[rows],
            blocks=self.blocks[rows],
        )


def time_blocks(panel: Panel, params: PolicyParams) -> np.ndarray:
    """Blocks of time within which labels overlap: sessions intraday, holding periods for daily bars."""
    if panel.interval.intraday:
        return session_days(panel)
    return panel.bar_numbers // max(1, params.label.hold_days)
