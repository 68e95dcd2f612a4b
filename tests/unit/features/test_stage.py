import subprocess
import sys

import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput, NotFound
from pipelines.features import stage
from pipelines.features.catalogue import CATALOGUE, FEATURE_NAMES, MARKET_NAMES, catalogue_hash
from pipelines.tables import read_json, read_table
from tests.unit.features.bars import random_bars, random_market
from tests.unit.features.workspaces import validated_workspace


def test_the_stage_writes_features_market_and_catalogue(tmp_path):
    paths, params = validated_workspace(tmp_path)

    report = stage.run(params, paths)

    table, market = read_table(paths.features / "TCS.parquet"), read_table(paths.market_features)
    assert list(table.columns) == ["symbol", "close_time", *FEATURE_NAMES]
    assert list(market.columns) == ["close_time", *MARKET_NAMES]
    assert str(table["close_time"].dtype) == "datetime64[us, Asia/Kolkata]"
    assert sorted(path.name for path in paths.features.iterdir()) == [
        "INFY.parquet",
        "RELIANCE.parquet",
        "TCS.parquet",
        "catalogue.json",
        "market.parquet",
    ]
    assert report.rows_out == sum(
        len(read_table(path)) for path in paths.features.glob("*.parquet") if path.stem != "market"
    )


def test_the_catalogue_says_what_the_columns_are(tmp_path):
    paths, params = validated_workspace(tmp_path)

    stage.run(params, paths)

    catalogue = read_json(paths.catalogue)
    assert catalogue["hash"] == catalogue_hash(Interval.MIN_5)
    assert catalogue["interval"] == "5min"
    assert [feature["name"] for feature in catalogue["features"]] == list(FEATURE_NAMES)
    assert {"name", "family", "look_back", "unit", "source"} <= set(catalogue["features"][0])


def test_the_stage_gives_the_same_bytes_again(tmp_path):
    paths, params = validated_workspace(tmp_path)
    stage.run(params, paths)
    first = {path.name: path.read_bytes() for path in paths.features.iterdir()}

    stage.run(params, paths)

    assert {path.name: path.read_bytes() for path in paths.features.iterdir()} == first


def test_a_run_without_stocks_is_refused_and_nothing_is_written(tmp_path):
    paths, params = validated_workspace(tmp_path, {"NIFTY 50": random_bars("NIFTY 50", 100)})

    with pytest.raises(BadInput, match="no stock"):
        stage.run(params, paths)

    assert not paths.features.exists()


def test_missing_input_says_which_stage_to_run(tmp_path):
    paths, params = validated_workspace(tmp_path)
    paths.instruments.unlink()

    with pytest.raises(NotFound, match="run the stage"):
        stage.run(params, paths)


def test_a_short_history_is_told(tmp_path):
    paths, params = validated_workspace(tmp_path, random_market(bars=50))

    notes = stage.run(params, paths).notes

    assert any("shorter than the longest look-back" in note for note in notes)


def test_names_are_unique_and_there_are_enough_of_them():
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) >= 40
    assert {feature.family for feature in CATALOGUE} >= {
        "trend",
        "momentum",
        "volatility",
        "volume",
        "candles",
        "breakouts",
        "statistics",
        "market",
        "calendar",
        "news",
    }


def test_the_hash_tells_intervals_apart_and_stays_otherwise():
    assert len({catalogue_hash(interval) for interval in Interval}) == len(Interval)
    assert catalogue_hash(Interval.DAY) == catalogue_hash(Interval("day"))


def test_no_feature_knows_the_price_level(tmp_path):
    """A share of 500 and one of 50,000 rupees have features of the same size."""
    cheap, dear = (random_bars("TCS", 300, start_price=price) for price in (500.0, 50_000.0))
    of_cheap, of_dear = (_last_rows(tmp_path / name, frame) for name, frame in (("a", cheap), ("b", dear)))

    apart = (of_cheap - of_dear).abs()

    smooth = [feature.name for feature in CATALOGUE if feature.unit not in ("yes or no", "pattern")]
    known = of_cheap[smooth].notna()
    assert (known == of_dear[smooth].notna()).all().all()
    near = (apart <= 0.2 + 0.2 * of_cheap.abs())[smooth]
    assert near.to_numpy()[known.to_numpy()].mean() > 0.95  # the grid of ticks is finer for the dear one


def _last_rows(folder, frame) -> pd.DataFrame:
    paths, params = validated_workspace(folder, {"TCS": frame})
    stage.run(params, paths)
    return read_table(paths.features / "TCS.parquet").iloc[-50:][list(FEATURE_NAMES)]


def test_another_process_finds_the_compiled_step_and_compiles_nothing():
    code = (
        "import numpy as np; from pipelines.features import state, step\n"
        "nothing = step.as_records(np.zeros((0, len(state.INPUTS))))\n"
        "step.step_bars(step.new_states(1), np.zeros(0, np.int64), nothing, step.StepRows(0))\n"
        "stats = step._run_bars.stats\n"
        "print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))"
    )

    told = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]

    assert told[-1].stdout.split() == ["1", "0"]
