import json
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.features.catalogue import REGIME_COLUMNS
from pipelines.params import RegimeParams
from pipelines.policy.panel import FLAG_COLUMNS, STATED_REGIME
from pipelines.policy.panel import REGIME_COLUMNS as PROBABILITIES
from pipelines.regimes.accuracy import regime_accuracy
from pipelines.regimes.filter import REGIMES, Fit
from pipelines.regimes.flags import FLAGS
from pipelines.regimes.history import daily_means, find_regimes
from pipelines.regimes.online import COLUMNS, OnlineRegimes
from tests.conftest import params_content
from tests.unit.regimes.markets import STOCKS, bars_at, known_market, no_news, random_news, until

PARAMS = RegimeParams.model_validate(params_content({"regimes.min_bars": 400})["regimes"])
VOLUMES = dict.fromkeys(STOCKS, True)
QUICK = settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def regimes_of(market, news=None, params=PARAMS):
    return find_regimes(market, VOLUMES, no_news() if news is None else news, Interval.MIN_5, params)


@pytest.fixture(scope="module")
def market_and_truth():
    return known_market(bars=3_000, seed=1)


@pytest.fixture(scope="module")
def news(market_and_truth):
    return random_news(pd.DatetimeIndex(market_and_truth[1]["close_time"]), share=0.1, seed=5)


@pytest.fixture(scope="module")
def found(market_and_truth, news):
    return regimes_of(market_and_truth[0], news)


def test_regimes_that_are_known_are_found(market_and_truth, found):
    measured = regime_accuracy(found.table, market_and_truth[1])

    assert measured["balanced"] > 0.7  # by chance: 0.25
    assert all(row["recall"] > 0.5 for row in measured["by_regime"].values())
    assert measured["delay_bars_median"] < 40


def test_probabilities_sum_to_one_from_the_first_fit_on_and_are_unknown_before(found):
    first = found.table["close_time"] >= pd.Timestamp(found.model["fits"][0]["valid_from"])
    probabilities = found.table[list(REGIMES)]

    assert 400 < first.idxmax() < 800
    assert probabilities[~first].isna().all().all()
    assert (found.table["regime"][~first] == "unknown").all()
    np.testing.assert_allclose(probabilities[first].sum(axis=1), 1.0, atol=1e-12)
    assert (probabilities[first] >= 0).all().all()


def test_each_fit_is_used_only_after_the_closes_it_saw(market_and_truth, found):
    times = market_and_truth[1]["close_time"]
    warm = len(times) - len(times[times >= pd.Timestamp(found.model["fits"][0]["valid_from"])]) - 400

    fits = [Fit.from_dict(fit) for fit in found.model["fits"]]

    assert [fit.bars for fit in fits] == [400, 800, 1600]
    for fit in fits:
        assert times[warm + fit.bars - 1] < fit.valid_from == times[warm + fit.bars]


@QUICK
@given(seed=st.integers(0, 10_000), cut=st.integers(340, 990))
def test_regimes_and_flags_of_the_past_stay_when_later_bars_and_news_arrive(seed, cut):
    market, truth = known_market(bars=1_000, seed=seed)
    news = random_news(pd.DatetimeIndex(truth["close_time"]), share=0.1, seed=seed)
    params = PARAMS.model_copy(update={"min_bars": 100, "window_bars": 300})
    last = truth["close_time"][cut - 1]
    then = regimes_of(until(market, cut), news[news["time"] <= last], params)

    now = regimes_of(market, news, params)

    assert_frame_equal(now.table[:cut], then.table, check_exact=True)


def test_online_regimes_and_flags_equal_those_of_the_batch_to_the_bit(market_and_truth, found, news):
    market, truth = market_and_truth
    online = OnlineRegimes(json.loads(json.dumps(found.model)), VOLUMES)
    known, rows = None, []

    for time in truth["close_time"]:
        due = news[(news["time"] <= time) & ((news["time"] > known) if known is not None else True)]
        known = time
        rows.append(online.update(time.to_pydatetime(), bars_at(market, time), _items(due)).row())

    table = pd.DataFrame(rows, columns=list(COLUMNS))
    assert table["regime"].tolist() == found.table["regime"].tolist()
    numbers = [name for name in COLUMNS if name != "regime"]
    assert table[numbers].to_numpy().tobytes() == found.table[numbers].to_numpy().tobytes()
    assert found.table[list(FLAGS)].notna().any().all()


def test_a_replayed_history_and_live_bars_after_it_equal_the_batch(market_and_truth, found, news):
    market, truth = market_and_truth
    online = OnlineRegimes(found.model, VOLUMES)
    last = truth["close_time"][2_499]
    online.replay(until(market, 2_500), news[news["time"] <= last])

    rows = []
    for time in truth["close_time"][2_500:2_600]:
        due = news[(news["time"] <= time) & (news["time"] > last)]
        last = time
        rows.append(online.update(time.to_pydatetime(), bars_at(market, time), _items(due)).row())

    expected = found.table[list(COLUMNS)][2_500:2_600].reset_index(drop=True)
    assert_frame_equal(pd.DataFrame(rows).astype({"regime": "str"}), expected, check_exact=True)


def _items(table):
    from pipelines.domain.news import News

    return [News(row.symbol, row.time.to_pydatetime(), float(row.sentiment)) for row in table.itertuples()]


def test_a_split_moves_neither_regimes_nor_flags(market_and_truth, found, news):
    market, _ = market_and_truth
    split = market["BBB"].copy()
    after = split.index >= 1_500
    for name in ("open", "high", "low", "close"):
        split[name] = np.where(after, split[name] / 4.0, split[name])
    split["volume"] = np.where(after, split["volume"] * 4, split["volume"])
    split["adjustment"] = np.where(after, 4.0, 1.0)

    again = regimes_of(dict(market) | {"BBB": split}, news)

    assert_frame_equal(again.table, found.table, check_exact=True)  # a factor of two is exact in binary


def test_after_all_fits_the_last_one_filters():
    market, truth = known_market(bars=1_400, seed=3)
    model = regimes_of(market).model
    last = truth["close_time"].iloc[-1].to_pydatetime()
    all_fits, last_only = OnlineRegimes(model, VOLUMES), OnlineRegimes(model | {"fits": model["fits"][-1:]}, VOLUMES)
    shifted = {
        symbol: frame.assign(close_time=frame["close_time"] + timedelta(days=400)) for symbol, frame in market.items()
    }

    told = [[close for _, close in online.replay(shifted, no_news())] for online in (all_fits, last_only)]

    assert shifted["AAA"]["close_time"].iloc[0] > last
    assert pd.DataFrame(close.row() for close in told[0]).equals(pd.DataFrame(close.row() for close in told[1]))


def test_a_short_history_is_fitted_earlier_and_says_so():
    market, _ = known_market(bars=600, seed=2)

    found = regimes_of(market)

    assert found.model["fits"][0]["bars"] == 200
    assert any("short of 400" in note for note in found.notes)
    assert found.table["regime"].iloc[-1] != "unknown"


@pytest.mark.parametrize("bars", [0, 1, 40])
def test_too_short_a_history_stays_unknown_and_says_so(bars):
    market = until(known_market(bars=60, seed=2)[0], bars)

    found = regimes_of(market)

    assert found.model["fits"] == []
    assert found.table["regime"].eq("unknown").all()
    assert "regimes stay unknown" in found.notes[0]
    assert daily_means(found.table).empty


def test_a_market_that_never_moves_stays_unknown_and_says_so():
    market, _ = known_market(bars=900, seed=2)
    still = {
        symbol: frame.assign(**dict.fromkeys(("open", "high", "low", "close"), 100.0))
        for symbol, frame in market.items()
    }

    found = regimes_of(still)

    assert found.model["fits"] == []
    assert "regimes stay unknown" in found.notes[0]
    assert found.table["crash_anomaly"].isna().all()


def test_a_close_without_bars_is_unknown_and_changes_nothing(market_and_truth, found):
    market, truth = market_and_truth
    with_gap, without = OnlineRegimes(found.model, VOLUMES), OnlineRegimes(found.model, VOLUMES)
    for online in (with_gap, without):
        online.replay(until(market, 2_000), no_news())
    time = truth["close_time"][2_000]
    before = (time - timedelta(minutes=1)).to_pydatetime()

    nothing = with_gap.update(before, {})

    assert nothing.regime == "unknown"
    assert np.isnan(list(nothing.values().values())).all()
    after = [online.update(time.to_pydatetime(), bars_at(market, time)) for online in (with_gap, without)]
    assert after[0] == after[1]


def test_a_model_of_another_release_or_a_damaged_one_is_refused(found):
    without_means = [{name: value for name, value in fit.items() if name != "means"} for fit in found.model["fits"]]

    with pytest.raises(BadInput, match="run the stage regimes again"):
        OnlineRegimes(found.model | {"observations": ["volume"]}, VOLUMES)
    with pytest.raises(BadInput, match="damaged"):
        OnlineRegimes(found.model | {"fits": without_means}, VOLUMES)
    with pytest.raises(BadInput, match="damaged"):
        OnlineRegimes({name: value for name, value in found.model.items() if name != "flags"}, VOLUMES)


def test_daily_means_are_one_row_a_day(found):
    days = daily_means(found.table)

    assert list(days.columns) == ["day", *REGIMES]
    assert days["day"].is_unique
    np.testing.assert_allclose(days[list(REGIMES)].sum(axis=1), 1.0)


def test_regimes_are_named_as_the_catalogue_says(found, market_and_truth):
    online = OnlineRegimes(found.model, VOLUMES)
    close = online.replay(until(market_and_truth[0], 900), no_news())[-1][1]

    assert set(REGIME_COLUMNS) == set(close.values()) == {*FLAG_COLUMNS, STATED_REGIME, *PROBABILITIES}
    assert tuple(f"regime_{name}" for name in REGIMES) == PROBABILITIES
    assert tuple(f"flag_{name}" for name in FLAGS) == FLAG_COLUMNS
    assert close.values()["regime_stated"] == REGIMES.index(close.regime)
    assert datetime.fromisoformat(found.model["fits"][0]["valid_from"]).tzinfo is not None
