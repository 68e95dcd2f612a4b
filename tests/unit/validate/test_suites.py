"""The suites refuse what they say they refuse."""

import pandas as pd

from expectations import features, validated_bars
from pipelines.domain.bars import Interval
from pipelines.validate.facts import with_facts
from pipelines.validate.judge import judge
from tests.unit.validate.builders import a_raw_market, some_bars

NAMES = ["momentum_5", "atr_pct_14"]


def feature_rows() -> pd.DataFrame:
    closes = some_bars(count=30)["close_time"]
    return pd.DataFrame({"symbol": "ABC", "close_time": closes, "momentum_5": 0.01, "atr_pct_14": 0.02})


def test_good_features_meet_their_suite_even_while_warming_up():
    rows = feature_rows()
    rows.loc[:5, "momentum_5"] = float("nan")

    assert judge(rows, features.suite(NAMES)) == []


def test_features_in_rupees_repeated_or_missing_break_their_suite():
    rows = feature_rows()
    rows.loc[3, "momentum_5"] = 1e6
    rows.loc[4, "close_time"] = rows.loc[5, "close_time"]

    broken = judge(rows, features.suite(NAMES))

    assert {one.rule for one in broken} == {"duplicate", "not_scale_free"}
    assert judge(rows.drop(columns="atr_pct_14"), features.suite(NAMES[:1]))[0].rule == "duplicate"
    assert judge(rows.rename(columns={"atr_pct_14": "other"}), features.suite(NAMES[:1]))[0].rule == "columns"


def test_a_gap_left_in_validated_bars_breaks_their_suite():
    bars = some_bars()
    bars.loc[100:, ["open", "high", "low", "close"]] /= 2
    facts = with_facts(bars, Interval.DAY, a_raw_market(bars).instruments)

    broken = judge(facts, validated_bars.suite(intraday=False, max_overnight_gap=0.15))

    assert [(one.rule, one.rows) for one in broken] == [("unexplained_gap", (100,))]


def test_the_features_of_a_real_run_meet_their_suite(small_run):
    from pipelines.tables import read_json, read_table

    paths, _ = small_run
    names = [feature["name"] for feature in read_json(paths.catalogue)["features"]]

    for bars in paths.validated_bars.glob("*.parquet"):
        assert judge(read_table(paths.features / bars.name), features.suite(names)) == []
