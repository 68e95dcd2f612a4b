"""Statistics of closes and returns: how stretched, how skewed, how persistent."""

import math

from pipelines.features.definition import BOLLINGER, KAUFMAN, family, places
from pipelines.features.windows import co_moments, compiled, mean, moments, ratio

FEATURES = family(
    "statistics",
    [
        ("z_score_20", 19, "standard deviations", BOLLINGER, "close over its mean of 20 bars"),
        ("z_score_48", 47, "standard deviations", BOLLINGER, "close over its mean of 48 bars"),
        ("skew_24", 24, "third standardised moment", "of the log returns", "lean of 24 log returns"),
        (
            "autocorrelation_24",
            24,
            "correlation",
            "of the log returns at lag 1; Lo and MacKinlay (1988), RFS 1(1)",
            "does a return go on in the next bar",
        ),
        ("efficiency_24", 24, "share", KAUFMAN, "way made over way gone in 24 bars"),
    ],
)
AT = places(FEATURES)
STATE = ()


@compiled
def write(s, bar, market, out):
    end = s.end
    out[AT.z_score_20] = _z_score(s.close[end - 20 : end])
    out[AT.z_score_48] = _z_score(s.close[end - 48 : end])
    out[AT.skew_24] = _skew(s.log_return[end - 24 : end]) if s.volatility > 0.0 else math.nan
    product, earlier, later = co_moments(s.log_return[end - 24 : end - 1], s.log_return[end - 23 : end])
    out[AT.autocorrelation_24] = ratio(product, math.sqrt(earlier * later)) if s.volatility > 0.0 else math.nan
    path = 0.0
    for i in range(end - 24, end):
        path += abs(s.close[i] - s.close[i - 1])
    out[AT.efficiency_24] = abs(s.close[end - 1] - s.close[end - 25]) / path if path > 0.0 else 0.0


@compiled
def _z_score(closes):
    average, spread = moments(closes)
    return ratio(closes[closes.shape[0] - 1] - average, math.sqrt(spread / closes.shape[0]))


@compiled
def _skew(returns):
    average = mean(returns)
    squares = cubes = 0.0
    for value in returns:
        deviation = value - average
        squares += deviation * deviation
        cubes += deviation * deviation * deviation
    n = returns.shape[0]
    return ratio(cubes / n, (squares / n) ** 1.5)
