"""Relative: how the instrument moves with the market and against it."""

import math

from pipelines.features.definition import family, places
from pipelines.features.market import STILL
from pipelines.features.windows import co_moments, compiled, ratio, total

FEATURES = family(
    "relative",
    [
        ("beta_48", 48, "ratio", "Sharpe (1964), Journal of Finance 19(3)", "move with one of the market"),
        (
            "market_correlation_48",
            48,
            "correlation",
            "Sharpe (1964), Journal of Finance 19(3)",
            "correlation of the returns with the market's",
        ),
        (
            "relative_strength_12",
            24,
            "volatilities",
            "Levy (1967), Journal of Finance 22(4)",
            "return over the market's, 12 bars",
        ),
        (
            "relative_strength_48",
            48,
            "volatilities",
            "Levy (1967), Journal of Finance 22(4)",
            "return over the market's, 48 bars",
        ),
    ],
)
AT = places(FEATURES)
STATE = ()


@compiled
def write(s, bar, market, out):
    end = s.end
    product, own, others = co_moments(s.log_return[end - 48 : end], s.market_return[end - 48 : end])
    out[AT.beta_48] = product / others if others > STILL * STILL else math.nan
    moving = own > STILL * STILL and others > STILL * STILL
    out[AT.market_correlation_48] = product / math.sqrt(own * others) if moving else math.nan
    out[AT.relative_strength_12] = _ahead(s, 12)
    out[AT.relative_strength_48] = _ahead(s, 48)


@compiled
def _ahead(s, bars):
    """Log return over the market's, in the instrument's volatilities."""
    end = s.end
    own = math.log(s.close[end - 1] / s.close[end - 1 - bars])
    others = total(s.market_return[end - bars : end])
    return ratio(own - others, s.volatility * math.sqrt(bars))
