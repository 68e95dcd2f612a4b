"""What live rows know beside the bars of stocks: where indices stand, and how trades ended, also after a restart."""

from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from pipelines.domain.bars import Interval
from pipelines.domain.corporate_actions import actions_table
from pipelines.domain.outcomes import ExitReason, Outcome
from pipelines.domain.signals import Side
from pipelines.features.batch import build_features
from pipelines.features.catalogue import FEATURE_NAMES, catalogue_hash
from pipelines.ingest.kinds import empty
from pipelines.regimes.filter import OBSERVATIONS, REGIMES
from serving.executor.adjusting import with_adjustment
from serving.executor.bar_builder import BarBuilder, ClosedBars, Tick, session_grid
from serving.executor.live_features import LiveFeatures, known_outcomes, watched
from tests.conftest import params_content
from tests.unit.features.bars import (
    closes_in_order,
    instrument_table,
    instruments,
    no_news,
    random_indices,
    random_market,
    split_market,
)

MARKET = random_market(bars=120) | random_indices(120, seed=3)
CLOSES = closes_in_order(MARKET)
CUT = CLOSES[80][0]
SAID = params_content({})["regimes"]
MODEL = {
    "regimes": REGIMES, "observations": OBSERVATIONS, "fits": [],  # not fitted yet
    **{name: SAID[name] for name in ("flags", "min_confidence", "min_stay_bars")},
}  # fmt: skip


def started(outcomes=()) -> LiveFeatures:
    """Warmed up with the first bars."""
    features = LiveFeatures(
        instruments(), Interval.MIN_5, MODEL, catalogue_hash(Interval.MIN_5), no_news(),
        lambda *asked: [], CLOSES[0][0] - timedelta(days=1), empty("actions"), outcomes,
    )  # fmt: skip
    features.warm_up({symbol: frame[frame["close_time"] <= CUT] for symbol, frame in MARKET.items()})
    return features


def bar(place: int) -> ClosedBars:
    close_time, bars = CLOSES[place]
    return ClosedBars(bars["TCS"].open_time, close_time, bars)


def ended(at) -> Outcome:
    return Outcome(
        "TCS", Side.BUY, 10, "d1", "v1", "h1", "bull", Decimal(1500), Decimal(1500), Decimal(1510),
        at - timedelta(minutes=20), at, ExitReason.TARGET, Decimal(100), {}, Decimal(90), Decimal(100), Decimal(0), 4,
    )  # fmt: skip


def of_tcs(rows) -> dict[str, float]:
    return next(row.values for row in rows if row.symbol == "TCS")


def test_indices_are_watched_for_the_features_and_get_no_rows():
    rows = started().update(bar(81))

    assert {item.symbol for item in watched(instruments())} == set(MARKET)
    assert sorted(row.symbol for row in rows) == ["INFY", "RELIANCE", "TCS"]
    nifty = MARKET["NIFTY 50"]["close"]
    assert of_tcs(rows)["nifty_return_1"] == pytest.approx(nifty[81] / nifty[80] - 1, rel=1e-2)
    assert of_tcs(rows)["vix_level"] == MARKET["INDIA VIX"]["close"][81] / 100


def as_traded(market):
    """The bars without the factor, as a broker tells them."""
    return {symbol: frame.drop(columns="adjustment", errors="ignore") for symbol, frame in market.items()}


def live_rows(market, actions, cut) -> dict[str, list[dict[str, float]]]:
    """Rows of every close after `cut`, the bars built of one tick after the other."""
    features = LiveFeatures(
        instruments(), Interval.MIN_5, MODEL, catalogue_hash(Interval.MIN_5), no_news(),
        lambda *asked: [], CLOSES[0][0] - timedelta(days=1), actions,
    )  # fmt: skip
    history = {symbol: frame[frame["close_time"] <= cut] for symbol, frame in market.items()}
    features.warm_up(with_adjustment(history, actions))
    builder = BarBuilder(session_grid(Interval.MIN_5), features.carry)
    found: dict[str, list[dict[str, float]]] = {}
    totals: dict[tuple[str, date], int] = {}
    for close_time, bars in closes_in_order(market):
        if close_time <= cut:
            continue
        for bar in bars.values():
            total = totals[bar.symbol, close_time.date()] = totals.get((bar.symbol, close_time.date()), 0) + bar.volume
            for second, price in enumerate((bar.open, bar.high, bar.low, bar.close)):
                builder.add(Tick(bar.symbol, price, total, bar.open_time + timedelta(seconds=second)))
        [closed] = builder.advance(close_time)
        for row in features.update(closed):
            found.setdefault(row.symbol, []).append(row.values)
    return found


@pytest.mark.parametrize("share", [0.3, 0.52, 0.95])  # of the bars that are history: before, on and after the ex-date
def test_over_a_split_live_rows_are_those_of_the_batch(share):
    split = split_market(random_market(bars=300, seed=11), "TCS", 2)
    first = split["TCS"].loc[split["TCS"]["adjustment"] == 2, "open_time"].iloc[0]
    actions = actions_table([{"symbol": "TCS", "ex_date": first.normalize(), "kind": "split", "ratio": 2.0}])
    cut = split["TCS"]["close_time"].iloc[int(300 * share)]

    live = live_rows(as_traded(split), actions, cut)

    tables = dict(build_features(split, no_news(), instrument_table(instruments()), Interval.MIN_5, actions).rows)
    assert sorted(live) == sorted(tables)
    for symbol, rows in live.items():
        table = tables[symbol]
        after = table.loc[table["close_time"] > cut, list(FEATURE_NAMES)]
        assert len(after) > 10
        found = pd.DataFrame(rows)[list(FEATURE_NAMES)]
        assert_allclose(found.to_numpy(float), after.to_numpy(float), rtol=1e-9, atol=1e-9)


def test_a_split_that_the_brokers_history_carries_already_is_not_taken_off_again():
    market = random_market(bars=160, seed=11)
    ex_date = market["TCS"]["open_time"].iloc[100].normalize()
    actions = actions_table([{"symbol": "TCS", "ex_date": ex_date, "kind": "split", "ratio": 2.0}])

    history = with_adjustment(market, actions)

    assert (history["TCS"]["adjustment"] == 1.0).all()


def test_a_trade_that_has_ended_is_known_from_the_next_close_on():
    features = started()
    before = of_tcs(features.update(bar(81)))

    features.learn(ended(CLOSES[81][0] + timedelta(minutes=1)))
    after = of_tcs(features.update(bar(82)))

    assert before["outcome_count"] != before["outcome_count"]
    assert after["outcome_count"] == pytest.approx(1.0, abs=1e-3)
    assert after["outcome_hit_rate_buy"] == 1.0
    assert after["pattern_mean_net_buy_bull"] == pytest.approx(90 / 15_000)


def test_after_a_restart_the_journals_trades_give_the_same_rows():
    outcome = ended(CUT - timedelta(minutes=3))
    going_on, again = started(), started(known_outcomes(empty("outcomes"), [outcome, outcome]))

    going_on.learn(outcome)

    names = [name for name in of_tcs(going_on.update(bar(81))) if "outcome" in name or name.startswith("pattern_mean")]
    live, restarted = of_tcs(going_on.update(bar(82))), of_tcs((again.update(bar(81)), again.update(bar(82)))[1])
    assert [live[name] for name in names] == pytest.approx([restarted[name] for name in names], nan_ok=True)
    assert live["outcome_count"] > 0.9
