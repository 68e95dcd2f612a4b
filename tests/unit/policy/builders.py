"""Small panels with a known edge: what the momentum head looks at foretells, what the reversion head sees is noise."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.market_calendar import regular_bars
from pipelines.heads.momentum import MomentumHead
from pipelines.heads.reversion import ReversionHead
from pipelines.params import Params, load_params
from pipelines.policy.labels import Costs
from pipelines.policy.panel import FLAG_COLUMNS, REGIME_COLUMNS, STATED_REGIME, Panel

PARAMS: Params = load_params(Path(__file__).parents[3] / "params.yaml")
COSTS = Costs(slippage_bps=2.0, position_inr=100_000.0)
MOMENTUM = ("return_12", "return_24", "return_48", "relative_strength_48")
FEATURES = (*MOMENTUM, "z_score_20", "rsi_14", "efficiency_24", "noise", "volume_ratio", "bar_of_day", "atr_pct_14")
HEADS = (MomentumHead(threshold=0.0, slope=1.0), ReversionHead(threshold=0.0, slope=1.0))


def params_with(**policy):
    """The policy section with a few numbers changed; `label` may be given as a dict."""
    label = PARAMS.policy.label.model_copy(update=policy.pop("label", {}))
    return PARAMS.policy.model_copy(update={"label": label, **policy})


SMALL = params_with(folds=3, trees=30, leaves=7, min_leaf=20, max_rows=4000, embargo_bars=12, label={"hold_bars": 12})


def an_instrument(symbol="S0", tick="0.05", has_volume=True):
    return Instrument(symbol, 257, Kind.STOCK, Decimal(tick), 1, "", has_volume)


def a_panel(
    days=40, instruments=3, edge=0.0, seed=1, interval=Interval.MIN_15, regimes=True, first="2026-01-05"
) -> Panel:
    """Random walks in which momentum foretells the next bar's drift, `edge` volatilities a bar."""
    rng = np.random.default_rng(seed)
    dates = pd.bdate_range(first, periods=days)
    bars_a_day = regular_bars(dates[0].date(), interval)
    times = _times(dates, interval, bars_a_day)
    parts = [_an_instruments_table(f"S{i}", times, bars_a_day, edge, rng) for i in range(instruments)]
    table = pd.concat(parts, ignore_index=True)
    raw = rng.dirichlet(np.ones(4), size=len(times["close_time"]))
    for i, name in enumerate(REGIME_COLUMNS):
        column = raw[:, i] if regimes else np.full(len(raw), np.nan)
        table[name] = np.tile(column, instruments)
    table[STATED_REGIME] = np.tile(
        raw.argmax(axis=1).astype(float) if regimes else np.full(len(raw), np.nan), instruments
    )
    for name in FLAG_COLUMNS:
        table[name] = np.tile(np.sign(rng.normal(size=len(raw))) * (rng.random(len(raw)) < 0.1), instruments)
    catalogue = {"hash": "c0ffee", "interval": interval.value, "features": [{"name": name} for name in FEATURES]}
    return Panel(table, {f"S{i}": an_instrument(f"S{i}") for i in range(instruments)}, interval, catalogue)


def _times(dates, interval, bars_a_day):
    opens, closes, ends = [], [], []
    for day in dates:
        start = day.tz_localize("Asia/Kolkata") + pd.Timedelta(hours=9, minutes=15)
        end = start + pd.Timedelta(minutes=375)
        for i in range(bars_a_day):
            opened = start + pd.Timedelta(minutes=i * interval.minutes)
            opens.append(opened)
            closes.append(min(opened + pd.Timedelta(minutes=interval.minutes), end))
            ends.append(end)
    return pd.DataFrame({"open_time": opens, "close_time": closes, "session_end": ends}).astype(TIME_DTYPE)


def _an_instruments_table(symbol, times, bars_a_day, edge, rng):
    n, sigma = len(times), 0.002
    momentum = np.zeros(n)
    for i in range(1, n):
        momentum[i] = 0.9 * momentum[i - 1] + np.sqrt(1 - 0.81) * rng.normal()
    drift = np.r_[0.0, momentum[:-1]] * edge * sigma
    close = 500 * np.exp(np.cumsum(drift + sigma * rng.standard_normal(n)))
    open_ = np.r_[500.0, close[:-1]] * np.exp(0.0002 * rng.standard_normal(n))
    high = np.maximum(open_, close) * np.exp(np.abs(0.0007 * rng.standard_normal(n)))
    low = np.minimum(open_, close) * np.exp(-np.abs(0.0007 * rng.standard_normal(n)))
    prices = {"open": open_, "high": high, "low": low, "close": close}
    grid = {name: np.round(np.round(price / 0.05) * 0.05, 2) for name, price in prices.items()}
    features = {
        **dict.fromkeys(MOMENTUM, momentum),
        "z_score_20": rng.standard_normal(n),
        "rsi_14": 50 + 10 * rng.standard_normal(n),
        "efficiency_24": rng.random(n),
        "noise": rng.standard_normal(n),
        "volume_ratio": rng.lognormal(size=n),
        "bar_of_day": np.arange(n) % bars_a_day / bars_a_day,
        "atr_pct_14": np.where(np.arange(n) < 14, np.nan, sigma * 1.3),
    }
    volume = rng.integers(50_000, 500_000, n)
    return pd.DataFrame({"symbol": symbol, **times, **grid, "volume": volume, **features})
