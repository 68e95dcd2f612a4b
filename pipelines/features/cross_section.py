"""A stock among the others of a close: ranks and z-scores of its figures over the stocks that have a bar there.

A rank is the share of the other stocks that stand lower, ties counted half: 0 for the lowest, 1 for the highest. A
z-score is the distance from their mean in standard deviations. Both are unknown where fewer than `FEWEST` stocks know
the figure.
"""

import math

import numpy as np

from pipelines.features.definition import family
from pipelines.features.survey import FIGURES
from pipelines.features.windows import compiled

FEWEST = 3  #: stocks a comparison needs
SAME_FIGURE = 1e-12  #: logs and shares nearer to each other, and large figures nearer than this share, are the same
FEW = 24  #: stocks that are held against each other, more are sorted

_JEGADEESH = "Jegadeesh and Titman (1993), Journal of Finance 48(1)"
_SCORED = ("return_6", "return_24", "return_72", "volatility_24", "relative_volume_20")
#: Which z-score is the one of each figure, -1 for none
SCORE_OF = np.array([_SCORED.index(name) if name in _SCORED else -1 for name in FIGURES], dtype=np.int64)

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
def compare(figures, score_of, known, places, out):
    """Ranks of all figures, then z-scores of some.

    Parameters
    ----------
    figures : array of shape (stocks, figures), in the order of the symbols; NaN where unknown or without a bar
    score_of : array of shape (figures,), int64: which z-score is the figure's, -1 for none
    known, places : arrays of shape (stocks,), float64 and int64, which are written over
    out : array of shape (stocks, comparisons)
    """
    stocks, names = figures.shape
    for j in range(names):
        count = _known_of(figures, j, known, places)
        if score_of[j] >= 0:
            _score(figures, j, known, count, out, names + score_of[j])
        for i in range(stocks):
            out[i, j] = math.nan
        if count < FEWEST:
            continue
        if count <= FEW:
            _rank_few(known, places, count, out, j)
        else:
            order = np.argsort(known[:count])
            _rank_many(known[:count][order], places[:count][order], out, j)


@compiled
def _known_of(figures, j, known, places):
    """Put the known values of a figure and their stocks side by side; how many there are."""
    count = 0
    for i in range(figures.shape[0]):
        value = figures[i, j]
        if not math.isnan(value):
            known[count], places[count] = value, i
            count += 1
    return count


@compiled
def _rank_few(values, places, count, out, j):
    """Share of the other values that are lower; of equal ones half. What is only rounding makes no difference.

    Every value is held against every other: without a branch that depends on them, that is faster than sorting a few.
    """
    for i in range(count):
        value = values[i]
        slack = SAME_FIGURE * max(abs(value), 1.0)
        lower = higher = 0
        for k in range(count):
            lower += int(values[k] < value - slack)
            higher += int(values[k] > value + slack)
        out[places[i], j] = 0.5 * (lower + count - 1 - higher) / (count - 1)


@compiled
def _rank_many(ordered, places, out, j):
    """As `_rank_few`, of values that are sorted."""
    count, first = ordered.shape[0], 0
    while first < count:
        last = first + 1
        slack = SAME_FIGURE * max(abs(ordered[first]), 1.0)
        while last < count and ordered[last] - ordered[first] <= slack:
            last += 1
        for at in range(first, last):
            out[places[at], j] = (first + 0.5 * (last - first - 1)) / (count - 1)
        first = last


@compiled
def _score(figures, j, known, count, out, column):
    average, spread = _spread(known, count)
    for i in range(figures.shape[0]):
        out[i, column] = (figures[i, j] - average) / spread if spread > 0.0 else math.nan


@compiled
def _spread(values, count):
    """Mean and sample standard deviation; a spread that is only rounding counts as none."""
    if count < FEWEST:
        return math.nan, math.nan
    summed = 0.0
    for i in range(count):
        summed += values[i]
    average = summed / count
    squares = largest = 0.0
    for i in range(count):
        squares += (values[i] - average) * (values[i] - average)
        largest = max(largest, abs(values[i]))
    spread = math.sqrt(squares / (count - 1))
    return average, spread if spread > 1e-12 * largest else 0.0
