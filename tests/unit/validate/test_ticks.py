"""Ticks as a recorder wrote them: what is wrong with them is known from the collection's README."""

import numpy as np
import pandas as pd
import pytest

from pipelines.ingest.kinds import typed
from pipelines.validate.release import Released
from pipelines.validate.ticks import sift_ticks, tick_facts
from tests.conftest import SHARED_DATA

TICKS = SHARED_DATA / "ticks"


def a_morning(count: int = 200, day: str = "2023-05-02") -> pd.DataFrame:
    times = pd.date_range(f"{day} 09:15:01", periods=count, freq="s", tz="Asia/Kolkata").as_unit("us")
    price = 100.0 + (np.arange(count) % 5) * 0.05
    rows = {
        "symbol": "ABC",
        "time": times,
        "price": price,
        "quantity": np.nan,
        "volume": np.arange(1.0, count + 1) * 10,
    }
    return typed(pd.DataFrame(rows), "ticks")


def rules(ticks: pd.DataFrame) -> dict[str, int]:
    return {one.rule: one.rows for one in sift_ticks(ticks, {}, Released()).findings}


def test_sound_ticks_pass_wholly():
    assert rules(a_morning()) == {}


@pytest.mark.parametrize(
    ("column", "value", "rule"),
    [
        ("price", 0.0, "not_positive"),
        ("price", np.nan, "missing_value"),
        ("price", 180.0, "price_outlier"),
        ("price", np.inf, "not_finite"),
        ("volume", -5.0, "not_positive"),
        ("time", pd.Timestamp("2023-05-02 09:14", tz="Asia/Kolkata"), "outside_session"),
        ("time", pd.Timestamp("2023-05-02 16:00", tz="Asia/Kolkata"), "outside_session"),
        ("time", pd.Timestamp("1970-01-01 05:30", tz="Asia/Kolkata"), "before_exchange"),
        ("time", pd.Timestamp("2023-05-06 10:00", tz="Asia/Kolkata"), "not_a_session"),
    ],
)
def test_a_faulty_tick_is_set_aside(column, value, rule):
    ticks = a_morning()
    ticks.loc[100, column] = value

    sifted = sift_ticks(ticks, {}, Released())

    assert sifted.aside["rule"].value_counts().to_dict()[rule] == 1
    assert 100 not in sifted.sound.index


def test_the_last_moment_of_a_session_belongs_to_it():
    ticks = a_morning()
    ticks.loc[199, "time"] = pd.Timestamp("2023-05-02 15:30:00", tz="Asia/Kolkata")

    assert rules(ticks) == {}


def test_a_day_of_a_few_ticks_is_not_taken_for_a_day():
    assert rules(pd.concat([a_morning(), a_morning(5, "2023-05-03")])) == {"stub_day": 5}


@pytest.mark.skipif(not TICKS.exists(), reason="the collection of real files is not there")
def test_the_recorded_day_of_infy_has_the_defects_that_its_readme_counts():
    rows = pd.read_csv(TICKS / "INFY_16_April.csv", parse_dates=["timestamp"])
    times = rows["timestamp"].dt.tz_localize("Asia/Kolkata").dt.as_unit("us")
    ticks = typed(
        pd.DataFrame(
            {"symbol": "INFY", "time": times, "price": rows["ltp"], "quantity": np.nan, "volume": rows["volume"]}
        ),
        "ticks",
    )

    facts = tick_facts(ticks)
    sifted = sift_ticks(ticks, {}, Released())

    own = facts["time"].dt.strftime("%Y-%m-%d") == "2021-04-16"
    assert len(facts) == 26_120
    assert (facts["copies_before"] > 0).sum() == 4_715
    assert (~facts["in_exchange_life"]).sum() + (~facts["in_whole_day"] & facts["in_exchange_life"]).sum() == 3_695
    assert (own & ~facts["in_hours"]).sum() == 1_138
    assert (facts["total_back"] > 0).sum() + 1 == 397  # the one more is from the last tick of a day to the next day
    assert (facts["volume"] == 0).sum() == 2
    found = {one.rule: one.rows for one in sifted.findings}
    assert found["duplicate"] == 4_715
    assert found["before_exchange"] == 3_007
    assert found["stub_day"] == 688
    sound = sifted.sound
    assert sound["time"].dt.date.nunique() == 1
    assert len(sound) + len(sifted.aside) == 26_120
    assert not sound.duplicated(["time", "price", "volume"]).any()


@pytest.mark.skipif(not TICKS.exists(), reason="the collection of real files is not there")
def test_the_recorded_week_has_stale_rows_after_hours_and_many_ticks_a_second():
    rows = pd.read_parquet(TICKS / "ticks_2021-05-17_to_21.parquet")
    times = rows["timestamp"].dt.tz_localize("Asia/Kolkata").dt.as_unit("us")
    ticks = typed(rows.assign(time=times, price=rows["ltp"], quantity=np.nan), "ticks")

    sifted = sift_ticks(ticks, {}, Released())

    found = {one.rule: one.rows for one in sifted.findings}
    assert found.get("duplicate", 0) == 0
    assert tick_facts(ticks).query("at_stamp > 1").groupby(["symbol", "time"]).ngroups == 13_664
    assert found["outside_session"] > 0
    assert len(sifted.sound) > 0.9 * len(ticks)
