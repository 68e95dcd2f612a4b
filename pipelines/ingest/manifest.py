"""The lake's manifest: a line of JSON for each piece stored, in the order in which they were learnt.

A piece is in the lake from the moment its line is whole, and not before: the files it names are on disk by then. Lines
are only ever appended. What a writer that was killed left of a line has no end and counts for nothing; the next writer
takes it away.
"""

import hashlib
import json
import os
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.ingest.kinds import DataKind
from pipelines.tables import sync_folder

FILE = "manifest.jsonl"
Series = tuple[str, DataKind, str]  #: source, kind, key
_TIMES = ("learnt_at", "known_at", "first", "last")


@dataclass(frozen=True, slots=True)
class Part:
    """A Parquet file of the lake."""

    path: str  #: relative to the lake
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A piece as it was stored: where it came from, when it was learnt, and which files hold what it added."""

    number: int  #: from 1, without gaps
    learnt_at: datetime  #: later than that of every entry before
    source: str
    kind: DataKind
    key: str
    origin: str
    digest: str  #: of the raw answer
    known_at: datetime | None
    first: datetime | None  #: earliest and latest stamp of the piece, also of rows that were held already
    last: datetime | None
    unfinished: int  #: bars that had not closed when they were asked for and are not in `parts`
    parts: tuple[Part, ...]  #: rows that the source had not told before, or told otherwise
    rejected: Part | None
    notes: tuple[str, ...]

    def as_line(self) -> bytes:
        fields = asdict(self)
        fields |= {name: fields[name] and fields[name].isoformat() for name in _TIMES}
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Entry":
        fields: dict[str, Any] = json.loads(line)
        fields |= {name: fields[name] and datetime.fromisoformat(fields[name]).astimezone(IST) for name in _TIMES}
        fields["parts"] = tuple(Part(**part) for part in fields["parts"])
        fields["rejected"] = fields["rejected"] and Part(**fields["rejected"])
        fields["notes"] = tuple(fields["notes"])
        return cls(**fields)


class Manifest:
    """The entries of one lake, read on as others append; `append` is for the holder of the lake's lock only."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.entries: list[Entry] = []
        self.of_series: defaultdict[Series, list[Entry]] = defaultdict(list)
        self._ends: list[int] = []  # of each entry's line, in bytes from the file's start

    def refresh(self) -> None:
        """Read what was appended since.

        Raises
        ------
        BadInput : if a whole line is no entry, or lines were taken away.
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._end)
            tail = file.read()
        for line in tail[: tail.rfind(b"\n") + 1].splitlines(keepends=True):
            number = len(self.entries) + 1
            try:
                entry = Entry.from_line(line)
                if entry.number != number:
                    raise ValueError(f"it has the number {entry.number}")
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise BadInput(
                    f"{self.path}: line {number} is damaged ({error}); bring the lake back from a copy, "
                    "its manifest is never edited"
                ) from None
            self._add(entry, line)

    def append(self, entry: Entry) -> None:
        """Make a piece visible: its line is on disk when this returns."""
        line = entry.as_line()
        new = not self.path.exists()
        with self.path.open("ab") as file:
            file.truncate(self._end)  # half a line of a writer that was killed
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self.path.parent)
        self._add(entry, line)

    def digest(self, count: int) -> str:
        """SHA-256 of the first `count` lines: it names them and, through their digests, every file they speak of."""
        with self.path.open("rb") as file:
            return hashlib.sha256(file.read(self._ends[count - 1])).hexdigest()

    def _add(self, entry: Entry, line: bytes) -> None:
        self.entries.append(entry)
        self.of_series[entry.source, entry.kind, entry.key].append(entry)
        self._ends.append(self._end + len(line))

    @property
    def _end(self) -> int:
        return self._ends[-1] if self._ends else 0
