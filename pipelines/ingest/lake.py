"""The lake: all that collectors fetched, append-only, with where it came from and when it was learnt.

`<kind>/<key>/<year or month>/<number>.parquet` holds what one piece added: rows that its source had not told before,
or told otherwise. Nothing is ever changed or taken away. A piece is there as soon as the manifest has its line, which
comes last; one writer at a time holds the lock, for as long as it takes to write one piece.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
from filelock import FileLock, Timeout

from pipelines.domain.bars import IST
from pipelines.domain.errors import AlreadyRunning, BadInput
from pipelines.domain.symbols import checked_symbol
from pipelines.ingest.kinds import IDENTITY, STAMPS, DataKind, typed
from pipelines.ingest.manifest import Entry, Manifest, Part
from pipelines.ingest.pin import Pin, read_rows
from pipelines.ingest.sayings import REPEAT, latest, untold
from pipelines.ingest.source import Fetched
from pipelines.tables import replacing, sync_folder, write_parquet

LOCK_WAIT_S = 120.0
CLOCK_SLACK = timedelta(minutes=1)  #: a clock may have been set back by so much, not by more


@dataclass(frozen=True, slots=True)
class Stored:
    """What a piece added."""

    rows: int = 0
    corrected: int = 0  #: of those, rows of which the source had said something else before
    unfinished: int = 0  #: bars that had not closed when they were asked for: not stored


def now() -> datetime:
    return datetime.now(IST)


class Lake:
    """One lake on disk. Any number of processes may read and write it at once."""

    def __init__(self, folder: Path, clock: Callable[[], datetime] = now) -> None:
        self.folder = folder
        self.now = clock  #: by which pieces are learnt
        self._manifest = Manifest(folder)

    def store(self, source: str, piece: Fetched, asked_at: datetime | None = None) -> Stored:
        """Keep a piece, whole or not at all; what the source told already adds nothing.

        Parameters
        ----------
        source : str
            Name of the source; what it said of a stamp replaces only what itself said of it before.
        piece : Fetched
        asked_at : datetime, optional
            When it was asked for, by default now: bars that closed later were still being made and are not stored.

        Raises
        ------
        BadInput : if the piece has not the columns of its kind, or rows without a time; nothing is stored then.
        AlreadyRunning : if another process holds the lake for minutes.
        """
        table = _sound(piece)
        closed = _closed(piece.kind, table, asked_at or self.now())
        unfinished = len(table) - len(closed)
        with self._locked():
            if self.known(source).seen(piece.kind, piece.key, piece.origin, piece.digest):
                return Stored()
            held = self._held(source, piece.kind, piece.key, closed)
            fresh, corrected = untold(closed, held, piece.kind)
            if not len(fresh) and (piece.rejected is None or not len(piece.rejected)):
                return Stored(unfinished=unfinished)
            self._manifest.append(self._written(source, piece, closed, fresh, unfinished))
        return Stored(len(fresh), corrected, unfinished)

    def known(self, source: str) -> "KnownOf":
        """What the lake holds of one source."""
        self._manifest.refresh()
        return KnownOf(source, self._manifest)

    def pin(self, as_of: datetime | None = None) -> Pin:
        """What was known at `as_of`, by default all that is known now; the same again however the lake grows.

        Raises
        ------
        BadInput : if nothing was known then, or `as_of` lies ahead, where more may yet be learnt.
        """
        with self._locked():  # whoever stores what was learnt by now has done so
            entries, asked = self._manifest.entries, self.now()
        if as_of is not None and as_of > asked:
            raise BadInput(
                f"ingest.as_of = {as_of:%Y-%m-%d %H:%M} lies ahead: more may be learnt until then; give a time past"
            )
        if not entries:
            raise BadInput(f"the lake {self.folder} is empty; run: tradesage collect")
        known = [entry for entry in entries if as_of is None or entry.learnt_at <= as_of]
        if not known:
            raise BadInput(
                f"nothing was known at {as_of:%Y-%m-%d %H:%M}: the first piece of the lake {self.folder} was learnt at "
                f"{entries[0].learnt_at:%Y-%m-%d %H:%M}; give a later ingest.as_of"
            )
        return Pin(self.folder, tuple(known), self._manifest.digest(len(known)))

    def newest(self) -> Pin | None:
        """All that is known now, without waiting for who stores more at this moment; None if nothing is.

        Raises
        ------
        BadInput : if the manifest is damaged.
        """
        self._manifest.refresh()
        entries = tuple(self._manifest.entries)
        return Pin(self.folder, entries, self._manifest.digest(len(entries))) if entries else None

    def sweep(self) -> int:
        """Remove the files that a killed writer left without a line in the manifest; nobody reads them."""
        if not self.folder.exists():
            return 0
        with self._locked():
            told = {part.path for entry in self._manifest.entries for part in _files_of(entry)}
            left = [
                path
                for path in self.folder.rglob("*")
                if path.is_file() and _ours(path) and path.relative_to(self.folder).as_posix() not in told
            ]
            for path in left:
                path.unlink()
        return len(left)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=LOCK_WAIT_S):
                self._manifest.refresh()
                yield
        except Timeout:
            raise AlreadyRunning(
                f"another process has held the lake {self.folder} for {LOCK_WAIT_S:.0f} s; wait for it or end it"
            ) from None

    def _held(self, source: str, kind: DataKind, key: str, table: pd.DataFrame) -> pd.DataFrame:
        """What the source said last about the time that `table` speaks of."""
        entries = self._manifest.of_series[source, kind, key]
        if kind in STAMPS and len(table):
            first, last = _span(kind, table)
            reach = REPEAT if kind == "news" else timedelta(0)
            entries = [e for e in entries if e.first and e.last and e.first - reach <= last and first <= e.last + reach]
        return latest(read_rows(self.folder, entries, kind), kind)

    def _written(self, source: str, piece: Fetched, table: pd.DataFrame, fresh: pd.DataFrame, unfinished: int) -> Entry:
        number, learnt_at = len(self._manifest.entries) + 1, self._learnt_at()
        origin = {"source": source, "origin": piece.origin, "digest": piece.digest, "learnt_at": learnt_at.isoformat()}
        parts = tuple(
            self._write(part, f"{piece.kind}/{_folder_name(piece.key)}/{period}/{number:08d}.parquet", origin)
            for period, part in _by_period(fresh, piece.kind, learnt_at)
        )
        rejected = None
        if piece.rejected is not None and len(piece.rejected):
            path = f"rejected/{piece.kind}/{_folder_name(piece.key)}/{number:08d}.parquet"
            rejected = self._write(piece.rejected, path, origin)
        first, last = _span(piece.kind, table) if piece.kind in STAMPS and len(table) else (None, None)
        return Entry(
            number, learnt_at, source, piece.kind, piece.key, piece.origin, piece.digest, piece.known_at, first, last,
            unfinished, parts, rejected, piece.notes,
        )  # fmt: skip

    def _learnt_at(self) -> datetime:
        """Now, and after all that was learnt before: what was known at a time must not grow afterwards."""
        moment = self.now().astimezone(IST)
        if not self._manifest.entries:
            return moment
        before = self._manifest.entries[-1].learnt_at
        if moment + CLOCK_SLACK < before:
            raise BadInput(
                f"the lake's last piece was learnt at {before:%Y-%m-%d %H:%M:%S}, but the clock shows "
                f"{moment:%Y-%m-%d %H:%M:%S}; correct the clock"
            )
        return max(moment, before + timedelta(microseconds=1))

    def _write(self, frame: pd.DataFrame, path: str, origin: dict[str, str]) -> Part:
        target = self.folder / path
        made = [folder for folder in target.parents if not folder.exists()]
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(origin)
        with replacing(target) as temporary:
            write_parquet(table, temporary)
            content = temporary.read_bytes()
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        for folder in (target.parent, *(folder.parent for folder in made)):
            sync_folder(folder)
        return Part(path, len(frame), sha256(content).hexdigest())


class KnownOf:
    """What a lake held of one source when its manifest was last read: what a source asks before it fetches."""

    def __init__(self, source: str, manifest: Manifest) -> None:
        self._source = source
        self._manifest = manifest

    def last_day(self, kind: DataKind, key: str) -> date | None:
        """Last day of which the source has told rows of this series."""
        last = [entry.last for entry in self._entries(kind, key) if entry.last]
        return max(last).date() if last else None

    def holds(self, kind: DataKind, key: str, day: date) -> bool:
        """Whether a piece with rows of this day, or of days before and after it, was stored."""
        return any(e.first.date() <= day <= e.last.date() for e in self._entries(kind, key) if e.first and e.last)

    def seen(self, kind: DataKind, key: str, origin: str, digest: str) -> bool:
        """Whether the last piece of this series and origin had this digest, and no bar of it was still being made."""
        same = [entry for entry in self._entries(kind, key) if entry.origin == origin]
        return bool(same) and same[-1].digest == digest and not same[-1].unfinished

    def _entries(self, kind: DataKind, key: str) -> list[Entry]:
        return self._manifest.of_series[self._source, kind, key]


def _sound(piece: Fetched) -> pd.DataFrame:
    """The piece's table in its kind's types; BadInput says what is wrong with the piece itself, not with its prices."""
    if piece.kind not in IDENTITY:
        raise BadInput(f"{piece.origin}: {piece.kind!r} is no kind of data; known are {', '.join(IDENTITY)}")
    if not piece.key or not re.fullmatch(r"[0-9a-f]{64}", piece.digest):
        raise BadInput(f"{piece.origin}: a piece needs a key and the SHA-256 of its raw answer")
    try:
        table = typed(piece.table, piece.kind)
    except BadInput as error:
        raise BadInput(f"{piece.origin}: {error}") from None
    named = {name for column in ("symbol", "index_name") if column in table for name in table[column].unique()}
    for symbol in sorted(named - {""}):
        checked_symbol(symbol, piece.origin)
    timeless = table[STAMPS[piece.kind]].isna() if piece.kind in STAMPS else pd.Series(dtype=bool)
    if timeless.any():
        raise BadInput(
            f"{piece.origin}: {int(timeless.sum())} rows of {piece.kind} have no {STAMPS[piece.kind]}; "
            "hand rows without a time over as rejected"
        )
    return table


def _closed(kind: DataKind, table: pd.DataFrame, asked_at: datetime) -> pd.DataFrame:
    if kind != "bars":
        return table
    return table[(table["close_time"] <= asked_at).to_numpy(dtype=bool)].reset_index(drop=True)


def _span(kind: DataKind, table: pd.DataFrame) -> tuple[datetime, datetime]:
    stamps = table[STAMPS[kind]]
    return stamps.min().to_pydatetime(), stamps.max().to_pydatetime()


def _by_period(table: pd.DataFrame, kind: DataKind, learnt_at: datetime) -> Iterator[tuple[str, pd.DataFrame]]:
    """Ticks by month, all else by year; instruments, which carry no time, by the year they were learnt in."""
    if kind not in STAMPS:
        if len(table):
            yield f"{learnt_at:%Y}", table
        return
    stamps = table[STAMPS[kind]].dt
    periods = stamps.strftime("%Y-%m") if kind == "ticks" else stamps.year
    for period, part in table.groupby(periods.to_numpy(), sort=True):
        yield str(period), part


def _folder_name(key: str) -> str:
    """A key as one folder's name: letters that a path cannot hold are written as %XX, a long key ends in its hash."""
    name = re.sub(r"^\.", "%2E", quote(key, safe=" @&^=+,"))
    return name if len(name) <= 120 else f"{name[:100]}-{sha256(key.encode()).hexdigest()[:16]}"


def _files_of(entry: Entry) -> tuple[Part, ...]:
    return (*entry.parts, *([entry.rejected] if entry.rejected else []))


def _ours(path: Path) -> bool:
    """Whether the lake wrote this file, or began to."""
    return re.fullmatch(r"\d{8}\.parquet|\.\d{8}\.parquet\..+", path.name) is not None
