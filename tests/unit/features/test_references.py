"""Features against other people's figures: TA-Lib where the definition is the classical one, pandas elsewhere."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.features.batch import build_features
from pipelines.features.catalogue import CATALOGUE
from tests.unit.features.bars import SYMBOLS, instrument_table, instruments, no_news, random_bars

BARS = 700
#: An exponential mean that starts otherwise has forgotten it by then
WARM = 500


def built():
    market = {symbol: random_bars(symbol, BARS, seed=9) for symbol in SYMBOLS}
    random = np.random.default_rng(1)
    for frame in market.values():  # off the grid of ticks, so that no two sums tie
        for name in ("open", "close"):
            frame[name] += random.uniform(0, 0.02, BARS)
        frame["high"] = frame[["open", "high", "close"]].max(axis=1) + random.uniform(0, 0.02, BARS)
        frame["low"] = frame[["open", "low", "close"]].min(axis=1) - random.uniform(0, 0.02, BARS)
    tables = build_features(market, no_news(), instrument_table(instruments()), Interval.MIN_5)
    return market, tables.market, dict(tables.rows)


MARKET, MARKET_TABLE, TABLES = built()
BAR, TABLE = MARKET["TCS"], TABLES["TCS"]


@cache
def talib_figures():
    talib = pytest.importorskip("talib")
    high, low, close = (BAR[name].to_numpy() for name in ("high", "low", "close"))
    volume = BAR["volume"].to_numpy(np.float64)
    atr = talib.ATR(high, low, close, 14)
    macd, _, histogram = talib.MACD(close, 12, 26, 9)
    upper, middle, lower = talib.BBANDS(close, 20, 2, 2)
    k, d = talib.STOCHF(high, low, close, 14, 3)
    di = talib.PLUS_DI(high, low, close, 14) - talib.MINUS_DI(high, low, close, 14)
    return {
        "rsi_14": talib.RSI(close, 14),
        "atr_pct_14": atr / close,
        "adx_14": talib.ADX(high, low, close, 14),
        "di_spread_14": di / 100.0,
        "macd_12_26": macd / atr,
        "macd_histogram_9": histogram / atr,
        "ema_gap_20_50": (talib.EMA(close, 20) - talib.EMA(close, 50)) / atr,
        "close_ema_50": (close - talib.EMA(close, 50)) / atr,
        "slope_24": talib.LINEARREG_SLOPE(close, 24) / atr,
        "roc_12": talib.ROC(close, 12) / 100.0,
        "stochastic_k_14": k,
        "stochastic_d_3": d,
        "mfi_14": talib.MFI(high, low, close, volume, 14),
        "bollinger_width_20": (upper - lower) / middle,
        "z_score_20": (close - middle) / ((upper - middle) / 2.0),
        "range_atr": (high - low) / atr,
    }


TALIB_NAMES = [
    "rsi_14",
    "atr_pct_14",
    "adx_14",
    "di_spread_14",
    "macd_12_26",
    "macd_histogram_9",
    "ema_gap_20_50",
    "close_ema_50",
    "slope_24",
    "roc_12",
    "stochastic_k_14",
    "stochastic_d_3",
    "mfi_14",
    "bollinger_width_20",
    "z_score_20",
    "range_atr",
]


@pytest.mark.parametrize("name", TALIB_NAMES)
def test_a_classical_feature_equals_that_of_talib(name):
    np.testing.assert_allclose(TABLE[name][WARM:], talib_figures()[name][WARM:], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["rsi_14", "atr_pct_14", "roc_12", "stochastic_k_14", "mfi_14", "slope_24"])
def test_a_classical_feature_starts_where_that_of_talib_does(name):
    theirs = talib_figures()[name]
    start = max(int(np.argmax(np.isfinite(theirs))), 14)

    np.testing.assert_allclose(TABLE[name][start:], theirs[start:], rtol=1e-7, atol=1e-9)


@cache
def pandas_figures():
    returns = np.log(BAR["close"]).diff()
    market = pd.DataFrame({symbol: np.log(frame["close"]).diff() for symbol, frame in MARKET.items()})
    market_return = market.mean(axis=1).where(market.notna().any(axis=1))
    spread = returns.rolling(24).std()
    volume = BAR["volume"].astype(float)
    atr = TABLE["atr_pct_14"] * BAR["close"]
    day = BAR["close_time"].dt.date
    value = (BAR["high"] + BAR["low"] + BAR["close"]) / 3 * volume
    vwap = value.groupby(day).cumsum() / volume.groupby(day).cumsum()
    first_open = BAR["open"].groupby(day).transform("first")
    last_close = BAR["close"].groupby(day).last().shift()
    width, body = BAR["high"] - BAR["low"], BAR["close"] - BAR["open"]
    parkinson = np.log(BAR["high"] / BAR["low"]) ** 2 / (4 * np.log(2))
    klass = 0.5 * np.log(BAR["high"] / BAR["low"]) ** 2 - (2 * np.log(2) - 1) * np.log(BAR["close"] / BAR["open"]) ** 2
    figures = {
        f"return_{bars}": np.log(BAR["close"]).diff(bars) / (spread * np.sqrt(bars))
        for bars in (1, 3, 6, 12, 24, 48, 72)
    }
    for bars in (20, 55):
        top, bottom = BAR["high"].rolling(bars).max().shift(), BAR["low"].rolling(bars).min().shift()
        figures[f"donchian_{bars}"] = (BAR["close"] - (top + bottom) / 2) / ((top - bottom) / 2)
    for bars in (12, 48):
        ahead = np.log(BAR["close"]).diff(bars) - market_return.rolling(bars).sum()
        figures[f"relative_strength_{bars}"] = ahead / (spread * np.sqrt(bars))
        figures[f"market_return_{bars}"] = market_return.rolling(bars).sum()
    up = market.gt(0).sum(axis=1) / len(SYMBOLS)
    opening = BAR.groupby(day).head(3).groupby(day).agg(top=("high", "max"), bottom=("low", "min"))
    top, bottom = day.map(opening["top"]), day.map(opening["bottom"])
    started = BAR.groupby(day).cumcount() >= 2
    return figures | {
        "volatility_24": spread,
        "volatility_ratio_12_48": returns.rolling(12).std() / returns.rolling(48).std(),
        "parkinson_20": np.sqrt(parkinson.rolling(20).mean()),
        "garman_klass_20": np.sqrt(klass.rolling(20).mean()),
        "relative_volume_20": volume / volume.rolling(20).mean().shift(),
        "volume_z_20": (volume - volume.rolling(20).mean()) / volume.rolling(20).std(ddof=0),
        "volume_trend_5_20": volume.rolling(5).mean() / volume.rolling(20).mean(),
        "obv_20": (np.sign(returns) * volume).rolling(20).sum() / volume.rolling(20).sum(),
        "return_volume_correlation_20": returns.rolling(20).corr(volume),
        "vwap_distance": (BAR["close"] - vwap) / atr,
        "session_return": (BAR["close"] - first_open) / atr,
        "gap": ((first_open - day.map(last_close)) / atr).where(day.map(last_close).notna(), 0.0),
        "opening_range": ((BAR["close"] - (top + bottom) / 2) / ((top - bottom) / 2)).where(started),
        "body_share": body / width,
        "upper_wick_share": (BAR["high"] - BAR[["open", "close"]].max(axis=1)) / width,
        "lower_wick_share": (BAR[["open", "close"]].min(axis=1) - BAR["low"]) / width,
        "body_atr": body / atr,
        "high_distance_55": (BAR["close"] - BAR["high"].rolling(55).max()) / atr,
        "low_distance_55": (BAR["close"] - BAR["low"].rolling(55).min()) / atr,
        "z_score_48": (BAR["close"] - BAR["close"].rolling(48).mean()) / BAR["close"].rolling(48).std(ddof=0),
        "autocorrelation_24": returns.rolling(23).corr(returns.shift()),
        "efficiency_24": BAR["close"].diff(24).abs() / BAR["close"].diff().abs().rolling(24).sum(),
        "trend_r2_24": BAR["close"].rolling(24).corr(pd.Series(np.arange(float(BARS)))) ** 2,
        "skew_24": returns.rolling(24).apply(lambda x: ((x - x.mean()) ** 3).mean() / x.std(ddof=0) ** 3),
        "beta_48": returns.rolling(48).cov(market_return) / market_return.rolling(48).var(),
        "market_correlation_48": returns.rolling(48).corr(market_return),
        "market_return_1": market_return,
        "market_volatility_24": market_return.rolling(24).std(),
        "market_activity_72": market_return.abs().rolling(72).mean(),
        "market_trend_72": market_return.rolling(72).sum() / (market_return.rolling(72).std() * np.sqrt(72)),
        "market_breadth": up,
        "market_breadth_12": up.rolling(12).mean(),
    }


@pytest.mark.parametrize("name", sorted(pandas_figures()))
def test_a_feature_equals_its_definition_in_pandas(name):
    theirs = pandas_figures()[name][80:]

    assert theirs.notna().sum() > 500
    known = theirs.notna()
    np.testing.assert_allclose(TABLE[name][80:][known], theirs[known], rtol=1e-7, atol=1e-9)


def test_most_features_are_held_against_an_independent_figure():
    held = set(pandas_figures()) | set(TALIB_NAMES)

    assert held <= {feature.name for feature in CATALOGUE}
    assert len(held) >= 0.8 * len(CATALOGUE)


def test_the_market_table_is_the_market_of_the_rows():
    names = [feature.name for feature in CATALOGUE if feature.family == "market"]

    np.testing.assert_array_equal(MARKET_TABLE[names].to_numpy(), TABLE[names].to_numpy())
