"""A pin: what the lake knew at a time. It reads the same for ever, since nothing is ever changed or taken away."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.domain.errors import BadInput
from pipelines.ingest.kinds import DataKind, empty, types_of
from pipelines.ingest.manifest import Entry, Part
from pipelines.ingest.rejects import no_rejects
from pipelines.ingest.sayings import NUMBER, latest


@dataclass(frozen=True)
class Pin:
    """The pieces learnt up to a time."""

    folder: Path  #: of the lake
    entries: tuple[Entry, ...]  #: oldest first, at least one
    digest: str  #: SHA-256 of the manifest so far

    @property
    def learnt_until(self) -> datetime:
        """When the last piece was learnt: as `ingest.as_of` it gives this pin again."""
        return self.entries[-1].learnt_at

    def series(self, kind: DataKind) -> dict[str, tuple[str, ...]]:
        """The keys of a kind, and for each the sources that told of it; both in alphabetical order."""
        found: dict[str, set[str]] = defaultdict(set)
        for source, key in self._of.get(kind, {}):
            found[key].add(source)
        return {key: tuple(sorted(found[key])) for key in sorted(found)}

    def sources(self, kind: DataKind) -> tuple[str, ...]:
        return tuple(sorted({source for source, _ in self._of.get(kind, {})}))

    def rows(self, kind: DataKind, source: str, key: str | None = None) -> pd.DataFrame:
        """What a source said last, of one series or of all: the kind's columns, in the order of time."""
        of = self._of.get(kind, {})
        entries = (
            of.get((source, key), [])
            if key is not None
            else [e for (s, _), es in of.items() if s == source for e in es]
        )
        entries = sorted(entries, key=lambda entry: entry.number)
        return latest(read_rows(self.folder, entries, kind), kind).drop(columns=NUMBER)

    def rejected(self, kind: DataKind, source: str, key: str) -> pd.DataFrame:
        """Rows of which the source could make nothing, each once; REJECTED_COLUMNS."""
        parts = [entry.rejected for entry in self._of.get(kind, {}).get((source, key), []) if entry.rejected]
        if not parts:
            return no_rejects()
        tables = [read_part(self.folder, part).to_pandas() for part in parts]
        return pd.concat(tables, ignore_index=True).drop_duplicates(["symbol", "source", "source_row", "row"])

    @cached_property
    def _of(self) -> dict[DataKind, dict[tuple[str, str], list[Entry]]]:
        found: dict[DataKind, dict[tuple[str, str], list[Entry]]] = defaultdict(lambda: defaultdict(list))
        for entry in self.entries:
            found[entry.kind][entry.source, entry.key].append(entry)
        return found


def read_rows(folder: Path, entries: Iterable[Entry], kind: DataKind) -> pd.DataFrame:
    """All that entries added, in their order: the kind's columns, and `number` to tell them apart."""
    tables = []
    for entry in entries:
        for part in entry.parts:
            table = read_part(folder, part)
            number = pa.array([entry.number], pa.int64()).take(pa.array([0] * table.num_rows, pa.int64()))
            tables.append(table.append_column(NUMBER, number))
    if not tables:
        return empty(kind).assign(**{NUMBER: pd.Series(dtype="int64")})
    frame = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return frame.astype(types_of(kind) | {NUMBER: "int64"}, copy=False)


def read_part(folder: Path, part: Part) -> pa.Table:
    """A file of the lake.

    Raises
    ------
    BadInput : if it is missing or not the file that was stored.
    """
    path = folder / part.path
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); bring the lake back from a copy") from None
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise BadInput(f"{path} is not the file that was stored; bring the lake back from a copy")
    return pq.read_table(pa.BufferReader(content)).replace_schema_metadata(None)
