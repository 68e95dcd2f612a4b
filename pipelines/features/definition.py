"""How a feature is told: name, family, look-back, unit, source, meaning.

A family is one file. It holds `FEATURES` (its definitions), `ROW` (their places in the family's part of a row), `STATE`
(what it remembers from bar to bar) and a compiled `write(s, bar, out)`, which fills the family's part `out` of the row
from the state `s` of the bars seen so far and the bar's inputs `bar` (`state.INPUTS`). All three are records: compiled
code then sees one address and constant places, where arrays would be counted in and out at every call.
`catalogue.FAMILIES` joins the families in order; nothing else has to be told of a new one. Families of a whole close
(`catalogue.CLOSE_FAMILIES`) have a `write(m, sums, levels, out)`, see `closes`; the others are told beside the loops.
"""

from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Feature:
    name: str
    family: str
    look_back: int  #: earlier bars it needs: the first `look_back` rows of an instrument are NaN
    unit: str
    source: str
    version: int = 1  #: goes up when the meaning changes
    quarters: int = 0  #: finished bars of 15 minutes it needs besides; NaN before
    hours: int = 0  #: finished bars of an hour it needs besides
    sessions: int = 0  #: finished sessions it needs besides
    meaning: str = ""  #: in a few words, for `docs/features.md`; no part of the catalogue's hash


def family(name: str, rows: Sequence[tuple[str, int, str, str, str]], **finished: int) -> tuple[Feature, ...]:
    """Features of one family from rows of `name, look_back, unit, source, meaning`, in the order of their places.

    `finished` says what all of them need besides: `quarters`, `hours` or `sessions`.
    """
    return tuple(
        Feature(feature, name, look_back, unit, source, meaning=meaning, **finished)
        for feature, look_back, unit, source, meaning in rows
    )


def row_of(features: Sequence[Feature]) -> np.dtype:
    """A record of the features, one number each, e.g. `out.rsi_14`."""
    return np.dtype([(feature.name, np.float64) for feature in features])


def places(features: Sequence[Feature]) -> Any:
    """Places by name, e.g. `AT.rsi_14`; compiled code sees them as constants."""
    names = [feature.name for feature in features]
    return namedtuple("Places", names)(*range(len(names)))  # type: ignore[misc]


APPEL = "Appel (2005), Technical Analysis: Power Tools for Active Investors"
WILDER = "Wilder (1978), New Concepts in Technical Trading Systems"
KAUFMAN = "Kaufman (2013), Trading Systems and Methods, 5th ed."
MOSKOWITZ = "Moskowitz, Ooi and Pedersen (2012), Journal of Financial Economics 104(2)"
LANE = "Lane (1984), Technical Analysis of Stocks and Commodities 2(3)"
BOLLINGER = "Bollinger (2001), Bollinger on Bollinger Bands"
DONCHIAN = "Donchian (1960), Commodity Year Book"
NISON = "Nison (1991), Japanese Candlestick Charting Techniques"
OWN = "defined here"
