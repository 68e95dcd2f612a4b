"""Headlines from files and feeds: nobody knows one before it was published, nor before it was read."""

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, NotFound
from pipelines.ingest.sources.downloads import Downloads
from pipelines.ingest.sources.entities import Entities, read_entities
from pipelines.ingest.sources.news_feeds import NewsFeed, items_of, plain_text
from pipelines.ingest.sources.news_files import NewsFile, labels_in
from tests.conftest import SHARED_DATA
from tests.unit.ingest.sources.server import Answer, serving

NOW = datetime(2026, 11, 2, 18, tzinfo=IST)
UNTIL = NOW.date()
HEADLINES = SHARED_DATA / "headlines"
recorded = pytest.mark.skipif(not HEADLINES.exists(), reason="the shared data are not here")
NAMES = Entities({
    "INFY": ["Infosys"], "RELIANCE": ["Reliance Industries", "RIL"], "RPOWER": ["Reliance Power"], "ITC": [],
    "DRREDDY": ["Dr Reddy", "Dr Reddy's Labs"], "HDFCBANK": ["HDFC Bank"], "HDFC": ["HDFC"], "GAIL": ["GAIL India"],
})  # fmt: skip
RSS = """<?xml version="1.0"?><rss version="2.0"><channel><title>Markets</title>
<item><title>&lt;b&gt;Infosys&lt;/b&gt; wins a deal &amp;amp; hires</title>
<pubDate>Mon, 02 Nov 2026 10:00:00 +0530</pubDate></item>
<item><title>Reliance Power and ITC fall</title><pubDate>Mon, 02 Nov 2026 12:00:00 IST</pubDate></item>
<item><title>RIL sets a record date</title><pubDate>Tue, 03 Nov 2026 09:00:00 GMT</pubDate></item>
<item><title>GAIL India to pay</title></item>
<item><title>Rain in Mumbai</title><pubDate>Mon, 02 Nov 2026 10:00:00 +0530</pubDate></item>
</channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>x</title><id>x</id>
<entry><title type="html">Infosys &lt;i&gt;up&lt;/i&gt;</title><id>1</id>
<updated>2026-11-02T16:00:00Z</updated></entry></feed>"""


def written(folder: Path, text: str, name: str = "news.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def one(source) -> pd.DataFrame:
    (piece,) = source.fetch(None, UNTIL)
    return piece.table


# entities


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Infosys wins", ("INFY",)),
        ("infosys' profit; INFOSYS up", ("INFY",)),
        ("Reliance Power falls, Reliance Industries rises", ("RELIANCE", "RPOWER")),
        ("HDFC Bank and others", ("HDFCBANK",)),
        ("HDFC merges with HDFC Bank", ("HDFC", "HDFCBANK")),
        ("the ril of itc", ()),
        ("ITC's cigarettes", ("ITC",)),
        ("Dr Reddy’s Labs recalls", ("DRREDDY",)),
        ("Infosystems, XITC", ()),
        ("", ()),
    ],
)
def test_a_headline_names_the_instruments_that_are_spelt_in_it(text, symbols):
    assert NAMES.symbols_in(text) == symbols


def test_a_spelling_that_two_symbols_share_names_neither():
    shared = Entities({"TATAMOTORS": ["Tata"], "TATASTEEL": ["Tata"]})

    assert shared.symbols_in("Tata rises, TATASTEEL falls") == ("TATASTEEL",)
    assert shared.ambiguous == ["Tata"]


@recorded
def test_the_recorded_spellings_find_who_people_said_the_headlines_are_about():
    names = read_entities(HEADLINES / "entity_list_comprehensive.csv")
    rows = pd.read_csv(HEADLINES / "SEntFiN_subset.csv", dtype=str)
    dump = SHARED_DATA / "kite" / "instruments" / "nse_instruments.csv"
    listed = set(pd.read_csv(dump)["tradingsymbol"])  # the table has sectors too, under words that are no symbols
    wanted = [{names.symbol_of(name) for name in labels_in(text)} & listed for text in rows["Decisions"]]

    found = [set(names.symbols_in(title)) & listed for title in rows["Title"]]

    right = sum(len(a & b) for a, b in zip(found, wanted, strict=True))
    assert right / sum(map(len, wanted)) > 0.95, "recall"
    assert right / sum(map(len, found)) > 0.80, "precision"


# files


def test_a_headline_of_a_file_is_known_from_when_the_file_was_read(tmp_path):
    path = written(tmp_path, "at,text,who\n2026-11-02 10:00,up,INFY\n2026-11-03 10:00,down,infy\n")
    columns = {"time": "at", "headline": "text", "symbol": "who"}

    table = one(NewsFile(path, columns, now=lambda: NOW - timedelta(hours=1)))

    ahead = pd.Timestamp("2026-11-03 10:00", tz=IST)
    assert table["time"].tolist() == [NOW - timedelta(hours=1), ahead], "what is dated ahead waits for its time"
    assert table["sentiment"].isna().all()


def test_an_archive_that_is_dated_honestly_counts_from_publication(tmp_path):
    path = written(tmp_path, "at,text,who,score\n02.11.2026 04:30,up,INFY,0.5\n02.11.2026 05:30,down,ITC,9\n")
    columns = {"time": "at", "headline": "text", "symbol": "who", "sentiment": "score"}

    table = one(NewsFile(path, columns, dated=True, zone="UTC", date_format="%d.%m.%Y %H:%M", now=lambda: NOW))

    assert table["time"].dt.strftime("%d %H:%M").tolist() == ["02 10:00", "02 11:00"]
    assert table["sentiment"].fillna(-9).tolist() == [0.5, -9], "9 is no sentiment"


def test_rows_without_time_or_headline_are_set_aside(tmp_path):
    path = written(tmp_path, "at,text,who\n2026-11-02,up,INFY\nsoon,down,INFY\n2026-11-02,,INFY\n")

    (piece,) = NewsFile(path, {"time": "at", "headline": "text", "symbol": "who"}, now=lambda: NOW).fetch(None, UNTIL)

    assert len(piece.table) == 1
    assert piece.rejected[["reason", "source_row"]].to_numpy().tolist() == [
        ["the time cannot be read", 3],
        ["there is no headline", 4],
    ]


def test_rows_beyond_the_days_asked_for_are_told_too_since_the_file_is_passed_over_next_time(tmp_path):
    path = written(tmp_path, "at,text,who\n2026-10-01,up,INFY\n2026-11-05,down,INFY\n")
    source = NewsFile(path, {"time": "at", "headline": "text", "symbol": "who"}, dated=True)

    (piece,) = source.fetch(UNTIL, UNTIL)

    assert piece.table["time"].dt.strftime("%m-%d").tolist() == ["10-01", "11-05"]


def test_an_unchanged_file_is_passed_over(tmp_path):
    path = written(tmp_path, "at,text,who\n2026-11-02,up,INFY\n")

    class Known:
        def seen(self, kind, key, origin, digest):
            return (kind, key, origin) == ("news", "news:news.csv", "news.csv")

    source = NewsFile(path, {"time": "at", "headline": "text", "symbol": "who"}, known=Known())
    assert list(source.fetch(None, UNTIL)) == []


@recorded
def test_headlines_without_dates_are_refused_in_one_line_and_taken_with_a_column_of_dates(tmp_path):
    names = read_entities(HEADLINES / "entity_list_comprehensive.csv")
    path = HEADLINES / "SEntFiN_subset.csv"
    columns = {"headline": "Title", "entities": "Decisions"}

    with pytest.raises(BadInput, match="no column is named as the time; headlines without one cannot be used") as told:
        list(NewsFile(path, columns, names).fetch(None, UNTIL))
    assert "\n" not in str(told.value)

    rows = pd.read_csv(path, dtype=str)
    rows.insert(0, "Date", "2020-01-01")
    rows.to_csv(tmp_path / "dated.csv", index=False)
    table = one(NewsFile(tmp_path / "dated.csv", {"time": "Date"} | columns, names, dated=True))
    assert len(table) == 5_349, "the other entities are in no table of spellings, or in one row that names no symbol"
    assert set(table["sentiment"]) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("", {}, "holds no rows"),
        ("at,text\n", {}, "holds no rows"),
        ("at,text\n2026-11-02,up\n", {"time": "at"}, "no column is named as the headline"),
        ("at,text\n2026-11-02,up\n", {"time": "when", "headline": "text"}, "has no column when; found: at, text"),
        ("at,text\n2026-11-02,up\n", {"time": "at", "headline": "text"}, "nothing says whom"),
        ("at,text\n2026-11-02,up\n", {"time": "at", "headline": "text", "who": "x"}, "who is none of time"),
        ('at,text,s\n2026-11-02,"up,X\n', {"time": "at", "headline": "text", "symbol": "s"}, "no readable CSV"),
        ("at,text,text\n2026-11-02,up,X\n", {"time": "at", "headline": "text", "symbol": "at"}, "text more than once"),
        ("at,text,s\nsoon,up,X\n", {"time": "at", "headline": "text", "symbol": "s"}, "no readable time"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, text, columns, words):
    with pytest.raises(BadInput, match=words):
        list(NewsFile(written(tmp_path, text), columns).fetch(None, UNTIL))


# feeds


def test_items_are_known_from_the_fetch_or_from_a_later_time_they_are_dated_to():
    with serving() as served:
        served.give("rss?key=secretkey", RSS.encode())
        source = NewsFeed(f"{served.url}/rss?key=secretkey", NAMES, downloads=Downloads(), now=lambda: NOW)
        (piece,) = source.fetch(None, UNTIL)

    assert piece.table[["symbol", "headline"]].to_numpy().tolist() == [
        ["INFY", "Infosys wins a deal & hires"],
        ["ITC", "Reliance Power and ITC fall"],
        ["RPOWER", "Reliance Power and ITC fall"],
        ["RELIANCE", "RIL sets a record date"],
        ["GAIL", "GAIL India to pay"],
    ]
    later = pd.Timestamp("2026-11-03 14:30", tz=IST)
    assert piece.table["time"].tolist() == [NOW, NOW, NOW, later, NOW]
    assert piece.table["sentiment"].isna().all()
    assert "secretkey" not in piece.origin + piece.key + source.name
    assert [note.partition(": ")[2] for note in piece.notes] == [
        "1 items name no known instrument: left out",
        "1 items have no date: known from the fetch",
    ]


def test_times_of_any_zone_become_indian():
    published = [item.published for feed in (RSS, ATOM) for item in items_of(feed.encode(), "feed")[0]]

    told = [moment and f"{moment.astimezone(IST):%d %H:%M}" for moment in published]
    assert told == ["02 10:00", "02 12:00", "03 14:30", None, "02 10:00", "02 21:30"]


def test_a_saved_feed_is_read_from_its_file(tmp_path):
    table = one(NewsFeed(written(tmp_path, ATOM, "feed.xml"), NAMES, now=lambda: NOW))

    assert table[["symbol", "headline"]].to_numpy().tolist() == [["INFY", "Infosys up"]]
    assert table["time"].item() == pd.Timestamp("2026-11-02 21:30", tz=IST), "dated after the fetch: known then"


@pytest.mark.parametrize(
    "content",
    [b"", b"<html><body>Sorry</body></html>", b"not xml", b"\x00\xff\xfe",
     b'<!DOCTYPE x [<!ENTITY a "b">]><rss version="2.0"><channel><item><title>&a;</title></item></channel></rss>'],
)  # fmt: skip
def test_what_is_no_feed_is_refused(content):
    with pytest.raises(BadInput, match=r"is no RSS or Atom feed|declares entities"):
        items_of(content, "feed")


def test_a_feed_that_is_cut_off_is_refused_and_a_broken_one_says_so(tmp_path):
    with pytest.raises(BadInput, match="feed is cut off"):
        items_of(RSS.encode()[:-60], "feed")

    items, told = items_of(RSS.replace("Rain in", "Rain & sun in").encode(), "feed")

    assert len(items) == 5
    assert told[0].startswith("feed is no sound XML")


def test_a_headline_of_another_year_does_not_stop_the_feed(tmp_path):
    text = RSS.replace("Mon, 02 Nov 2026 10:00:00 +0530", "Fri, 31 Dec 9999 23:59:59 -1200", 1)

    (piece,) = NewsFeed(written(tmp_path, text, "feed.xml"), NAMES, now=lambda: NOW).fetch(None, UNTIL)

    assert piece.table["headline"].iloc[0] == "Infosys wins a deal & hires"
    assert len(piece.table) == 5


def test_a_feed_that_is_gone_or_too_large_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.ingest.sources.news_feeds.MOST_BYTES", 50)
    with serving() as served:
        served.give("big", Answer(RSS.encode()))
        with pytest.raises(BadInput, match="larger than 50 bytes"):
            one(NewsFeed(f"{served.url}/big", NAMES))
        with pytest.raises(NotFound):
            one(NewsFeed(f"{served.url}/gone", NAMES))
    with pytest.raises(BadInput, match="larger than 50 bytes"):
        one(NewsFeed(written(tmp_path, RSS, "feed.xml"), NAMES))


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("a <b>bold</b>  word", "a bold word"),
        ("<script>alert(1)</script>up &amp; down", "up & down"),
        ("&lt;p&gt;P/E &lt; 10", "P/E < 10"),
        ("</style>kept", "kept"),
    ],
)
def test_headlines_are_plain_text(markup, text):
    assert plain_text(markup) == text


def test_no_row_of_the_past_changes_when_later_items_arrive(tmp_path):
    shutil.copy(written(tmp_path, RSS, "feed.xml"), tmp_path / "early.xml")
    later = RSS.replace("<item>", "<item><title>ITC up</title></item><item>", 1)

    early = one(NewsFeed(tmp_path / "early.xml", NAMES, now=lambda: NOW))
    both = one(NewsFeed(written(tmp_path, later, "feed.xml"), NAMES, now=lambda: NOW + timedelta(days=1)))

    before = both.merge(early, on=["symbol", "headline"], suffixes=("", "_early"))
    assert len(before) == len(early)
    assert (before["time"] >= before["time_early"]).all(), "never earlier than it was known"
    assert date(2026, 11, 3) == both["time"].min().date()
