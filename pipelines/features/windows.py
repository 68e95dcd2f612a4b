"""What the families share: how a step is compiled, what counts as rounding, ratios, places and smoothed means."""

import math

from numba import njit

#: How every step is compiled: no fast maths, since the batch and the online row must be equal to the bit
compiled = njit(error_model="numpy")


#: Log returns per bar under this spread count as no movement at all: prices move in ticks, this is rounding
STILL = 1e-9
#: A range under this share of the price is none: what the mean of earlier ranges leaves after a long stand-still
STILL_RANGE = 1e-6
#: Half widths; a close further outside of a range is told as so far, since some ranges are hardly any
FAR = 20.0
#: Differences under this share of the price are rounding: on a grid of ticks equal sums may differ in the last bit
SAME = 1e-9


@compiled
def ratio(numerator, denominator):
    """The quotient; NaN where the denominator is not above zero."""
    return numerator / denominator if denominator > 0.0 else math.nan


@compiled
def place_in(close, high, low):
    """Where a close stands in a range: half widths from its middle, `FAR` at most; 0 where there is no range."""
    width = high - low
    if width <= 0.0:
        return 0.0
    return min(max((2.0 * close - high - low) / width, -FAR), FAR)


@compiled
def scatter(total, squares, n):
    """Sum of squared deviations of n values, from their sum and sum of squares; rounding alone gives an exact zero."""
    spread = squares - total * total / n
    return spread if spread > 1e-13 * squares else 0.0


@compiled
def exponential(before, value, span, count):
    """Next exponential mean with weight 2/(span+1); `count` values so far, this one included.

    The first `span` values are averaged, the usual start.
    """
    if count <= span:
        return before + (value - before) / count
    return before + (value - before) * (2.0 / (span + 1.0))


@compiled
def wilder(before, value, span, count):
    """Next mean in Wilder's smoothing, weight 1/span; the first `span` values are averaged."""
    return before + (value - before) / min(count, span)
