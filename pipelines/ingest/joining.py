"""One series brought to the run's interval: its own bars, or finer ones joined inside their sessions."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.domain.bars import TIME_DTYPE, Interval
from pipelines.domain.instruments import Kind
from pipelines.domain.session_grid import shifted, slots
from pipelines.ingest.kinds import RAW_BAR_COLUMNS
from pipelines.ingest.names import kind_of
from pipelines.ingest.rejects import no_rejects, rejected_rows
from pipelines.ingest.resample import resample
from pipelines.ingest.row_faults import defects, impossible
from pipelines.ingest.series import DAY_MINUTES, Series


def divides(minutes: int, interval: Interval) -> bool:
    """Whether bars of so many minutes can be joined to the interval."""
    if interval is Interval.DAY:
        return True
    return minutes <= interval.minutes and interval.minutes % minutes == 0


@dataclass(frozen=True)
class Candidate:
    """A series at the run's interval, ready to be chosen or not."""

    symbol: str
    file: str
    bars: pd.DataFrame  #: RAW_BAR_COLUMNS
    rejected: pd.DataFrame
    has_volume: bool
    defects: int
    minutes: int  #: spacing of the rows it was made of
    outside: int  #: finer rows outside the session, which no bar holds
    unfinished: int = 0  #: finer rows of bars that were not over when the source's knowledge ends


def reached(found: Iterable[Series]) -> pd.Timestamp | None:
    """How far a source's knowledge reaches: the end of the last row of any series; a daily row ends its day."""
    ends = [
        series.frame["open_time"].max()
        + (pd.Timedelta(days=1) if series.minutes == DAY_MINUTES else pd.Timedelta(minutes=series.minutes))
        for series in found
        if len(series.frame)
    ]
    return max(ends, default=None)


def at_interval(series: Series, interval: Interval, until: pd.Timestamp | None = None) -> Candidate:
    """The series as bars of the interval, with what could not be joined beside them.

    Parameters
    ----------
    until : bars made of finer rows that close later are left out, since they may be unfinished
    """
    defective = len(series.rejected) + defects(series.frame, kind_of(series.symbol) is Kind.STOCK)
    rejected, outside, unfinished = series.rejected, 0, 0
    if series.minutes == (DAY_MINUTES if interval is Interval.DAY else interval.minutes):
        bars = stamped(series.frame, interval)
    else:
        faults = impossible(series.frame)
        faults = faults.where((faults != "") | ~_shifted(series.frame["open_time"]), "shifted_stamps")
        rejected = pd.concat([rejected, _rejected_faults(series, faults)], ignore_index=True)
        joined = resample(series.frame[faults == ""].sort_values("open_time", kind="stable"), interval, until)
        bars, outside, unfinished = joined.bars, joined.outside, joined.unfinished
    bars = bars.assign(symbol=series.symbol).astype({"symbol": "str", "close_time": TIME_DTYPE, "volume": "int64"})
    bars = bars[list(RAW_BAR_COLUMNS)].reset_index(drop=True)
    rejected = rejected.assign(rows_read=series.rows_read)
    return Candidate(
        series.symbol,
        series.file,
        bars,
        rejected,
        series.has_volume,
        defective,
        series.minutes,
        outside,
        unfinished,
    )


def told_of_joining(chosen: Iterable[Candidate], interval: Interval) -> list[str]:
    """Sentences on bars that were finer than the run's, one for each spacing."""
    finer: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in chosen:
        if candidate.minutes != DAY_MINUTES and candidate.minutes != interval.minutes:
            finer[candidate.minutes].append(candidate)
    told = [f"{n} min bars joined to {interval}: {', '.join(c.symbol for c in finer[n])}" for n in sorted(finer)]
    for said, count in (
        ("rows outside the session, in no bar", "outside"),
        ("rows of a bar that was not over when the data ends, left out", "unfinished"),
    ):
        some = [f"{c.symbol} {getattr(c, count)}" for n in sorted(finer) for c in finer[n] if getattr(c, count)]
        told += [f"{said}: {', '.join(some)}"] if some else []
    return told


def stamped(rows: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    """Rows with the close time of their bar; rows off the grid keep their own time and end one interval later."""
    place = slots(rows["open_time"], interval)
    if interval is Interval.DAY:
        return rows.assign(open_time=place["open_time"], close_time=place["close_time"])
    on_grid = place["inside"] & (place["open_time"] == rows["open_time"])
    later = rows["open_time"] + pd.Timedelta(minutes=interval.minutes)
    return rows.assign(close_time=place["close_time"].where(on_grid, later))


def _shifted(times: pd.Series) -> npt.NDArray[np.bool_]:
    place = slots(times, Interval.MIN_1)
    return shifted(times, np.zeros(len(times)), (place["trades"] & ~place["inside"]).to_numpy())


def _rejected_faults(series: Series, faults: pd.Series) -> pd.DataFrame:
    rows = series.frame[faults != ""]
    tables = [
        rejected_rows(part, series.symbol, rule, [f"a {series.minutes} min row before joining: {rule}"] * len(part),
                      part["source"].tolist(), part["source_row"].tolist())
        for rule, part in rows.groupby(faults[faults != ""])
    ]  # fmt: skip
    return pd.concat(tables, ignore_index=True) if tables else no_rejects()
