"""Feature tables that a policy must not learn from are refused, with the instrument, the feature and the figure."""

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.errors import DataRejected
from pipelines.tables import read_json, read_table
from pipelines.validate.feature_tables import feature_profile, judge_features
from tests.unit.validate.builders import some_bars

NAMES = ["momentum_5", "atr_pct_14"]


def feature_rows(symbol: str = "ABC") -> pd.DataFrame:
    closes = some_bars(count=30)["close_time"]
    return pd.DataFrame({"symbol": symbol, "close_time": closes, "momentum_5": 0.01, "atr_pct_14": 0.02})


def refused(rows: pd.DataFrame) -> str:
    with pytest.raises(DataRejected) as refusal:
        judge_features([feature_profile(feature_rows("SOUND"), NAMES), feature_profile(rows, NAMES)])
    return str(refusal.value)


def test_good_features_pass_even_while_warming_up():
    rows = feature_rows()
    rows.loc[:5, "momentum_5"] = np.nan

    judge_features([feature_profile(rows, NAMES)])


def test_infinities_are_refused():
    rows = feature_rows()
    rows.loc[[3, 7], "momentum_5"] = [np.inf, -np.inf]

    assert "features break infinite 1 times" in refused(rows)
    assert "ABC: momentum_5 is infinite in 2 rows" in refused(rows)


def test_features_in_rupees_are_refused():
    rows = feature_rows()
    rows.loc[3, "atr_pct_14"] = -2e6

    assert "not_scale_free 1 times, in 1 instruments; first: ABC: atr_pct_14 reaches 2e+06" in refused(rows)


def test_repeated_missing_and_unsorted_closes_are_refused():
    rows = feature_rows()

    assert "duplicate" in refused(pd.concat([rows, rows.tail(1)], ignore_index=True))
    assert "missing_value" in refused(rows.assign(close_time=rows["close_time"].where(rows.index != 4)))
    assert "out_of_order" in refused(rows.iloc[::-1].reset_index(drop=True))


def test_columns_are_those_of_the_catalogue_and_numbers():
    rows = feature_rows()

    assert "ABC: atr_pct_14 is not in the table" in refused(rows.drop(columns="atr_pct_14"))
    assert "ABC: other is float64, but no column of the catalogue" in refused(rows.assign(other=1.0))
    assert "ABC: momentum_5 is int64, not float64" in refused(rows.assign(momentum_5=1))


def test_the_features_of_a_real_run_are_sound(small_run):
    paths, _ = small_run
    names = [feature["name"] for feature in read_json(paths.catalogue)["features"]]
    tables = {bars.stem: read_table(paths.features / bars.name) for bars in paths.validated_bars.glob("*.parquet")}

    judge_features([feature_profile(table, names) for table in tables.values()])

    assert len(tables) >= 3
