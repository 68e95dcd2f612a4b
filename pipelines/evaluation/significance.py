"""How likely a Sharpe ratio is luck: probabilistic and deflated Sharpe ratios.

References
----------
Bailey and Lopez de Prado (2012), The Sharpe Ratio Efficient Frontier, Journal of Risk 15(2).
Bailey and Lopez de Prado (2014), The Deflated Sharpe Ratio, Journal of Portfolio Management 40(5), 94-107.
"""

import math

import numpy as np

from pipelines.domain.portable_math import normal_cdf, normal_quantile

EULER_MASCHERONI = 0.5772156649015329
MOST_AUTOCORRELATION = 0.9  #: that returns are believed to have


def probabilistic_sharpe(
    observed: float,
    benchmark: float,
    periods: int,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    inflation: float = 1.0,
) -> float | None:
    """Probability that the true Sharpe ratio is above a benchmark.

    Parameters
    ----------
    observed, benchmark : Sharpe ratios per period, not annualised
    periods : number of returns
    skewness, kurtosis : of the returns; a normal distribution has 0 and 3
    inflation : how much wider than of independent returns the ratio's variance is, see `variance_inflation`

    Returns
    -------
    float in [0, 1]; None for under two periods or moments that no distribution has at this ratio.
    """
    spread = (1 - skewness * observed + (kurtosis - 1) / 4 * observed * observed) * inflation
    if periods < 2 or not spread > 0:
        return None
    return float(normal_cdf((observed - benchmark) * math.sqrt(periods - 1) / math.sqrt(spread)))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Sharpe ratio that the best of `trials` useless strategies is expected to show, per period.

    Parameters
    ----------
    trials : independent configurations tried, at least 1; with one there was no choice, so 0
    variance : of the trials' Sharpe ratios, per period
    """
    if trials <= 1:
        return 0.0
    high = normal_quantile(1 - 1 / trials)
    higher = normal_quantile(1 - 1 / (trials * np.e))
    return float(np.sqrt(variance) * ((1 - EULER_MASCHERONI) * high + EULER_MASCHERONI * higher))


def moments(returns: np.ndarray) -> tuple[float, float]:
    """Skewness and kurtosis; a normal distribution has 0 and 3."""
    centred = (returns - returns.mean()) / returns.std()
    squared = centred * centred  # numpy's powers above 2 differ between processors
    return float((squared * centred).mean()), float((squared * squared).mean())


def variance_inflation(returns: np.ndarray) -> float:
    """How much wider the mean's sampling variance is than of independent returns, at least 1.

    Returns that follow each other, as those of positions held over days do, tell less than as many that do not. The
    first autocorrelation stands for all, as in an autoregression of order one; one below zero, which would promise more
    than was seen, counts as none. It is taken half a standard error higher than measured, since that falls short
    on few returns.

    References
    ----------
    Lo (2002), The Statistics of Sharpe Ratios, Financial Analysts Journal 58(4).
    """
    centred = returns - returns.mean()
    power = float((centred * centred).sum())
    if len(returns) < 3 or not power > len(returns) * 1e-24:
        return 1.0
    first = float((centred[1:] * centred[:-1]).sum()) / power
    bounded = min(max(first + 0.5 / math.sqrt(len(returns)) if first > 0 else 0.0, 0.0), MOST_AUTOCORRELATION)
    return (1 + bounded) / (1 - bounded)


def deflated_sharpe(returns: np.ndarray, trials: int, variance: float | None = None) -> float | None:
    """Probability that the true Sharpe ratio is above that of the best of `trials` useless strategies.

    Parameters
    ----------
    returns : one a period
    trials : configurations tried, this one included
    variance : of the trials' Sharpe ratios per period; if it is not known, that of useless strategies over as many
        periods, 1 / (n - 1) times `variance_inflation`, is taken

    Returns
    -------
    float in [0, 1], or None where no Sharpe ratio is defined.
    """
    periods = len(returns)
    if periods < 3 or not returns.std(ddof=1) > 1e-12:
        return None
    observed = float(returns.mean() / returns.std(ddof=1))
    inflation = variance_inflation(returns)
    benchmark = expected_best_sharpe(trials, inflation / (periods - 1) if variance is None else variance)
    return probabilistic_sharpe(observed, benchmark, periods, *moments(returns), inflation)
