"""Peers: an instrument beside NIFTY 50 and beside the other stocks of its sector, and what it does on its own.

The sector's return at a close is the mean of the other stocks of the sector that have one; where none has, the sector
stood still. NaN without a sector, without others in it, or without bars of the index.
"""

import math

from pipelines.features.definition import family, places
from pipelines.features.state import IN, figures, push, rings
from pipelines.features.windows import co_moments, compiled, ratio, total

STILL = 1e-9  #: log returns per bar under this spread are rounding
_SHARPE = "Sharpe (1964), Journal of Finance 19(3)"
_LEVY = "Levy (1967), Journal of Finance 22(4)"
_MOSKOWITZ = "Moskowitz and Grinblatt (1999), Journal of Finance 54(4)"
_ANG = "Ang, Hodrick, Xing and Zhang (2006), Journal of Finance 61(1)"

FEATURES = family(
    "peers",
    [
        ("nifty_beta_48", 48, "ratio", _SHARPE, "to NIFTY 50"),
        ("nifty_correlation_48", 48, "correlation", _SHARPE, "with NIFTY 50"),
        ("nifty_strength_12", 24, "volatilities", _LEVY, "return over that of NIFTY 50"),
        ("nifty_strength_48", 48, "volatilities", _LEVY, "return over that of NIFTY 50"),
        ("sector_return_12", 12, "log return", _MOSKOWITZ, "of the other stocks of the sector"),
        ("sector_beta_48", 48, "ratio", _SHARPE, "to the other stocks of the sector"),
        ("sector_strength_12", 24, "volatilities", _MOSKOWITZ, "return over that of the sector"),
        ("sector_strength_48", 48, "volatilities", _MOSKOWITZ, "return over that of the sector"),
        ("own_volatility_48", 48, "log return per bar", _ANG, "of what the market of the run does not explain"),
        ("own_share_48", 48, "share", _ANG, "of the variance that the market of the run does not explain"),
        ("downside_beta_48", 48, "ratio", "Ang, Chen and Xing (2006), RFS 19(4)", "to the falling market of the run"),
    ],
)
AT = places(FEATURES)
STATE = (*rings("nifty_return", "sector_return"), *figures("mates_seen"))


@compiled
def write(s, bar, market, out):
    end = s.end
    push(s.nifty_return, end, bar[IN.nifty_return])
    push(s.sector_return, end, _sector_return(s, bar))
    own = s.log_return[end - 48 : end]
    product, mine, theirs = co_moments(own, s.nifty_return[end - 48 : end])
    out[AT.nifty_beta_48] = product / theirs if theirs > STILL * STILL else math.nan
    moving = mine > STILL * STILL and theirs > STILL * STILL
    out[AT.nifty_correlation_48] = product / math.sqrt(mine * theirs) if moving else math.nan
    out[AT.nifty_strength_12] = _ahead(s, s.nifty_return, 12)
    out[AT.nifty_strength_48] = _ahead(s, s.nifty_return, 48)
    out[AT.sector_return_12] = total(s.sector_return[end - 12 : end])
    product, mine, theirs = co_moments(own, s.sector_return[end - 48 : end])
    out[AT.sector_beta_48] = product / theirs if theirs > STILL * STILL else math.nan
    out[AT.sector_strength_12] = _ahead(s, s.sector_return, 12)
    out[AT.sector_strength_48] = _ahead(s, s.sector_return, 48)
    product, mine, theirs = co_moments(own, s.market_return[end - 48 : end])
    explained = product * product / theirs if theirs > STILL * STILL else math.nan
    left = max(mine - explained, 0.0)
    out[AT.own_volatility_48] = math.sqrt(left / 46.0) if not math.isnan(explained) else math.nan
    out[AT.own_share_48] = min(left / mine, 1.0) if mine > STILL * STILL and not math.isnan(explained) else math.nan
    out[AT.downside_beta_48] = _downside_beta(own, s.market_return[end - 48 : end])


@compiled
def _sector_return(s, bar):
    """Mean return of the others: the sector's sum without the instrument's own return."""
    known = s.count > 1
    mates = bar[IN.sector_known] - (1.0 if known else 0.0)
    if mates > 0.0:
        s.mates_seen = 1.0
        return (bar[IN.sector_sum] - (s.log_return[s.end - 1] if known else 0.0)) / mates
    return 0.0 if s.mates_seen > 0.0 else math.nan


@compiled
def _ahead(s, others, bars):
    """Log return over that of the others, in the instrument's volatilities."""
    end = s.end
    own = math.log(s.close[end - 1] / s.close[end - 1 - bars])
    return ratio(own - total(others[end - bars : end]), s.volatility * math.sqrt(bars))


@compiled
def _downside_beta(own, market):
    """Own moves against the market's in the bars in which it fell; NaN where it fell in fewer than eight."""
    product = squares = count = 0.0
    for i in range(own.shape[0]):
        if market[i] < -STILL:
            product += own[i] * market[i]
            squares += market[i] * market[i]
            count += 1.0
    return product / squares if count >= 8.0 else math.nan
