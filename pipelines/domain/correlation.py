"""How alike instruments have moved lately: pairwise correlation of returns over the last closes."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from math import sqrt

from pipelines.domain.portable_math import log

FEWEST_RETURNS = 20  #: a correlation of fewer says nothing


class Correlations:
    """Keeps the last closes of each instrument; a pair is reckoned only when it is asked for.

    Parameters
    ----------
    window : returns per estimate
    """

    def __init__(self, window: int):
        self._window = window
        self._closes: dict[str, deque[tuple[datetime, float]]] = {}

    def add(self, symbol: str, close_time: datetime, close: float) -> None:
        """Take a closed bar; one that is not later than the last of its instrument is left out."""
        kept = self._closes.setdefault(symbol, deque(maxlen=self._window + 1))
        if close > 0 and (not kept or kept[-1][0] < close_time):
            kept.append((close_time, close))

    def add_history(self, symbol: str, closes: Iterable[tuple[datetime, float]]) -> None:
        for close_time, close in closes:
            self.add(symbol, close_time, close)

    def between(self, one: str, other: str) -> float | None:
        """Pearson's correlation of log returns between the closes that both have.

        Returns
        -------
        float in [-1, 1]; None if there are fewer than 20 common returns, or if one of the two has not moved.
        """
        if one == other:
            return 1.0
        theirs = dict(self._closes.get(other, ()))
        common = [(close, theirs[at]) for at, close in self._closes.get(one, ()) if at in theirs]
        returns = [(log(b[0] / a[0]), log(b[1] / a[1])) for a, b in pairwise(common)]
        return _pearson(returns) if len(returns) >= FEWEST_RETURNS else None


def _pearson(pairs: list[tuple[float, float]]) -> float | None:
    count = len(pairs)
    mean_x = sum(x for x, _ in pairs) / count
    mean_y = sum(y for _, y in pairs) / count
    xx = sum((x - mean_x) * (x - mean_x) for x, _ in pairs)
    yy = sum((y - mean_y) * (y - mean_y) for _, y in pairs)
    if xx <= 0 or yy <= 0:
        return None
    xy = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    return max(-1.0, min(1.0, xy / sqrt(xx * yy)))
