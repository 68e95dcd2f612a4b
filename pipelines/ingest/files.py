"""The source `files`: a folder of real bars in many shapes, read into one market.

One interval for all: what is asked for, or the coarsest found (at least 5min); finer files are joined to it inside
their sessions. One series for each symbol: files of one folder that agree row by row are merged; of files that differ
one counts and the others fill its gaps, see `choosing.py`. Everything not used is told in a sentence. Corporate
actions, index membership and Kite's instrument dump may lie beside the bars, see `dated_tables.py`. A renamed share is
one series.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.corporate_actions import adjust
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.listings import sector_on
from pipelines.domain.tick_sizes import tick_size
from pipelines.ingest.choosing import choose, unlisted, without_twins
from pipelines.ingest.containers import SUFFIXES, NoBars, files_in, shown
from pipelines.ingest.dated_tables import DatedTable, TableKind, read_dated_table
from pipelines.ingest.joining import Candidate, at_interval, divides, reached, told_of_joining
from pipelines.ingest.kinds import empty
from pipelines.ingest.names import canonical, kind_of, known_symbols, tokens_for
from pipelines.ingest.priority import Tolerance, joined
from pipelines.ingest.rejects import no_rejects
from pipelines.ingest.series import DAY_MINUTES, Series, series_of
from pipelines.ingest.shapes import read_sheets
from pipelines.ingest.shares import called, name_of, renamed
from pipelines.ingest.world import World, empty_news, instruments_table
from pipelines.params import ColumnParams, IngestParams

INDEX_TICK = Decimal("0.05")  # points; what the exchange's indices are rounded to; they are not traded


def read_files(params: IngestParams, now: datetime | None = None) -> World:
    """All bars of the folder `params.folder`, at one interval, one series for each symbol.

    Parameters
    ----------
    now : bars that close later are set aside; None: nobody asks

    Raises
    ------
    BadInput : if the folder or a file in it cannot be used; the message names the file and what to do.
    """
    folder = params.folder
    found, beside, hashes, left_out = _read_folder(folder, params.columns, now)
    names = called((series.symbol, series.frame["open_time"].max()) for series in found)
    found = _asked_for([_under_its_name(series, names) for series in found], params.symbols, names, folder)
    interval = _interval(found, params.interval)
    left_out += [note for series in found for note in series.notes]
    candidates: dict[str, list[Candidate]] = defaultdict(list)
    actions = renamed(_joined(beside, "actions"), names)
    merged, until = _merged(found), reached(found)
    left_out += [note for series in merged for note in series.notes if note not in left_out]
    for series in merged:
        candidates[series.symbol].append(at_interval(_with_adjustment(series, actions), interval, until))
    chosen, disagreements = {}, []
    tolerance = Tolerance(params.price_tolerance, params.volume_tolerance)
    for symbol in sorted(candidates):
        choice = choose(candidates[symbol], params.priority, tolerance)
        chosen[symbol] = choice.candidate
        disagreements.append(choice.disagreements)
        left_out += choice.notes
        _refuse_empty(chosen[symbol])
    dump = _joined(beside, "instruments")
    chosen, twins = without_twins(chosen, known_symbols() | set(dump["symbol"]))
    left_out += twins + unlisted(chosen, dump) + told_of_joining(chosen.values(), interval)
    rejected = [candidate.rejected for candidate in chosen.values() if len(candidate.rejected)]
    return World(
        bars={symbol: candidate.bars for symbol, candidate in chosen.items()},
        instruments=instruments_of(chosen, dump),
        news=empty_news(),
        interval=interval,
        left_out=tuple(dict.fromkeys(left_out)),
        actions=of_symbols(actions, chosen),
        membership=renamed(_joined(beside, "membership"), names),
        disagreements=of_symbols(joined(disagreements), chosen),
        files=hashes,
        rejected=pd.concat(rejected, ignore_index=True) if rejected else None,
    )


def _read_folder(
    folder: Path, columns: ColumnParams, now: datetime | None
) -> tuple[list[Series], list[DatedTable], dict[str, str], list[str]]:
    if not folder.exists():
        raise BadInput(f"folder {folder} is not there; correct ingest.folder or DATA=")
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file; name the folder it lies in")
    paths, left_out = files_in(folder)
    if not paths:
        why = f" ({left_out[0]})" if left_out else ""
        raise BadInput(
            f"folder {folder} holds no {', '.join(SUFFIXES[:3])} file nor one of {', '.join(SUFFIXES[3:])}{why}; "
            "name a folder with bars"
        )
    found, beside, hashes = [], [], {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        dated = read_dated_table(path, name)
        if dated is not None:
            beside.append(dated)
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
            continue
        for sheet in read_sheets(path, name, columns):
            if isinstance(sheet, NoBars):
                left_out.append(f"{shown(sheet.file)} {sheet.reason}: left out")
                continue
            series = series_of(sheet, now)
            if not series:
                left_out.append(f"{shown(sheet.file)} holds no row of the series EQ: left out")
            found += series
            hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found:
        why = f": {left_out[0]}" if left_out else ""
        raise BadInput(f"folder {folder} holds no bars{why}; wanted: date, open, high, low, close, volume")
    return found, beside, hashes, left_out


def of_symbols(table: pd.DataFrame, symbols: Collection[str]) -> pd.DataFrame:
    return table[table["symbol"].isin(list(symbols))].reset_index(drop=True)


def _joined(beside: list[DatedTable], kind: TableKind) -> pd.DataFrame:
    """All rows of one kind of table that lies beside the bars, each once."""
    tables = [one.table for one in beside if one.kind == kind and len(one.table)]
    return pd.concat(tables, ignore_index=True).drop_duplicates(ignore_index=True) if tables else empty(kind)


def _under_its_name(series: Series, names: Mapping[str, str]) -> Series:
    name = name_of(series.symbol, names)
    return series if name == series.symbol else replace(series, symbol=name, rejected=renamed(series.rejected, names))


def _asked_for(found: list[Series], symbols: tuple[str, ...], names: Mapping[str, str], folder: Path) -> list[Series]:
    if not symbols:
        return found
    there = {series.symbol for series in found}
    unknown = [symbol for symbol in symbols if name_of(canonical(symbol), names) not in there]
    if unknown:
        raise BadInput(
            f"ingest.symbols: {', '.join(unknown)} not found in {folder}; it has {', '.join(sorted(there))}; "
            "correct the spelling or take the symbol out"
        )
    wanted = {name_of(canonical(symbol), names) for symbol in symbols}
    return [series for series in found if series.symbol in wanted]


def _interval(found: list[Series], asked: str) -> Interval:
    """The interval of the run: the one asked for, or the least that every file can be joined to and is 5min or more."""
    if asked != "auto":
        interval = Interval(asked)
        for series in found:
            if not divides(series.minutes, interval):
                raise BadInput(
                    f"{series.file} holds bars of {_in_words(series.minutes)}, which cannot become {interval}; "
                    "set ingest.interval: auto or coarser, or leave the file out by ingest.symbols"
                )
        return interval
    for interval in Interval:  # from fine to coarse
        if interval is not Interval.MIN_1 and all(divides(series.minutes, interval) for series in found):
            return interval
    raise AssertionError("everything can become daily bars")


def _in_words(minutes: int) -> str:
    return "one day" if minutes == DAY_MINUTES else f"{minutes} min"


def _merged(found: list[Series]) -> list[Series]:
    """Series with those joined that lie in one folder and agree in every row they share (or share none)."""
    groups: dict[tuple, list[Series]] = defaultdict(list)
    for series in sorted(found, key=lambda one: -len(one.frame)):
        key = (series.symbol, series.minutes, PurePath(series.file).parent)
        for place, other in enumerate(groups[key]):
            joined = _join(other, series)
            if joined is not None:
                groups[key][place] = joined
                break
        else:
            groups[key].append(series)
    return [series for group in groups.values() for series in group]


def _join(larger: Series, smaller: Series) -> Series | None:
    """Both in one, or None if they contradict each other or repeat times within themselves."""
    if larger.frame["open_time"].duplicated().any() or smaller.frame["open_time"].duplicated().any():
        return None
    if larger.has_volume != smaller.has_volume:
        return None
    values = ["open", "high", "low", "close", "volume"]
    shared = larger.frame.merge(smaller.frame, on="open_time", suffixes=("", "_other"))
    other = shared[[f"{name}_other" for name in values]].to_numpy(dtype="float64")
    if not np.array_equal(shared[values].to_numpy(dtype="float64"), other, equal_nan=True):
        return None
    new = smaller.frame[~smaller.frame["open_time"].isin(larger.frame["open_time"])]
    frames = [larger.frame, new]
    if len(new) and len(larger.frame) and new["open_time"].max() < larger.frame["open_time"].min():
        frames.reverse()
    rejected = [table for table in (larger.rejected, smaller.rejected) if len(table)]
    note = f"{smaller.file} repeats {len(shared)} bars of {larger.file}" if len(shared) else ""
    said = f"{note}: {f'its other {len(new)} are joined' if len(new) else 'it adds nothing'}" if note else ""
    return replace(
        larger,
        notes=(*larger.notes, *([said] if said else [])),
        file=f"{larger.file} and {smaller.file}",
        frame=pd.concat(frames, ignore_index=True),
        rejected=pd.concat(rejected, ignore_index=True) if rejected else no_rejects(),
        rows_read=larger.rows_read + len(new) + len(smaller.rejected),
    )


def _with_adjustment(series: Series, actions: pd.DataFrame) -> Series:
    """The series with `adjustment`, so that a night explained by an action is not taken for a defect."""
    found = adjust(series.frame, actions, series.symbol)
    return replace(series, frame=series.frame.assign(adjustment=found.factors))


def _refuse_empty(candidate: Candidate) -> None:
    if not len(candidate.bars):
        gone = candidate.rejected["rule"].value_counts().to_dict()
        why = ", ".join(f"{rule} {count}" for rule, count in gone.items()) or "all rows lie outside the sessions"
        raise BadInput(f"{candidate.file}: no bar can be made of its rows ({why}); mend the file or leave it out")


def instruments_of(chosen: Mapping[str, Candidate], dump: pd.DataFrame) -> pd.DataFrame:
    """What the run knows of its instruments: of Kite's dump token and lot, of dated facts the tick at the last bar."""
    tokens = tokens_for(chosen)
    listed = dump.drop_duplicates("symbol", keep="last").set_index("symbol")
    return instruments_table(
        [
            {
                "symbol": symbol,
                "token": int(listed["token"].get(symbol, tokens[symbol])),
                "kind": kind_of(symbol).value,
                "tick_size": str(_last_tick(candidate.bars, kind_of(symbol))),
                "lot_size": int(listed["lot_size"].get(symbol, 1)),
                "sector": sector_on(symbol, candidate.bars["open_time"].max().date()),
                "has_volume": candidate.has_volume,
            }
            for symbol, candidate in chosen.items()
        ]
    )


def _last_tick(bars: pd.DataFrame, kind: Kind) -> Decimal:
    if kind is not Kind.STOCK:
        return INDEX_TICK
    last = bars.loc[bars["open_time"].idxmax()]
    return tick_size(float(last["close"]), last["open_time"].date())
