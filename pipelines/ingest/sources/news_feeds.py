"""The source `news:<feed>`: headlines of an RSS or Atom feed, by https or from a file.

An item may be used from the later of its published time and the moment of the fetch: a feed can be late, and its times
can be changed afterwards. A feed repeats its items for days; the lake counts each from the first time it was told.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from xml.sax import SAXException

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.ingest.kinds import typed
from pipelines.ingest.source import Fetched, Known
from pipelines.ingest.sources.downloads import Downloads, checked
from pipelines.ingest.sources.entities import Entities

MOST_BYTES = 5_000_000
MOST_ITEMS = 2_000
AHEAD = timedelta(days=1)  #: beyond which a date ahead is told: zones alone make less
_ENDS = (b"</rss>", b"</feed>", b"</rdf:RDF>")
LONGEST_HEADLINE = 500  #: letters; more is no headline and is cut


@dataclass
class NewsFeed:
    """Headlines of one feed.

    Parameters
    ----------
    place : https address, or path of a file that was saved
    entities : names and their symbols; items that name none of them are counted and left out
    """

    place: str | Path
    entities: Entities
    known: Known | None = None
    downloads: Downloads = field(default_factory=Downloads)
    now: Callable[[], datetime] = field(default=lambda: datetime.now(IST))

    @property
    def name(self) -> str:
        """The address without its query, which may carry a key."""
        return f"news:{self._origin()}"

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        """All items of the feed in one piece, whatever the days asked for, unless it has not changed.

        Raises
        ------
        BadInput : if it is no feed, or too large. NotFound, ServiceUnavailable : it cannot be had.
        """
        content, origin = self._content(), self._origin()
        digest = hashlib.sha256(content).hexdigest()
        if self.known is not None and self.known.seen("news", self.name, origin, digest):
            return
        items, told = items_of(content, origin)
        fetched_at, rows, unknown, undated, ahead = self.now(), [], 0, 0, 0
        for item in items:
            symbols = self.entities.symbols_in(item.headline)
            unknown += not symbols
            undated += item.published is None
            moment = max(item.published or fetched_at, fetched_at).astimezone(IST)
            ahead += moment - fetched_at > AHEAD
            rows += [(symbol, moment, item.headline, float("nan")) for symbol in symbols]
        table = typed(pd.DataFrame(rows, columns=["symbol", "time", "headline", "sentiment"]), "news")
        notes = [*told]
        notes += [f"{origin}: {unknown} items name no known instrument: left out"] if unknown else []
        notes += [f"{origin}: {undated} items have no date: known from the fetch"] if undated else []
        notes += [f"{origin}: {ahead} items are dated more than a day ahead: known from then"] if ahead else []
        yield Fetched("news", self.name, table, None, origin, digest, notes=tuple(notes))

    def _origin(self) -> str:
        if isinstance(self.place, Path):
            return self.place.name
        parts = urlsplit(checked(self.place))
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def _content(self) -> bytes:
        if not isinstance(self.place, Path):
            return self.downloads.get(self.place, MOST_BYTES)
        try:
            with self.place.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise BadInput(f"{self.place} cannot be read ({error.strerror}); correct the path") from None
        if len(content) > MOST_BYTES:
            raise BadInput(f"{self.place.name} is larger than {MOST_BYTES:,} bytes; it is not what was expected")
        return content


@dataclass(frozen=True, slots=True)
class Item:
    headline: str
    published: datetime | None  #: with a zone


def items_of(content: bytes, origin: str) -> tuple[list[Item], tuple[str, ...]]:
    """The items of a feed, each headline once, as plain text; and in sentences what is odd about it.

    Raises
    ------
    BadInput : if it is no RSS or Atom, or cut off: its last headline may be half of one.
    """
    import feedparser

    if b"<!ENTITY" in _plainly(content):
        raise BadInput(f"{origin} declares entities, as no news feed does; it is not read")
    feed = feedparser.parse(content)
    if not feed.entries and (feed.bozo or not feed.get("version")):
        raise BadInput(f"{origin} is no RSS or Atom feed; open the address in a browser")
    broken = isinstance(feed.get("bozo_exception"), SAXException)
    if broken and not any(end in _plainly(content)[-200:] for end in _ENDS):
        raise BadInput(f"{origin} is cut off ({_reason(feed.bozo_exception)}); fetch it again")
    told = [f"{origin} is no sound XML ({_reason(feed.bozo_exception)}): what could be read is taken"] if broken else []
    if len(feed.entries) > MOST_ITEMS:
        told.append(f"{origin}: {len(feed.entries) - MOST_ITEMS} items beyond the first {MOST_ITEMS:,} are left out")
    found: dict[str, Item] = {}
    untitled = 0
    for entry in feed.entries[:MOST_ITEMS]:
        headline = plain_text(str(entry.get("title", "")))[:LONGEST_HEADLINE]
        untitled += not headline
        if headline:
            found.setdefault(headline, Item(headline, _published(entry)))
    if untitled:
        told.append(f"{origin}: {untitled} items have no headline: left out")
    return list(found.values()), tuple(told)


def _plainly(content: bytes) -> bytes:
    """Without the zeros that letters of two or four bytes bring."""
    return content.replace(b"\0", b"")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def plain_text(markup: str) -> str:
    """Text without tags and with one blank between words; what stands in scripts and styles is no text."""
    parser = _Text()
    parser.feed(unescape(markup))
    parser.close()
    return " ".join("".join(parser.parts).split())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._silent += tag in ("script", "style")
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style") and self._silent > 0
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(data)


def _published(entry: Any) -> datetime | None:
    """When it was published, or changed if that is later; None if neither can be read.

    A time without a zone is taken as UTC by the parser: for Indian news that is hours too late, never too early.
    """
    found = []
    for name in ("published", "updated"):
        text, parsed = str(entry.get(name, "")), entry.get(f"{name}_parsed")
        if text.rstrip().endswith(" IST"):  # the parser does not know India's
            try:
                found.append(parsedate_to_datetime(text.rstrip()[:-3] + "+0530"))
                continue
            except (ValueError, TypeError):
                pass
        if isinstance(parsed, time.struct_time):
            try:
                found.append(datetime(*parsed[:6], tzinfo=UTC).astimezone(IST))
            except (ValueError, OverflowError):  # a year that is none
                continue
    return max(found, default=None)
