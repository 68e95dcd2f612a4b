"""Collecting: ask each source for what is new and keep it. One that fails stops no other; what it gave is kept."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from pipelines.credentials import without_secrets
from pipelines.domain.errors import TradeSageError
from pipelines.ingest.lake import Lake, Stored
from pipelines.ingest.source import Fetched, Source

#: Bars of one piece told otherwise than before: so many are no correction of single faults
MANY = 20


@dataclass(frozen=True)
class Wanted:
    """A source that is to be asked; it is made when its turn comes, since a login may fail."""

    name: str  #: for a person, before the source can say its own
    make: Callable[[], Source]


@dataclass(frozen=True)
class Collected:
    """What came of one source."""

    source: str
    pieces: int = 0  #: that were handed over, known or not
    rows: int = 0  #: that the lake did not have
    corrected: int = 0  #: of those, told otherwise than before
    notes: tuple[str, ...] = ()
    failed: str | None = None  #: why it ended early, in one line

    def in_words(self) -> str:
        corrected = f", {self.corrected:,} of them corrections" if self.corrected else ""
        added = f"{self.rows:,} rows added{corrected} ({self.pieces:,} pieces read)" if self.rows else "nothing new"
        return f"{self.source}: {added}" if self.failed is None else f"{self.source}: failed, {added}: {self.failed}"


class Watcher(Protocol):
    """Is told of every piece as it is stored."""

    def __call__(self, source: str, piece: Fetched, stored: Stored) -> None: ...


def collect(
    lake: Lake, wanted: Sequence[Wanted], since: date | None, until: date, watch: Watcher
) -> tuple[Collected, ...]:
    """Bring the lake up to date with each source in turn.

    Parameters
    ----------
    lake : Lake
    wanted : sources in the order in which they are asked
    since, until : see `Source.fetch`; without `since` a source goes on after what the lake holds of it
    watch : called after each piece

    Returns
    -------
    What came of each; a failure is a value here, so that the next source is asked.
    """
    lake.sweep()
    return tuple(_collect(lake, one, since, until, watch) for one in wanted)


def _collect(lake: Lake, wanted: Wanted, since: date | None, until: date, watch: Watcher) -> Collected:
    name, pieces, rows, corrected, notes = wanted.name, 0, 0, 0, []
    failed = None
    try:
        source = wanted.make()
        name = source.name
        source.known = lake.known(name)
        fetching = source.fetch(since, until)
        while True:
            asked_at = lake.now()
            piece = next(fetching, None)
            if piece is None:
                break
            stored = lake.store(name, piece, asked_at)
            pieces, rows, corrected = pieces + 1, rows + stored.rows, corrected + stored.corrected
            notes += [*piece.notes] if stored.rows else []
            notes += _odd(name, piece, stored)
            watch(name, piece, stored)
    except TradeSageError as error:
        failed = f"{type(error).__name__}: {error}"
    except Exception as error:  # a source is a stranger's answer read by our code: neither may stop the others
        failed = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return Collected(name, pieces, rows, corrected, tuple(dict.fromkeys(notes)), failed and without_secrets(failed))


def _odd(name: str, piece: Fetched, stored: Stored) -> list[str]:
    found = []
    new = stored.rows or not len(piece.table)
    if new and piece.rejected is not None and len(piece.rejected):
        first = piece.rejected.iloc[0]
        where = f"row {first['source_row']}: {first['reason']}"
        found.append(f"{piece.origin}: {len(piece.rejected)} rows are set aside, e.g. {where}")
    if stored.unfinished:
        found.append(
            f"{piece.origin}: {stored.unfinished} bars had not closed when they were asked for: left for later"
        )
    if piece.kind == "bars" and stored.corrected >= MANY:
        found.append(
            f"{piece.origin}: {stored.corrected} bars of {piece.key} are told otherwise than before; if the source has "
            f"adjusted its prices anew, collect the series from its start: tradesage collect {name} --since <first day>"
        )
    return found
