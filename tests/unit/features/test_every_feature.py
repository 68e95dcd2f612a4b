"""What each feature of the catalogue owes: live as in training, no future, honest warm-up, no scale, its unit."""

from copy import deepcopy
from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.features.catalogue import CATALOGUE
from tests.unit.features.known import Known

FAMILIES = tuple(dict.fromkeys(feature.family for feature in CATALOGUE))
EVERY = pytest.mark.parametrize("family", FAMILIES)

#: How the random markets differ: missing bars, stretches without a move, price level, bars
MARKETS = {
    "plain": {"bars": 420},
    "gaps": {"bars": 420, "missing": 0.1, "flat": 0.2},
    "still": {"bars": 300, "missing": 0.02, "flat": 0.95},
    "hours": {"bars": 300, "missing": 0.05, "interval": Interval.MIN_60},
    "days": {"bars": 200, "missing": 0.02, "interval": Interval.DAY},
    "minutes": {"bars": 800, "missing": 0.05, "flat": 0.1, "interval": Interval.MIN_1},
    "cheap": {"bars": 300, "flat": 0.3, "start_price": 2.0},
    "dear": {"bars": 300, "missing": 0.05, "start_price": 900_000.0},
}
#: Families that wait for something to happen: news, trades, ex-dates; the others are known from their look-back on
WAITING = {"sentiment", "outcomes", "events"}
#: India VIX begins later than the bars, and a market falls when it falls
LATER = ("vix_", "downside_beta_48")
#: Range of a unit, where it has one
RANGES = {
    "percent": (0.0, 100.0),
    "signed percent": (-100.0, 100.0),
    "share": (0.0, 1.0),
    "share of the range": (0.0, 1.0),
    "signed share": (-1.0, 1.0),
    "share of the volume": (-1.0, 1.0),
    "correlation": (-1.0, 1.0),
    "yes or no": (0.0, 1.0),
    "pattern": (-1.0, 1.0),
    "share of the close": (0.0, np.inf),
    "share of the mean close": (0.0, np.inf),
    "log return per bar": (0.0, np.inf),
    "items": (0.0, np.inf),
    "of the day's circle": (-1.0, 1.0),
    "of the week's circle": (-1.0, 1.0),
    "of the year's circle": (-1.0, 1.0),
}
SYMBOLS = ("HDFCBANK", "INFY", "SBIN", "TCS")  #: two sectors of two
#: A check is worth something only where there are values: known ones of a feature that it compares, and not all alike
LEAST = 300
#: The year's day on which these markets have no session; told in test_context_references.py
NEVER_ITS_DAY = {"budget_day"}
WHOLE = {"yes or no", "pattern", "bars", "items"}


@cache
def market(name: str) -> Known:
    """Stocks with all else that features are made of; from the middle on one stretch is without any move or volume."""
    known = Known(7, symbols=SYMBOLS, **({"missing": 0.0} | MARKETS[name]))
    random = np.random.default_rng(3)
    for frame in known.stocks.values():
        if name != "plain":
            frame.loc[random.random(len(frame)) < 0.05, "volume"] = 0
        if name not in ("plain", "cheap"):
            still = slice(len(frame) // 2, len(frame) // 2 + 60)
            for price in ("open", "high", "low", "close"):
                frame.loc[still, price] = frame["close"].iloc[still.start - 1]
            frame.loc[len(frame) // 2 : len(frame) // 2 + 30, "volume"] = 0
    return known


@cache
def batch(name: str) -> dict[str, pd.DataFrame]:
    return market(name).build()[1]


@cache
def online(name: str) -> dict[str, pd.DataFrame]:
    rows: dict[str, list[dict]] = {symbol: [] for symbol in SYMBOLS}
    for update in market(name).play():
        for symbol, row in update.rows.items():
            rows[symbol].append(row)
    return {symbol: pd.DataFrame(found) for symbol, found in rows.items()}


@cache
def cut_short(name: str) -> dict[str, pd.DataFrame]:
    cut = sorted(market(name).stocks["TCS"]["close_time"])[-60]
    return market(name).until(cut).build()[1]


@cache
def scaled(name: str) -> dict[str, pd.DataFrame]:
    """Other rupees a share and other counts of shares; India VIX is a percentage and stays."""
    larger = deepcopy(market(name))
    times = 8.0 if name == "cheap" else 7.3  # at prices of some ticks stocks tie: a power of two leaves them so
    for symbol, frame in larger.bars.items():
        if symbol != "INDIA VIX":
            frame[["open", "high", "low", "close"]] *= times
            frame["volume"] *= 11
    larger.outcomes[["entry_price", "net_inr"]] *= times
    return larger.build()[1]


@cache
def over(name: str, symbol: str) -> tuple[np.ndarray, ...]:
    """How many earlier bars, quarters of an hour, hours and sessions are over at each bar."""
    close = market(name).stocks[symbol]["close_time"]
    minute = close.dt.hour * 60 + close.dt.minute - 555
    found = [np.arange(len(close))]
    for width in (15, 60, None):
        part = (minute - 1) // width if width else minute * 0
        begun = (close.dt.normalize() + pd.to_timedelta(part, unit="min")).rank(method="dense").to_numpy().astype(int)
        found.append(begun - 1 + ((minute % width == 0).to_numpy() if width else 0))
    return tuple(found)


def cases(family: str):
    """Each feature of the family in each market and symbol."""
    for feature in CATALOGUE:
        if feature.family == family:
            for name in MARKETS:
                for symbol, table in batch(name).items():
                    yield feature, name, symbol, table


@pytest.mark.parametrize("tables", [batch, online, cut_short, scaled])
def test_the_checks_below_see_values_of_every_feature_and_not_always_the_same(tables):
    few, alike = [], []
    for feature in CATALOGUE:
        values = pd.concat([table[feature.name] for name in MARKETS for table in tables(name).values()]).dropna()
        few += [(feature.name, len(values))] if len(values) < LEAST else []
        alike += [feature.name] if values.nunique() < 2 and feature.name not in NEVER_ITS_DAY else []

    assert (few, alike) == ([], [])


@EVERY
def test_live_it_is_what_it_was_in_training(family):
    for feature, name, symbol, table in cases(family):
        live = online(name)[symbol][feature.name]

        np.testing.assert_allclose(live, table[feature.name], rtol=1e-9, atol=1e-9, err_msg=f"{feature.name} in {name}")


@EVERY
def test_later_bars_and_news_leave_it_as_it_was(family):
    for feature, name, symbol, table in cases(family):
        then = cut_short(name)[symbol][feature.name]

        np.testing.assert_array_equal(table[feature.name].iloc[: len(then)], then, err_msg=f"{feature.name} in {name}")


@EVERY
def test_it_is_unknown_until_its_look_back_is_over(family):
    for feature, name, symbol, table in cases(family):
        bars, quarters, hours, sessions = over(name, symbol)
        warm = (bars >= feature.look_back) & (quarters >= feature.quarters)
        warm &= (hours >= feature.hours) & (sessions >= feature.sessions)
        known = table[feature.name].notna().to_numpy()

        assert not known[~warm].any(), f"{feature.name} in {name}"
        if name == "plain" and family not in WAITING and not feature.name.startswith(LATER):
            assert known[warm].all(), feature.name


@EVERY
def test_prices_and_volumes_of_another_scale_leave_it_as_it_was(family):
    for feature, name, symbol, table in cases(family):
        larger = scaled(name)[symbol][feature.name]

        np.testing.assert_allclose(
            larger, table[feature.name], rtol=1e-9, atol=1e-9, err_msg=f"{feature.name} in {name}"
        )


@EVERY
def test_it_keeps_to_the_range_of_its_unit(family):
    for feature, name, _, table in cases(family):
        low, high = RANGES.get(feature.unit, (-np.inf, np.inf))
        values = table[feature.name].dropna().to_numpy()

        assert np.isfinite(values).all(), f"{feature.name} in {name}"
        assert (values >= low - 1e-9).all(), f"{feature.name} in {name}"
        assert (values <= high + 1e-9).all(), f"{feature.name} in {name}"
        if feature.unit in WHOLE:
            np.testing.assert_array_equal(values, np.round(values), err_msg=feature.name)


@pytest.mark.parametrize("feature", CATALOGUE, ids=lambda feature: feature.name)
def test_it_says_what_it_is(feature):
    assert feature.unit
    assert feature.source
    assert 0 < len(feature.meaning) <= 70
