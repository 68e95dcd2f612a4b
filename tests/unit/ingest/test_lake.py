"""The lake: nothing is lost, changed or told twice, whoever writes, reads or dies meanwhile."""

import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.ingest.lake import Lake, Stored
from pipelines.ingest.pin import read_part
from pipelines.ingest.rejects import rejected_rows
from pipelines.ingest.source import Fetched
from tests.unit.ingest.lake_builders import START, Clock, a_piece, actions, news, some_bars
from tests.unit.ingest.test_kinds import at
from tests.unit.ingest.test_stage import hashes

#: Children of a server without threads: a fork of the tests' own process could inherit a lock that is never let go
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.unit.ingest.test_lake"])


def closes(lake: Lake, as_of: datetime | None = None, source: str = "kite") -> list[float]:
    return lake.pin(as_of).rows("bars", source, "SBIN@5min")["close"].tolist()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lake(tmp_path, clock) -> Lake:
    return Lake(tmp_path / "lake", clock)


def test_what_was_stored_is_read_back_with_its_types(lake):
    bars = some_bars([(0, 100.0), (1, 101.5)])

    stored = lake.store("kite", a_piece(bars))

    assert stored == Stored(rows=2)
    pd.testing.assert_frame_equal(lake.pin().rows("bars", "kite", "SBIN@5min"), bars)


def test_a_piece_tells_where_it_came_from_and_when_it_was_learnt(lake, clock):
    known_at = datetime(2026, 1, 5, 20, 0, tzinfo=IST)

    lake.store("kite", a_piece(some_bars([(0, 100.0)]), known_at=known_at, notes=("odd",)))

    entry = lake.pin().entries[0]
    assert (entry.source, entry.origin, entry.known_at, entry.notes) == ("kite", "a.csv", known_at, ("odd",))
    assert entry.learnt_at == clock.moment - timedelta(seconds=1)
    assert [part.rows for part in entry.parts] == [1]


def test_files_are_divided_by_kind_key_and_year(lake):
    bars = some_bars([(0, 100.0)])
    old = bars.assign(open_time=bars["open_time"] - pd.Timedelta(days=30))

    lake.store("kite", a_piece(pd.concat([old, bars], ignore_index=True), key="M&M@5min"))

    found = sorted(path.relative_to(lake.folder).as_posix() for path in lake.folder.rglob("*.parquet"))
    assert found == ["bars/M&M@5min/2025/00000001.parquet", "bars/M&M@5min/2026/00000001.parquet"]


@pytest.mark.parametrize("key", ["../../escape@5min", "https://host/feed?a=b", ".", "x" * 400])
def test_no_key_leads_out_of_the_lake(lake, key):
    lake.store("kite", a_piece(some_bars([(0, 100.0)]), key=key))

    parts = [part.path for entry in lake.pin().entries for part in entry.parts]
    assert all((lake.folder / part).resolve().is_relative_to(lake.folder.resolve() / "bars") for part in parts)
    assert len(lake.pin().rows("bars", "kite", key)) == 1


def test_fetching_again_adds_nothing(lake, clock):
    piece = a_piece(some_bars([(0, 100.0), (1, 101.0)]))
    wider = a_piece(some_bars([(0, 100.0), (1, 101.0)], file="b.csv"), origin="b.csv")
    lake.store("kite", piece)
    before = hashes(lake.folder)

    again = [lake.store("kite", each) for each in (piece, wider, piece)]

    assert again == [Stored()] * 3
    assert hashes(lake.folder) == before


def test_of_overlapping_windows_only_the_new_rows_are_kept(lake):
    lake.store("kite", a_piece(some_bars([(0, 100.0), (1, 101.0)]), origin="first"))

    stored = lake.store("kite", a_piece(some_bars([(1, 101.0), (2, 102.0)]), origin="second"))

    assert stored == Stored(rows=1)
    assert closes(lake) == [100.0, 101.0, 102.0]


def test_a_correction_counts_from_when_it_was_learnt_and_the_old_saying_stays(lake, clock):
    lake.store("kite", a_piece(some_bars([(0, 100.0), (1, 101.0)])))
    then = clock.wait(days=1)

    stored = lake.store("kite", a_piece(some_bars([(0, 100.0), (1, 99.0)])))

    assert stored == Stored(rows=1, corrected=1)
    assert closes(lake) == [100.0, 99.0]
    assert closes(lake, then) == [100.0, 101.0]


def test_a_correction_that_is_taken_back_is_a_correction(lake):
    right, wrong = some_bars([(0, 100.0)]), some_bars([(0, 99.0)])

    stored = [lake.store("kite", a_piece(each)) for each in (right, wrong, right)]

    assert [each.rows for each in stored] == [1, 1, 1]
    assert closes(lake) == [100.0]


def test_two_files_of_a_source_that_contradict_each_other_do_not_correct_each_other_for_ever(lake):
    one, other = a_piece(some_bars([(0, 100.0)]), origin="a"), a_piece(some_bars([(0, 99.0)]), origin="b")
    lake.store("files", one)
    lake.store("files", other)

    again = [lake.store("files", each) for each in (one, other)]

    assert again == [Stored(), Stored()]


def test_repeated_rows_of_a_faulty_source_are_kept_as_one_saying(lake):
    lake.store("kite", a_piece(some_bars([(0, 100.0), (0, 100.0), (1, 101.0)])))
    assert closes(lake) == [100.0, 100.0, 101.0]

    stored = lake.store("kite", a_piece(some_bars([(0, 100.0), (1, 101.0)])))

    assert stored == Stored(rows=1, corrected=1)
    assert closes(lake) == [100.0, 101.0]


def test_what_one_source_says_does_not_touch_what_another_said(lake):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))

    stored = lake.store("bhavcopy", a_piece(some_bars([(0, 99.0)])))

    assert stored == Stored(rows=1)
    assert (closes(lake), closes(lake, source="bhavcopy")) == ([100.0], [99.0])


def test_a_bar_that_had_not_closed_is_not_stored_and_its_file_is_read_again(lake):
    piece = a_piece(some_bars([(0, 100.0), (1, 101.0)]))

    early = lake.store("kite", piece, asked_at=START + timedelta(minutes=9, seconds=59))
    late = lake.store("kite", piece, asked_at=START + timedelta(minutes=10))

    assert early == Stored(rows=1, unfinished=1)
    assert late == Stored(rows=1)
    assert closes(lake) == [100.0, 101.0]


def test_an_older_pin_reads_the_same_however_the_lake_grows(lake, clock):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    then = clock.wait(hours=1)
    before = lake.pin(then)
    rows = before.rows("bars", "kite", "SBIN@5min")

    lake.store("kite", a_piece(some_bars([(0, 1.0), (1, 2.0)])))
    lake.store("bhavcopy", a_piece(some_bars([(0, 3.0)])))

    assert lake.pin(then) == before
    assert lake.pin(before.learnt_until) == before
    pd.testing.assert_frame_equal(lake.pin(then).rows("bars", "kite", "SBIN@5min"), rows)


def test_a_pin_ahead_before_the_first_piece_or_of_an_empty_lake_is_refused(lake, clock):
    with pytest.raises(BadInput, match="is empty; run: tradesage collect"):
        lake.pin()
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))

    with pytest.raises(BadInput, match=r"ingest.as_of = 2026-06-02 18:00 lies ahead"):
        lake.pin(datetime(2026, 6, 2, 18, 0, tzinfo=IST))
    with pytest.raises(BadInput, match=r"nothing was known at 2026-05-01 00:00: the first piece .* 2026-06-01 18:00"):
        lake.pin(datetime(2026, 5, 1, tzinfo=IST))


def test_a_clock_set_back_stores_nothing(lake, clock):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    before = hashes(lake.folder)
    clock.wait(days=-1)

    with pytest.raises(BadInput, match="correct the clock"):
        lake.store("kite", a_piece(some_bars([(0, 99.0)])))

    assert hashes(lake.folder) == before


def test_every_piece_is_learnt_later_than_the_one_before(lake, clock):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    clock.wait(seconds=-10)  # a small step of the clock

    lake.store("kite", a_piece(some_bars([(0, 99.0)])))

    first, second = lake.pin().entries
    assert second.learnt_at == first.learnt_at + timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (a_piece(some_bars([(0, 1.0)]).drop(columns="close")), "a table of bars lacks close"),
        (a_piece(some_bars([(0, 1.0)]).assign(open_time=at(None))), "1 rows of bars have no open_time"),
        (a_piece(some_bars([(0, 1.0)]).assign(close="cheap")), "a table of bars has a value that does not fit"),
        (a_piece(some_bars([(0, 1.0)]), kind="gossip"), "'gossip' is no kind of data"),
        (a_piece(some_bars([(0, 1.0)]), digest="none"), "needs a key and the SHA-256"),
    ],
)
def test_what_is_no_piece_is_refused_and_leaves_the_lake_as_it_was(lake, piece, told):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    before = hashes(lake.folder)

    with pytest.raises(BadInput, match=told):
        lake.store("kite", piece)

    assert hashes(lake.folder) == before


def test_rows_nothing_could_be_made_of_are_kept_once(lake):
    gone = rejected_rows(pd.DataFrame({"date": ["soon"]}), "SBIN", "unreadable_time", ["no time"], ["a.csv"], [3])
    piece = a_piece(some_bars([(0, 100.0)]), rejected=gone)

    lake.store("files", piece)
    lake.store("files", piece)
    lake.store("files", replace(piece, digest="0" * 64))

    kept = lake.pin().rejected("bars", "files", "SBIN@5min")
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), gone)


def test_a_source_is_told_what_is_held_of_it(lake):
    piece = a_piece(some_bars([(0, 100.0), (80, 101.0)]))
    lake.store("kite", piece)

    known = lake.known("kite")

    assert known.last_day("bars", "SBIN@5min") == START.date()
    assert known.last_day("bars", "TCS@5min") is None
    assert lake.known("bhavcopy").last_day("bars", "SBIN@5min") is None
    assert known.holds("bars", "SBIN@5min", START.date())
    assert not known.holds("bars", "SBIN@5min", START.date() + timedelta(days=1))
    assert known.seen("bars", "SBIN@5min", piece.origin, piece.digest)
    assert not known.seen("bars", "SBIN@5min", piece.origin, "0" * 64)


def test_a_headline_counts_once_from_when_it_was_first_told(lake):
    lake.store("rss", a_piece(news(("2026-01-05 10:00", "A"), ("2026-01-05 11:00", "B")), "news", "feed"))

    again = lake.store("rss", a_piece(news(("2026-01-06 10:00", "A"), ("2026-01-06 10:00", "C")), "news", "feed"))
    much_later = lake.store("rss", a_piece(news(("2026-03-01 10:00", "A")), "news", "feed"))

    told = lake.pin().rows("news", "rss")
    assert (again, much_later) == (Stored(rows=1), Stored(rows=1))
    assert told["headline"].tolist() == ["A", "B", "C", "A"]
    assert told["time"].dt.day.tolist() == [5, 5, 6, 1]


def test_an_action_announced_again_is_known_from_its_first_announcement(lake):
    lake.store("nse", a_piece(actions(("2026-03-02", 2.0, "2026-02-02")), "actions", "equity", "monday"))

    later = lake.store("nse", a_piece(actions(("2026-03-02", 2.0, "2026-02-03")), "actions", "equity", "tuesday"))
    earlier = lake.store("nse", a_piece(actions(("2026-03-02", 2.0, "2026-01-30")), "actions", "equity", "friday"))

    assert (later.rows, earlier.rows) == (0, 1)
    assert lake.pin().rows("actions", "nse")["known_at"].tolist() == [pd.Timestamp("2026-01-30", tz=IST)]


def test_an_action_that_is_corrected_counts_as_it_was_said_last(lake, clock):
    lake.store("nse", a_piece(actions(("2026-03-02", 2.0, "2026-02-02")), "actions", "equity", "monday"))
    then = clock.wait(days=1)

    lake.store("nse", a_piece(actions(("2026-03-02", 5.0, "2026-02-03")), "actions", "equity", "tuesday"))

    now, before = (lake.pin(at).rows("actions", "nse") for at in (None, then))
    assert (now["ratio"].tolist(), before["ratio"].tolist()) == ([5.0], [2.0])
    assert now["known_at"].tolist() == [pd.Timestamp("2026-02-03", tz=IST)]


def test_half_a_line_of_a_killed_writer_counts_for_nothing_and_is_taken_away(lake):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    whole = (lake.folder / "manifest.jsonl").read_bytes()
    (lake.folder / "manifest.jsonl").write_bytes(whole + whole[:100])

    seen_by_reader = len(Lake(lake.folder, lake.now).pin().entries)
    Lake(lake.folder, lake.now).store("kite", a_piece(some_bars([(1, 101.0)]), origin="b"))

    assert seen_by_reader == 1
    assert (lake.folder / "manifest.jsonl").read_bytes().startswith(whole)
    assert closes(lake) == [100.0, 101.0]


def test_a_damaged_line_or_file_is_told_in_one_line(lake):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    lake.store("kite", a_piece(some_bars([(1, 101.0)]), origin="b"))
    manifest = lake.folder / "manifest.jsonl"
    file = next(lake.folder.rglob("00000001.parquet"))
    content = bytearray(file.read_bytes())
    content[10] ^= 1
    file.write_bytes(content)

    with pytest.raises(BadInput, match=r"00000001.parquet is not the file that was stored"):
        closes(lake)
    manifest.write_bytes(manifest.read_bytes()[1:])
    with pytest.raises(BadInput, match=r"manifest.jsonl: line 1 is damaged"):
        Lake(lake.folder, lake.now).pin()


# Several processes, some of which die


def window(n: int) -> Fetched:
    """A piece of two bars, the second of which is the first of the next piece."""
    return a_piece(some_bars([(n, 100.0 + n), (n + 1, 101.0 + n)]), origin=f"window {n}")


def store_windows(folder: Path, count: int) -> None:
    lake = Lake(folder)
    for n in range(count):
        lake.store("kite", window(n))


def test_two_collectors_at_once_store_each_piece_once(tmp_path):
    workers = [processes.Process(target=store_windows, args=(tmp_path, 12)) for _ in range(2)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    lake = Lake(tmp_path)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [entry.origin for entry in lake.pin().entries] == [f"window {n}" for n in range(12)]
    assert closes(lake) == [100.0 + n for n in range(13)]


def test_a_collector_killed_at_any_moment_leaves_nothing_half_written(tmp_path):
    chance, killed = random.Random(5), 0

    for _ in range(12):
        worker = processes.Process(target=store_windows, args=(tmp_path, 2_000))
        worker.start()
        time.sleep(chance.uniform(0.02, 0.25))
        os.kill(worker.pid, signal.SIGKILL)
        worker.join(60)
        killed += worker.exitcode == -signal.SIGKILL
        lake = Lake(tmp_path)
        lake.sweep()
        entries = lake.pin().entries if (tmp_path / "manifest.jsonl").exists() else ()
        told = {part.path for entry in entries for part in entry.parts}
        for entry in entries:
            assert sum(read_part(tmp_path, part).num_rows for part in entry.parts) == sum(p.rows for p in entry.parts)
        assert [entry.origin for entry in entries] == [f"window {n}" for n in range(len(entries))]
        assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.parquet*")} == told
    store_windows(tmp_path, len(entries) + 1)

    assert killed == 12
    assert entries
    assert closes(Lake(tmp_path)) == [100.0 + n for n in range(len(entries) + 2)]


def test_what_a_killed_writer_left_is_swept_and_nothing_else(lake):
    lake.store("kite", a_piece(some_bars([(0, 100.0)])))
    kept = next(lake.folder.rglob("00000001.parquet"))
    for name in ("00000002.parquet", ".00000002.parquet.x7"):
        (kept.parent / name).write_bytes(b"half")
    (lake.folder / "README.md").write_text("a person's")

    swept = lake.sweep()

    assert swept == 2
    assert kept.exists()
    assert (lake.folder / "README.md").exists()


# Any order of fetching, fetching again, correcting and looking back


class LakeInTime(RuleBasedStateMachine):
    """The lake beside a list of all that was ever said; what was seen at a time is seen at that time for ever."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.lake = Lake(Path(self.folder.name), self.clock)
        self.pieces: list = []
        self.said: list[tuple[datetime, str, int, list[float]]] = []  # when, by whom, of which bar, which closes
        self.looks: list[tuple[datetime, dict[str, pd.DataFrame]]] = []

    def teardown(self) -> None:
        self.folder.cleanup()

    @rule(
        source=st.sampled_from(["kite", "bhavcopy"]),
        told=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([99.0, 100.0, 101.0])), min_size=1, max_size=6),
    )
    def fetch(self, source, told):
        piece = a_piece(some_bars(told), origin=f"request {len(self.pieces)}")
        self.pieces.append((source, piece))
        stored = self.lake.store(source, piece)
        self.note(source, piece.table)
        added = any(entry.origin == piece.origin for entry in self.lake.pin().entries)
        assert added == (stored.rows > 0)

    @rule(place=st.integers(0, 100))
    def fetch_again(self, place):
        if self.pieces:
            source, piece = self.pieces[place % len(self.pieces)]
            if self.lake.store(source, piece).rows:  # it had added nothing at first, and says something else now
                self.note(source, piece.table)

    def note(self, source: str, table: pd.DataFrame) -> None:
        places = ((table["open_time"] - START).dt.total_seconds() // 300).astype(int)
        for place, rows in table.groupby(places):
            self.said.append((self.clock.moment, source, int(place), rows["close"].tolist()))

    @rule()
    def look(self):
        if self.said:
            self.looks.append((self.clock.wait(seconds=1), self.seen(None)))
            self.clock.wait(seconds=1)

    @rule(place=st.integers(0, 100))
    def look_back(self, place):
        if self.looks:
            moment, seen = self.looks[place % len(self.looks)]
            now = self.seen(moment)
            assert now.keys() == seen.keys()
            for source in now:
                pd.testing.assert_frame_equal(now[source], seen[source])

    @invariant()
    def the_last_saying_counts(self):
        if not self.said:
            return
        for source, rows in self.seen(None).items():
            last = {bar: told for _, by, bar, told in self.said if by == source}
            assert rows["close"].tolist() == [close for bar in sorted(last) for close in last[bar]]

    def seen(self, moment) -> dict[str, pd.DataFrame]:
        pin = self.lake.pin(moment)
        return {source: pin.rows("bars", source, "SBIN@5min") for source in pin.sources("bars")}


def test_whatever_is_fetched_corrected_and_pinned_nothing_later_is_seen_and_nothing_earlier_changes():
    run_state_machine_as_test(LakeInTime, settings=settings(max_examples=12, stateful_step_count=12, deadline=None))
