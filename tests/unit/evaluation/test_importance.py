import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipelines.evaluation import importance_part
from pipelines.evaluation.importance import (
    COLUMNS,
    by_feature,
    heat,
    importance_over_time,
    proposals,
    selection_summary,
)
from pipelines.evaluation.stage import importance_of_run
from pipelines.evaluation.walk_forward import walk_forward
from pipelines.paths import Paths
from pipelines.policy.fit import fit_policy
from pipelines.tables import write_table
from tests.unit.evaluation.test_assessment import EVALUATION
from tests.unit.policy.builders import COSTS, HEADS, SMALL, a_panel

CATALOGUE = {"features": [{"name": name, "family": "trend"} for name in ("good", "twin", "weak", "crowded", "noise")]}


def a_fit(**changes) -> pd.DataFrame:
    """One fit in which `good` is selected, `twin` says the same, `crowded` found no place and the rest is noise."""
    said = {
        "good": (0.9, 1.0, "good", 1.0, True),
        "twin": (0.8, 0.8, "good", 0.95, False),
        "weak": (0.5, 0.4, "weak", 1.0, False),
        "crowded": (0.75, 0.6, "crowded", 1.0, False),
        "noise": (0.2, 0.0, "noise", 1.0, False),
        "regime_bull": (0.3, 0.2, "regime_bull", 1.0, False),
    } | changes
    columns = ("score", "stability", "representative", "correlation", "selected")
    table = pd.DataFrame.from_dict(said, orient="index", columns=columns).rename_axis("feature").reset_index()
    return table.assign(mutual_information=0.01, gain=0.1, permutation=0.002, noise=0.6)


def several(*fits):
    times = pd.date_range("2026-01-05 15:30", periods=len(fits), tz="Asia/Kolkata", freq="D")
    return importance_over_time(list(zip(times, fits, strict=True)), CATALOGUE)


def proposed(*fits, used=None):
    return {row["feature"]: row for row in proposals(several(*fits), used or {}, min_stability=0.6)}


def test_features_that_are_noise_or_another_in_every_fit_are_proposed_and_the_crowded_out_are_not():
    found = proposed(a_fit(), a_fit())

    assert set(found) == {"twin", "weak", "noise", "regime_bull"}
    assert (found["twin"]["same_as"], found["twin"]["correlation"], found["twin"]["redundant"]) == ("good", 0.95, 2)
    assert (found["noise"]["among_noise"], found["noise"]["same_as"]) == (2, None)
    assert found["regime_bull"]["family"] == "regime"


def test_a_feature_that_one_fit_selected_is_not_proposed():
    assert "weak" not in proposed(a_fit(), a_fit(weak=(0.7, 0.8, "weak", 1.0, True)))


def test_what_is_noise_in_one_fit_and_another_in_the_next_is_proposed_with_both_grounds():
    found = proposed(a_fit(), a_fit(weak=(0.7, 0.8, "good", 0.92, False)))["weak"]

    assert (found["among_noise"], found["redundant"]) == (1, 1)
    assert found["evidence"].startswith("among noise in 1 of 2 fits; the same as good in 1 (rank correlation 0.92")


def test_what_was_never_known_is_told_and_not_proposed():
    fits = [a_fit(), a_fit()]
    for fit in fits:
        fit.loc[fit["feature"] == "noise", ["mutual_information", "gain", "permutation"]] = 0.0
    importance = several(*fits)

    found = proposals(importance, {}, 0.6)

    assert "noise" not in {row["feature"] for row in found}
    assert selection_summary(importance, found)["never_known"] == ["noise"]


def test_the_evidence_says_which_head_uses_a_feature():
    found = proposed(a_fit(), used={"trend": ("noise", "good"), "volume": ("weak",)})

    assert found["noise"]["used_by"] == ["trend"]
    assert "used by the head trend: it stays in the catalogue" in found["noise"]["evidence"]


def test_the_weakest_is_told_first_and_the_best_leads():
    importance = several(a_fit(), a_fit())

    assert by_feature(importance)["feature"].tolist()[0] == "good"
    assert next(row["feature"] for row in proposals(importance, {}, 0.6)) == "noise"


def test_the_summary_counts_fit_by_fit_and_is_json():
    importance = several(a_fit(), a_fit(weak=(0.7, 0.8, "weak", 1.0, True)))

    summary = selection_summary(importance, proposals(importance, {}, 0.6))

    assert (summary["fits"], summary["candidates"], summary["selected"]) == (2, 6, [1, 2])
    assert summary["selected_always"] == ["good"]
    json.dumps(summary, allow_nan=False)


def test_a_run_without_selection_has_an_empty_table_with_the_columns():
    importance = several(None, None)

    assert importance.dtypes.astype(str).to_dict() == COLUMNS
    assert selection_summary(importance, proposals(importance, {}, 0.6))["selected"] == []


def test_the_picture_has_the_best_on_top_and_a_place_for_every_fit():
    lead, chosen, names, until = heat(several(a_fit(), a_fit(weak=(0.7, 0.8, "weak", 1.0, True))), most=3)

    assert names == ["good", "weak", "twin"]
    np.testing.assert_allclose(lead, [[0.3, 0.3], [-0.1, 0.1], [0.2, 0.2]])
    assert chosen.tolist() == [[True, True], [False, True], [False, False]]
    assert len(until) == 2


def test_the_report_tells_what_was_selected_and_what_is_proposed():
    importance = several(a_fit(), a_fit())
    summary = selection_summary(importance, proposals(importance, {"trend": ("weak",)}, 0.6))

    text = importance_part.note(summary) + importance_part.proposals_note(summary)
    table = importance_part.proposals_table(summary["proposed_for_dropping"])

    assert "Of 6 features, flags and regimes the fits selected 1, 1" in text
    assert "4 features that none of 2 fits selected, 1 of them since another said the same" in text
    assert "<td>good, 0.95</td>" in table
    assert "<td>trend</td>" in table
    assert "●" in importance_part.heat_map(importance)
    assert "squared error added" in importance_part.lines(importance)


@pytest.fixture(scope="module")
def walked_and_fitted():
    panel = a_panel(days=30, edge=0.5)
    return panel, walk_forward(panel, HEADS, SMALL, EVALUATION, COSTS, {}), fit_policy(panel, HEADS, SMALL, COSTS, {})


def test_the_windows_importance_and_that_of_the_policy_are_one_table_in_the_order_of_time(tmp_path, walked_and_fitted):
    panel, walked, fitted = walked_and_fitted
    write_table(fitted.importance, Paths(tmp_path).importance)
    families = {"features": [feature | {"family": "made up"} for feature in panel.catalogue["features"]]}

    importance = importance_of_run(replace(panel, catalogue=families), walked, Paths(tmp_path))

    assert importance["fit"].unique().tolist() == [0, 1, 2]
    assert importance["trained_until"].is_monotonic_increasing
    last = importance[importance["fit"] == 2].reset_index(drop=True)
    assert last["selected"].tolist() == fitted.importance["selected"].tolist()
    for number, fold in enumerate(walked.folds):
        own = importance[importance["fit"] == number]
        assert own["feature"][own["selected"]].tolist() == fold["features"]
        assert (own["trained_until"] < pd.Timestamp(fold["first"])).all()


def test_what_an_early_window_selects_does_not_move_when_the_later_market_changes(walked_and_fitted):
    panel, walked, _ = walked_and_fitted
    table = panel.table.copy()
    later = panel.closes > walked.windows[0].trained_until
    table.loc[later, ["open", "high", "low", "close"]] *= 2
    table.loc[later, "noise"] = np.arange(later.sum())

    changed = walk_forward(replace(panel, table=table), HEADS, SMALL, EVALUATION, COSTS, {})

    pd.testing.assert_frame_equal(changed.importance[0], walked.importance[0], check_exact=True)
