"""Figures over the last n values of a ring: each is computed anew from the ring, so nothing drifts.

All take a contiguous slice, newest value last. Spreads are measured from the newest value: then equal values give an
exact zero, whatever the price level.
"""

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
def total(values):
    """Sum in four lanes: three times as fast as one, and the order is fixed."""
    n = values.shape[0]
    a = b = c = d = 0.0
    whole = n - n % 4
    for i in range(0, whole, 4):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
    for i in range(whole, n):
        a += values[i]
    return (a + b) + (c + d)


@compiled
def mean(values):
    return total(values) / values.shape[0]


@compiled
def moments(values):
    """Mean and sum of squared deviations."""
    n = values.shape[0]
    last = values[n - 1]
    shifted = 0.0
    squares = 0.0
    for i in range(n):
        deviation = values[i] - last
        shifted += deviation
        squares += deviation * deviation
    spread = squares - shifted * shifted / n
    return last + shifted / n, max(spread, 0.0)


@compiled
def deviation(values):
    """Sample standard deviation."""
    _, spread = moments(values)
    return math.sqrt(spread / (values.shape[0] - 1))


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
