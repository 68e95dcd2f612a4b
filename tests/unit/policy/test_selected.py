"""Selection inside the folds only: what the future knows is no ground for a choice, what the past knows is."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.domain.errors import BadParams, FeatureMismatch
from pipelines.policy.decide import judge
from pipelines.policy.fit import fit_policy
from pipelines.policy.labels import barrier_labels
from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS
from pipelines.policy.purge import purged_folds
from pipelines.policy.selected import Signals, select_features
from tests.unit.policy.builders import COSTS, FEATURES, HEADS, SMALL, a_panel

LEAK = FEATURES.index("noise")


def with_selection(**changes):
    return SMALL.model_copy(update={"selection": SMALL.selection.model_copy(update=changes)})


def signals_that_foretell_nothing(count=1200, instruments=2, seed=1) -> Signals:
    rng = np.random.default_rng(seed)
    size = count * instruments
    decided = np.tile(np.arange(count), instruments)
    return Signals(
        features=rng.standard_normal((size, len(FEATURES))),
        context=rng.choice([-1.0, 1.0], (size, 1)),
        instrument=np.repeat(np.arange(instruments), count),
        net=rng.standard_normal(size),
        stopped=rng.random(size) < 0.5,
        decided=decided,
        ended=decided + 5,
        blocks=decided // 50,
    )


def leaking(signals: Signals, rows: np.ndarray) -> Signals:
    """The same signals with a feature that is the label itself, on some rows only."""
    features = signals.features.copy()
    features[rows, LEAK] = signals.net[rows]
    return replace(signals, features=features)


def leaking_panel(first: int, last: int):
    """A panel whose `noise` is what a long trade will have earned, for rows from one time to another."""
    panel = a_panel(days=40, edge=0.0)
    labels = barrier_labels(panel, SMALL.label, COSTS)["long_net"].fillna(0.0).to_numpy()
    inside = (panel.closes >= first) & (panel.closes <= last)
    noise = np.where(inside, labels * 300, panel.table["noise"])
    return replace(panel, table=panel.table.assign(noise=noise))


def test_a_feature_that_is_the_label_in_a_folds_test_rows_alone_is_not_selected_by_that_fold():
    quiet = signals_that_foretell_nothing()
    folds = purged_folds(quiet.decided, quiet.ended, SMALL.folds, SMALL.embargo_bars)
    for number, fold in enumerate(folds):
        hidden, seen = (
            select_features(leaking(quiet, rows), FEATURES, folds, SMALL).by_fold[number]
            for rows in (fold.test, fold.train)
        )

        assert LEAK not in hidden
        assert LEAK in seen


def test_what_a_fold_selects_does_not_move_with_anything_in_its_test_rows():
    quiet = signals_that_foretell_nothing()
    folds = purged_folds(quiet.decided, quiet.ended, SMALL.folds, SMALL.embargo_bars)
    before = select_features(quiet, FEATURES, folds, SMALL)
    for number, fold in enumerate(folds):
        changed = replace(leaking(quiet, fold.test), net=quiet.net.copy())
        changed.net[fold.test] *= -3.0
        changed.features[fold.test, 0] = np.nan

        after = select_features(changed, FEATURES, folds, SMALL)

        assert np.array_equal(after.by_fold[number], before.by_fold[number])


def test_a_feature_that_is_the_label_only_after_training_ends_is_not_selected():
    panel = a_panel(days=40, edge=0.0)
    cut = int(panel.times[len(panel.times) // 2])
    later = leaking_panel(cut + 1, int(panel.times[-1]))
    always = leaking_panel(0, int(panel.times[-1]))

    fitted, plain, caught = (
        fit_policy(each.closed_by(cut), HEADS, SMALL, COSTS, {}) for each in (later, panel, always)
    )

    assert fitted.bundle.version == plain.bundle.version
    assert "noise" not in fitted.bundle.trade_model.features
    assert "noise" in caught.bundle.trade_model.features


def test_the_trade_model_knows_what_it_was_given_and_the_policy_asks_for_no_more():
    fitted = fit_policy(a_panel(days=24, edge=0.5), HEADS, SMALL, COSTS, {})

    bundle, importance = fitted.bundle, fitted.importance
    assert list(bundle.trade_model.features) == importance["feature"][importance["selected"]].tolist()
    assert set(bundle.trade_model.features) & {"return_12", "return_24", "return_48", "relative_strength_48"}
    assert set(importance["feature"]) == {*FEATURES, *FLAG_COLUMNS, *REGIME_COLUMNS}
    assert "noise" not in bundle.inputs


def test_without_selection_the_trade_model_is_given_everything_but_what_is_barred():
    fitted = fit_policy(a_panel(days=24), HEADS, with_selection(enabled=False, never=("noise",)), COSTS, {})

    assert fitted.importance is None
    assert set(FEATURES) - set(fitted.bundle.trade_model.features) == {"noise"}


def test_a_barred_feature_still_serves_the_head_that_uses_it():
    panel = a_panel(days=24, edge=0.5)

    bundle = fit_policy(panel, HEADS, with_selection(never=("return_24",)), COSTS, {}).bundle

    assert "return_24" not in bundle.trade_model.features
    with pytest.raises(FeatureMismatch, match="return_24"):
        judge(bundle, panel.table.drop(columns="return_24"))


def test_a_barred_name_that_no_feature_has_is_refused():
    with pytest.raises(BadParams, match=r"policy\.selection\.never names \['retrun_24'\]"):
        fit_policy(a_panel(days=24), HEADS, with_selection(never=("retrun_24",)), COSTS, {})
