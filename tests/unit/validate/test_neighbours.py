"""What a bar looks like beside the bars before it, and that nothing later changes it."""

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.ingest.kinds import empty
from pipelines.validate.facts import in_order, with_doubts, with_facts
from pipelines.validate.neighbours import WINDOW
from tests.unit.validate.builders import a_raw_market, some_bars

FACTS = ["in_order", "deviation", "overnight_gap", "jump_z", "volume_z", "repeats", "stands", "on_tick", "rows_at_time"]


def a_market(count: int = 6, rows: int = 400, seed: int = 5) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    market = np.cumsum(rng.normal(0, 0.002, rows))
    parts = []
    for number in range(count):
        bars = some_bars(f"S{number}", Interval.MIN_5, rows)
        close = np.round(200 * np.exp(market + np.cumsum(rng.normal(0, 0.001, rows))) / 0.05) * 0.05
        bars["open"], bars["close"] = np.r_[close[0], close[:-1]], close
        bars["high"], bars["low"] = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
        parts.append(bars.assign(volume=rng.integers(900, 1100, rows)))
    return pd.concat(parts, ignore_index=True)


def facts_of(bars: pd.DataFrame, disagreements: pd.DataFrame | None = None) -> pd.DataFrame:
    instruments = a_raw_market(*(own for _, own in bars.groupby("symbol"))).instruments
    return with_doubts(with_facts(bars, Interval.MIN_5, instruments), instruments, disagreements)


def test_a_move_is_measured_against_what_is_usual_for_the_instrument():
    bars = a_market()
    calm = facts_of(bars)["jump_z"].max()
    bars.loc[300, ["high", "close"]] *= 1.06

    z = facts_of(bars)["jump_z"]

    assert z[300] > 20 > 2 * calm / 2
    assert z[:WINDOW].isna().all()


def test_volume_is_measured_against_what_is_usual_for_the_instrument():
    bars = a_market()
    bars.loc[300, "volume"] *= 1000
    bars.loc[310, "volume"] = 0

    z = facts_of(bars)["volume_z"]

    assert z[300] > 20
    assert z[310] > 20
    assert z.drop([300, 310]).max() < 8


def test_bars_that_repeat_each_other_are_counted_and_flat_ones_without_trade_are_not():
    bars = a_market(1)
    values = ["open", "high", "low", "close", "volume"]
    bars.loc[201:204, values] = bars.loc[200, values].to_numpy()
    bars.loc[220:230, ["open", "high", "low", "close"]] = 200.0
    bars.loc[220:230, "volume"] = 0

    repeats = facts_of(bars)["repeats"]

    assert repeats[200:206].tolist() == [0, 1, 2, 3, 4, 0]
    assert repeats[220:231].max() == 0


def test_a_price_that_stands_while_the_market_moves_is_seen():
    bars = a_market()
    own = bars.index[bars["symbol"] == "S3"]
    bars.loc[own[200:320], ["open", "high", "low", "close"]] = bars.loc[own[199], "close"]

    stands = facts_of(bars)["stands"]

    assert stands[own[200:320]].max() > 0.01
    assert stands[bars.index.difference(own)].max() < 0.02


def test_prices_off_the_tick_are_seen_and_points_of_an_index_have_none():
    bars = pd.concat([some_bars(interval=Interval.MIN_5, count=200), some_bars("NIFTY 50", Interval.MIN_5, 200)])
    bars = bars.assign(high=bars["high"] + 0.02)

    on_tick = facts_of(bars)["on_tick"]

    assert not on_tick[:200].any()
    assert on_tick[200:].all()


def test_what_another_source_says_is_held_against_a_row():
    bars = a_market(2)
    said = {"symbol": "S1", "open_time": bars["open_time"][7], "field": "close", "source": "a", "value": 101.0,
            "other_source": "b", "other_value": 100.0}  # fmt: skip
    disagreements = pd.concat([empty("disagreements"), pd.DataFrame([said])], ignore_index=True)

    found = facts_of(bars, disagreements)["disagreement"]

    assert found[found > 0].to_dict() == {407: pytest.approx(0.01)}


def test_the_row_that_is_ahead_of_its_time_is_blamed():
    times = pd.Series([1, 2, 9, 3, 4], dtype="int64").map(lambda n: pd.Timestamp(2023, 1, n, tz="Asia/Kolkata"))

    assert in_order(pd.DataFrame({"symbol": "A", "open_time": times})).tolist() == [True, True, False, True, True]


@pytest.mark.parametrize("cut", [120, 250, 333])
def test_what_was_thought_of_a_row_stays_when_later_bars_arrive(cut):
    bars = a_market()
    rng = np.random.default_rng(9)
    at = rng.choice(len(bars), 60, replace=False)
    bars.loc[at[:30], "close"] *= rng.choice([0.5, 1.3, 3.0], 30)
    bars.loc[at[30:], "volume"] = 0
    bars = pd.concat([bars, bars.iloc[at[:10]]], ignore_index=True)
    swapped = bars.index.to_numpy().copy()
    swapped[[20, 90]] = swapped[[90, 20]]
    bars = bars.iloc[swapped].reset_index(drop=True)
    moment = some_bars(interval=Interval.MIN_5, count=400)["open_time"][cut]

    whole, early = facts_of(bars), facts_of(bars[bars["open_time"] <= moment])

    known = whole[whole["open_time"] <= moment].reset_index(drop=True)
    pd.testing.assert_frame_equal(known[FACTS], early[FACTS], check_exact=True)
    assert not known["in_order"].all()


def test_a_bar_from_before_its_share_was_listed_is_seen():
    bars = some_bars("JIOFIN")  # listed on 2023-08-21

    listed = with_facts(bars, Interval.DAY, a_raw_market(bars).instruments)["listed"]

    assert bars.loc[listed, "open_time"].min().date().isoformat() == "2023-08-21"


def test_a_price_may_be_on_the_tick_that_was_in_force_that_day():
    bars = some_bars()
    bars[["open", "high", "low", "close"]] += 0.01
    later = bars.assign(open_time=bars["open_time"] + pd.Timedelta(days=540))  # from 2024-06-10 the tick is 0.01 here
    instruments = a_raw_market(bars).instruments

    early, late = (with_doubts(with_facts(one, Interval.DAY, instruments), instruments) for one in (bars, later))

    assert not early["on_tick"].any()
    assert late.loc[late["open_time"] >= "2024-06-10", "on_tick"].all()
    assert not late.loc[late["open_time"] < "2024-06-10", "on_tick"].any()
