"""Feeds, headlines, ticks and announcements made corrupt: refused in one line, set aside, or as they were.

Of a mutation that leaves other figures only what was set aside or told may be gone, and nothing may be new. Bits that
flip inside a text may leave one that is wrong and yet possible: then what passes must at least be sound in itself.
"""

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from zlib import crc32

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.ingest.containers import NoBars
from pipelines.ingest.dated_tables import read_dated_table
from pipelines.ingest.shapes import read_sheet
from pipelines.ingest.sources.corporate_actions import read_actions
from pipelines.ingest.sources.entities import Entities, read_entities
from pipelines.ingest.sources.news_feeds import NewsFeed
from pipelines.ingest.sources.news_files import NewsFile
from pipelines.ingest.sources.tick_files import TickFiles
from pipelines.validate.release import Released
from pipelines.validate.ticks import sift_ticks
from tests.conftest import SHARED_DATA
from tests.integration.corrupt_texts import ANY_TEXT, CSV_TEXT, Change, a_row, cell, column_renamed
from tests.integration.judging import unclear

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
NOW = datetime(2026, 11, 2, 18, tzinfo=IST)
#: Mutations, as their names begin, that may write into a text: what they leave is another one, as a source may tell it
SUBTLE = (
    "bits flipped", "truncated", "nulls", "an unknown entity", "an ampersand alone", "a very long headline",
    "another encoding than it says", "a tag left open", "CDATA left open", "a comment left open", "tags crossed",
    "deeply nested",
)  # fmt: skip
IMPOSSIBLE_TIMES = ("", "garbage", "2023-02-30", "31/31/2023", "0000-00-00", "99999-01-01", "NaT", "-1")


@dataclass(frozen=True)
class Read:
    """What a source made of a file."""

    rows: frozenset[Hashable]
    told: tuple[str, ...]  #: notes, and the reasons of rows that were set aside
    unsound: str | None = None  #: the first row that cannot be, whatever the file said
    aside: frozenset[Hashable] = frozenset()  #: rows that were read and then set aside


RIGHT: dict[bytes, Read] = {}  #: what was made of each clean file


def outcome(read: Callable[[bytes], Read], clean: bytes, name: str, change: Change) -> str | None:
    """What went wrong, None if all is well."""
    right = RIGHT[clean] if clean in RIGHT else RIGHT.setdefault(clean, read(clean))
    content = change(clean, random.Random(crc32(name.encode())))
    try:
        found = read(content)
    except Exception as error:
        return unclear(error)
    if found.unsound:
        return found.unsound
    if name.startswith(SUBTLE):
        return None
    new, gone = found.rows - right.rows - right.aside, right.rows - found.rows
    if new:
        return f"{len(new)} rows passed that never were: {list(new)[:2]}"
    if gone and set(found.told) <= set(right.told):
        return f"{len(gone)} rows are gone and nothing is told: {list(gone)[:2]}"
    return None


def names_of(cases: dict[str, Change]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", cases, ids=lambda name: name.encode("ascii", "backslashreplace").decode())


def told_of(pieces: list) -> tuple[str, ...]:
    aside = [reason for one in pieces if one.rejected is not None for reason in one.rejected["reason"]]
    return (*(note for one in pieces for note in one.notes), *(f"{aside.count(one)} x {one}" for one in set(aside)))


# headlines ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def entities() -> Entities:
    return read_entities(SHARED_DATA / "headlines" / "entity_list_comprehensive.csv")


@cache
def headlines(count: int = 40) -> pd.DataFrame:
    """Real headlines with labels, each with a time in turn."""
    rows = pd.read_csv(SHARED_DATA / "headlines" / "SEntFiN_subset.csv", dtype=str).head(count)
    times = pd.Series(pd.date_range("2026-10-01 09:00", periods=count, freq="7h")).dt.strftime("%Y-%m-%d %H:%M")
    scores = pd.Series([f"{(n % 21 - 10) / 10:g}" for n in range(count)])
    return pd.DataFrame({"Date": times, "Score": scores, "Title": rows["Title"], "Decisions": rows["Decisions"]})


@cache
def news_csv() -> bytes:
    return headlines().to_csv(index=False).encode()


NEWS: dict[str, Change] = CSV_TEXT | {
    **{f"the time is {text!r}": cell(0, text) for text in IMPOSSIBLE_TIMES},
    **{f"the sentiment is {text!r}": cell(1, text) for text in ("abc", "9", "-1e9", "inf")},
    **{f"column {place} renamed": column_renamed(place) for place in (0, 1, 2, 3)},
    "a column twice": lambda content, _: content.replace(b"Date,Score,Title", b"Title,Score,Title", 1),
    "mixed zones": lambda content, _: content.replace(b"2026-10-02 ", b"2026-10-02T", 1).replace(
        b"2026-10-03 01:00", b"2026-10-03 01:00+05:30", 1),
}  # fmt: skip


@names_of(NEWS)
def test_a_corrupt_file_of_headlines_is_refused_set_aside_or_told(tmp_path, entities, name):
    columns = {"time": "Date", "headline": "Title", "entities": "Decisions", "sentiment": "Score"}

    def read(content: bytes) -> Read:
        (tmp_path / "news.csv").write_bytes(content)
        source = NewsFile(tmp_path / "news.csv", columns, entities, dated=True, now=lambda: NOW)
        pieces = list(source.fetch(None, NOW.date()))
        table = pieces[0].table
        odd = table[
            table["time"].isna() | (table["sentiment"].abs() > 1) | ~table["headline"].str.len().between(1, 5000)
        ]
        rows = frozenset(table.assign(sentiment=table["sentiment"].fillna(9)).itertuples(index=False, name=None))
        return Read(rows, told_of(pieces), f"unsound: {odd.iloc[0].to_dict()}" if len(odd) else None)

    assert outcome(read, news_csv(), name, NEWS[name]) is None


# feeds


@cache
def rss() -> bytes:
    items = "".join(
        f"<item><title>{row.Title.replace('&', '&amp;').replace('<', '&lt;')}</title>"
        f"<pubDate>{pd.Timestamp(row.Date):%a, %d %b %Y %H:%M:%S} +0530</pubDate></item>\n"
        for row in headlines().itertuples()
    )
    head = '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel><title>Markets</title>\n'
    return f"{head}{items}</channel></rss>".encode()


@cache
def atom() -> bytes:
    entries = "".join(
        f"<entry><id>{row.Index}</id><title>{row.Title.replace('&', '&amp;').replace('<', '&lt;')}</title>"
        f"<updated>{pd.Timestamp(row.Date):%Y-%m-%dT%H:%M:%S}+05:30</updated></entry>\n"
        for row in headlines().itertuples()
    )
    head = '<?xml version="1.0"?>\n<feed xmlns="http://www.w3.org/2005/Atom"><title>x</title>\n'
    return f"{head}{entries}</feed>".encode()


def _declared(inside: str, used: str) -> Change:
    """A document type of its own, and an item that uses it."""

    def changed(content: bytes, _: random.Random) -> bytes:
        head, _, body = content.partition(b"\n")
        return head + f"<!DOCTYPE x [{inside}]>\n".encode() + body.replace(b"</title>", used.encode() + b"</title>", 3)

    return changed


def _dated(text: str) -> Change:
    def changed(content: bytes, _: random.Random) -> bytes:
        return content.replace(b"Thu, 01 Oct 2026 09:00:00 +0530", text.encode()).replace(
            b"2026-10-01T09:00:00+05:30", text.encode()
        )

    return changed


BOMB = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha" * 50}">' for n in range(10))
FEEDS: dict[str, Change] = ANY_TEXT | {
    "a bomb of entities": _declared(BOMB, "&e9;"),
    "a bomb of entities in UTF-16": lambda content, chance: _declared(BOMB, "&e9;")(content, chance)
        .replace(b'encoding="utf-8"', b'encoding="utf-16"').decode().encode("utf-16"),
    "a file of this machine": _declared('<!ENTITY e SYSTEM "file:///etc/passwd">', "&e;"),
    "an entity of the network": _declared('<!ENTITY % e SYSTEM "http://127.0.0.1:1/x.dtd"> %e;', "&y;"),
    "an unknown entity": lambda content, _: content.replace(b"</title>", b"&nope;</title>", 4),
    "a tag left open": lambda content, _: content.replace(b"</title>", b"", 3),
    "tags crossed": lambda content, _: content.replace(b"</title>", b"</b></title>", 5),
    "an ampersand alone": lambda content, _: content.replace(b" to ", b" & to < "),
    "CDATA left open": lambda content, _: content.replace(b"<title>", b"<title><![CDATA[", 4),
    "a comment left open": lambda content, _: content.replace(b"<title>", b"<!-- <title>", 4),
    "deeply nested": lambda content, _: content.replace(b"<title>", b"<x>" * 20_000 + b"<title>", 2),
    "a very long headline": lambda content, _: content.replace(b"</title>", b" x" * 1_000_000 + b"</title>", 2),
    "items twice": lambda content, _: content.replace(b"\n<", b"\n" + content.splitlines()[-2] + b"\n<"),
    "another encoding than it says": lambda content, _: content.replace(b"SpiceJet", "SpiceJét".encode("latin-1")),
    "without its root": lambda content, _: content[content.find(b"<item>"):],
    "without its end": lambda content, _: content.replace(b"</channel></rss>", b"").replace(b"</feed>", b""),
    "scripts": lambda content, _: content.replace(b"</title>", b"&lt;script&gt;alert(1)&lt;/script&gt;</title>", 4),
    "without titles": lambda content, _: content.replace(b"title>", b"headline>"),
    "JSON": lambda *_: b'{"version": "https://jsonfeed.org/version/1", "items": [{"title": "Infosys wins"}]}',
    **{f"dated {text!r}": _dated(text) for text in (
        "", "garbage", "Thu, 31 Dec 9999 23:59:59 -1200", "9999-12-31T23:59:59-12:00", "Thu, 01 Jan 1970 00:00:00 GMT",
        "Thu, 01 Oct 2026 09:00:00", "Thu, 01 Oct 2026 09:00:00 +9999", "2026-02-30T00:00:00Z", "0000-00-00", "1e9",
        "Mon, 02 Nov 2026 18:00:00 +0530 +0530", "Thu, 01 Oct 2099 09:00:00 +0530")},
}  # fmt: skip


@pytest.mark.parametrize("feed", [rss, atom])
@names_of(FEEDS)
def test_a_corrupt_feed_is_refused_or_tells_what_it_lacks_and_nothing_too_early(tmp_path, entities, name, feed):
    def read(content: bytes) -> Read:
        (tmp_path / "feed.xml").write_bytes(content)
        (piece,) = NewsFeed(tmp_path / "feed.xml", entities, now=lambda: NOW).fetch(None, NOW.date())
        rows = frozenset((row.symbol, row.headline) for row in piece.table.itertuples())
        early = piece.table[~(piece.table["time"] >= NOW) | (piece.table["headline"].str.len() > 500)]
        return Read(rows, piece.notes, f"unsound: {early.iloc[0].to_dict()}" if len(early) else None)

    assert outcome(read, feed(), name, FEEDS[name]) is None


# ticks ----------------------------------------------------------------------------------------------------------------


@cache
def ticks_csv() -> bytes:
    return b"".join((SHARED_DATA / "ticks" / "INFY_16_April.csv").read_bytes().splitlines(keepends=True)[:300])


TICKS: dict[str, Change] = CSV_TEXT | {
    **{f"the time is {text!r}": cell(0, text) for text in (*IMPOSSIBLE_TIMES, "2099-01-05 10:00:00", "1970-01-01")},
    **{f"the price is {text!r}": cell(1, text) for text in (
        "0", "", "nan", "inf", "-inf", "1e308", "abc", "12..5", "-1363.15", "136.315", "13631.5")},
    **{f"the total is {text!r}": cell(2, text) for text in ("-5", "abc", "1e300", "inf", "-inf", "1O0")},
    **{f"column {place} renamed": column_renamed(place) for place in (0, 1, 2)},
    "price and total swapped": lambda content, _: content.replace(b"ltp,volume", b"volume,ltp", 1),
    "UTC taken for ours": lambda content, _: content.replace(b" 09:", b" 03:"),
    "moved by half a day": lambda content, _: content.replace(b" 09:", b" 21:"),
}  # fmt: skip


@names_of(TICKS)
def test_corrupt_ticks_are_refused_or_set_aside(tmp_path, name):
    def read(content: bytes) -> Read:
        (tmp_path / "INFY.csv").write_bytes(content)
        pieces = list(TickFiles(tmp_path).fetch(None, date(2100, 1, 1)))
        table = pd.concat([one.table for one in pieces], ignore_index=True)
        sifted = sift_ticks(table, {}, Released())
        sound = sifted.sound
        odd = sound[~sound["price"].between(1e-9, 1e7) | (sound["volume"] < 0) | (sound["volume"] > 1e11)]
        both = [frozenset(zip(part["symbol"], part["time"], part["price"], part["volume"], strict=True))
                for part in (sound, table)]  # fmt: skip
        aside = tuple(f"{rule} {count}" for rule, count in sifted.aside["rule"].value_counts().items())
        unsound = f"unsound: {odd.iloc[0].to_dict()}" if len(odd) else None
        return Read(both[0], (*told_of(pieces), *aside), unsound, both[1] - both[0])

    assert outcome(read, ticks_csv(), name, TICKS[name]) is None


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_parquet_file_of_ticks_is_refused_in_one_line_or_holds_sound_ticks(tmp_path, seed):
    table = pd.read_parquet(SHARED_DATA / "ticks" / "ticks_2021-05-17_to_21.parquet").tail(500)
    table.to_parquet(tmp_path / "t.parquet", index=False)
    content, chance = bytearray((tmp_path / "t.parquet").read_bytes()), random.Random(seed)
    if seed % 2:
        del content[chance.randrange(1, len(content)) :]
    for _ in range(8):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    (tmp_path / "t.parquet").write_bytes(content)

    try:
        pieces = list(TickFiles(tmp_path).fetch(None, date(2100, 1, 1)))
    except Exception as error:
        problem = unclear(error)
    else:
        sound = sift_ticks(pd.concat([one.table for one in pieces], ignore_index=True), {}, Released()).sound
        problem = None if sound["price"].between(1e-9, 1e7).all() else "a price that cannot be passed"
    assert problem is None, problem


# announcements --------------------------------------------------------------------------------------------------------

ANNOUNCED = datetime(2025, 12, 16, 20, tzinfo=IST)


def shares_only(content: bytes) -> bytes:
    head, *rows = content.splitlines(keepends=True)
    return b"".join([head, *(row for row in rows if row.startswith((b"EQ,", b"BE,")))])


@cache
def actions_csv() -> bytes:
    (path,) = SHARED_DATA.rglob("bc16122025.csv")
    return shares_only(path.read_bytes())


def purpose(text: str) -> Change:
    return a_row(lambda row: row.rpartition(b",")[0] + b"," + text.encode())


ACTIONS: dict[str, Change] = CSV_TEXT | {
    **{f"the ex-date is {text!r}": cell(6, text) for text in (
        *IMPOSSIBLE_TIMES, "1970-01-01", "2099-01-05", "12/16/2025", "16.12.2025")},
    "the symbol is empty": cell(1, ""),
    **{f"column {place} renamed": column_renamed(place) for place in (0, 1, 6, 9)},
    **{f"the purpose is {text[:40]!r}": purpose(text) for text in (
        "BONUS 99999999999999999999:1", "BONUS 1:0", "BONUS 0:1", "BONUS 1" + "0" * 400 + ":1", "DIV RS 99999999",
        "FV SPLT FRM RS 10 TO RS 0", "FV SPLT FRM RS 99999 TO RS 1", "DIV RS 1" + "0" * 400, "", "\x00")},
    "a column twice": lambda content, _: content.replace(b"RECORD_DT", b"EX_DT", 1),
}  # fmt: skip


@names_of(ACTIONS)
def test_corrupt_announcements_are_refused_or_told(name):
    def read(content: bytes) -> Read:
        table, notes = read_actions(content, "bc16122025.csv", ANNOUNCED)
        odd = table[
            (table["symbol"] == "")
            | ~(table["ratio"].isna() | table["ratio"].between(1e-3, 1e3))
            | (table["amount_inr"] > 1e4)
            | ((table["ex_date"] - ANNOUNCED).abs() > pd.Timedelta(days=367))
        ]
        rows = table[["symbol", "ex_date", "kind", "ratio", "amount_inr"]].fillna({"ratio": -1, "amount_inr": -1})
        unsound = f"unsound: {odd.iloc[0].to_dict()}" if len(odd) else None
        return Read(frozenset(rows.itertuples(index=False, name=None)), notes, unsound)

    assert outcome(read, actions_csv(), name, ACTIONS[name]) is None


@cache
def listed_csv() -> bytes:
    """Splits and bonuses as a person lists them beside bars."""
    found = pd.read_csv(SHARED_DATA / "corporate_actions" / "derived_splits_bonuses.csv", dtype=str)
    columns = {"symbol": "symbol", "ex_date": "ex_date", "nearest_simple_ratio": "ratio"}
    own = found[found["kind"] == "split_or_bonus"].rename(columns=columns)
    table = own.assign(kind="split", amount_inr="", known_at="2024-01-01T18:00:00+05:30")
    return table[["symbol", "ex_date", "kind", "ratio", "amount_inr", "known_at"]].to_csv(index=False).encode()


LISTED: dict[str, Change] = CSV_TEXT | {
    **{f"the ex-date is {text!r}": cell(1, text) for text in (*IMPOSSIBLE_TIMES, "0001-01-01", "9999-12-31")},
    **{f"the kind is {text!r}": cell(2, text) for text in ("", "spilt", "\x00")},
    **{f"the ratio is {text!r}": cell(3, text) for text in (
        "", "0", "-2", "nan", "inf", "1e400", "1e999999999", "1/0", "0/1", "2/-1", "1_0", "١٠", "99999", "0.0000001")},
    **{f"the amount is {text!r}": cell(4, text) for text in ("abc", "nan", "inf", "-1")},
    **{f"known at {text!r}": cell(5, text) for text in ("soon", "9999-12-31T23:59:59-12:00", "0001-01-01")},
    "the symbol is empty": cell(0, ""),
    **{f"column {place} renamed": column_renamed(place) for place in range(4)},
}  # fmt: skip


@names_of(LISTED)
def test_a_corrupt_list_of_actions_is_refused_or_left_to_who_reads_bars(tmp_path, name):
    def read(content: bytes) -> Read:
        path = tmp_path / "actions.csv"
        path.write_bytes(content)
        dated = read_dated_table(path, path.name)
        if dated is None:  # then it is read as bars, which tells that it holds none or refuses it
            sheet = read_sheet(path, path.name)
            assert isinstance(sheet, NoBars)
            return Read(frozenset(), (sheet.reason,))
        table = dated.table
        years = table["ex_date"].dt.year
        odd = table[(table["symbol"] == "") | ~table["ratio"].between(1e-3, 1e3) | ~years.between(1900, 2199)]
        rows = table[["symbol", "ex_date", "kind", "ratio", "known_at"]]
        unsound = f"unsound: {odd.iloc[0].to_dict()}" if len(odd) else None
        return Read(frozenset(rows.itertuples(index=False, name=None)), (), unsound)

    assert outcome(read, listed_csv(), name, LISTED[name]) is None


def test_there_are_hundreds_of_ways():
    assert len(NEWS) + 2 * len(FEEDS) + len(TICKS) + len(ACTIONS) + len(LISTED) >= 400
