"""The source `files:<folder>`: bars of every file of a folder, in any of the shapes that are known, for the lake.

Corporate actions, index membership and Kite's dump of instruments that lie beside the bars go with them.

It is one source: where files contradict each other, the one that comes later in the alphabet counts. So keep archives
of different make in different folders; `ingest.priority` says which of them counts.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.ingest.containers import NoBars, files_in, shown
from pipelines.ingest.dated_tables import read_dated_table
from pipelines.ingest.joining import stamped
from pipelines.ingest.kinds import typed
from pipelines.ingest.names import kind_of
from pipelines.ingest.series import DAY_MINUTES, Series, series_of
from pipelines.ingest.shapes import read_sheets
from pipelines.ingest.source import Fetched, Known, series_key
from pipelines.params import ColumnParams


@dataclass
class BarFiles:
    """Bars of a folder and the folders in it; files that have not changed add nothing.

    Parameters
    ----------
    folder : Path
    columns : names of columns that a person gave, as for `ingest.source: files`; read by others, a file is another one
    known : what is stored already
    """

    folder: Path
    columns: ColumnParams | None = None
    known: Known | None = None
    _has_bars: bool = field(default=False, init=False, repr=False)

    @property
    def name(self) -> str:
        return f"files:{self.folder.name}"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """One piece for each file and instrument, one for each table beside the bars; what else lies there is told.

        Raises
        ------
        BadInput : if the folder is not there or holds no bars, or a file cannot be understood; earlier ones are kept.
        """
        if not self.folder.is_dir():
            raise BadInput(f"{self.folder} is no folder; name the folder that the bars lie in")
        paths, left_out = files_in(self.folder)
        last: Fetched | None = None
        for piece in self._pieces(paths, since or date.min, until, left_out):
            if last is not None:
                yield last
            last = piece
        if last is None or not self._has_bars:
            why = f": {left_out[0]}" if left_out else ""
            raise BadInput(f"{self.folder} holds no bars{why}; wanted: date, open, high, low, close, volume")
        yield replace(last, notes=(*last.notes, *left_out))

    def _pieces(self, paths: list[Path], since: date, until: date, left_out: list[str]) -> Iterator[Fetched]:
        """Pieces in the order of the files; `left_out` grows by what holds no bars."""
        self._has_bars = False
        for path in paths:
            file = path.relative_to(self.folder).as_posix()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            dated = read_dated_table(path, file)
            if dated is not None:
                table = _listed(dated.table) if dated.kind == "instruments" else dated.table
                yield Fetched(dated.kind, file, table, None, file, digest)
                continue
            for sheet in read_sheets(path, file, self.columns):
                if isinstance(sheet, NoBars):
                    left_out.append(f"{shown(sheet.file)} {sheet.reason}: left out")
                    continue
                told = sheet.told.model_dump_json() if sheet.told is not None else ""
                own = hashlib.sha256((digest + told).encode()).hexdigest() if told else digest
                for series in series_of(sheet):
                    self._has_bars = True
                    yield _piece(series, since, until, sheet.file, own)


def _piece(series: Series, since: date, until: date, file: str, digest: str) -> Fetched:
    interval = _interval(series)
    bars = stamped(series.frame, interval).assign(symbol=series.symbol)
    days = bars["open_time"].dt.date
    table = typed(bars[(days >= since) & (days <= until)], "bars")
    return Fetched(
        "bars", series_key(series.symbol, interval), table, None, file, digest, series.rejected, series.notes
    )


def _listed(dump: pd.DataFrame) -> pd.DataFrame:
    """Rows of a dump as INSTRUMENT_COLUMNS; it tells no sectors."""
    kinds = [kind_of(symbol) for symbol in dump["symbol"]]
    has_volume = [kind is not Kind.INDEX for kind in kinds]
    return typed(dump.assign(kind=[kind.value for kind in kinds], sector="", has_volume=has_volume), "instruments")


def _interval(series: Series) -> Interval:
    for interval in Interval:
        if series.minutes == (DAY_MINUTES if interval is Interval.DAY else interval.minutes):
            return interval
    raise BadInput(f"{series.file} holds bars of {series.minutes} min; the lake takes {', '.join(Interval)}")
