"""Peers: an instrument beside NIFTY 50 and beside the other stocks of its sector, and what it does on its own.

The sector's return at a close is the mean of the other stocks of the sector that have one; where none has, the sector
stood still. NaN without a sector, without others in it, or without bars of the index.
"""

import math

from pipelines.features.definition import family, row_of
from pipelines.features.sliding import slide, sliding
from pipelines.features.state import OF_48, figures
from pipelines.features.windows import STILL, compiled, scatter

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
ROW = row_of(FEATURES)
FEWEST_FALLS = 8  #: of the market in 48 bars, for a beta to them
_OTHERS_12, _ = sliding("others_12", 12, "nifty", "sector")
_OTHERS_48, OF = sliding(
    "others_48", 48, "nifty", "nifty_square", "nifty_product", "sector", "sector_square", "sector_product",
    "falls", "fall_square", "fall_product",
)  # fmt: skip
STATE = (*figures("mates_seen"), _OTHERS_12, _OTHERS_48)

ROOT_12, ROOT_48 = 1.0 / math.sqrt(12.0), 1.0 / math.sqrt(48.0)


@compiled
def write(s, bar, out):
    _remember(s, bar)
    mine, theirs = s.returns_48.total, s.others_48.total
    own = mine[OF_48.own]
    spread = scatter(own, mine[OF_48.square], 48)
    of_nifty = scatter(theirs[OF.nifty], theirs[OF.nifty_square], 48)
    product = theirs[OF.nifty_product] - own * theirs[OF.nifty] / 48.0
    out.nifty_beta_48 = _beta(product, of_nifty)
    moving = spread > STILL * STILL and of_nifty > STILL * STILL
    out.nifty_correlation_48 = product / math.sqrt(spread * of_nifty) if moving else math.nan
    of_sector = scatter(theirs[OF.sector], theirs[OF.sector_square], 48)
    out.sector_beta_48 = _beta(theirs[OF.sector_product] - own * theirs[OF.sector] / 48.0, of_sector)
    _strengths(s, out)
    _alone(s, spread, out)
    falls = theirs[OF.falls]
    out.downside_beta_48 = theirs[OF.fall_product] / theirs[OF.fall_square] if falls >= FEWEST_FALLS else math.nan


@compiled
def _remember(s, bar):
    own, nifty, sector = s.log_return[s.end - 1], bar.nifty_return, _sector_return(s, bar)
    short, long = s.others_12, s.others_48
    short.now[0], short.now[1] = nifty, sector
    slide(short, s.count)
    long.now[OF.nifty], long.now[OF.nifty_square], long.now[OF.nifty_product] = nifty, nifty * nifty, own * nifty
    long.now[OF.sector], long.now[OF.sector_square], long.now[OF.sector_product] = sector, sector * sector, own * sector
    market = s.market_return[s.end - 1]
    fell = market < -STILL
    long.now[OF.falls] = 1.0 if fell else 0.0
    long.now[OF.fall_square], long.now[OF.fall_product] = (market * market, own * market) if fell else (0.0, 0.0)
    slide(long, s.count)


@compiled
def _beta(product, theirs):
    return product / theirs if theirs > STILL * STILL else math.nan


@compiled
def _sector_return(s, bar):
    """Mean return of the others: the sector's sum without the instrument's own return."""
    known = s.count > 1
    mates = bar.sector_known - (1.0 if known else 0.0)
    if mates > 0.0:
        s.mates_seen = 1.0
        return (bar.sector_sum - (s.log_return[s.end - 1] if known else 0.0)) / mates
    return 0.0 if s.mates_seen > 0.0 else math.nan


@compiled
def _strengths(s, out):
    """Log returns over those of the others, in the instrument's volatilities."""
    logs, end, short, long = s.log_close, s.end, s.others_12.total, s.others_48.total
    per_volatility = 1.0 / s.volatility if s.volatility > 0.0 else math.nan
    own_12, own_48 = logs[end - 1] - logs[end - 13], logs[end - 1] - logs[end - 49]
    out.nifty_strength_12 = (own_12 - short[0]) * (per_volatility * ROOT_12)
    out.nifty_strength_48 = (own_48 - long[OF.nifty]) * (per_volatility * ROOT_48)
    out.sector_return_12 = short[1]
    out.sector_strength_12 = (own_12 - short[1]) * (per_volatility * ROOT_12)
    out.sector_strength_48 = (own_48 - long[OF.sector]) * (per_volatility * ROOT_48)


@compiled
def _alone(s, spread, out):
    """What the market of the run does not explain; the line's two figures cost two bars of 48."""
    total = s.returns_48.total
    theirs = scatter(total[OF_48.market], total[OF_48.market_square], 48)
    if not theirs > STILL * STILL:
        out.own_volatility_48 = out.own_share_48 = math.nan
        return
    product = total[OF_48.product] - total[OF_48.own] * total[OF_48.market] / 48.0
    left = max(spread - product * product / theirs, 0.0)
    out.own_volatility_48 = math.sqrt(left / 46.0)
    out.own_share_48 = min(left / spread, 1.0) if spread > STILL * STILL else math.nan
