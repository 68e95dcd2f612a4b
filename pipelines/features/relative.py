"""Relative: how the instrument moves with the market and against it."""

import math

from pipelines.features.definition import family, row_of
from pipelines.features.sliding import slide, sliding
from pipelines.features.state import OF_48
from pipelines.features.windows import STILL, compiled, scatter

_SHARPE = "Sharpe (1964), Journal of Finance 19(3)"
_LEVY = "Levy (1967), Journal of Finance 22(4)"

FEATURES = family(
    "relative",
    [
        ("beta_48", 48, "ratio", _SHARPE, "move with one of the market"),
        ("market_correlation_48", 48, "correlation", _SHARPE, "correlation of the returns with the market's"),
        ("relative_strength_12", 24, "volatilities", _LEVY, "return over the market's, 12 bars"),
        ("relative_strength_48", 48, "volatilities", _LEVY, "return over the market's, 48 bars"),
    ],
)
ROW = row_of(FEATURES)
_MARKET_12, _ = sliding("market_12", 12, "market")
STATE = (_MARKET_12,)

ROOT_12, ROOT_48 = 1.0 / math.sqrt(12.0), 1.0 / math.sqrt(48.0)


@compiled
def write(s, bar, out):
    total, logs, end = s.returns_48.total, s.log_close, s.end
    own = scatter(total[OF_48.own], total[OF_48.square], 48)
    others = scatter(total[OF_48.market], total[OF_48.market_square], 48)
    product = total[OF_48.product] - total[OF_48.own] * total[OF_48.market] / 48.0
    out.beta_48 = product / others if others > STILL * STILL else math.nan
    moving = own > STILL * STILL and others > STILL * STILL
    out.market_correlation_48 = product / math.sqrt(own * others) if moving else math.nan
    s.market_12.now[0] = s.market_return[end - 1]
    slide(s.market_12, s.count)
    per_volatility = 1.0 / s.volatility if s.volatility > 0.0 else math.nan
    ahead_12 = logs[end - 1] - logs[end - 13] - s.market_12.total[0]
    ahead_48 = logs[end - 1] - logs[end - 49] - total[OF_48.market]
    out.relative_strength_12 = ahead_12 * (per_volatility * ROOT_12)
    out.relative_strength_48 = ahead_48 * (per_volatility * ROOT_48)
