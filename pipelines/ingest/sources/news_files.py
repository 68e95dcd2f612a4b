"""The source `news:<file>`: headlines from a CSV, by a map of its columns.

A headline may be used from the moment it was known here: the later of when it was published and when the file was
read. Only a file that is said to be dated honestly, an archive kept as the news came in, counts from publication.
"""

import ast
import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from io import StringIO
from pathlib import Path

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.domain.symbols import is_symbol
from pipelines.ingest.kinds import typed
from pipelines.ingest.names import canonical
from pipelines.ingest.rejects import no_rejects, rejected_rows
from pipelines.ingest.source import Fetched, Known
from pipelines.ingest.sources.entities import Entities
from pipelines.ingest.stamps import read_stamps

OURS = ("time", "headline", "symbol", "entities", "sentiment")
_LABELS = {"positive": 1.0, "neutral": 0.0, "negative": -1.0}
_PAIR = re.compile(r"""['"](.+?)['"]\s*:\s*['"](positive|neutral|negative)['"]""")


@dataclass
class NewsFile:
    """Headlines of one CSV.

    Parameters
    ----------
    path : Path
    columns : ours (time, headline, and symbol or entities, sentiment) to theirs. `entities` is a column of labels by
        entity (`{'SpiceJet': 'neutral'}`), which gives sentiment too; without it and `symbol` the headline is searched
    entities : names and their symbols; needed unless `symbol` is given
    dated : whether the times are those at which the news came in; else they count from when the file was read
    zone, date_format : of times without a zone (else Asia/Kolkata), and how they are written (else found out)
    """

    path: Path
    columns: Mapping[str, str]
    entities: Entities | None = None
    dated: bool = False
    zone: str | None = None
    date_format: str | None = None
    known: Known | None = None
    now: Callable[[], datetime] = field(default=lambda: datetime.now(IST))

    @property
    def name(self) -> str:
        return f"news:{self.path.name}"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """The whole file in one piece, unless it has not changed; whatever the days asked for: what is left out once
        would never be told again. A headline dated ahead is known from its own time on.

        Raises
        ------
        BadInput : if it cannot be read, or has no time, no headline, or nothing that says whom it is about.
        """
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise BadInput(f"{self.path} cannot be read ({error.strerror}); correct the path") from None
        digest, origin = hashlib.sha256(content).hexdigest(), self.path.name
        if self.known is not None and self.known.seen("news", self.name, origin, digest):
            return
        header, rows = _table(content, origin)
        self._check(header, origin)
        lines = pd.Series([line for line, _ in rows])
        width = len(header)
        theirs = pd.DataFrame([(*cells, *[""] * width)[:width] for _, cells in rows], columns=header, dtype="str")
        whole = pd.Series([len(cells) == width for _, cells in rows])
        times = read_stamps(theirs[self.columns["time"]], origin, lines, self.zone, self.date_format).times
        table, rejected, unknown = self._rows(theirs, times, whole, lines, origin)
        notes = [f"{origin}: {unknown} headlines name no known instrument: left out"] if unknown else []
        unjudged = self._unreadable_sentiments(theirs)
        notes += [f"{origin}: {unjudged} sentiments are neither a word nor within -1 to 1: unknown"] if unjudged else []
        yield Fetched("news", self.name, table, None, origin, digest, rejected, tuple(notes))

    def _check(self, header: list[str], origin: str) -> None:
        odd = [ours for ours in self.columns if ours not in OURS]
        if odd:
            raise BadInput(f"news columns: {', '.join(odd)} is none of {', '.join(OURS)}; correct the map")
        if "time" not in self.columns:
            raise BadInput(
                f"{origin}: no column is named as the time; headlines without one cannot be used, since nobody could "
                f"say what was known when; name it in columns (found: {', '.join(header)})"
            )
        if "headline" not in self.columns:
            raise BadInput(f"{origin}: no column is named as the headline; found: {', '.join(header)}")
        missing = [theirs for theirs in self.columns.values() if theirs not in header]
        if missing:
            raise BadInput(f"{origin} has no column {', '.join(missing)}; found: {', '.join(header)[:300]}")
        twice = [theirs for theirs in self.columns.values() if header.count(theirs) > 1]
        if twice:
            raise BadInput(f"{origin} has the column {', '.join(twice)} more than once; rename or delete one")
        if "symbol" not in self.columns and self.entities is None:
            raise BadInput(f"{origin}: nothing says whom headlines are about; name the column symbol or give entities")

    def _rows(
        self, theirs: pd.DataFrame, times: pd.Series, whole: pd.Series, lines: pd.Series, origin: str
    ) -> tuple[pd.DataFrame, pd.DataFrame, int]:
        """Table, rows nothing could be made of, and how many headlines name nobody known."""
        read_at, rows, unknown, bad = pd.Timestamp(self.now()), [], 0, []
        headlines = theirs[self.columns["headline"]].str.strip()
        for place, time, headline in zip(theirs.index, times, headlines, strict=True):
            if pd.isna(time) or not headline or not whole[place] or not self._nameable(theirs.loc[place]):
                bad.append(place)
                continue
            about = self._about(theirs.loc[place], headline)
            unknown += not about
            moment = time if self.dated else max(time, read_at)
            rows += [(symbol, moment, headline, sentiment) for symbol, sentiment in about.items()]
        table = typed(pd.DataFrame(rows, columns=["symbol", "time", "headline", "sentiment"]), "news")
        if not bad:
            return table, no_rejects(), unknown
        named = [self._nameable(theirs.loc[place]) for place in bad]
        reasons = [_why(whole[place], times[place], own) for place, own in zip(bad, named, strict=True)]
        rejected = rejected_rows(
            theirs.loc[bad], "", "unreadable_time", reasons, [origin] * len(bad), lines.loc[bad].tolist()
        )
        return table, rejected.assign(rows_read=len(theirs)), unknown

    def _nameable(self, row: pd.Series) -> bool:
        """Whether the row's own symbol, if it has one, is one."""
        told = row[self.columns["symbol"]].strip() if "symbol" in self.columns else ""
        return not told or is_symbol(canonical(told))

    def _unreadable_sentiments(self, theirs: pd.DataFrame) -> int:
        if "sentiment" not in self.columns:
            return 0
        told = theirs[self.columns["sentiment"]].str.strip()
        return int((told[told != ""].map(_sentiment)).isna().sum())

    def _about(self, row: pd.Series, headline: str) -> dict[str, float]:
        """Symbols with their sentiment, NaN where nobody judged it."""
        sentiment = _sentiment(row[self.columns["sentiment"]]) if "sentiment" in self.columns else float("nan")
        if "symbol" in self.columns:
            symbol = row[self.columns["symbol"]].strip()
            return {canonical(symbol): sentiment} if symbol else {}
        assert self.entities is not None
        if "entities" in self.columns:
            labels = labels_in(row[self.columns["entities"]])
            found = {self.entities.symbol_of(name): _LABELS.get(label, sentiment) for name, label in labels.items()}
            return {symbol: score for symbol, score in found.items() if symbol is not None}
        return dict.fromkeys(self.entities.symbols_in(headline), sentiment)


def _why(whole: bool, time: pd.Timestamp, named: bool) -> str:
    if not whole:
        return "the row has not as many cells as the header"
    if not named:
        return "its symbol is none that NSE or Kite could list"
    return "the time cannot be read" if pd.isna(time) else "there is no headline"


def labels_in(text: str) -> dict[str, str]:
    """Labels by entity from a Python dict as text, also where an apostrophe in a name breaks it."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = dict(_PAIR.findall(text))
    return {str(name): str(label) for name, label in found.items()} if isinstance(found, dict) else {}


def _sentiment(text: str) -> float:
    label = text.strip().lower()
    if label in _LABELS:
        return _LABELS[label]
    try:
        score = float(label)
    except ValueError:
        return float("nan")
    return score if -1.0 <= score <= 1.0 else float("nan")


def _table(content: bytes, origin: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        text = content.decode("utf-8-sig")
        reader = csv.reader(StringIO(text, newline=""), strict=True)  # else an open quote swallows the rest of the file
        header = [cell.strip() for cell in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise BadInput(f"{origin} is not UTF-8 text (byte {error.start}); save it as UTF-8 CSV") from None
    except csv.Error as error:
        raise BadInput(f"{origin} is no readable CSV ({error}); save it again") from None
    if not rows:
        raise BadInput(f"{origin} holds no rows; delete it or export it again")
    if "\0" in text:
        raise BadInput(f"{origin} holds zero bytes, as no text does; save it again")
    return header, rows
