"""What a source is: something that hands over data piece by piece, each with where it came from."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.ingest.kinds import DataKind


@dataclass(frozen=True)
class Fetched:
    """One piece of work: a window of one series, one day's file, one feed. It is stored whole or not at all."""

    kind: DataKind
    key: str  #: of the series: `series_key` for bars, symbol for ticks, feed for news, the source's own for the rest
    table: pd.DataFrame  #: columns of the kind (`kinds.types_of`); not judged, faults and all
    known_at: datetime | None  #: when the world knew it, with a zone; None: each row from its own time on
    origin: str  #: file name or request, without secrets; the same when it is asked for again
    digest: str  #: SHA-256 of the raw answer, 64 hex digits
    rejected: pd.DataFrame | None = None  #: rows nothing could be made of, REJECTED_COLUMNS
    notes: tuple[str, ...] = ()  #: sentences a person should read


class Known(Protocol):
    """What the lake holds of one source, so that it asks only for the rest."""

    def last_day(self, kind: DataKind, key: str) -> date | None:
        """Last day of which the source has told rows of this series; it may not have been whole then."""

    def holds(self, kind: DataKind, key: str, day: date) -> bool:
        """Whether a piece that holds rows of this day, or of days before and after it, was stored."""

    def seen(self, kind: DataKind, key: str, origin: str, digest: str) -> bool:
        """Whether the last piece stored of this series and origin had this digest: it need not be read again."""


class Source(Protocol):
    """A source fetches from the network or from files; it stores nothing and judges nothing."""

    known: Known | None  #: set by the collector before it fetches; None: nothing is known

    @property
    def name(self) -> str:
        """Names the source in the lake: 'kite', 'bhavcopy', 'files:<folder>', 'news:<file>' and the like."""

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """All that is new from `since` (None: from where `Known` says, else from the start) up to and with `until`.

        Pieces come oldest first within a series, so that a break leaves no hole. A piece that cannot be had raises a
        TradeSageError when its turn comes; what was handed over before is kept. A piece is asked for when its turn
        comes, not ahead: a bar that had not closed then is not stored.
        """


def series_key(symbol: str, interval: Interval) -> str:
    """Key of bars. `symbol` may name a group (NSE) where a piece holds many symbols; rows say which."""
    return f"{symbol}@{interval.value}"
