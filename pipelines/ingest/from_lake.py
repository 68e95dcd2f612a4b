"""The source `lake`: what collectors had learnt by `ingest.as_of`, of all their sources, as one market.

Bars are those of `ingest.interval`, or finer ones joined inside their sessions. Where several sources tell of one
share they are merged by `ingest.priority`, see `priority.py`; what differs, what fills a gap and what is missing is
told. A share that was renamed is one series, whatever symbol it was told under, see `shares.py`. Nothing learnt later
than `as_of` is seen, so the same `as_of` gives the same market however the lake grows.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.listings import current_symbol
from pipelines.domain.market_calendar import sessions_between
from pipelines.ingest.files import instruments_of
from pipelines.ingest.joining import Candidate, at_interval, divides, reached, told_of_joining
from pipelines.ingest.kinds import STAMPS, DataKind
from pipelines.ingest.lake import Lake
from pipelines.ingest.names import canonical
from pipelines.ingest.pin import Pin
from pipelines.ingest.priority import Merged, Told, Tolerance, joined, merge, rank, union
from pipelines.ingest.series import DAY_MINUTES, Series
from pipelines.ingest.shares import called, name_of, renamed
from pipelines.ingest.world import World
from pipelines.params import IngestParams

NAMED = 5  #: instruments named in a sentence; more are counted


def read_lake(params: IngestParams, folder: Path) -> World:
    """The market as the lake in `folder` knew it.

    Raises
    ------
    BadInput : if it knew no bars then, or none of a symbol asked for, or finer ones than it has are asked for.
    """
    pin = Lake(folder).pin(params.as_of)
    interval = _interval(pin, params.interval)
    told, names = _told(pin, interval, params)
    _check_asked_for(params.symbols, names)
    told, barren = _fruitful(told)
    tolerance = Tolerance(params.price_tolerance, params.volume_tolerance)
    merged = {symbol: merge([Told(one.file, one.bars) for one in told[symbol]], tolerance) for symbol in sorted(told)}
    chosen = {symbol: _chosen(told[symbol], one.bars) for symbol, one in merged.items()}
    rejected = [one.rejected for one in chosen.values() if len(one.rejected)]
    return World(
        bars={symbol: one.bars for symbol, one in merged.items()},
        instruments=_instruments(chosen, of_all_sources(pin, "instruments", params.priority), names),
        news=_of(renamed(of_all_sources(pin, "news", params.priority), names), {*merged, ""}),
        interval=interval,
        left_out=(*_left_out(pin, interval), *barren, *_told_of(merged, told, interval)),
        actions=_of(renamed(of_all_sources(pin, "actions", params.priority), names), merged),
        membership=renamed(of_all_sources(pin, "membership", params.priority), names),
        outcomes=_of(renamed(of_all_sources(pin, "outcomes", params.priority), names), merged),
        disagreements=joined([one.disagreements for one in merged.values()]),
        ticks=_ticks(pin, params, names, frozenset(merged)),
        rejected=pd.concat(rejected, ignore_index=True) if rejected else None,
        pinned={
            "learnt_until": pin.learnt_until.isoformat(),
            "pieces": len(pin.entries),
            "manifest": pin.digest,
            "bars_of": _used(told, merged),
        },
    )


def _used(told: Mapping[str, list[Candidate]], merged: Mapping[str, Merged]) -> list[str]:
    """The sources of which a bar was taken."""
    first = {several[0].file for several in told.values() if len(several[0].bars)}
    return sorted(first.union(*(one.filled for one in merged.values())))


def _minutes(key: str) -> int | None:
    """Spacing of a key's bars; None if it names none."""
    word = key.rpartition("@")[2]
    if word == Interval.DAY:
        return DAY_MINUTES
    found = re.fullmatch(r"(\d{1,3})min", word)
    return int(found[1]) if found else None


def _interval(pin: Pin, asked: str) -> Interval:
    """The interval of the run: the one asked for, or the least that all bars can be joined to and is 5min or more."""
    spacings = {minutes for key in pin.series("bars") if (minutes := _minutes(key))}
    if not spacings:
        raise BadInput("the lake knew no bars then; collect from a source of bars: tradesage collect")
    if asked == "auto":
        wide_enough = (i for i in Interval if i is not Interval.MIN_1 and all(divides(m, i) for m in spacings))
        return next(wide_enough)
    interval = Interval(asked)
    if not any(divides(minutes, interval) for minutes in spacings):
        had = ", ".join(sorted({key.rpartition("@")[2] for key in pin.series("bars")}))
        raise BadInput(f"ingest.interval = {interval}: the lake has only bars of {had}; ask for a coarser interval")
    return interval


def _told(pin: Pin, interval: Interval, params: IngestParams) -> tuple[dict[str, list[Candidate]], dict[str, str]]:
    """By name of each share asked for what each source tells of it, those that count most first; and `called`."""
    wanted = {current_symbol(canonical(symbol)) for symbol in params.symbols}
    read: list[tuple[tuple, str, int, pd.DataFrame, pd.DataFrame]] = []
    for key, sources in pin.series("bars").items():
        minutes = _minutes(key)
        if minutes is None or not divides(minutes, interval):
            continue
        own = minutes == (DAY_MINUTES if interval is Interval.DAY else interval.minutes)
        for source in sources:
            rows = pin.rows("bars", source, key)
            if wanted:
                own_symbols = [symbol for symbol in rows["symbol"].unique() if current_symbol(symbol) in wanted]
                rows = rows[rows["symbol"].isin(own_symbols)]
            order = (*rank(source, params.priority), not own, -minutes, key)
            read.append((order, source, minutes, rows, pin.rejected("bars", source, key)))
    names = called(
        (str(symbol), last)
        for _, _, _, rows, _ in read
        for symbol, last in rows.groupby("symbol")["open_time"].max().items()
    )
    found: dict[str, list[Series]] = defaultdict(list)
    for _, source, minutes, rows, rejected in sorted(read, key=lambda one: one[0]):
        gone = renamed(rejected, names)
        for symbol, own_rows in renamed(rows, names).groupby("symbol", sort=True):
            found[str(symbol)].append(_series(str(symbol), source, minutes, own_rows, gone))
    until = reached(series for several in found.values() for series in several)
    return {symbol: [at_interval(one, interval, until) for one in several] for symbol, several in found.items()}, names


def _fruitful(told: dict[str, list[Candidate]]) -> tuple[dict[str, list[Candidate]], list[str]]:
    """Shares of which bars could be made, and in a sentence those of which none could."""
    kept = {symbol: several for symbol, several in told.items() if any(len(one.bars) for one in several)}
    barren = [symbol for symbol in sorted(told) if symbol not in kept]
    said = [f"left out, since no bar can be made of their rows: {_some(barren)}"] if barren else []
    if said and not kept:
        raise BadInput(f"the lake: {said[0]}; look at the stamps of what was collected")
    return kept, said


def _series(symbol: str, source: str, minutes: int, rows: pd.DataFrame, rejected: pd.DataFrame) -> Series:
    own = rejected[rejected["symbol"] == symbol].reset_index(drop=True)
    frame = rows.drop(columns=["symbol", "close_time"]).reset_index(drop=True)
    has_volume = bool((rows["volume"] > 0).any())
    return Series(symbol, source, minutes, frame, has_volume, own, rows_read=len(rows) + len(own))


def _check_asked_for(symbols: tuple[str, ...], names: Mapping[str, str]) -> None:
    unknown = [symbol for symbol in symbols if current_symbol(canonical(symbol)) not in names]
    if unknown:
        raise BadInput(
            f"ingest.symbols: {', '.join(unknown)} not found in the lake at this interval; "
            "collect them, correct the spelling or take them out"
        )


def _chosen(told: list[Candidate], bars: pd.DataFrame) -> Candidate:
    """What is used of a symbol, as one: its merged bars, and the rows that nothing could be made of."""
    gone = pd.concat([one.rejected for one in told], ignore_index=True)
    return replace(
        told[0],
        bars=bars,
        has_volume=any(one.has_volume for one in told),
        rejected=gone.assign(rows_read=len(bars) + len(gone)),
    )


def _instruments(chosen: Mapping[str, Candidate], told: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Facts of the run's instruments, with the sectors that the lake's sources tell; of a renamed share those that are
    told under its name count before those under another.
    """
    own = told["symbol"].isin(list(names.values()))
    listed = renamed(pd.concat([told[~own], told[own]]), names).drop_duplicates("symbol", keep="last")
    found = instruments_of(chosen, listed)
    sectors = found["symbol"].map(listed.set_index("symbol")["sector"]).fillna("")
    return found.assign(sector=sectors.where(sectors != "", found["sector"]).astype("str"))


def of_all_sources(pin: Pin, kind: DataKind, priority: Sequence[str]) -> pd.DataFrame:
    """What all sources say, in the order of time; of what two of them speak about only the rows that count more."""
    sources = sorted(pin.sources(kind), key=lambda source: rank(source, priority))
    table = union([pin.rows(kind, source) for source in sources], kind)
    return table.sort_values(STAMPS.get(kind, "symbol"), kind="stable", ignore_index=True)


def _of(table: pd.DataFrame, symbols: Collection[str]) -> pd.DataFrame:
    return table[table["symbol"].isin(list(symbols))].reset_index(drop=True)


def _ticks(
    pin: Pin, params: IngestParams, names: Mapping[str, str], symbols: frozenset[str]
) -> dict[str, pd.DataFrame]:
    """Ticks by symbol, one source a day."""
    told: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, sources in pin.series("ticks").items():
        told[name_of(key, names)] += [(source, key) for source in sources]
    found = {}
    for symbol in sorted(symbols & told.keys()):
        ranked = sorted(told[symbol], key=lambda one: rank(one[0], params.priority))
        ticks = union([renamed(pin.rows("ticks", source, key), names) for source, key in ranked], "ticks")
        found[symbol] = ticks.sort_values("time", kind="stable", ignore_index=True)
    return found


def _left_out(pin: Pin, interval: Interval) -> list[str]:
    coarse = [key for key in pin.series("bars") if not divides(_minutes(key) or DAY_MINUTES + 1, interval)]
    return [f"bars that cannot become {interval} are left out: {_some(coarse)}"] if coarse else []


def _told_of(merged: Mapping[str, Merged], told: Mapping[str, list[Candidate]], interval: Interval) -> list[str]:
    """Sentences: who filled whose gaps, who was not believed, what differs, what is missing."""
    sentences = told_of_joining([one for several in told.values() for one in several], interval)
    filled: dict[str, list[str]] = defaultdict(list)
    refused: dict[str, list[str]] = defaultdict(list)
    for symbol, one in merged.items():
        for source, count in one.filled.items():
            filled[source].append(f"{symbol} {count}")
        for source, count in one.refused.items():
            refused[source].append(f"{symbol} {count}")
    sentences += [f"{source} fills gaps, bars: {_some(filled[source])}" for source in sorted(filled)]
    sentences += [
        f"{source} is on another price level beside a gap, which stays: bars not taken: {_some(refused[source])}"
        for source in sorted(refused)
    ]
    differing = [f"{symbol} {len(one.disagreements)}" for symbol, one in merged.items() if len(one.disagreements)]
    sentences += [f"sources disagree, values: {_some(differing)}"] if differing else []
    missing = [f"{symbol} {count}" for symbol, one in merged.items() if (count := _sessions_missing(one.bars))]
    return (
        [*sentences, f"sessions without a bar between the first and the last: {_some(missing)}"]
        if missing
        else sentences
    )


def _sessions_missing(bars: pd.DataFrame) -> int:
    days = set(bars["open_time"].dt.date)
    return sum(session.day not in days for session in sessions_between(min(days), max(days)))


def _some(words: list[str]) -> str:
    named = ", ".join(words[:NAMED])
    return named if len(words) <= NAMED else f"{named} and {len(words) - NAMED} more"
