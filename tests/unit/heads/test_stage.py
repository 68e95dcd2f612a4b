import pandas as pd
from pandas.testing import assert_frame_equal

from pipelines.features import stage as features
from pipelines.heads import heads_from, stage
from pipelines.tables import read_table
from tests.unit.features.bars import random_market
from tests.unit.features.workspaces import validated_workspace


def test_the_stage_writes_every_heads_view_of_every_row(tmp_path):
    paths, params = validated_workspace(tmp_path)
    features.run(params, paths)

    report = stage.run(params, paths)

    table, rows = read_table(paths.views / "TCS.parquet"), read_table(paths.features / "TCS.parquet")
    assert table["close_time"].tolist() == rows["close_time"].tolist()
    for head in heads_from(params.heads):
        views = table[[f"{head.name}_direction", f"{head.name}_confidence"]]
        assert_frame_equal(views.set_axis(["direction", "confidence"], axis=1), head.views(rows))
        assert views.iloc[100:].abs().sum().gt(0).all()
    assert sorted(path.stem for path in paths.views.iterdir()) == ["INFY", "RELIANCE", "TCS"]
    assert report.rows_out == sum(len(read_table(path)) for path in paths.views.iterdir())


def test_views_of_the_past_stay_when_later_bars_arrive(tmp_path):
    market = random_market(bars=300, missing=0.05)
    cut = market["TCS"]["close_time"].iloc[200]
    past = {symbol: frame[frame["close_time"] <= cut] for symbol, frame in market.items()}

    then, now = (_views(tmp_path / name, bars) for name, bars in (("then", past), ("now", market)))

    for symbol, table in then.items():
        assert_frame_equal(now[symbol].iloc[: len(table)], table, check_exact=True)


def _views(folder, market) -> dict[str, pd.DataFrame]:
    paths, params = validated_workspace(folder, market)
    features.run(params, paths)
    stage.run(params, paths)
    return {path.stem: read_table(path) for path in paths.views.iterdir()}
