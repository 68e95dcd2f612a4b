import math
import weakref

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from pandas.testing import assert_frame_equal

from pipelines.domain.bars import Interval
from pipelines.features.batch import build_features
from pipelines.features.catalogue import CATALOGUE, FEATURE_NAMES, MARKET_NAMES
from tests.unit.features.bars import (
    SYMBOLS,
    bar_histories,
    instrument_table,
    instruments,
    news_table,
    no_news,
    random_bars,
    random_indices,
    random_market,
    random_news,
)

COLUMNS = list(FEATURE_NAMES)
#: Known only where there are news, actions, outcomes, a falling market, a session in the calendar; daily values of
#: India VIX come a bar later
OTHER_SOURCES = {
    feature.name
    for feature in CATALOGUE
    if feature.family in ("sentiment", "outcomes")
    or feature.name.endswith("_ex_date")
    or feature.name.startswith("vix_")
    or feature.name in ("downside_beta_48", "minutes_since_open", "minutes_to_close", "session_share")
    or feature.name in ("first_bar", "last_bar")
}
QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def build(market, news=None, of=None, interval=Interval.MIN_5):
    news = no_news() if news is None else news
    tables = build_features(market, news, instrument_table(of or instruments()), interval)
    return tables.market, dict(tables.rows)


@QUICK
@given(market=bar_histories())
def test_features_of_the_past_stay_when_later_bars_and_news_arrive(market):
    news = random_news(market, items=40, seed=1)
    cut = sorted(market["TCS"]["close_time"])[-25]
    past = {symbol: frame[frame["close_time"] <= cut].reset_index(drop=True) for symbol, frame in market.items()}
    then_market, then = build(past, news[news["time"] <= cut])

    now_market, now = build(market, news)

    assert_frame_equal(now_market.iloc[: len(then_market)], then_market, check_exact=True)
    for symbol, table in then.items():
        assert_frame_equal(now[symbol].iloc[: len(table)], table, check_exact=True)


def test_the_market_is_nan_for_its_look_back_and_known_from_there():
    market, _ = build(random_market(bars=200, seed=2) | random_indices(200, seed=3))

    for feature in CATALOGUE:
        if feature.name in MARKET_NAMES and feature.name not in OTHER_SOURCES:
            known = market[feature.name].notna().to_numpy()
            assert not known[: feature.look_back].any()
            assert known[feature.look_back :].all()


def test_without_volume_its_features_are_unknown_and_the_others_are_not():
    with_volume = build(random_market(bars=120))[1]["TCS"]

    without = build(random_market(bars=120), of=instruments(has_volume=False))[1]["TCS"]

    compared = {"rank_relative_volume_20", "z_relative_volume_20", "rank_turnover_20"}
    of_volume = [feature.name for feature in CATALOGUE if feature.family == "volume" or feature.name in compared]
    others = [name for name in COLUMNS if name not in of_volume]
    assert without[of_volume].isna().all().all()
    assert_frame_equal(without[others], with_volume[others], check_exact=True)


def test_a_price_that_never_moves_gives_no_infinite_and_no_noise():
    market = {symbol: random_bars(symbol, 150, flat=1.0, interval=Interval.MIN_1) for symbol in SYMBOLS}
    _, tables = build(market)

    last = tables["TCS"].iloc[-1]

    assert not np.isinf(last[COLUMNS].to_numpy(dtype=float)).any()
    assert last[["return_12", "z_score_20", "beta_48", "skew_24", "range_atr"]].isna().all()
    assert last["atr_pct_14"] == 0.0
    assert last["donchian_20"] == 0.0
    assert last["rsi_14"] == 50.0


def test_an_index_feeds_no_row_and_not_the_market():
    market = random_market(bars=60)
    with_index = market | {"NIFTY 50": random_bars("NIFTY 50", 60)}

    left_market, left = build(market)
    right_market, right = build(with_index)

    of_index = [feature.name for feature in CATALOGUE if feature.family == "index"]
    assert_frame_equal(left_market.drop(columns=of_index), right_market.drop(columns=of_index), check_exact=True)
    assert right_market["nifty_return_1"].notna().sum() == 59
    assert left_market[of_index].isna().all().all()
    assert sorted(right) == sorted(left) == sorted(SYMBOLS)


def test_a_stock_listed_later_warms_up_from_its_own_first_bar():
    market = random_market(bars=200)
    market["TCS"] = market["TCS"].iloc[50:].reset_index(drop=True)

    _, tables = build(market)

    assert len(tables["TCS"]) == 150
    assert tables["TCS"]["rsi_14"].notna().to_numpy().tolist() == [False] * 14 + [True] * 136


def test_news_counts_from_the_first_bar_that_closes_at_or_after_it():
    market = {"TCS": random_bars("TCS", 160)}
    closes = market["TCS"]["close_time"]
    night = closes[74] + pd.Timedelta(hours=3)
    news = news_table([("TCS", closes[10], 0.5), ("TCS", night, -0.8), ("TCS", night, 0.2), ("INFY", closes[20], 1.0)])

    table = build(market, news, instruments(("TCS",)))[1]["TCS"]

    level, count = table["news_level_6"], table["news_count_24"]
    assert (level[:10] == 0).all()
    assert level[10] == 0.5
    assert level[16] == pytest.approx(0.25)
    assert table["news_level_24"][34] == pytest.approx(0.25)
    assert level[75] == pytest.approx(-0.6, abs=1e-3)
    assert count[10:34].eq(1).all()
    assert count[34] == 0
    assert count[75] == 2


def test_the_rows_carry_symbol_and_close_time():
    market = random_market(bars=20, missing=0.2)

    market_table, tables = build(market)

    assert list(tables["INFY"].columns) == ["symbol", "close_time", *COLUMNS]
    assert list(market_table.columns) == ["close_time", *MARKET_NAMES]
    assert (tables["INFY"]["symbol"] == "INFY").all()
    assert tables["INFY"]["close_time"].tolist() == market["INFY"]["close_time"].tolist()
    assert market_table["close_time"].is_monotonic_increasing
    assert str(market_table["close_time"].dtype) == "datetime64[us, Asia/Kolkata]"


@pytest.mark.parametrize(("threads", "asked"), [(1, {"INFY"}), (2, {"INFY", "RELIANCE"})])
def test_no_more_instruments_are_begun_than_are_worked_on_at_once(threads, asked):
    class Folder(dict):
        asked: list[str] = []

        def __getitem__(self, symbol):
            self.asked.append(symbol)
            return super().__getitem__(symbol)

    folder = Folder(random_market(bars=30))
    tables = build_features(folder, no_news(), instrument_table(instruments()), Interval.MIN_5, threads=threads)
    folder.asked.clear()

    next(tables.rows)

    assert {"INFY"} <= set(folder.asked) <= asked


def test_the_rows_do_not_depend_on_how_many_instruments_are_worked_on_at_once():
    given = random_market(bars=300), no_news(), instrument_table(instruments()), Interval.MIN_5

    one, three = build_features(*given, threads=1), build_features(*given, threads=3)

    assert_frame_equal(one.market, three.market, check_exact=True)
    for (symbol, alone), (same, beside) in zip(one.rows, three.rows, strict=True):
        assert symbol == same
        assert_frame_equal(alone, beside, check_exact=True)


def test_the_bars_of_few_instruments_are_in_memory_at_once():
    class Folder(dict):
        alive = most = 0

        def __getitem__(self, symbol):
            frame = super().__getitem__(symbol).copy()
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(frame, self._gone)
            return frame

        def _gone(self):
            self.alive -= 1

    symbols = tuple(f"STOCK{i}" for i in range(12))
    folder = Folder(random_market(bars=40, symbols=symbols))
    tables = build_features(folder, no_news(), instrument_table(instruments(symbols)), Interval.MIN_5)

    rows = sum(len(table) for _, table in tables.rows)

    assert rows == 12 * 40
    assert folder.most <= 2


def test_calendar_features_are_points_of_a_circle():
    table = build(random_market(bars=80))[1]["TCS"]

    assert table["minute_sine"][0] == pytest.approx(math.sin(2 * math.pi * 560 / 1440))
    assert table["weekday_sine"][0] == 0.0  # a Monday
    assert table["month_cosine"][0] == 1.0  # January
    assert table["weekday_sine"][76] == pytest.approx(math.sin(2 * math.pi / 7))
