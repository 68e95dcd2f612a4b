"""Features against other people's figures: TA-Lib where the definition is the classical one, pandas elsewhere."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.features.batch import build_features
from pipelines.features.catalogue import CATALOGUE
from tests.unit.features.bars import SYMBOLS, instrument_table, instruments, no_news, random_bars
from tests.unit.features.references import pandas_figures, talib_figures

pytest.importorskip("talib")

BARS = 2_000  #: 26 sessions, 170 hours
#: An exponential mean that starts otherwise has forgotten it by then
WARM = 1_400
FAR = 100_000
#: These remember more sessions than the far reference is given
FORGETS_SLOWLY = ("volume_surprise", "session_pace", "quarter_", "hour_", "day_")
#: Told by tests of their own
ELSEWHERE = {"news_level_6", "news_level_24", "news_count_24"}
#: Families that are held against their definitions in test_context_references.py
CONTEXT = {"breadth", "index", "peers", "dates", "events", "sentiment", "outcomes", "cross_section"}


def off_the_grid(symbol: str, bars: int, seed: int = 9) -> pd.DataFrame:
    """Bars off the grid of ticks, so that no two sums tie."""
    frame = random_bars(symbol, bars, seed=seed)
    random = np.random.default_rng([seed, bars])
    for name in ("open", "close"):
        frame[name] += random.uniform(0, 0.02, bars)
    frame["high"] = frame[["open", "high", "close"]].max(axis=1) + random.uniform(0, 0.02, bars)
    frame["low"] = frame[["open", "low", "close"]].min(axis=1) - random.uniform(0, 0.02, bars)
    frame.loc[random.random(bars) < 0.02, "volume"] = 0
    return frame


@cache
def built(bars: int, symbols: tuple[str, ...]):
    market = {symbol: off_the_grid(symbol, bars) for symbol in symbols}
    tables = build_features(market, no_news(), instrument_table(instruments(symbols)), Interval.MIN_5)
    return market, tables.market, dict(tables.rows)


@cache
def figures(bars: int, symbols: tuple[str, ...], last: int):
    """Ours and theirs of the last bars of TCS."""
    market, _, tables = built(bars, symbols)
    moves = pd.DataFrame({symbol: np.log(frame["close"]).diff() for symbol, frame in market.items()})
    market_return = moves.mean(axis=1).where(moves.notna().any(axis=1)).iloc[-last:].reset_index(drop=True)
    breadth = (moves.gt(0).sum(axis=1) / len(symbols)).iloc[-last:].reset_index(drop=True)
    bar = market["TCS"].iloc[-last:].reset_index(drop=True)
    ours = tables["TCS"].iloc[-last:].reset_index(drop=True)
    return ours, talib_figures(bar), pandas_figures(bar, market_return, breadth)


def near():
    return figures(BARS, SYMBOLS, BARS)


def equal(ours, theirs, start):
    theirs = np.asarray(theirs, dtype=float)[start:]
    known = np.isfinite(theirs)
    assert known.mean() > 0.9
    found = np.asarray(ours)[start:][known]
    np.testing.assert_allclose(found, theirs[known], rtol=1e-9, atol=1e-9, err_msg=getattr(ours, "name", ""))


TALIB_NAMES = sorted(near()[1])
OTHER_NAMES = sorted(near()[2])


@pytest.mark.parametrize("name", TALIB_NAMES)
def test_a_classical_feature_equals_that_of_talib(name):
    ours, theirs, _ = near()

    equal(ours[name], theirs[name], WARM)


@pytest.mark.parametrize(
    "name", ["rsi_14", "atr_pct_14", "roc_12", "stochastic_k_14", "mfi_14", "slope_24", "cci_20", "aroon_25", "trix_15"]
)
def test_a_classical_feature_starts_where_that_of_talib_does(name):
    ours, theirs, _ = near()
    start = max(int(np.argmax(np.isfinite(theirs[name]))), 14)

    equal(ours[name], theirs[name], start)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_a_feature_equals_its_definition(name):
    ours, _, theirs = near()
    start = next(f for f in CATALOGUE if f.name == name)
    wanted = 1_300 if start.hours or start.sessions else 80

    equal(ours[name], theirs[name], wanted)


def test_a_hundred_thousand_bars_on_a_feature_is_as_exact_as_at_the_start():
    ours, by_talib, by_pandas = figures(FAR, ("INFY", "TCS"), 2_000)

    for name, theirs in {**by_talib, **by_pandas}.items():
        if not name.startswith(FORGETS_SLOWLY):
            equal(ours[name], theirs, WARM)


def test_every_feature_is_held_against_an_independent_figure():
    held = set(TALIB_NAMES) | set(OTHER_NAMES) | ELSEWHERE

    assert held == {feature.name for feature in CATALOGUE if feature.family not in CONTEXT}


def test_the_market_table_is_the_market_of_the_rows():
    _, market, tables = built(BARS, SYMBOLS)
    names = [feature.name for feature in CATALOGUE if feature.family == "market"]

    np.testing.assert_array_equal(market[names].to_numpy(), tables["TCS"][names].to_numpy())
