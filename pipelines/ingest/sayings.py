"""What sources said: of several sayings about the same thing, which is new and which counts.

Rows alike in the columns of `IDENTITY` are about the same thing; those that one piece holds of it are one saying, be it
one row or, in faulty data, several. A source's later saying takes the place of its earlier one. News are otherwise: a
headline counts once, from the time it was first told, though a feed repeats it for weeks under later times.
"""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pandas as pd

from pipelines.ingest.kinds import IDENTITY, PROVENANCE, STAMPS, DataKind, known_times

#: Column that says in which order rows were learnt, of tables read from the lake
NUMBER = "number"
REPEAT = timedelta(days=30)  #: a headline that comes again within this time is the old one
_ANNOUNCED: tuple[DataKind, ...] = ("actions", "membership")  #: told on many evenings, known from the first


def untold(table: pd.DataFrame, held: pd.DataFrame, kind: DataKind) -> tuple[pd.DataFrame, int]:
    """The rows of `table` that say something else than `held`, and how many of those contradict it.

    Parameters
    ----------
    table : DataFrame with the kind's columns
        A piece as fetched.
    held : DataFrame with the kind's columns and `number`
        What its source said last, see `latest`; more than what the piece speaks of does no harm.
    """
    if kind == "news":
        return _untold_news(table, held), 0
    if not len(held):
        return table, 0
    about, values = list(IDENTITY[kind]), _values(table, kind)
    held = held.merge(table[about].drop_duplicates(), on=about)
    new, old = _placed(table, about), _placed(held, about)
    if kind in _ANNOUNCED:
        old["_known"] = known_times(held, kind).to_numpy()
    repeated = new[[*about, *values, "_place"]].merge(
        old.assign(_held=True), on=[*about, *values, "_place"], how="left"
    )
    same = repeated["_held"].notna().to_numpy()
    if kind in _ANNOUNCED:
        same = same & ~(known_times(table, kind) < repeated["_known"]).to_numpy()
    sizes = table[about].merge(held.groupby(about, as_index=False, dropna=False).size(), on=about, how="left")["size"]
    groups = table.groupby(about, sort=False, dropna=False)
    agree = pd.Series(same).groupby(groups.ngroup().to_numpy()).transform("all").to_numpy()
    whole = agree & (sizes.to_numpy() == groups[about[0]].transform("size").to_numpy())
    return table[~whole].reset_index(drop=True), int((sizes.notna().to_numpy() & ~whole).sum())


def latest(rows: pd.DataFrame, kind: DataKind) -> pd.DataFrame:
    """Of one source's rows with `number` those that count: its last saying about each thing, in the order of time.

    An action or membership that was announced on several evenings is known from the first.
    """
    if kind == "news":
        return first_told(rows)
    about = list(IDENTITY[kind])
    if kind in _ANNOUNCED:
        alike = rows.assign(_known=known_times(rows, kind)).groupby([*about, *_values(rows, kind)], dropna=False)
        rows = rows.assign(known_at=alike["_known"].transform("min"))
    if kind not in ("bars", "ticks") or not _in_turn(rows, STAMPS[kind]):
        rows = best_of(rows, about, rows[NUMBER])
    return rows.sort_values(STAMPS.get(kind, about[0]), kind="stable", ignore_index=True)


def best_of(rows: pd.DataFrame, about: Sequence[str], worth: pd.Series) -> pd.DataFrame:
    """Of rows about the same thing those of the greatest worth."""
    groups = rows.groupby(list(about), sort=False, dropna=False).ngroup().to_numpy()
    best = np.full(groups.max(initial=-1) + 1, worth.min() if len(worth) else 0)
    np.maximum.at(best, groups, worth.to_numpy())
    return rows[best[groups] == worth.to_numpy()]


def first_told(news: pd.DataFrame) -> pd.DataFrame:
    """News without repetitions, in the order of time."""
    ordered = news.sort_values(["symbol", "headline", "time"], kind="stable")
    since = ordered.groupby(["symbol", "headline"], sort=False, dropna=False)["time"].diff()
    return ordered[~(since <= REPEAT)].sort_values(["time", "symbol", "headline"], kind="stable", ignore_index=True)


def _untold_news(table: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    both = pd.concat([held.assign(_new=False), table.assign(_new=True)], ignore_index=True)
    fresh = first_told(both)
    return fresh.loc[fresh["_new"].astype(bool), list(table.columns)].reset_index(drop=True)


def _values(table: pd.DataFrame, kind: DataKind) -> list[str]:
    return [name for name in table.columns if name not in (*IDENTITY[kind], *PROVENANCE, NUMBER)]


def _placed(rows: pd.DataFrame, about: list[str]) -> pd.DataFrame:
    """Rows with their place among those about the same thing."""
    return rows.assign(_place=rows.groupby(about, sort=False, dropna=False).cumcount())


def _in_turn(rows: pd.DataFrame, stamp: str) -> bool:
    """Whether each piece begins after the one before has ended, so that nothing can be said twice."""
    if rows[NUMBER].nunique() <= 1:
        return True
    spans = rows.groupby(NUMBER, sort=True)[stamp].agg(["min", "max"])
    return bool((spans["min"].iloc[1:].to_numpy() > spans["max"].iloc[:-1].to_numpy()).all())
