"""The crashes of 2008 and 2020 on the index as it was traded: each is flagged by what was known by then."""

import pandas as pd
import pytest

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.params import RegimeParams
from pipelines.regimes.history import find_regimes
from tests.conftest import SHARED_DATA, params_content
from tests.unit.regimes.markets import no_news

FILE = SHARED_DATA / "daily" / "index" / "NIFTY50_day.csv"
PARAMS = RegimeParams.model_validate(params_content({})["regimes"])
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="the shared data are not here")


@pytest.fixture(scope="module")
def nifty():
    bars = pd.read_csv(FILE)
    bars["close_time"] = (
        pd.to_datetime(bars["date"].str[:10]).add(pd.Timedelta("15:30:00")).dt.tz_localize("Asia/Kolkata")
    ).astype(TIME_DTYPE)
    return bars[bars["close_time"] >= "1996-11-01"].reset_index(drop=True)  # before, closes only


def told_by(nifty, day):
    """What was told on the evening of a day, by a run that knows nothing later."""
    known = nifty[nifty["close_time"] <= f"{day} 15:30"]
    return find_regimes({"NIFTY": known}, {"NIFTY": False}, no_news(), Interval.DAY, PARAMS).table


@pytest.fixture(scope="module")
def told(nifty):
    return told_by(nifty, "2023-12-29").assign(day=lambda table: table["close_time"].dt.strftime("%Y-%m-%d"))


@pytest.mark.parametrize(
    ("crash_day", "flagged", "loud"),
    [
        ("2008-01-21", "2008-01-21", "2008-01-21"),  # the year had begun in high volatility
        ("2008-10-24", "2008-10-24", "2008-10-24"),
        ("2020-03-09", "2020-03-09", "2020-03-13"),  # the regime follows three sessions after the flag
    ],
)
def test_a_crash_is_flagged_on_its_day_and_high_volatility_follows_within_days(told, crash_day, flagged, loud):
    since = told[told["day"] >= crash_day]

    assert since.loc[since["crash_anomaly"] == 1.0, "day"].iloc[0] == flagged
    assert since.loc[since["regime"] == "high_volatility", "day"].iloc[0] == loud


@pytest.mark.parametrize("day", ["2008-01-21", "2020-03-13"])
def test_the_evening_knew_what_the_whole_history_says_of_it(nifty, told, day):
    evening = told_by(nifty, day)

    pd.testing.assert_frame_equal(
        evening, told[told["day"] <= day][list(evening.columns)].reset_index(drop=True), check_exact=True
    )


def test_crash_anomalies_are_rare_outside_the_great_crashes(told):
    great = told["day"].str[:4].isin(["2008", "2020"])

    assert told.loc[~great, "crash_anomaly"].mean() < 0.005
    assert told["breakout"].isna().all()  # an index has no volume


def test_the_years_have_the_regimes_that_they_are_known_for(told):
    years = told.groupby(told["day"].str[:4])["regime"].value_counts(normalize=True)

    assert years["2008", "high_volatility"] > 0.6
    assert years["2020", "high_volatility"] > 0.5
    for calm in ("2017", "2023"):  # both rose, in long stretches too calm to be told from a range
        assert years[calm, "bull"] > 0.5
        assert years[calm, "bull"] + years[calm, "range"] > 0.9
