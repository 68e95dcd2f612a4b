"""Figures over the last n bars at a fixed cost a bar, whatever n is, and without drift.

The bars are cut into blocks of the window's length, counted from the instrument's own first bar. A window is the end of
the block before and the beginning of the present one: the first is summed backwards once a block (`tail`), the second
grows bar by bar (`head`). Nothing is ever subtracted again: a figure that has left the window is gone to the last bit,
also an infinite or an unknown one, and a sum is as exact as one made anew (van Herk 1992, Gil and Werman 1993).
"""

from collections import namedtuple
from typing import Any

import numpy as np

from pipelines.features.windows import compiled


def sliding(name: str, window: int, *figures: str) -> tuple[tuple, Any]:
    """A state field for `slide` or `slide_highest` over `window` bars, and the places of its figures.

    A step writes the bar's figures to `now`, slides, and reads `total`. A figure that is not written keeps its value.
    """
    shape = (len(figures),)
    block = [("now", np.float64, shape), ("total", np.float64, shape), ("head", np.float64, shape)]
    field = (name, np.dtype([*block, ("tail", np.float64, (window, *shape))], align=True))
    return field, namedtuple("Figures", figures)(*range(len(figures)))  # type: ignore[misc]


@compiled
def slide(block, count):
    """Sums of the last n values of each figure; `count` bars so far, this one included."""
    window, figures = block.tail.shape
    place = (count - 1) % window
    if place == 0:
        for k in range(figures):
            block.head[k] = 0.0
    if place < window - 1:
        for k in range(figures):
            value = block.now[k]
            head = block.head[k] + value
            block.head[k] = head
            block.total[k] = head + block.tail[place + 1, k]
            block.tail[place, k] = value
        return
    for k in range(figures):
        block.total[k] = block.head[k] + block.now[k]
        block.tail[place, k] = block.now[k]
    for i in range(window - 2, -1, -1):
        for k in range(figures):
            block.tail[i, k] += block.tail[i + 1, k]


@compiled
def slide_highest(block, count):
    """Highest of the last n values of each figure, of all so far while there are fewer. Give `-low` for the lowest."""
    window, figures = block.tail.shape
    place = (count - 1) % window
    first = count <= window
    for k in range(figures):
        value = block.now[k]
        head = value if place == 0 or value > block.head[k] else block.head[k]
        block.head[k] = head
        total = head
        if place < window - 1 and not first and block.tail[place + 1, k] > head:
            total = block.tail[place + 1, k]
        block.total[k] = total
        block.tail[place, k] = value
    if place == window - 1:
        for i in range(window - 2, -1, -1):
            for k in range(figures):
                if block.tail[i + 1, k] > block.tail[i, k]:
                    block.tail[i, k] = block.tail[i + 1, k]


def sliding_newest(name: str, window: int, *figures: str) -> tuple:
    """A state field for `slide_newest` over `window` bars."""
    shape = (len(figures),)
    ends = [(end, np.float64, shape) for end in ("now", "total", "total_at", "head", "head_at")]
    tails = [(tail, np.float64, (window, *shape)) for tail in ("tail", "tail_at")]
    return name, np.dtype([*ends, *tails], align=True)


@compiled
def slide_newest(block, count):
    """As `slide_highest`, and the bar in which each highest stood (`total_at`): the newest of equals."""
    window, figures = block.tail.shape
    place = (count - 1) % window
    first = count <= window
    for k in range(figures):
        value = block.now[k]
        if place == 0 or value >= block.head[k]:
            block.head[k], block.head_at[k] = value, count
        total, at = block.head[k], block.head_at[k]
        if place < window - 1 and not first and block.tail[place + 1, k] > total:
            total, at = block.tail[place + 1, k], block.tail_at[place + 1, k]
        block.total[k], block.total_at[k] = total, at
        block.tail[place, k], block.tail_at[place, k] = value, count
    if place == window - 1:
        for i in range(window - 2, -1, -1):
            for k in range(figures):
                if block.tail[i + 1, k] >= block.tail[i, k]:
                    block.tail[i, k], block.tail_at[i, k] = block.tail[i + 1, k], block.tail_at[i + 1, k]


def sliding_line(name: str, window: int) -> tuple:
    """A state field for `slide_line` over `window` bars."""
    sums = ("shifted", "squares", "product")
    fields = [("head", np.float64, (len(sums),)), ("tail", np.float64, (window, len(sums)))]
    return name, np.dtype([("first", np.float64), ("last", np.float64), *fields], align=True)


@compiled
def slide_line(block, value, count):
    """Mean, sum of squared deviations, and sum of the products with the time from its middle.

    Sums are taken of the distance to one of the values they sum: what a level price leaves is an exact zero, and a
    small spread is not lost in a high price.
    """
    window = block.tail.shape[0]
    place = (count - 1) % window
    if place == 0:
        block.last = _close_block(block, window)
        block.first = value
        for k in range(3):
            block.head[k] = 0.0
    away = value - block.first
    block.head[0] += away
    block.head[1] += away * away
    block.head[2] += place * away
    block.tail[place, 0] = value
    shifted, squares, product = block.head[0], block.head[1], block.head[2]
    here, before = place + 1.0, window - 1.0 - place
    middle = 0.5 * (window - 1.0)
    product += (before - middle) * shifted
    if place == window - 1:
        mean = shifted / window
        return block.first + mean, max(squares - shifted * mean, 0.0), product
    # the block before, moved to the present block's zero: `apart` lies between the two
    apart = block.last - block.first
    old, old_squares = block.tail[place + 1, 0], block.tail[place + 1, 1]
    product += block.tail[place + 1, 2] - (here + middle) * old + apart * before * (0.5 * (before - 1.0) - middle)
    new_mean, old_mean = shifted / here, old / before
    between = old_mean + apart - new_mean
    spread = squares - shifted * new_mean + old_squares - old * old_mean + between * between * here * before / window
    return block.first + (shifted + old + before * apart) / window, max(spread, 0.0), product


@compiled
def _close_block(block, window):
    """Turn the values of the block that is full into sums from each place to its end; returns its last value."""
    last = block.tail[window - 1, 0]
    shifted = squares = product = 0.0
    for i in range(window - 1, -1, -1):
        away = block.tail[i, 0] - last
        shifted += away
        squares += away * away
        product += i * away
        block.tail[i, 0], block.tail[i, 1], block.tail[i, 2] = shifted, squares, product
    return last
