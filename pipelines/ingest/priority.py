"""Several sources of one series merged by stated priority: who fills whose gaps, and where they contradict each other.

A lower source fills a gap only if, at the bars beside it that both know, it stands on the same price level: a series
that is adjusted for a split and one that is not would make a return that never happened.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.domain.bars import PRICE_COLUMNS
from pipelines.ingest.kinds import IDENTITY, DataKind, empty, typed
from pipelines.ingest.row_faults import impossible
from pipelines.ingest.sayings import best_of, first_told

#: Closes further apart than this are on different levels: closing auction or last trade make less, an adjustment more
SAME_LEVEL = 0.01


@dataclass(frozen=True)
class Told:
    """The bars of one symbol as one source tells them."""

    source: str
    bars: pd.DataFrame  #: RAW_BAR_COLUMNS


@dataclass(frozen=True)
class Tolerance:
    """Differences up to which two sources say the same, as shares."""

    price: float
    volume: float


@dataclass(frozen=True)
class Merged:
    bars: pd.DataFrame  #: RAW_BAR_COLUMNS, sorted by open_time
    disagreements: pd.DataFrame
    filled: dict[str, int]  #: bars by the lower source that they come from
    refused: dict[str, int]  #: bars of a gap that a lower source has on another price level: not taken


def rank(source: str, priority: Sequence[str]) -> tuple[int, str]:
    """Place of a source: where `priority` names it or what stands before its colon, the others behind by name."""
    names = (source, source.partition(":")[0])
    return next((n for n, wanted in enumerate(priority) if wanted in names), len(priority)), source


def merge(told: Sequence[Told], tolerance: Tolerance) -> Merged:
    """One series of those told, the first of which counts most.

    Rows of the first are all taken, faults and all, for validation to judge; of the others only what fills gaps.
    """
    merged = Merged(told[0].bars.assign(_by=told[0].source), empty("disagreements"), {}, {})
    for other in told[1:]:
        merged = _with(merged, other, tolerance)
    bars = merged.bars.drop(columns="_by").sort_values("open_time", kind="stable", ignore_index=True)
    return replace(merged, bars=bars)


def union(tables: Iterable[pd.DataFrame], kind: DataKind) -> pd.DataFrame:
    """What several sources say, those that count most first; of what two of them speak about only the first's rows.

    Ticks are not blended within a day: of each symbol and day those of one source are taken.
    """
    given = [table.assign(_worth=-place) for place, table in enumerate(tables) if len(table)]
    if not given:
        return empty(kind)
    rows = pd.concat(given, ignore_index=True)
    if kind == "news":
        return typed(first_told(rows), kind)
    if kind == "ticks":
        rows = rows.assign(_day=rows["time"].dt.normalize())
    about = ("symbol", "_day") if kind == "ticks" else IDENTITY[kind]
    return typed(best_of(rows, about, rows["_worth"]), kind)


def _with(merged: Merged, other: Told, tolerance: Tolerance) -> Merged:
    have = merged.bars.drop_duplicates("open_time")
    theirs = other.bars[impossible(other.bars) == ""]
    shared = have.merge(theirs, on=["symbol", "open_time"], suffixes=("", "_other"))
    gaps = theirs[~theirs["open_time"].isin(have["open_time"])]
    level = _on_level(gaps["open_time"], shared)
    new, refused = gaps[level].assign(_by=other.source), int((~level).sum())
    return Merged(
        pd.concat([merged.bars, new], ignore_index=True) if len(new) else merged.bars,
        joined([merged.disagreements, _disagreements(shared, other.source, tolerance)]),
        merged.filled | ({other.source: len(new)} if len(new) else {}),
        merged.refused | ({other.source: refused} if refused else {}),
    )


def _on_level(times: pd.Series, shared: pd.DataFrame) -> np.ndarray:
    """Whether the closes of the shared bars beside each time are alike; without any nothing speaks against it."""
    if not len(shared):
        return np.ones(len(times), dtype=bool)
    shared = shared.sort_values("open_time", kind="stable")
    alike = ((shared["close_other"] / shared["close"] - 1).abs() <= SAME_LEVEL).to_numpy()
    after = np.searchsorted(shared["open_time"].to_numpy(), times.to_numpy())
    return alike[(after - 1).clip(0)] & alike[after.clip(0, len(alike) - 1)]


def _disagreements(shared: pd.DataFrame, source: str, tolerance: Tolerance) -> pd.DataFrame:
    """The fields in which rows of the same time differ by more than the tolerance."""
    found = []
    for field in (*PRICE_COLUMNS, "volume"):
        value, other = shared[field].astype("float64"), shared[f"{field}_other"].astype("float64")
        apart = (other - value).abs() / np.maximum(value.abs(), other.abs())
        allowed = tolerance.volume if field == "volume" else tolerance.price
        told = (value > 0) & (other > 0) if field == "volume" else True  # a source without volume says 0
        rows = shared[(apart > allowed) & told]
        differing = rows[["symbol", "open_time", "_by"]].rename(columns={"_by": "source"})
        values = {"value": value[rows.index], "other_value": other[rows.index]}
        differing = differing.assign(field=field, other_source=source, **values)
        found.append(typed(differing, "disagreements"))
    return joined(found)


def joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Tables of disagreements in one, in the order of symbol and time."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return empty("disagreements")
    order = ["symbol", "open_time", "other_source", "field"]
    return pd.concat(filled, ignore_index=True).sort_values(order, kind="stable", ignore_index=True)
