"""Indices: how NIFTY 50 and NIFTY BANK move, and what India VIX expects; NaN where the run holds no such bars.

An index stands where its last bar closed, at this close or before it; after `STALE_DAYS` without a bar it is unknown.
A daily value of India VIX is published after the session: on daily bars it is used from the next bar on.
"""

import math

from pipelines.domain.portable_math import log
from pipelines.features.definition import MOSKOWITZ, family, places
from pipelines.features.sliding import slide, sliding
from pipelines.features.state import push, rings
from pipelines.features.windows import compiled, scatter

NIFTY, BANK, VIX = "NIFTY 50", "NIFTY BANK", "INDIA VIX"
INDICES = (NIFTY, BANK, VIX)  #: in the order of the levels given to `write`
STALE_DAYS = 6  #: calendar days; the longest closure of the exchange is five
STILL = 1e-9  #: log returns per bar under this spread are rounding

_WHALEY = "Whaley (2009), Journal of Portfolio Management 35(3)"
_NSE = "NSE, index bars of the run"

FEATURES = family(
    "index",
    [
        ("nifty_return_1", 1, "log return", _NSE, "of NIFTY 50"),
        ("nifty_return_12", 12, "log return", _NSE, "of NIFTY 50"),
        ("nifty_return_48", 48, "log return", _NSE, "of NIFTY 50"),
        ("nifty_trend_72", 72, "volatilities", MOSKOWITZ, "of NIFTY 50"),
        ("nifty_volatility_24", 24, "log return per bar", _NSE, "of NIFTY 50"),
        ("nifty_volatility_ratio_12_48", 48, "ratio", _NSE, "of NIFTY 50, short over long"),
        ("nifty_mean_distance_50", 49, "log return", _NSE, "NIFTY 50 over its mean of 50 bars"),
        ("bank_return_12", 12, "log return", _NSE, "of NIFTY BANK"),
        ("bank_return_48", 48, "log return", _NSE, "of NIFTY BANK"),
        ("bank_trend_72", 72, "volatilities", MOSKOWITZ, "of NIFTY BANK"),
        ("bank_volatility_24", 24, "log return per bar", _NSE, "of NIFTY BANK"),
        ("bank_over_nifty_48", 48, "log return", _NSE, "return of NIFTY BANK less that of NIFTY 50"),
        ("vix_level", 0, "volatility a year", _WHALEY, "India VIX, as a share"),
        ("vix_change_1", 1, "log change", _WHALEY, "of India VIX"),
        ("vix_change_12", 12, "log change", _WHALEY, "of India VIX"),
        ("vix_mean_distance_72", 71, "log change", _WHALEY, "India VIX over its own mean of 72 bars"),
        ("vix_rank_72", 72, "share", _WHALEY, "of the 72 bars before, those in which India VIX was lower"),
        ("vix_over_realised_24", 24, "ratio", "Bollerslev, Tauchen and Zhou (2009), RFS 22(11)", "to NIFTY 50's"),
    ],
)
AT = places(FEATURES)
_MOVED_12, OF = sliding("moved_12", 12, "own", "square")
_MOVED_24, OF_24 = sliding("moved_24", 24, "nifty", "nifty_square", "bank", "bank_square")
_MOVED_48, _ = sliding("moved_48", 48, "own", "square")
_MOVED_72, OF_72 = sliding("moved_72", 72, "nifty", "nifty_square", "bank", "bank_square", "vix")
_LEVEL_50, _ = sliding("level_50", 50, "nifty")
STATE = (*rings("nifty", "bank", "vix"), _MOVED_12, _MOVED_24, _MOVED_48, _MOVED_72, _LEVEL_50)


@compiled
def write(m, sums, levels, out):
    """Fill the family's part of a close's row; `levels` are the indices' last closes and the bars in a year."""
    end = m.end
    push(m.nifty, end, levels[0])
    push(m.bank, end, levels[1])
    push(m.vix, end, levels[2])
    nifty, bank = _moved(m.nifty, end, 1, m.count), _moved(m.bank, end, 1, m.count)
    _remember(m, nifty, bank, levels)
    short, middle, long = m.moved_12.total, m.moved_24.total, m.moved_72.total
    out[AT.nifty_return_1] = nifty
    out[AT.nifty_return_12] = _moved(m.nifty, end, 12, m.count)
    out[AT.nifty_return_48] = _moved(m.nifty, end, 48, m.count)
    out[AT.nifty_trend_72] = _trend(long[OF_72.nifty], long[OF_72.nifty_square])
    realised = _spread(middle[OF_24.nifty], middle[OF_24.nifty_square], 24)
    out[AT.nifty_volatility_24] = realised
    usual = _spread(m.moved_48.total[OF.own], m.moved_48.total[OF.square], 48)
    lately = _spread(short[OF.own], short[OF.square], 12)
    out[AT.nifty_volatility_ratio_12_48] = lately / usual if usual > STILL else math.nan
    out[AT.nifty_mean_distance_50] = log(levels[0] / (m.level_50.total[0] / 50.0))
    out[AT.bank_return_12] = _moved(m.bank, end, 12, m.count)
    out[AT.bank_return_48] = _moved(m.bank, end, 48, m.count)
    out[AT.bank_trend_72] = _trend(long[OF_72.bank], long[OF_72.bank_square])
    out[AT.bank_volatility_24] = _spread(middle[OF_24.bank], middle[OF_24.bank_square], 24)
    out[AT.bank_over_nifty_48] = out[AT.bank_return_48] - out[AT.nifty_return_48]
    out[AT.vix_level] = levels[2] / 100.0
    out[AT.vix_change_1] = _moved(m.vix, end, 1, m.count)
    out[AT.vix_change_12] = _moved(m.vix, end, 12, m.count)
    out[AT.vix_mean_distance_72] = log(levels[2] / (long[OF_72.vix] / 72.0))
    out[AT.vix_rank_72] = _rank(m.vix[end - 73 : end - 1], levels[2])
    yearly = realised * math.sqrt(levels[3])
    out[AT.vix_over_realised_24] = levels[2] / 100.0 / yearly if realised > STILL else math.nan


@compiled
def _remember(m, nifty, bank, levels):
    """Sums over the moves and levels; an unknown one makes them unknown until it has left the window."""
    m.moved_12.now[OF.own] = m.moved_48.now[OF.own] = nifty
    m.moved_12.now[OF.square] = m.moved_48.now[OF.square] = nifty * nifty
    m.moved_24.now[OF_24.nifty] = m.moved_72.now[OF_72.nifty] = nifty
    m.moved_24.now[OF_24.nifty_square] = m.moved_72.now[OF_72.nifty_square] = nifty * nifty
    m.moved_24.now[OF_24.bank] = m.moved_72.now[OF_72.bank] = bank
    m.moved_24.now[OF_24.bank_square] = m.moved_72.now[OF_72.bank_square] = bank * bank
    m.moved_72.now[OF_72.vix], m.level_50.now[0] = levels[2], levels[0]
    slide(m.moved_12, m.count)
    slide(m.moved_24, m.count)
    slide(m.moved_48, m.count)
    slide(m.moved_72, m.count)
    slide(m.level_50, m.count)


@compiled
def _spread(summed, squares, n):
    """Sample standard deviation of n moves; NaN where one of them is unknown."""
    return math.sqrt(scatter(summed, squares, n) / (n - 1.0)) if not math.isnan(squares) else math.nan


@compiled
def _moved(ring, end, bars, count):
    """Log return over `bars`; NaN where the history is too short or either end is unknown."""
    return log(ring[end - 1] / ring[end - 1 - bars]) if count > bars else math.nan


@compiled
def _trend(summed, squares):
    """The way of 72 bars over what a random walk would do."""
    spread = _spread(summed, squares, 72)
    return summed / (spread * math.sqrt(72.0)) if spread > STILL else math.nan


@compiled
def _rank(earlier, level):
    """Share of earlier levels that were lower, equal ones half; NaN if one is unknown."""
    if math.isnan(level):
        return math.nan
    lower = 0.0
    for value in earlier:
        if math.isnan(value):
            return math.nan
        lower += 1.0 if value < level else 0.5 if value == level else 0.0
    return lower / earlier.shape[0]
