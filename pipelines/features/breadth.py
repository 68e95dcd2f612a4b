"""Breadth: how many stocks of the run take part, how far apart they move, how much they move together."""

import math

from pipelines.features.definition import KAUFMAN, OWN, family, places
from pipelines.features.sliding import slide, sliding
from pipelines.features.survey import SUM
from pipelines.features.windows import compiled, scatter

_FEW = 2.0  #: stocks that a spread between them needs
_SOLNIK = "Solnik and Roulet (2000), Financial Analysts Journal 56(1)"

FEATURES = family(
    "breadth",
    [
        ("above_mean_20", 19, "share", "Zweig (1986), Winning on Wall Street", "stocks above their mean of 20 bars"),
        ("above_mean_50", 49, "share", "Zweig (1986), Winning on Wall Street", "stocks above their mean of 50 bars"),
        (
            "new_highs_lows_55",
            55,
            "signed share",
            KAUFMAN,
            "stocks at new highs of 55 bars less those at lows",
        ),
        ("dispersion_1", 1, "log return", _SOLNIK, "standard deviation over the stocks' returns"),
        ("dispersion_24", 24, "log return", _SOLNIK, "mean of dispersion_1 where it was known"),
        ("dispersion_ratio", 24, "ratio", OWN, "dispersion_1 over dispersion_24"),
        (
            "mean_correlation_48",
            48,
            "correlation",
            "Pollet and Wilson (2010), Journal of Financial Economics 96(3)",
            "that the market's variance implies, given its stocks'",
        ),
    ],
)
AT = places(FEATURES)
_DISPERSION_24, _ = sliding("dispersion_24", 24, "summed", "known")
_MARKET_48, _ = sliding("market_48", 48, "own", "square")
STATE = (_DISPERSION_24, _MARKET_48)


@compiled
def write(m, sums, levels, out):
    """Fill the family's part of a close's row from the sums over its stocks (`survey.COUNTS`)."""
    known = sums[SUM.known]
    moved = sums[SUM.returns] / known if known > 0.0 else 0.0
    m.market_48.now[0], m.market_48.now[1] = moved, moved * moved
    slide(m.market_48, m.count)
    dispersion = _dispersion(sums[SUM.returns], sums[SUM.squares], known)
    told = not math.isnan(dispersion)
    m.dispersion_24.now[0], m.dispersion_24.now[1] = (dispersion, 1.0) if told else (0.0, 0.0)
    slide(m.dispersion_24, m.count)
    out[AT.above_mean_20] = sums[SUM.above_20] / sums[SUM.known_20] if sums[SUM.known_20] > 0.0 else math.nan
    out[AT.above_mean_50] = sums[SUM.above_50] / sums[SUM.known_50] if sums[SUM.known_50] > 0.0 else math.nan
    ahead = sums[SUM.new_highs] - sums[SUM.new_lows]
    out[AT.new_highs_lows_55] = ahead / sums[SUM.known_55] if sums[SUM.known_55] > 0.0 else math.nan
    summed, count = m.dispersion_24.total[0], m.dispersion_24.total[1]
    usual = summed / count if count >= 12.0 else math.nan  # known in half of the bars at least
    out[AT.dispersion_1] = dispersion
    out[AT.dispersion_24] = usual
    out[AT.dispersion_ratio] = dispersion / usual if usual > 0.0 else math.nan
    out[AT.mean_correlation_48] = _correlation(m.market_48.total, sums)


@compiled
def _dispersion(summed, squares, known):
    if known < _FEW:
        return math.nan
    spread = (squares - summed * summed / known) / (known - 1.0)
    return math.sqrt(spread) if spread > 1e-12 * squares else 0.0


@compiled
def _correlation(market, sums):
    """Mean correlation of n stocks of variance v, whose mean has the variance w: (n w / v - 1) / (n - 1)."""
    stocks, variances = sums[SUM.known_48], sums[SUM.variances_48]
    if stocks < _FEW or not variances > 0.0:
        return math.nan
    whole = scatter(market[0], market[1], 48) / 47.0
    return min(max((stocks * stocks * whole / variances - 1.0) / (stocks - 1.0), -1.0), 1.0)
