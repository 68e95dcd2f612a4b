"""Rows of many instruments in order of instrument and time, so that what stood before a row is a plain shift."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).max  #: the moment of a row without a readable time: it stands last


@dataclass(frozen=True)
class InTime:
    """An order of rows; arrays are of shape (n,) and, unless said otherwise, in that order."""

    order: Ints  #: positions of the rows in their table
    instrument: Ints  #: number of the row's instrument, by first appearance in the table
    moment: Ints  #: microseconds since 1970, NEVER where the row has no time
    symbols: pd.Index  #: by number of instrument
    numbers: Ints  #: number of the row's instrument, as the table has its rows

    @classmethod
    def of(cls, bars: pd.DataFrame, time: str = "open_time") -> "InTime":
        numbers, symbols = pd.factorize(bars["symbol"])
        instrument = numbers.astype(np.int64)
        stamps = bars[time]
        moment = stamps.astype("int64").to_numpy()
        if stamps.hasnans:
            moment = np.where(stamps.isna(), NEVER, moment)
        step, onward = np.diff(instrument), np.diff(moment) >= 0
        if (step >= 0).all() and onward[step == 0].all():
            return cls(np.arange(len(bars)), instrument, moment, symbols, instrument)
        order = np.lexsort((moment, instrument))
        return cls(order, instrument[order], moment[order], symbols, instrument)

    @cached_property
    def place(self) -> Ints:
        """How many rows of the instrument stand before."""
        rows = np.arange(len(self.order))
        first = np.diff(self.instrument, prepend=-1) != 0
        return rows - np.maximum.accumulate(np.where(first, rows, 0))

    @cached_property
    def day(self) -> Ints:
        """Number of the row's day in Asia/Kolkata, since 1970."""
        return (self.moment + 330 * 60_000_000) // 86_400_000_000

    @cached_property
    def opens_day(self) -> Flags:
        """Whether the row is its instrument's first of a day."""
        return (self.place == 0) | (np.diff(self.day, prepend=-1) != 0)

    def column(self, table: pd.DataFrame, name: str) -> Floats:
        values = table[name].to_numpy(np.float64, na_value=np.nan)
        return values if self.as_it_stands else values[self.order]

    @cached_property
    def as_it_stands(self) -> bool:
        return bool((self.order == np.arange(len(self.order))).all())

    def each(self, instruments: pd.DataFrame, column: str) -> npt.NDArray[Any]:
        """What `instruments` says of each row's own, as the table has its rows; NaN where it is not in it."""
        found = instruments.set_index("symbol")[column].reindex(self.symbols).to_numpy(dtype=object, na_value=np.nan)
        return found[self.numbers]

    def before(self, values: Floats, rows: int = 1) -> Floats:
        """The value so many rows before, of the same instrument; NaN where there is none."""
        shifted = np.full_like(values, np.nan)
        shifted[rows:] = values[:-rows]
        shifted[self.place < rows] = np.nan
        return shifted

    def back(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of rows in order, as the table has its rows."""
        if self.as_it_stands:
            return values
        found = np.empty_like(values)
        found[self.order] = values
        return found
