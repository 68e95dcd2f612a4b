import pandas as pd

from pipelines.features import stage as features
from pipelines.regimes import stage
from pipelines.regimes.online import COLUMNS, OnlineRegimes
from pipelines.tables import read_json, read_table
from tests.unit.features.bars import random_market
from tests.unit.features.workspaces import validated_workspace

FEW = {"regimes.min_bars": 150, "regimes.refits": 2}


def test_the_stage_writes_regimes_model_and_a_curve(tmp_path):
    paths, params = validated_workspace(tmp_path, random_market(bars=500), overrides=FEW)
    features.run(params, paths)

    report = stage.run(params, paths)

    table, market = read_table(paths.regimes), read_table(paths.market_features)
    curve = pd.read_csv(paths.reports / "regimes.csv")
    assert list(table.columns) == ["close_time", *COLUMNS]
    assert table["close_time"].tolist() == market["close_time"].tolist()
    assert list(curve.columns) == ["day", "bull", "bear", "range", "high_volatility"]
    assert set(table["regime"]) > {"unknown"}
    assert report.rows_out == len(table)
    OnlineRegimes(read_json(paths.regime_model), {"AAA": True})


def test_the_stage_gives_the_same_bytes_again(tmp_path):
    paths, params = validated_workspace(tmp_path, random_market(bars=400), overrides=FEW)
    features.run(params, paths)
    outputs = (paths.regimes, paths.regime_model, paths.reports / "regimes.csv")
    stage.run(params, paths)
    first = [path.read_bytes() for path in outputs]

    stage.run(params, paths)

    assert [path.read_bytes() for path in outputs] == first


def test_a_history_too_short_for_a_fit_still_ends_well(tmp_path):
    paths, params = validated_workspace(tmp_path, random_market(bars=100))
    features.run(params, paths)

    report = stage.run(params, paths)

    assert read_table(paths.regimes)["regime"].eq("unknown").all()
    assert (paths.reports / "regimes.csv").read_text() == "day,bull,bear,range,high_volatility\n"
    assert "regimes stay unknown" in report.notes[0]
