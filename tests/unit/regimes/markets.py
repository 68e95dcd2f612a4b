"""Bars of markets whose regime is known at every close."""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Bar

REGIMES = ("bull", "bear", "range", "high_volatility")
DRIFT = np.array([0.15, -0.15, 0.0, 0.0])  #: in volatilities a bar
VOLATILITY = np.array([0.8, 1.2, 0.6, 2.2])
SESSION = 75
STOCKS = ("AAA", "BBB", "CCC")


def closes_of(bars: int) -> pd.DatetimeIndex:
    """Closes of five-minute bars, 75 a session, on weekdays."""
    days = pd.bdate_range("2026-01-05", periods=-(-bars // SESSION), tz="Asia/Kolkata")
    minutes = pd.to_timedelta(9 * 60 + 20 + 5 * np.arange(SESSION), unit="min")
    return pd.DatetimeIndex([day + minute for day in days for minute in minutes])[:bars].astype(TIME_DTYPE)


def known_market(bars: int, seed: int, stay: float = 0.995) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Bars of three stocks whose drift and volatility follow one of four regimes, and `close_time, regime`."""
    random = np.random.default_rng(seed)
    states = [2]
    while len(states) < bars:
        stays = random.random() < stay
        states.append(states[-1] if stays else int(random.integers(0, 4)))
    state, times = np.array(states), closes_of(bars)
    common = random.normal(0, 0.0006, bars)
    market = {}
    for symbol in STOCKS:
        shock = common + random.normal(0, 0.0008, bars)
        moved = VOLATILITY[state] * (shock + DRIFT[state] * 0.001)
        market[symbol] = bars_of(symbol, times, 100.0 * np.exp(np.cumsum(moved)), random, VOLATILITY[state])
    return market, pd.DataFrame({"close_time": times, "regime": [REGIMES[i] for i in state]})


def bars_of(symbol, times, close, random, loud=1.0) -> pd.DataFrame:
    opened = np.r_[close[0], close[:-1]]
    reach = np.exp(np.abs(random.normal(0, 0.0004, len(close))) * loud)
    return pd.DataFrame(
        {
            "symbol": symbol,
            "open_time": times - pd.Timedelta(minutes=5),
            "close_time": times,
            "open": opened,
            "high": np.maximum(opened, close) * reach,
            "low": np.minimum(opened, close) / reach,
            "close": close,
            "volume": random.integers(8_000, 12_000, len(close)),
            "adjustment": 1.0,
        }
    )


def no_news() -> pd.DataFrame:
    return news_of([])


def news_of(items: list[tuple[str, datetime, float]]) -> pd.DataFrame:
    table = pd.DataFrame(items, columns=["symbol", "time", "sentiment"])
    return table.astype({"time": TIME_DTYPE, "sentiment": "float64"})


def random_news(times: pd.DatetimeIndex, share: float, seed: int) -> pd.DataFrame:
    """Items at a share of the closes, some between them, some before a session."""
    random = np.random.default_rng(seed)
    chosen = times[random.random(len(times)) < share]
    moments = chosen - pd.to_timedelta(random.integers(0, 300, len(chosen)), unit="s")
    symbols = random.choice(STOCKS, len(chosen))
    said = np.round(random.uniform(-1, 1, len(chosen)), 2)
    return news_of(list(zip(symbols, moments, said, strict=True)))


def until(market: Mapping[str, pd.DataFrame], bars: int) -> dict[str, pd.DataFrame]:
    return {symbol: frame[:bars] for symbol, frame in market.items()}


def bars_at(market: Mapping[str, pd.DataFrame], time: pd.Timestamp) -> dict[str, Bar]:
    found = {}
    for symbol, frame in market.items():
        for row in frame[frame["close_time"] == time].to_dict("records"):
            times = {name: row.pop(name).to_pydatetime() for name in ("open_time", "close_time")}
            found[symbol] = Bar(**(row | times))
    return found
