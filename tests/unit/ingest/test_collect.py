"""Collecting: each source is asked for the rest, and one that fails stops no other."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import pytest

from pipelines.credentials import note_secret
from pipelines.domain.errors import BadInput, ServiceUnavailable
from pipelines.ingest.collect import Wanted, collect
from pipelines.ingest.lake import Lake
from pipelines.ingest.source import Fetched, Known
from pipelines.ingest.sources.bar_files import BarFiles
from tests.unit.ingest.lake_builders import Clock, a_piece, some_bars

TODAY = date(2026, 6, 1)


@dataclass
class Windows:
    """A source of one series in windows of two bars, which may break off."""

    count: int
    breaks_at: int | None = None
    error: Exception = field(default_factory=lambda: ServiceUnavailable("it does not answer"))
    name: str = "windows"
    known: Known | None = None

    def fetch(self, since: date | None, until: date) -> Iterator[Fetched]:
        for n in range(self.count):
            origin = f"window {n}"
            piece = a_piece(some_bars([(2 * n, 100.0), (2 * n + 1, 101.0)]), origin=origin)
            assert self.known is not None
            if self.known.seen("bars", piece.key, origin, piece.digest):
                continue
            if n == self.breaks_at:
                raise self.error
            yield piece


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake(tmp_path / "lake", Clock())


def asked(lake: Lake, *sources):
    stored = []
    found = collect(
        lake, [Wanted("it", lambda one=one: one) for one in sources], None, TODAY, lambda *told: stored.append(told)
    )
    return found, stored


def test_what_a_source_hands_over_is_stored_and_counted(lake):
    (found,), stored = asked(lake, Windows(3))

    assert found.in_words() == "windows: 6 rows added (3 pieces read)"
    assert [piece.origin for _, piece, _ in stored] == ["window 0", "window 1", "window 2"]
    assert len(lake.pin().rows("bars", "windows", "SBIN@5min")) == 6


def test_asked_again_it_adds_nothing(lake):
    asked(lake, Windows(3))

    (found,), stored = asked(lake, Windows(3))

    assert found.in_words() == "windows: nothing new"
    assert stored == []


def test_after_a_break_it_goes_on_where_it_ended(lake):
    (broken,), _ = asked(lake, Windows(4, breaks_at=2))

    (found,), stored = asked(lake, Windows(4))

    assert broken.in_words() == (
        "windows: failed, 4 rows added (2 pieces read): ServiceUnavailable: it does not answer"
    )
    assert [piece.origin for _, piece, _ in stored] == ["window 2", "window 3"]
    assert found.failed is None


def test_a_source_that_fails_does_not_stop_the_others(lake):
    def no_login():
        raise BadInput("no token of today")

    wanted = [
        Wanted("kite", no_login),
        Wanted("odd", lambda: Windows(1, breaks_at=0, error=ZeroDivisionError("by\nzero"))),
        Wanted("windows", lambda: Windows(1)),
    ]

    found = collect(lake, wanted, None, TODAY, lambda *_: None)

    assert [one.failed for one in found] == [
        "BadInput: no token of today",
        "unexpected ZeroDivisionError: by zero",
        None,
    ]
    assert found[2].rows == 2


def test_no_secret_stands_in_what_is_told(lake):
    note_secret("api-key-4711")

    (found,), _ = asked(lake, Windows(1, breaks_at=0, error=ServiceUnavailable("?key=api-key-4711 was refused")))

    assert found.failed == "ServiceUnavailable: ?key=*** was refused"


def test_many_bars_told_otherwise_are_told_to_a_person(lake):
    bars = [(n, 100.0) for n in range(30)]
    lake.store("windows", a_piece(some_bars(bars), origin="before"))

    class Adjusted(Windows):
        def fetch(self, since, until):
            yield a_piece(some_bars([(n, 50.0) for n, _ in bars]), origin="after")

    (found,), _ = asked(lake, Adjusted(1))

    assert found.corrected == 30
    assert any("30 bars of SBIN@5min are told otherwise than before" in note for note in found.notes)


def test_a_folder_of_bars_goes_into_the_lake_once(lake, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    rows = "".join(f"2026-01-{day:02d},100,101,99,100.5,1000\n" for day in (5, 6, 7))
    (folder / "TCS.csv").write_text("date,open,high,low,close,volume\n" + rows, encoding="utf-8")

    first, _ = asked(lake, BarFiles(folder))
    again, _ = asked(lake, BarFiles(folder))

    assert (first[0].rows, again[0].rows) == (3, 0)
    stored = lake.pin().rows("bars", "files:archive", "TCS@day")
    assert stored["open_time"].dt.strftime("%d %H:%M").tolist() == ["05 09:15", "06 09:15", "07 09:15"]


def test_actions_beside_the_bars_of_a_folder_go_into_the_lake_with_them(lake, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "TCS.csv").write_text("date,open,high,low,close,volume\n2026-01-05,100,101,99,100.5,1000\n")
    (folder / "actions.csv").write_text("symbol,ex_date,kind,ratio,amount_inr\nTCS,2026-01-06,bonus,2,\n")

    asked(lake, BarFiles(folder))
    (again,), _ = asked(lake, BarFiles(folder))

    [(key, _)] = lake.pin().series("actions").items()
    stored = lake.pin().rows("actions", "files:archive", key)
    assert stored[["symbol", "kind", "ratio"]].to_numpy().tolist() == [["TCS", "bonus", 2.0]]
    assert again.rows == 0


def test_a_dump_of_instruments_beside_the_bars_of_a_folder_goes_into_the_lake_with_them(lake, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "TCS.csv").write_text("date,open,high,low,close,volume\n2026-01-05,100,101,99,100.5,1000\n")
    head = "instrument_token,tradingsymbol,tick_size,lot_size,segment\n"
    (folder / "dump.csv").write_text(f"{head}2953217,TCS,0.1,1,NSE\n256265,NIFTY 50,0,1,INDICES\n")

    (found,), _ = asked(lake, BarFiles(folder))

    assert found.failed is None
    stored = lake.pin().rows("instruments", "files:archive")
    assert stored[["symbol", "token", "kind", "tick_size", "has_volume"]].to_numpy().tolist() == [
        ["NIFTY 50", 256265, "index", "0", False],
        ["TCS", 2953217, "stock", "0.1", True],
    ]


def test_rows_that_could_not_be_read_are_told_when_they_are_new(lake, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    rows = "2026-01-05,100,101,99,100.5,1000\n2026-01-06,100,101,99,abc,1000\n"
    (folder / "TCS.csv").write_text("date,open,high,low,close,volume\n" + rows, encoding="utf-8")

    (first,), _ = asked(lake, BarFiles(folder))
    (again,), _ = asked(lake, BarFiles(folder))

    assert first.notes == ("TCS.csv: 1 rows are set aside, e.g. row 3: close is no number: abc",)
    assert again.notes == ()
