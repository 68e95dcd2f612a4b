"""The source `files`: a folder of real bars in many shapes, read into one market.

One interval for all: what is asked for, or the coarsest found (at least 5min); finer files are joined to it inside
their sessions. One series for each symbol: files of one folder that agree row by row are merged; where files differ,
the one with the fewest defective rows is taken (impossible or repeated rows, and nights that look like an unadjusted
split), among equals the one with the most bars. Everything not used is told in a sentence.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.session_grid import slots
from pipelines.ingest.kinds import RAW_BAR_COLUMNS
from pipelines.ingest.names import canonical, kind_of, tokens_for
from pipelines.ingest.rejects import no_rejects, rejected_rows
from pipelines.ingest.resample import resample
from pipelines.ingest.row_faults import defects, impossible
from pipelines.ingest.series import DAY_MINUTES, Series, series_of
from pipelines.ingest.shapes import SUFFIXES, NoBars, read_sheet
from pipelines.ingest.world import World, empty_news, instruments_table
from pipelines.params import IngestParams

TICK_SIZE = "0.05"  # rupees; what nearly all stocks of the sample years moved by; files do not say


def read_files(params: IngestParams) -> World:
    """All bars of the folder `params.folder`, at one interval, one series for each symbol.

    Raises
    ------
    BadInput : if the folder or a file in it cannot be used; the message names the file and what to do.
    """
    folder = params.folder
    found, hashes, left_out = _read_folder(folder)
    found = _asked_for(found, params.symbols, folder)
    interval = _interval(found, params.interval)
    left_out += [note for series in found for note in series.notes]
    candidates: dict[str, list[_Candidate]] = defaultdict(list)
    for series in _merged(found):
        candidates[series.symbol].append(_at_interval(series, interval))
    chosen = {}
    for symbol in sorted(candidates):
        chosen[symbol], told = _best(candidates[symbol])
        left_out += told
    left_out += _joining(chosen.values(), interval)
    rejected = [candidate.rejected for candidate in chosen.values() if len(candidate.rejected)]
    return World(
        bars={symbol: candidate.bars for symbol, candidate in chosen.items()},
        instruments=_instruments(chosen),
        news=empty_news(),
        interval=interval,
        left_out=tuple(left_out),
        files=hashes,
        rejected=pd.concat(rejected, ignore_index=True) if rejected else None,
    )


def _read_folder(folder: Path) -> tuple[list[Series], dict[str, str], list[str]]:
    if not folder.exists():
        raise BadInput(f"folder {folder} is not there; correct ingest.folder or DATA=")
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file; name the folder it lies in")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    if not paths:
        raise BadInput(f"folder {folder} holds no {', '.join(SUFFIXES)} file; name a folder with bars")
    found, hashes, left_out = [], {}, []
    for path in paths:
        name = path.relative_to(folder).as_posix()
        sheet = read_sheet(path, name)
        if isinstance(sheet, NoBars):
            left_out.append(f"{name} {sheet.reason}: left out")
            continue
        series = series_of(sheet)
        if not series:
            left_out.append(f"{name} holds no row of the series EQ: left out")
        found += series
        hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    if not found:
        raise BadInput(f"folder {folder} holds no bars: {left_out[0]}; wanted: date, open, high, low, close, volume")
    return found, hashes, left_out


def _asked_for(found: list[Series], symbols: tuple[str, ...], folder: Path) -> list[Series]:
    if not symbols:
        return found
    there = {series.symbol for series in found}
    unknown = [symbol for symbol in symbols if canonical(symbol) not in there]
    if unknown:
        raise BadInput(
            f"ingest.symbols: {', '.join(unknown)} not found in {folder}; it has {', '.join(sorted(there))}; "
            "correct the spelling or take the symbol out"
        )
    wanted = {canonical(symbol) for symbol in symbols}
    return [series for series in found if series.symbol in wanted]


def _interval(found: list[Series], asked: str) -> Interval:
    """The interval of the run: the one asked for, or the least that every file can be joined to and is 5min or more."""
    if asked != "auto":
        interval = Interval(asked)
        for series in found:
            if not _divides(series.minutes, interval):
                raise BadInput(
                    f"{series.file} holds bars of {_in_words(series.minutes)}, which cannot become {interval}; "
                    "set ingest.interval: auto or coarser, or leave the file out by ingest.symbols"
                )
        return interval
    for interval in Interval:  # from fine to coarse
        if interval is not Interval.MIN_1 and all(_divides(series.minutes, interval) for series in found):
            return interval
    raise AssertionError("everything can become daily bars")


def _divides(minutes: int, interval: Interval) -> bool:
    if interval is Interval.DAY:
        return True
    return minutes <= interval.minutes and interval.minutes % minutes == 0


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
    return replace(
        larger,
        file=f"{larger.file} and {smaller.file}",
        frame=pd.concat(frames, ignore_index=True),
        rejected=pd.concat(rejected, ignore_index=True) if rejected else no_rejects(),
        rows_read=larger.rows_read + len(new) + len(smaller.rejected),
    )


@dataclass(frozen=True)
class _Candidate:
    """A series at the run's interval, ready to be chosen or not."""

    symbol: str
    file: str
    bars: pd.DataFrame  #: RAW_BAR_COLUMNS
    rejected: pd.DataFrame
    has_volume: bool
    defects: int
    minutes: int  #: spacing of the rows it was made of
    outside: int  #: finer rows outside the session, which no bar holds


def _at_interval(series: Series, interval: Interval) -> _Candidate:
    defective = len(series.rejected) + defects(series.frame, kind_of(series.symbol) is Kind.STOCK)
    rejected, outside = series.rejected, 0
    if series.minutes == (DAY_MINUTES if interval is Interval.DAY else interval.minutes):
        bars = _stamped(series.frame, interval)
    else:
        faults = impossible(series.frame)
        rejected = pd.concat([rejected, _rejected_faults(series, faults)], ignore_index=True)
        joined = resample(series.frame[faults == ""].sort_values("open_time", kind="stable"), interval)
        bars, outside = joined.bars, joined.outside
    bars = bars.assign(symbol=series.symbol).astype({"symbol": "str", "close_time": TIME_DTYPE, "volume": "int64"})
    bars = bars[list(RAW_BAR_COLUMNS)].reset_index(drop=True)
    rejected = rejected.assign(rows_read=series.rows_read)
    return _Candidate(series.symbol, series.file, bars, rejected, series.has_volume, defective, series.minutes, outside)


def _joining(chosen: Iterable[_Candidate], interval: Interval) -> list[str]:
    """Sentences on bars that were finer than the run's, one for each spacing."""
    finer: dict[int, list[_Candidate]] = defaultdict(list)
    for candidate in chosen:
        if candidate.minutes != DAY_MINUTES and candidate.minutes != interval.minutes:
            finer[candidate.minutes].append(candidate)
    told = [f"{n} min bars joined to {interval}: {', '.join(c.symbol for c in finer[n])}" for n in sorted(finer)]
    outside = [f"{c.symbol} {c.outside}" for n in sorted(finer) for c in finer[n] if c.outside]
    return [*told, f"rows outside the session, in no bar: {', '.join(outside)}"] if outside else told


def _stamped(rows: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    """Rows with the close time of their bar; rows off the grid keep their own time and end one interval later."""
    place = slots(rows["open_time"], interval)
    if interval is Interval.DAY:
        return rows.assign(open_time=place["open_time"], close_time=place["close_time"])
    on_grid = place["inside"] & (place["open_time"] == rows["open_time"])
    later = rows["open_time"] + pd.Timedelta(minutes=interval.minutes)
    return rows.assign(close_time=place["close_time"].where(on_grid, later))


def _rejected_faults(series: Series, faults: pd.Series) -> pd.DataFrame:
    rows = series.frame[faults != ""]
    tables = [
        rejected_rows(part, series.symbol, rule, [f"a {series.minutes} min row before joining: {rule}"] * len(part),
                      part["source"].tolist(), part["source_row"].tolist())
        for rule, part in rows.groupby(faults[faults != ""])
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True) if tables else no_rejects()


def _best(candidates: list[_Candidate]) -> tuple[_Candidate, list[str]]:
    ranked = sorted(candidates, key=lambda one: (one.defects, -len(one.bars), one.file))
    best = ranked[0]
    told = [
        f"{best.symbol}: {other.file} ({len(other.bars)} bars, {other.defects} defective) is left out for "
        f"{best.file} ({len(best.bars)} bars, {best.defects} defective)"
        for other in ranked[1:]
    ]
    return best, told


def _instruments(chosen: Mapping[str, _Candidate]) -> pd.DataFrame:
    tokens = tokens_for(chosen)
    return instruments_table(
        [
            {
                "symbol": symbol,
                "token": tokens[symbol],
                "kind": kind_of(symbol).value,
                "tick_size": TICK_SIZE,
                "lot_size": 1,
                "sector": "",
                "has_volume": candidate.has_volume,
            }
            for symbol, candidate in chosen.items()
        ]
    )
