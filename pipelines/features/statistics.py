"""Statistics of closes and returns: how stretched, how skewed, how persistent, how regular."""

import math

import numpy as np

from pipelines.domain.portable_math import LN_2, cos, log, sin
from pipelines.features.definition import BOLLINGER, KAUFMAN, family, row_of
from pipelines.features.sliding import slide, slide_line, sliding, sliding_line
from pipelines.features.state import OF_24, OF_48, push, rings
from pipelines.features.windows import STILL, compiled, ratio, scatter

_LO = "Lo and MacKinlay (1988), Review of Financial Studies 1(1)"
_DING = "Ding, Granger and Engle (1993), Journal of Empirical Finance 1(1)"
_FOURIER = "discrete Fourier transform of 32 log returns"
_DEVIATIONS = "standard deviations"

FEATURES = family(
    "statistics",
    [
        ("z_score_20", 19, _DEVIATIONS, BOLLINGER, "close over its mean of 20 bars"),
        ("z_score_48", 47, _DEVIATIONS, BOLLINGER, "close over its mean of 48 bars"),
        ("skew_24", 24, "third standardised moment", "of the log returns", "lean of 24 returns"),
        ("kurtosis_24", 24, "fourth standardised moment less 3", "of the log returns", "tails of 24 returns"),
        ("rise_share_24", 24, "share", "of the log returns", "bars of 24 that rose"),
        ("autocorrelation_24", 24, "correlation", _LO, "does a return go on in the next bar"),
        ("autocorrelation_2_48", 50, "correlation", _LO, "does a return go on two bars later"),
        ("autocorrelation_5_48", 53, "correlation", _LO, "does a return go on five bars later"),
        ("size_autocorrelation_48", 49, "correlation", _DING, "do large moves follow large moves"),
        ("variance_ratio_4_48", 51, "ratio", _LO, "variance of 4 bars over 4 times that of 1"),
        ("variance_ratio_8_48", 55, "ratio", _LO, "variance of 8 bars over 8 times that of 1"),
        ("hurst_48", 55, "exponent", "Hurst (1951), ASCE 116; by spreads of 1 to 8 bars", "how spread grows with time"),
        ("efficiency_24", 24, "share", KAUFMAN, "way made over way gone in 24 bars"),
        ("permutation_entropy_48", 49, "share", "Bandt and Pompe (2002), PRL 88", "disorder of the ups and downs"),
        (
            "return_entropy_48",
            71,
            "share",
            "Shannon (1948), Bell System Technical Journal 27",
            "disorder of move sizes",
        ),
        ("fourier_slow_32", 32, "share", _FOURIER, "energy in waves of 16 and more bars"),
        ("fourier_middle_32", 32, "share", _FOURIER, "energy in waves of 5 to 11 bars"),
    ],
)
ROW = row_of(FEATURES)

_LAG_23, OF_LAG = sliding("lag_23", 23, "later", "later_square", "earlier", "earlier_square", "product")
_LAGS_48, OF = sliding(
    "lags_48", 48, "two", "two_square", "two_product", "five", "five_square", "five_product", "size", "before",
    "before_square", "size_product", "sum_2", "sum_2_square", "sum_4", "sum_4_square", "sum_8", "sum_8_square",
)  # fmt: skip
_PATH_24, _ = sliding("path_24", 24, "size")
FREQUENCIES = 6  #: of the 32 bars' waves: 1 and 2 are slow, 3 to 6 middle, the rest quick
_WAVES_32, _ = sliding("waves_32", 32, "own", "square", *(f"wave_{i}" for i in range(2 * FREQUENCIES)))
PATTERNS, BINS = 6, 5  #: orders of three closes; sizes of a return in volatilities
STATE = (
    *rings("pattern", "bin"),
    ("pattern_counts", np.int64, (PATTERNS,)),
    ("bin_counts", np.int64, (BINS,)),
    _LAG_23,
    _LAGS_48,
    _PATH_24,
    _WAVES_32,
    sliding_line("closes_48", 48),
)

_angles = 2.0 * np.pi / 32.0 * np.outer(np.arange(32), np.arange(1, FREQUENCIES + 1))
#: Cosines, then sines, of each place in 32 bars; the phase of a window does not change its energy
WAVES = np.hstack([np.vectorize(turn)(_angles) for turn in (cos, sin)])
#: n log n, so that the entropy of counts needs no logarithm
N_LOG_N = np.array([0.0] + [n * log(n) for n in range(1, 49)])
#: The order of three closes a, b, c from a <= b (4), b <= c (2), a <= c (1); two of the eight cannot be
ORDERS = np.array([3, 0, 4, 5, 2, 1, 0, 0])
PER_PATTERNS, PER_BINS = 1.0 / log(PATTERNS), 1.0 / log(BINS)


@compiled
def write(s, bar, out):
    close = s.close[s.end - 1]
    out.z_score_20 = ratio(close - s.mean_20, s.spread_20)
    mean, spread, _ = slide_line(s.closes_48, close, s.count)
    out.z_score_48 = ratio(close - mean, math.sqrt(spread / 48.0))
    _moments(s, out)
    _remember_lags(s)
    _correlations(s, out)
    _scaling(s, out)
    _efficiency(s, close, out)
    _disorder(s, out)
    _waves(s, out)


@compiled
def _moments(s, out):
    """Central moments from the sums of powers; the returns' mean is small against their spread, so little is lost."""
    total = s.returns_24.total
    mean = total[OF_24.own] / 24.0
    square, cube, fourth = total[OF_24.square] / 24.0, total[OF_24.cube] / 24.0, total[OF_24.fourth] / 24.0
    variance = square - mean * mean
    known = s.volatility > 0.0
    third = cube - 3.0 * mean * square + 2.0 * mean * mean * mean
    out.skew_24 = third / (variance * math.sqrt(variance)) if known else math.nan
    fourth_central = fourth - 4.0 * mean * cube + 6.0 * mean * mean * square - 3.0 * mean * mean * mean * mean
    out.kurtosis_24 = fourth_central / (variance * variance) - 3.0 if known else math.nan
    out.rise_share_24 = total[OF_24.rise] / 24.0


@compiled
def _remember_lags(s):
    returns, logs, end = s.log_return, s.log_close, s.end
    own, before, two, five = returns[end - 1], returns[end - 2], returns[end - 3], returns[end - 6]
    short, block = s.lag_23, s.lags_48
    short.now[OF_LAG.later], short.now[OF_LAG.later_square] = own, own * own
    short.now[OF_LAG.earlier], short.now[OF_LAG.earlier_square] = before, before * before
    short.now[OF_LAG.product] = own * before
    slide(short, s.count)
    block.now[OF.two], block.now[OF.two_square], block.now[OF.two_product] = two, two * two, own * two
    block.now[OF.five], block.now[OF.five_square], block.now[OF.five_product] = five, five * five, own * five
    block.now[OF.size], block.now[OF.before] = abs(own), abs(before)
    block.now[OF.before_square], block.now[OF.size_product] = before * before, abs(own * before)
    sum_2, sum_4, sum_8 = logs[end - 1] - logs[end - 3], logs[end - 1] - logs[end - 5], logs[end - 1] - logs[end - 9]
    block.now[OF.sum_2], block.now[OF.sum_2_square] = sum_2, sum_2 * sum_2
    block.now[OF.sum_4], block.now[OF.sum_4_square] = sum_4, sum_4 * sum_4
    block.now[OF.sum_8], block.now[OF.sum_8_square] = sum_8, sum_8 * sum_8
    slide(block, s.count)


@compiled
def _correlation(product, x, xx, y, yy, n):
    """From sums; NaN where either stands still."""
    own, other = scatter(x, xx, n), scatter(y, yy, n)
    if own <= STILL * STILL or other <= STILL * STILL:
        return math.nan
    return (product - x * y / n) / math.sqrt(own * other)


@compiled
def _correlations(s, out):
    lag, lags, own = s.lag_23.total, s.lags_48.total, s.returns_48.total
    x, xx = own[OF_48.own], own[OF_48.square]
    of_lag = _correlation(
        lag[OF_LAG.product], lag[OF_LAG.later], lag[OF_LAG.later_square], lag[OF_LAG.earlier],
        lag[OF_LAG.earlier_square], 23,
    )  # fmt: skip
    out.autocorrelation_24 = of_lag if s.volatility > 0.0 else math.nan
    out.autocorrelation_2_48 = _correlation(lags[OF.two_product], x, xx, lags[OF.two], lags[OF.two_square], 48)
    out.autocorrelation_5_48 = _correlation(lags[OF.five_product], x, xx, lags[OF.five], lags[OF.five_square], 48)
    out.size_autocorrelation_48 = _correlation(
        lags[OF.size_product], lags[OF.size], xx, lags[OF.before], lags[OF.before_square], 48
    )


@compiled
def _scaling(s, out):
    """How the variance grows with the bars: 1, 2, 4 and 8 of them; Hurst's exponent is half the slope of the logs."""
    lags, own = s.lags_48.total, s.returns_48.total
    of_1 = scatter(own[OF_48.own], own[OF_48.square], 48)
    of_2 = scatter(lags[OF.sum_2], lags[OF.sum_2_square], 48)
    of_4 = scatter(lags[OF.sum_4], lags[OF.sum_4_square], 48)
    of_8 = scatter(lags[OF.sum_8], lags[OF.sum_8_square], 48)
    still = STILL * STILL
    if of_1 <= still:
        out.variance_ratio_4_48 = out.variance_ratio_8_48 = out.hurst_48 = math.nan
        return
    out.variance_ratio_4_48 = of_4 / (4.0 * of_1)
    out.variance_ratio_8_48 = of_8 / (8.0 * of_1)
    if of_2 <= still or of_4 <= still or of_8 <= still:
        out.hurst_48 = math.nan
        return
    # least squares through log variance at 0, 1, 2, 3 doublings: (3 (d - a) + (c - b)) / 10 a doubling
    slope = 0.1 * (3.0 * log(of_8 / of_1) + log(of_4 / of_2))
    out.hurst_48 = 0.5 * slope / LN_2


@compiled
def _efficiency(s, close, out):
    s.path_24.now[0] = abs(s.change)
    slide(s.path_24, s.count)
    path = s.path_24.total[0]
    out.efficiency_24 = min(abs(close - s.close[s.end - 25]) / path, 1.0) if path > 0.0 else 0.0


@compiled
def _disorder(s, out):
    """Entropy of the order of three closes in a row, and of the returns' size; 1 where all kinds are as frequent."""
    out.permutation_entropy_48 = _entropy(s.pattern_counts, s.pattern, _pattern(s), s.end, s.count) * PER_PATTERNS
    size = s.log_return[s.end - 1] / s.volatility if s.volatility > 0.0 else 0.0
    kind = int(size >= -1.5) + int(size >= -0.5) + int(size > 0.5) + int(size > 1.5)
    out.return_entropy_48 = _entropy(s.bin_counts, s.bin, kind, s.end, s.count) * PER_BINS


@compiled
def _pattern(s):
    """Which of the six orders the last three closes stand in; of equals the earlier counts as lower."""
    a, b, c = s.close[s.end - 3], s.close[s.end - 2], s.close[s.end - 1]
    return ORDERS[4 * int(a <= b) + 2 * int(b <= c) + int(a <= c)]


@compiled
def _entropy(counts, kinds, kind, end, count):
    """Nats, of the last 48 kinds; the counts are kept and whole, so nothing drifts."""
    if count > 48:
        counts[int(kinds[end - 49])] -= 1
    push(kinds, end, kind)
    counts[kind] += 1
    total = 0.0
    for k in range(counts.shape[0]):
        total += N_LOG_N[counts[k]]
    n = min(count, 48)
    return max((N_LOG_N[n] - total) / n, 0.0)


@compiled
def _waves(s, out):
    block, own, place = s.waves_32, s.log_return[s.end - 1], (s.count - 1) % 32
    block.now[0], block.now[1] = own, own * own
    for k in range(2 * FREQUENCIES):
        block.now[2 + k] = own * WAVES[place, k]
    slide(block, s.count)
    total = block.total
    spread = scatter(total[0], total[1], 32)
    slow = middle = 0.0
    for k in range(FREQUENCIES):
        energy = total[2 + k] * total[2 + k] + total[2 + FREQUENCIES + k] * total[2 + FREQUENCIES + k]
        if k < 2:
            slow += energy
        else:
            middle += energy
    known = spread > STILL * STILL
    out.fourier_slow_32 = slow / (16.0 * spread) if known else math.nan
    out.fourier_middle_32 = middle / (16.0 * spread) if known else math.nan
