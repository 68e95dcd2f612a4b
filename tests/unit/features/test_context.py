"""Rows with all that is known beside bars: indices, sectors, news, actions, outcomes. Batch is online, past is past."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from pipelines.domain.bars import Interval
from pipelines.features.catalogue import CATALOGUE, FEATURE_NAMES, MARKET_NAMES
from pipelines.features.online import OnlineFeatures
from pipelines.features.outcomes import ended_in
from tests.unit.features.known import Known

QUICK = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def assert_same(known: Known, updates, since=None):
    market, tables = known.build()
    rows = [u for u in updates if u.rows]
    for symbol, table in tables.items():
        late = table if since is None else table[table["close_time"] > since]
        online = np.array([list(u.rows[symbol].values()) for u in rows if symbol in u.rows])
        differs = _columns_that_differ(online, late[list(FEATURE_NAMES)].to_numpy())
        assert not differs, (symbol, differs)
    late = market if since is None else market[market["close_time"] > since]
    assert not _columns_that_differ(np.array([list(u.market.values()) for u in rows]), late[list(MARKET_NAMES)])


def _columns_that_differ(left, right):
    left, right = np.asarray(left, dtype=np.float64), np.asarray(right, dtype=np.float64)
    assert left.shape == right.shape
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    return [FEATURE_NAMES[i] for i in np.flatnonzero(~same.all(axis=0))]


@QUICK
@given(seed=st.integers(0, 10_000), interval=st.sampled_from([Interval.MIN_5, Interval.MIN_60, Interval.DAY]))
def test_online_rows_equal_the_batch_rows_to_the_bit_in_all_that_is_known(seed, interval):
    known = Known(seed, 170, interval)

    updates = known.play()

    assert_same(known, updates)


@pytest.mark.parametrize("interval", [Interval.MIN_5, Interval.DAY])
def test_after_a_replayed_history_all_goes_on_where_the_batch_would(interval):
    known = Known(4, 260, interval)
    cut = known.bars["TCS"]["close_time"].iloc[150]
    online, before = OnlineFeatures(known.instruments(), interval, known.actions), known.until(cut)

    market = online.replay(before.bars, before.news, ended_in(before.outcomes))
    updates = known.play(online, after=cut)

    assert_frame_equal(market, before.build()[0], check_exact=True)
    assert_same(known, updates, since=cut)


@QUICK
@given(seed=st.integers(0, 10_000), interval=st.sampled_from([Interval.MIN_15, Interval.DAY]))
def test_the_past_stays_whatever_is_learnt_later(seed, interval):
    known = Known(seed, 160, interval)
    cut = sorted(known.bars["TCS"]["close_time"])[-30]
    then_market, then = known.until(cut).build()

    now_market, now = known.build()

    assert_frame_equal(now_market.iloc[: len(then_market)], then_market, check_exact=True)
    for symbol, table in then.items():
        assert_frame_equal(now[symbol].iloc[: len(table)], table, check_exact=True)


def test_every_feature_is_known_somewhere():
    _, tables = Known(5, 400, missing=0.02).build()

    short = {feature.name for feature in CATALOGUE if feature.sessions < 4}
    known = pd.concat(tables.values())[list(short)].notna().any()

    assert list(known[~known].index) == []


def test_a_block_of_closes_gives_the_same_ranks_as_all_at_once(monkeypatch):
    known = Known(6, 150, missing=0.2)
    _, whole = known.build()
    monkeypatch.setattr("pipelines.features.batch.BLOCK_BYTES", 8 * 6 * 31 * 7)  # seven closes

    _, in_blocks = known.build()

    for symbol, table in whole.items():
        assert_frame_equal(in_blocks[symbol], table, check_exact=True)


def test_there_are_enough_features_of_each_context_family():
    count = pd.Series([feature.family for feature in CATALOGUE]).value_counts()

    assert len(CATALOGUE) >= 150
    assert count["cross_section"] >= 15
    assert count["index"] >= 12
    assert count["breadth"] >= 6
    assert count["dates"] >= 15
    assert count["sentiment"] >= 8
    assert count["outcomes"] >= 15
