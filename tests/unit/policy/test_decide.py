import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput, FeatureMismatch, NotFound, TooFewBars
from pipelines.domain.signals import Action, FeatureRow, Side
from pipelines.policy.bundle import Bundle
from pipelines.policy.decide import decide, judge, regime_names
from pipelines.policy.fit import fit_policy
from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS, REGIMES, STATED_REGIME
from tests.unit.policy.builders import COSTS, FEATURES, HEADS, SMALL, a_panel


@pytest.fixture(scope="module")
def panel():
    return a_panel(days=24, edge=0.5)


@pytest.fixture(scope="module")
def bundle(panel):
    return fit_policy(panel, HEADS, SMALL, COSTS, {"fits": []}).bundle


def rows_of(panel, numbers, **changes):
    names = (*FEATURES, *FLAG_COLUMNS, STATED_REGIME, *REGIME_COLUMNS)
    table = panel.table.iloc[numbers]
    rows = [
        FeatureRow(
            symbol=row["symbol"],
            close_time=row["close_time"].to_pydatetime(),
            close=float(row["close"]),
            tick_size=Decimal("0.05"),
            lot_size=1,
            catalogue_hash="c0ffee",
            values={name: float(row[name]) for name in names},
        )
        for row in table.to_dict("records")
    ]
    return [replace(row, **changes) for row in rows]


def test_the_planted_edge_is_found_and_the_noise_gets_no_vote(bundle):
    weights = dict(zip(bundle.consensus.heads, bundle.consensus.overall, strict=True))

    assert weights["momentum"] > 0.9
    assert bundle.trade_model.report["return_correlation"] > 0.1


def test_without_an_edge_nothing_is_taken():
    for seed in (1, 2):
        panel = a_panel(days=24, edge=0.0, seed=seed)
        bundle = fit_policy(panel, HEADS, SMALL, COSTS, {}).bundle

        assert (judge(bundle, panel.table)["action"] == Action.SKIP).mean() > 0.98


def test_what_was_decided_does_not_move_when_later_bars_arrive(panel, bundle):
    whole = judge(bundle, panel.table)
    known = panel.closed_by(int(panel.times[300]))

    then = judge(bundle, known.table)

    now = whole[panel.closes <= panel.times[300]].reset_index(drop=True)
    pd.testing.assert_frame_equal(then, now)


def test_a_policy_fitted_on_the_past_does_not_know_the_bars_after_it(panel):
    cut = int(panel.times[400])
    later = panel.closes > cut
    changed = panel.table.copy()
    changed.loc[later, ["open", "high", "low", "close"]] *= 3

    one = fit_policy(panel.closed_by(cut), HEADS, SMALL, COSTS, {}).bundle
    other = fit_policy(replace(panel, table=changed).closed_by(cut), HEADS, SMALL, COSTS, {}).bundle

    assert one.version == other.version


def test_the_same_panel_gives_the_same_policy(panel, bundle):
    assert fit_policy(panel, HEADS, SMALL, COSTS, {"fits": []}).bundle.version == bundle.version


def test_one_row_is_judged_as_in_the_table(panel, bundle):
    whole = judge(bundle, panel.table)
    numbers = [*np.flatnonzero(whole["action"] != Action.SKIP)[:5].tolist(), 0, 7, 100]

    decisions = decide(bundle, rows_of(panel, numbers), Decimal(1_000_000))

    for number, decision in zip(numbers, decisions, strict=True):
        judged = whole.iloc[number]
        assert decision.signal == judged["signal"]
        assert decision.action == judged["action"]
        if decision.action is not Action.SKIP:
            assert decision.probability == judged["probability"]
            assert decision.expected_return == judged["expected_return"]


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_a_decision_is_the_same_to_the_bit_in_a_table_in_a_batch_and_alone(panel, bundle, batch):
    shares = np.random.default_rng(3).dirichlet(np.ones(len(bundle.heads)), len(REGIMES))
    bundle = replace(bundle, consensus=replace(bundle.consensus, by_regime=shares))
    unknown = panel.table[REGIME_COLUMNS[0]].where(np.arange(len(panel.table)) % 11 > 0)
    panel = replace(panel, table=panel.table.assign(**{REGIME_COLUMNS[0]: unknown}))
    rows = rows_of(panel, slice(0, 600))

    decisions = [d for i in range(0, 600, batch) for d in decide(bundle, rows[i : i + batch], Decimal(1_000_000_000))]

    whole = judge(bundle, panel.table).iloc[:600]
    assert {d.action for d in decisions} >= {Action.SKIP, Action.TAKE}
    assert [d.signal for d in decisions] == whole["signal"].tolist()
    assert [d.side.sign if d.side else 0 for d in decisions] == whole["side"].tolist()
    assert [d.action for d in decisions] == whole["action"].tolist()
    assert [d.regime for d in decisions] == whole["regime"].tolist()
    for name in ("probability", "expected_return", "stop_risk"):
        assert [getattr(d, name) for d in decisions] == whole[name].fillna(0.0).tolist()
    for i, head in enumerate(bundle.heads):
        assert [d.views[i].direction for d in decisions] == whole[f"{head.name}_direction"].tolist()
        assert [d.views[i].confidence for d in decisions] == whole[f"{head.name}_confidence"].tolist()


def test_a_table_that_lacks_a_feature_is_refused(panel, bundle):
    with pytest.raises(FeatureMismatch, match="the table lacks \\['return_24'\\]"):
        judge(bundle, panel.table.drop(columns="return_24"))


def test_a_feature_that_was_not_selected_may_be_absent(panel, bundle):
    assert "noise" not in bundle.trade_model.features
    poor = panel.table.drop(columns="noise")

    pd.testing.assert_frame_equal(judge(bundle, poor), judge(bundle, panel.table))


def test_a_decision_says_how_much_where_to_leave_and_why(panel, bundle):
    judged = judge(bundle, panel.table)
    number = int(np.flatnonzero(judged["action"] != Action.SKIP)[0])

    (decision,) = decide(bundle, rows_of(panel, [number]), Decimal(1_000_000))

    sign = decision.side.sign
    assert decision.quantity > 0
    assert sign * (decision.target - decision.reference_price) > 0 > sign * (decision.stop - decision.reference_price)
    assert decision.stop % Decimal("0.05") == 0
    assert decision.quantity * decision.reference_price <= 100_000
    assert [view.head for view in decision.views] == ["momentum", "reversion"]
    assert any(view.reasons for view in decision.views)
    assert "after charges" in " ".join(decision.reasons)
    assert (decision.policy_version, decision.catalogue_hash) == (bundle.version, "c0ffee")


def test_a_decision_carries_the_stated_regime_and_the_flags_that_are_known(panel, bundle):
    row = rows_of(panel, [300])[0]
    said = {STATED_REGIME: 1.0, "flag_breakout": -1.0, "flag_news_driven": float("nan"), "flag_crash_anomaly": 1.0}

    (decision,) = decide(bundle, [replace(row, values=row.values | said)], Decimal(1_000_000))

    assert decision.regime == "bear"
    assert decision.extra == {"flag_breakout": -1.0, "flag_crash_anomaly": 1.0}


def test_a_number_that_is_no_regime_is_unknown():
    assert regime_names(np.array([0.0, 3.0, 4.0, 0.5, -1.0, np.nan, np.inf])).tolist() == [
        *("bull", "high_volatility"),
        *["unknown"] * 5,
    ]


def test_while_features_warm_up_everything_is_skipped_with_a_reason(panel, bundle):
    row = rows_of(panel, [300])[0]
    blank = replace(row, values=dict.fromkeys(row.values, float("nan")))

    (decision,) = decide(bundle, [blank], Decimal(1_000_000))

    assert decision.action is Action.SKIP
    assert decision.quantity == 0
    assert decision.probability == 0.0
    assert decision.regime == "unknown"
    assert decision.reasons


def test_too_little_equity_for_one_share_skips(panel, bundle):
    number = int(np.flatnonzero(judge(bundle, panel.table)["action"] != Action.SKIP)[0])

    (decision,) = decide(bundle, rows_of(panel, [number]), Decimal(100))

    assert (decision.action, decision.quantity, decision.stop) == (Action.SKIP, 0, None)


def test_rows_of_another_catalogue_are_refused(panel, bundle):
    with pytest.raises(FeatureMismatch, match="retrain"):
        decide(bundle, rows_of(panel, [300], catalogue_hash="other"), Decimal(1_000_000))


def test_rows_that_lack_a_feature_are_refused(panel, bundle):
    row = rows_of(panel, [300])[0]
    poor = replace(row, values={name: value for name, value in row.values.items() if name != "z_score_20"})

    with pytest.raises(FeatureMismatch, match="z_score_20"):
        decide(bundle, [poor], Decimal(1_000_000))


def test_delivery_is_never_sold_short():
    panel = a_panel(days=400, edge=0.6, interval=Interval.DAY, instruments=3)
    bundle = fit_policy(panel, HEADS, SMALL, COSTS, {}).bundle

    judged = judge(bundle, panel.table)

    taken = judged[judged["action"] != Action.SKIP]
    assert bundle.long_only
    assert (taken["side"] == 1).all()
    assert (judged["side"] == -1).any()


def test_a_saved_policy_loads_as_the_same(tmp_path, panel, bundle):
    bundle.save(tmp_path / "bundle")

    again = Bundle.load(tmp_path / "bundle")

    assert again.version == bundle.version
    pd.testing.assert_frame_equal(judge(again, panel.table), judge(bundle, panel.table))
    assert {p.suffix for p in (tmp_path / "bundle").iterdir()} == {".json", ".txt"}


def test_an_altered_policy_is_refused(tmp_path, bundle):
    bundle.save(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"max_position": 0.1', '"max_position": 0.9'))

    with pytest.raises(BadInput, match="its content is"):
        Bundle.load(tmp_path)


def test_a_folder_that_is_no_policy_is_refused(tmp_path, bundle):
    with pytest.raises(NotFound, match="no policy"):
        Bundle.load(tmp_path)

    bundle.save(tmp_path / "bundle")
    (tmp_path / "bundle" / "consensus.json").write_text("{")
    with pytest.raises(BadInput, match="not JSON"):
        Bundle.load(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("manifest.json", ("thresholds",)),
        ("manifest.json", ("barriers", "stop_atr")),
        ("manifest.json", ("version",)),
        ("manifest.json", ("trade_model", "calibration")),
        ("consensus.json", ("weights",)),
        ("consensus.json", ("weights", "overall")),
        ("catalogue.json", ("hash",)),
    ],
)
def test_a_policy_without_a_key_is_refused_in_one_line_that_names_it(tmp_path, bundle, name, keys):
    bundle.save(tmp_path)
    content = json.loads((tmp_path / name).read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    del place[keys[-1]]
    (tmp_path / name).write_text(json.dumps(content))

    with pytest.raises(BadInput, match=rf"{keys[-1]}.*fetch or train the policy again") as error:
        Bundle.load(tmp_path)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[]", "null", "3", '{"format": 2}', '{"format": 2, "interval": []}'])
def test_a_manifest_of_another_shape_is_refused_in_one_line(tmp_path, bundle, content):
    bundle.save(tmp_path)
    (tmp_path / "manifest.json").write_text(content)

    with pytest.raises(BadInput):
        Bundle.load(tmp_path)


def test_too_little_history_is_refused():
    with pytest.raises(TooFewBars):
        fit_policy(a_panel(days=1, instruments=1), HEADS, SMALL, COSTS, {})


def test_few_signals_leave_base_rates_and_no_trades():
    panel = a_panel(days=8, instruments=1)
    bundle = fit_policy(panel, HEADS, SMALL.model_copy(update={"min_leaf": 5000}), COSTS, {}).bundle

    judged = judge(bundle, panel.table)

    assert not bundle.trade_model.forests
    assert judged["probability"].dropna().nunique() == 1
    assert (judged["action"] == Action.SKIP).all()


def test_sides_follow_the_signal(panel, bundle):
    decisions = decide(bundle, rows_of(panel, list(range(200, 260))), Decimal(1_000_000))

    assert {d.side for d in decisions} >= {Side.BUY, Side.SELL}
    assert all(d.side is None or d.side.sign == np.sign(d.signal) for d in decisions)
