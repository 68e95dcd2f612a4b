"""Figures of daily returns and closed trades. Undefined is None: no ratio of nothing, no division by zero."""

from collections.abc import Sequence

import numpy as np

from pipelines.evaluation.trades import Trade

DAYS_PER_YEAR = 252


def daily_returns(equity: np.ndarray, opening: float) -> np.ndarray:
    """Returns a day, the first against the opening equity."""
    path = np.r_[opening, equity]
    return path[1:] / path[:-1] - 1


def sharpe(returns: np.ndarray) -> float | None:
    """Annualised Sharpe ratio of daily returns over cash at no interest; None for under two days or no variance."""
    if len(returns) < 2:
        return None
    deviation = returns.std(ddof=1)
    if not deviation > 1e-12:
        return None
    return float(returns.mean() / deviation * np.sqrt(DAYS_PER_YEAR))


def sharpe_interval(
    returns: np.ndarray, *, bootstraps: int, block_days: int, seed: int, level: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the annualised Sharpe ratio by the circular block bootstrap.

    Parameters
    ----------
    returns : daily
    bootstraps : resamples
    block_days : length of the blocks, which keep neighbouring days together
    seed : of the resampling
    level : coverage

    References
    ----------
    Politis and Romano (1992), A circular block-resampling procedure for stationary data.
    """
    days = len(returns)
    if sharpe(returns) is None:
        return None
    block = min(block_days, days)
    starts = np.random.default_rng(seed).integers(0, days, size=(bootstraps, -(-days // block)))
    picked = ((starts[:, :, None] + np.arange(block)) % days).reshape(bootstraps, -1)[:, :days]
    samples = returns[picked]
    deviations = samples.std(axis=1, ddof=1)
    moved = deviations > 1e-12  # a resample in which nothing moved speaks for no skill: left out, it would hide that
    ratios = np.zeros(bootstraps)
    ratios[moved] = samples[moved].mean(axis=1) / deviations[moved] * np.sqrt(DAYS_PER_YEAR)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def drawdowns(equity: np.ndarray, opening: float) -> np.ndarray:
    """Loss from the highest equity so far, as a share of it, per day; not below zero."""
    path = np.r_[opening, equity]
    peaks = np.maximum.accumulate(path)
    return ((peaks - path) / peaks)[1:]


def win_rate(trades: Sequence[Trade]) -> float | None:
    """Share of trades that earned something after charges."""
    return float(np.mean([t.outcome.net_inr > 0 for t in trades])) if trades else None


def profit_factor(trades: Sequence[Trade]) -> float | None:
    """Rupees won over rupees lost, after charges; None without a loss, since it has no bound then."""
    nets = [float(t.outcome.net_inr) for t in trades]
    lost = -sum(n for n in nets if n < 0)
    return sum(n for n in nets if n > 0) / lost if lost > 0 else None


def finite_or_none(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
