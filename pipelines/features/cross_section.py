"""A stock among the others of a close: ranks and z-scores of its figures over the stocks that have a bar there.

A rank is the share of the other stocks that stand lower, ties counted half: 0 for the lowest, 1 for the highest. A
z-score is the distance from their mean in standard deviations. Both are unknown where fewer than `FEWEST` stocks know
the figure.
"""

import math

import numpy as np

from pipelines.features.definition import family
from pipelines.features.survey import FIG, FIGURES
from pipelines.features.windows import compiled

FEWEST = 3  #: stocks a comparison needs
SAME_FIGURE = 1e-12  #: logs and shares nearer to each other, and large figures nearer than this share, are the same
FEW = 24  #: stocks that are sorted by putting one in after another

_JEGADEESH = "Jegadeesh and Titman (1993), Journal of Finance 48(1)"
_SCORED = ("return_6", "return_24", "return_72", "volatility_24", "relative_volume_20")
SCORED_AT = np.array([getattr(FIG, name) for name in _SCORED], dtype=np.int64)

#: In the order of `compare`: the ranks of all figures, then the z-scores of some
FEATURES = family(
    "cross_section",
    [
        (f"rank_{name}", figure.look_back, "share", _JEGADEESH, f"rank of: {figure.meaning}")
        for name, figure in FIGURES.items()
    ]
    + [
        (f"z_{name}", FIGURES[name].look_back, "standard deviations", _JEGADEESH, f"of {FIGURES[name].meaning}")
        for name in _SCORED
    ],
)


@compiled
def compare(figures, scored_at, out):
    """Ranks of all figures, then z-scores of those at `scored_at`.

    Parameters
    ----------
    figures : array of shape (stocks, figures), in the order of the symbols; NaN where unknown or without a bar
    out : array of shape (stocks, comparisons)
    """
    stocks, names = figures.shape
    known, places = np.empty(stocks), np.empty(stocks, dtype=np.int64)
    for j in range(names):
        count = _known_of(figures[:, j], known, places)
        for i in range(stocks):
            out[i, j] = math.nan
        if count >= FEWEST:
            _order(known[:count], places[:count])
            _rank(known[:count], places[:count], out[:, j])
    for k in range(scored_at.shape[0]):
        count = _known_of(figures[:, scored_at[k]], known, places)
        average, spread = _spread(known[:count])
        for i in range(stocks):
            away = figures[i, scored_at[k]] - average
            out[i, names + k] = away / spread if count >= FEWEST and spread > 0.0 else math.nan


@compiled
def _known_of(values, known, places):
    """Put the known values and their stocks side by side; how many there are."""
    count = 0
    for i in range(values.shape[0]):
        if not math.isnan(values[i]):
            known[count], places[count] = values[i], i
            count += 1
    return count


@compiled
def _order(values, places):
    """Sort values from low to high, and their places with them; a few are put in one after another."""
    count = values.shape[0]
    if count > FEW:
        order = np.argsort(values)
        values[:], places[:] = values[order], places[order]
        return
    for i in range(1, count):
        value, place, at = values[i], places[i], i
        while at > 0 and values[at - 1] > value:
            values[at], places[at] = values[at - 1], places[at - 1]
            at -= 1
        values[at], places[at] = value, place


@compiled
def _rank(ordered, places, out):
    """Share of the other values that are lower; of equal ones half. What is only rounding makes no difference."""
    count, first = ordered.shape[0], 0
    while first < count:
        last = first + 1
        slack = SAME_FIGURE * max(abs(ordered[first]), 1.0)
        while last < count and ordered[last] - ordered[first] <= slack:
            last += 1
        for at in range(first, last):
            out[places[at]] = (first + 0.5 * (last - first - 1)) / (count - 1)
        first = last


@compiled
def _spread(values):
    """Mean and sample standard deviation; a spread that is only rounding counts as none."""
    count = values.shape[0]
    if count < FEWEST:
        return math.nan, math.nan
    summed = 0.0
    for value in values:
        summed += value
    average = summed / count
    squares = largest = 0.0
    for value in values:
        squares += (value - average) * (value - average)
        largest = max(largest, abs(value))
    spread = math.sqrt(squares / (count - 1))
    return average, spread if spread > 1e-12 * largest else 0.0
