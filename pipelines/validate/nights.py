"""Nights that moved a stock further than a night does, and that no known corporate action explains.

In unadjusted prices nearly all of them are splits and bonuses; features, labels and trades across one would be
nonsense. So the session after such a night is set aside, and the next one decides what it was:

- It opens near the close of the session set aside: a lasting step. The series goes on, and its adjustment takes up the
  step, so that nothing was gained or lost by it.
- It opens near the last trusted close: a wild session. The series goes on as if it had not been.
- Neither: it is set aside too.

What is thought of a session depends on nothing after its own first bar: history stays, whatever follows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.domain.corporate_actions import adjusted
from pipelines.validate.neighbours import overnight_gaps


@dataclass(frozen=True)
class Night:
    """A session that is set aside for the night before it."""

    symbol: str
    day: pd.Timestamp
    size: float  #: of the move, as a share
    rows: pd.Index  #: labels of the session's bars

    @property
    def reason(self) -> str:
        return f"the night to {self.day:%Y-%m-%d} moved by {self.size:.0%} without a known corporate action"


@dataclass(frozen=True)
class Nights:
    aside: tuple[Night, ...]
    factors: (
        pd.Series
    )  #: of each bar, what its adjustment is multiplied by; 1.0 before an instrument's first lasting step


def unexplained_nights(bars: pd.DataFrame, most: float, explained: Callable[[pd.Series], bool]) -> Nights:
    """Walk through the sessions of each instrument that has a night beyond `most`.

    Parameters
    ----------
    bars : sound bars of instruments that may not jump, with `adjustment`; the index is unique
    most : largest move of a night that is believed, as a share
    explained : whether a person says of a session's first bar that the night before it was traded like that
    """
    comparable = adjusted(bars)
    factors = pd.Series(1.0, index=bars.index)
    gaps = overnight_gaps(comparable)
    aside: list[Night] = []
    for symbol in sorted(bars["symbol"][gaps > most].unique()):
        own = comparable[comparable["symbol"] == symbol].sort_values("open_time", kind="stable")
        aside += _walk(own, most, lambda label: explained(bars.loc[label]), factors)
    return Nights(tuple(aside), factors)


def _walk(own: pd.DataFrame, most: float, explained: Callable[[int], bool], factors: pd.Series) -> list[Night]:
    """The sessions of one instrument to be set aside; lasting steps go into `factors`."""
    starts = np.flatnonzero(own["open_time"].dt.normalize().diff().ne(pd.Timedelta(0)).to_numpy())
    ends = np.append(starts[1:], len(own))
    opens, closes = own["open"].to_numpy()[starts], own["close"].to_numpy()[ends - 1]
    trusted, doubted = closes[0], None  # the last close believed, and that of the session just set aside
    aside = []
    for start, end, opening, close in zip(starts[1:], ends[1:], opens[1:], closes[1:], strict=True):
        back = abs(opening / trusted - 1)
        onward = np.inf if doubted is None else abs(opening / doubted - 1)
        if min(back, onward) > most and not explained(own.index[start]):
            symbol, moment = own["symbol"].iloc[start], own["open_time"].iloc[start]
            aside.append(Night(str(symbol), moment, float(back), own.index[start:end]))
            doubted = close
            continue
        if onward < back:
            factors.loc[own.index[start:]] *= trusted / doubted
        trusted, doubted = close, None
    return aside
