import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.features.batch import build_features
from pipelines.features.catalogue import FEATURE_NAMES, MARKET_NAMES
from pipelines.features.online import OnlineFeatures
from tests.unit.features.bars import (
    bar_histories,
    closes_in_order,
    instrument_table,
    instruments,
    news_items,
    no_news,
    random_market,
    random_news,
    split_market,
)

COLUMNS = list(FEATURE_NAMES)
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def build(market, news, of=None):
    tables = build_features(market, news, instrument_table(of or instruments()), Interval.MIN_5)
    return tables.market, dict(tables.rows)


def play(online, market, news=()):
    """All updates in order; news is handed over at the first close at or after its time."""
    waiting = sorted(news, key=lambda item: item.time)
    found = []
    for close_time, bars in closes_in_order(market):
        due = [item for item in waiting if item.time <= close_time]
        waiting = waiting[len(due) :]
        found.append(online.update(close_time, bars, due))
    return found


def same_bits(left, right):
    return np.asarray(left, dtype=np.float64).tobytes() == np.asarray(right, dtype=np.float64).tobytes()


@QUICK
@given(market=bar_histories())
def test_online_rows_equal_the_batch_rows_to_the_bit(market):
    news = random_news(market, items=40, seed=3)
    market_table, tables = build(market, news)

    updates = play(OnlineFeatures(instruments(), Interval.MIN_5), market, news_items(news))

    for symbol, table in tables.items():
        rows = [list(update.rows[symbol].values()) for update in updates if symbol in update.rows]
        assert same_bits(rows, table[COLUMNS])
    assert same_bits([list(update.market.values()) for update in updates], market_table[list(MARKET_NAMES)])


@pytest.mark.parametrize("has_volume", [True, False])
def test_after_a_replayed_history_online_goes_on_where_the_batch_would(has_volume):
    of = instruments(has_volume=has_volume)
    market = random_market(bars=300, seed=5, missing=0.1)
    news = random_news(market, items=60, seed=8)
    cut = market["TCS"]["close_time"].iloc[180]
    before = {symbol: frame[frame["close_time"] <= cut] for symbol, frame in market.items()}
    after = {symbol: frame[frame["close_time"] > cut] for symbol, frame in market.items()}
    online = OnlineFeatures(of, Interval.MIN_5)

    online.replay(before, news[news["time"] <= cut])
    updates = play(online, after, news_items(news[news["time"] > cut]))

    _, tables = build(market, news, of)
    for symbol, table in tables.items():
        rows = [list(update.rows[symbol].values()) for update in updates if symbol in update.rows]
        assert same_bits(rows, table.loc[table["close_time"] > cut, COLUMNS])


def test_features_do_not_see_a_split_in_batch_or_online():
    market = random_market(bars=400, seed=11)
    split = split_market(market, "TCS", 2)

    online = play(OnlineFeatures(instruments(), Interval.MIN_5), split)

    market_table, tables = build(market, no_news())
    split_table, split_tables = build(split, no_news())
    assert split["TCS"]["adjustment"].nunique() == 2
    assert same_bits(split_table[list(MARKET_NAMES)], market_table[list(MARKET_NAMES)])
    for symbol, table in tables.items():
        rows = [list(update.rows[symbol].values()) for update in online]
        assert same_bits(split_tables[symbol][COLUMNS], table[COLUMNS])
        assert same_bits(rows, table[COLUMNS])


def test_an_index_or_an_unknown_symbol_gets_no_row():
    online = OnlineFeatures(instruments(), Interval.MIN_5)
    close_time, bars = closes_in_order(random_market(bars=5))[0]

    rows = online.update(close_time, bars | {"NIFTY 50": bars["TCS"], "UNKNOWN": bars["TCS"]}).rows

    assert sorted(rows) == ["INFY", "RELIANCE", "TCS"]


def test_a_close_without_bars_moves_nothing():
    online = OnlineFeatures(instruments(), Interval.MIN_5)
    first, second = closes_in_order(random_market(bars=5))[:2]
    online.update(*first)

    rows = online.update(second[0], {})

    assert rows.rows == {}
    assert rows.market == {}


def test_a_bar_given_twice_is_refused():
    online = OnlineFeatures(instruments(), Interval.MIN_5)
    close_time, bars = closes_in_order(random_market(bars=5))[0]
    online.update(close_time, bars)

    with pytest.raises(BadInput, match="a bar is given once"):
        online.update(close_time, bars)


def test_a_bar_of_another_close_is_refused():
    (first, _), (_, bars) = closes_in_order(random_market(bars=5))[:2]

    with pytest.raises(BadInput, match="INFY"):
        OnlineFeatures(instruments(), Interval.MIN_5).update(first, bars)


def test_history_after_an_update_is_refused():
    market = random_market(bars=5)
    online = OnlineFeatures(instruments(), Interval.MIN_5)
    online.update(*closes_in_order(market)[0])

    with pytest.raises(BadInput, match="start anew"):
        online.replay(market, no_news())
