"""The source `bhavcopy`: NSE's archive of daily files, one session after the other, or a folder of such files.

A day's file is known from that evening on, when NSE publishes it. The archive is asked only for sessions of our
calendar; one of which it has no file is told with the next day's, or at the end if there is none.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from datetime import time as clock_time
from pathlib import Path, PurePosixPath

from pipelines.domain.bars import IST, Interval
from pipelines.domain.errors import BadInput, NotFound
from pipelines.domain.listings import symbol_on
from pipelines.domain.market_calendar import days_that_may_trade, trades_on
from pipelines.domain.nse_archive import ArchiveFile, archive_path
from pipelines.ingest.names import canonical
from pipelines.ingest.source import Fetched, Known, series_key
from pipelines.ingest.sources.bhavcopy import read_bhavcopy
from pipelines.ingest.sources.corporate_actions import read_actions
from pipelines.ingest.sources.downloads import Downloads, checked, member

NSE_ARCHIVE = "https://nsearchives.nseindia.com"
KEY = series_key("NSE", Interval.DAY)
ACTIONS_KEY = "NSE"
#: When a day's files are surely out; public clients say between 16:00 and 19:00
PUBLISHED = clock_time(20, 0)
MOST_ZIP_BYTES, MOST_CSV_BYTES = 8_000_000, 64_000_000  #: a bhavcopy is about 0.2 MB, a bundle 1 MB, unpacked 1 MB
PAUSE_S = 0.5  #: between downloads; the archive is free, so we do not hurry it


@dataclass
class BhavcopyArchive:
    """Daily bars of all shares (EQ, else BE or BZ), unadjusted, and the corporate actions announced.

    Parameters
    ----------
    start : first day, if nothing is known yet
    place : address of the archive, or a folder with its files (zipped or not)
    symbols : only these shares, under any symbol they ever had; empty takes all
    actions : whether the daily bundle is fetched too, for its corporate actions
    known : what is stored already; its days are not asked for again
    now, sleep : clock and pause, for tests
    """

    start: date
    place: str | Path = NSE_ARCHIVE
    symbols: Sequence[str] = ()
    actions: bool = True
    known: Known | None = None
    downloads: Downloads = field(default_factory=Downloads)
    now: Callable[[], datetime] = lambda: datetime.now(IST)
    sleep: Callable[[float], None] = time.sleep
    name: str = "bhavcopy"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """Actions, then bars, of each session; without `since` of those that are not known yet.

        Of a weekday that the calendar does not know a file is asked for, too; there need not be one.

        Raises
        ------
        NotFound : at the end, with the latest sessions, of which there should be a file and is none.
        BadInput, ServiceUnavailable : a file cannot be read or had; the days before are handed over by then.
        """
        missing: list[str] = []
        until = min(until, self.now().date())
        for day in days_that_may_trade(max(since or self.start, self.start), until):
            if since is None and self._is_known(day):
                missing.clear()
                continue
            announcements = self._of_day(day, "bundle", self._announcements, missing) if self.actions else None
            if announcements is not None:
                yield announcements
            bars = self._of_day(day, "prices", self._bars, missing)
            if bars is not None:
                holes = (f"no file of {_some(missing)}, though the calendar has sessions then",) if missing else ()
                yield replace(bars, notes=(*holes, *bars.notes))
                missing.clear()
        if missing:
            raise NotFound(
                f"bhavcopy: no file of {_some(missing)} at {self.place}, though the calendar has sessions then; "
                "collect again later"
            )

    def _of_day(
        self, day: date, file: ArchiveFile, read: Callable[[date, bytes, str], Fetched], missing: list[str]
    ) -> Fetched | None:
        path = archive_path(file, day)
        if path is None:
            return None
        try:
            return read(day, *self._content(path, file))
        except NotFound:
            if self.now() >= _published(day) and trades_on(day):
                missing.append(f"{day} ({file})")
            return None

    def _is_known(self, day: date) -> bool:
        """Bars come last of a day: where they are known, its actions are too."""
        return self.known is not None and self.known.holds("bars", KEY, day)

    def _bars(self, day: date, content: bytes, name: str) -> Fetched:
        read = read_bhavcopy(content, name, day)
        table, rejected, notes = read.bars, read.rejected, read.notes
        if self.symbols:
            wanted = self._called_on(day)
            table = table[table["symbol"].isin(wanted)].reset_index(drop=True)
            rejected = rejected[rejected["symbol"].isin(wanted)].reset_index(drop=True)
            absent = sorted(wanted - set(table["symbol"]))
            notes = (f"{name}: no row of {', '.join(absent)}",) if absent else ()
        return Fetched("bars", KEY, table, self._known_at(day), name, _digest(content), rejected, notes)

    def _announcements(self, day: date, content: bytes, name: str) -> Fetched:
        known_at = self._known_at(day)
        table, notes = read_actions(content, name, known_at or self.now())
        if self.symbols:
            table = table[table["symbol"].isin(self._called_on(day))].reset_index(drop=True)
        return Fetched("actions", ACTIONS_KEY, table, known_at, name, _digest(content), notes=notes)

    def _called_on(self, day: date) -> set[str]:
        """The symbols asked for as the shares bore them that day."""
        return {symbol_on(canonical(symbol), day) for symbol in self.symbols}

    def _known_at(self, day: date) -> datetime | None:
        """The evening of publication; None if it has not come, for then it is known from now on."""
        return _published(day) if self.now() >= _published(day) else None

    def _content(self, path: str, file: ArchiveFile) -> tuple[bytes, str]:
        """The CSV in the day's file, and its name."""
        packed = PurePosixPath(path).name
        wanted = re.compile(r"bc\d+\.csv" if file == "bundle" else re.escape(packed.removesuffix(".zip")), re.I)
        if isinstance(self.place, Path):
            return _from_folder(self.place, packed, wanted)
        content = self.downloads.get(checked(f"{self.place.rstrip('/')}/{path}"), MOST_ZIP_BYTES)
        self.sleep(PAUSE_S)
        name, unpacked = member(content, lambda name: bool(wanted.fullmatch(name)), MOST_CSV_BYTES, packed)
        return unpacked, name


def _from_folder(folder: Path, packed: str, wanted: re.Pattern[str]) -> tuple[bytes, str]:
    zipped, plain = folder / packed, folder / packed.removesuffix(".zip")
    for path, most in ((zipped, MOST_ZIP_BYTES), (plain, MOST_CSV_BYTES)):
        if not path.is_file():
            continue
        if path.stat().st_size > most:
            raise BadInput(f"{path.name} is larger than {most:,} bytes; it is not what was expected")
        if path is plain:
            return path.read_bytes(), path.name
        name, unpacked = member(path.read_bytes(), lambda name: bool(wanted.fullmatch(name)), MOST_CSV_BYTES, packed)
        return unpacked, name
    raise NotFound(f"{folder} holds no {packed}")


def _some(days: Sequence[str]) -> str:
    return f"{', '.join(days[:10])}{f' and {len(days) - 10} more' if len(days) > 10 else ''}"


def _published(day: date) -> datetime:
    return datetime.combine(day, PUBLISHED, tzinfo=IST)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
