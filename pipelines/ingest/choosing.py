"""Several files of one share, and several shares told by the same bars.

Of files of one share the one that `ingest.priority` names first counts, else the one with the most sound bars, unless
too many of its rows are faulty. The others fill its gaps where they stand on the same price level, see `priority.py`;
what differs on that level is told. Two symbols with the same bars are one instrument twice: the second would trade
again what the first trades, so it is left out.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from pipelines.domain.bars import PRICE_COLUMNS
from pipelines.ingest.joining import Candidate
from pipelines.ingest.kinds import empty
from pipelines.ingest.priority import SAME_LEVEL, Told, Tolerance, merge

_FAULTY = 0.05  #: share of defective rows beyond which a file counts after sounder ones; validation's own limit
#: Bars that two symbols share, of which so many are alike to the share, with so many different closes: no accident
_SHARED, _ALIKE, _CLOSES = 20, 0.9, 8
_STEADY = 1e-3  #: by which the ratio of two adjusted prices moves for rounding
_NAMED = 10  #: symbols named in a sentence
_SAMPLED = 64  #: of the rows of long series one in so many is looked at first


@dataclass(frozen=True)
class Chosen:
    """What is used of one symbol."""

    candidate: Candidate  #: with the gaps filled
    disagreements: pd.DataFrame
    notes: list[str]


def choose(candidates: Sequence[Candidate], priority: Sequence[str], tolerance: Tolerance) -> Chosen:
    """One series of the candidates of a symbol."""
    ranked = sorted(candidates, key=lambda one: _worth(one, priority))
    best = ranked[0]
    notes: list[str] = []
    if len(ranked) == 1:
        return Chosen(best, empty("disagreements"), notes)
    same = [one for one in ranked[1:] if one.has_volume == best.has_volume and _on_level(best, one)]
    merged = merge([Told(one.file, one.bars) for one in (best, *same)], tolerance)
    for other in ranked[1:]:
        bars = f"{other.file} ({len(other.bars)} bars, {other.defects} defective)"
        of_best = f"{best.file} ({len(best.bars)} bars, {best.defects} defective)"
        filled = merged.filled.get(other.file, 0)
        why = (
            ""
            if other in same
            else ", on another price level"
            if other.has_volume == best.has_volume
            else ", of its kind of volume"
        )
        if filled:
            notes.append(f"{best.symbol}: {bars} fills {filled} gaps of {of_best}; its other bars are left out")
        else:
            notes.append(f"{best.symbol}: {bars} is left out for {of_best}{why}")
    if len(merged.disagreements):
        notes.append(
            f"{best.symbol}: files disagree on {len(merged.disagreements)} values; those of {best.file} are kept"
        )
    return Chosen(replace(best, bars=merged.bars), merged.disagreements, notes)


def _worth(one: Candidate, priority: Sequence[str]) -> tuple:
    """The least comes first."""
    sound = len(one.bars) - min(one.defects, len(one.bars))
    faulty = one.defects > _FAULTY * max(len(one.bars) + len(one.rejected), 1)
    return _place(one.file, priority), not len(one.bars), faulty, -sound, one.defects, one.file


def _place(file: str, priority: Sequence[str]) -> int:
    """Where `ingest.priority` names a file, or a folder that it lies in."""
    return next(
        (n for n, wanted in enumerate(priority) if file == wanted or file.startswith(f"{wanted}/")), len(priority)
    )


def _on_level(best: Candidate, other: Candidate) -> bool:
    """Whether most closes that both tell are alike; without any nothing speaks against it."""
    shared = best.bars.drop_duplicates("open_time").merge(other.bars, on="open_time", suffixes=("", "_other"))
    if not len(shared):
        return True
    return bool(((shared["close_other"] / shared["close"] - 1).abs() <= SAME_LEVEL).mean() > 0.5)


def without_twins(chosen: Mapping[str, Candidate], listed: Collection[str]) -> tuple[dict[str, Candidate], list[str]]:
    """The symbols without those that repeat another's bars, and who was left out for whom.

    Parameters
    ----------
    listed : symbols that are known to be listed; of twins such a one is kept, else the first in the alphabet
    """
    kept, notes = dict(chosen), []
    for one, other in sorted(_suspects(chosen)):
        if one not in kept or other not in kept or not _alike(chosen[one].bars, chosen[other].bars):
            continue
        keep, leave = sorted((one, other), key=lambda symbol: (symbol not in listed, symbol))
        del kept[leave]
        notes.append(
            f"{chosen[leave].file} is left out: {leave} tells the same bars as {keep} of {chosen[keep].file}; one "
            "share under two names would be traded twice"
        )
    return kept, notes


def _suspects(chosen: Mapping[str, Candidate]) -> set[tuple[str, str]]:
    """Pairs of symbols that share several rows of a sample that falls alike in every series."""
    owners: dict[int, list[str]] = defaultdict(list)
    for symbol in sorted(chosen):
        bars = chosen[symbol].bars
        if len(bars) < _SHARED or bars["close"].nunique() < _CLOSES:
            continue
        told = ["volume"] if chosen[symbol].has_volume else [*PRICE_COLUMNS]  # adjusted twins differ in prices
        marks = pd.util.hash_pandas_object(bars[["open_time", *told]], index=False).to_numpy()
        if len(bars) > _SHARED * _SAMPLED:
            marks = marks[bars["open_time"].astype("int64").to_numpy() // 60_000_000 // 5 % _SAMPLED == 0]
        for mark in np.unique(marks):
            owners[int(mark)].append(symbol)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for symbols in owners.values():
        for pair in combinations(symbols, 2):
            counts[pair] += 1
    return {pair for pair, count in counts.items() if count >= 5}


def _alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    shared = one.drop_duplicates("open_time").merge(
        other.drop_duplicates("open_time"), on="open_time", suffixes=("", "_other")
    )
    if len(shared) < _SHARED or shared["close"].nunique() < _CLOSES:
        return False
    fields = [*PRICE_COLUMNS, "volume"]
    same = (shared[fields].to_numpy(float) == shared[[f"{name}_other" for name in fields]].to_numpy(float)).all(axis=1)
    if same.mean() >= _ALIKE:
        return True
    volume, ratio = shared["volume"] == shared["volume_other"], shared["close_other"] / shared["close"]
    steady = (ratio / ratio.median() - 1).abs() <= _STEADY
    return bool((volume & (shared["volume"] > 0) & steady).mean() >= _ALIKE and shared["volume"].nunique() >= _CLOSES)


def unlisted(symbols: Collection[str], dump: pd.DataFrame) -> list[str]:
    """What an instrument list beside the bars does not know, in a sentence; nothing without a list."""
    if not len(dump):
        return []
    gone = sorted(set(symbols) - set(dump["symbol"]))
    named = ", ".join(gone[:_NAMED]) + (f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else "")
    said = "not in the list of instruments beside the bars, so renamed, delisted or misspelt"
    return [f"{said}: {named}"] if gone else []
