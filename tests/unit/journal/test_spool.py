"""The file in which notes wait for PostgreSQL: one process has it, and what it was told is there after a death."""

import pytest

from pipelines.domain.errors import AlreadyRunning, ServiceUnavailable
from pipelines.journal.spool import Spool
from tests.unit.journal.records import a_fill, an_order

NOTES = [
    ("record_order", {"account": "A1", "order": an_order()}),
    ("record_fill", {"account": "A1", "fill": a_fill()}),
]


def test_notes_come_back_as_they_were_after_a_death(tmp_path):
    first = Spool(tmp_path / "A1.jsonl")
    first.append(NOTES)
    first.close()

    assert Spool(tmp_path / "A1.jsonl").read().notes == tuple(NOTES)


def test_a_torn_last_line_is_left_out_and_written_over(tmp_path):
    file = tmp_path / "A1.jsonl"
    first = Spool(file)
    first.append(NOTES)
    first.close()
    written = file.read_bytes().rstrip(b"\0")
    file.write_bytes(written[:-20])

    second = Spool(file)

    assert second.read().notes == tuple(NOTES[:1])
    second.append(NOTES[1:])
    assert second.read().notes == tuple(NOTES)


def test_a_file_that_another_process_has_is_refused(tmp_path):
    first = Spool(tmp_path / "A1.jsonl")

    with pytest.raises(AlreadyRunning, match="A1"):
        Spool(tmp_path / "A1.jsonl")

    first.close()
    Spool(tmp_path / "A1.jsonl").close()
    assert list(tmp_path.iterdir()) == []


def spoiled(file, line: bytes) -> None:
    """Put a line between the two notes of a file."""
    first = Spool(file)
    first.append(NOTES)
    first.close()
    lines = file.read_bytes().rstrip(b"\0").split(b"\n")
    lines.insert(2, line)
    file.write_bytes(b"\n".join(lines))


GARBAGE = (
    b"garbage",
    b"{}",
    b"[]",
    b"null",
    b"\xff\xfe\x80",
    b"\0\0\0\0",
    b'{"call": "close", "with": {}}',
    b'{"call": "record_order", "with": []}',
    b'{"call": "record_order", "with": {"order": {"a": "order", "is": {}}}}',
    b'{"call": "record_order", "with": {"order": {"a": "order", "is": null}}}',
    b'{"call": "record_fill", "with": {"fill": {"a": "unheard", "is": 1}}}',
    b'{"call": "record_fill", "with": {"at": {"a": "time", "is": "noon"}}}',
    b'{"call": "record_fill", "with": {"at": {"a": "decimal", "is": "many"}}}',
    b'{"call": "advance_intent", "with": {"intent_id": "1", "to": "moon"}}',
    b'{"call": "record_equity", "with": {"value": {"a": "decimal", "is": "NaN"}}}',
    b'{"call": "record_equity", "with": {"value": {"a": "decimal", "is": "Infinity"}}}',
    b'{"call": "record_equity", "with": {"value": {"a": "decimal", "is": "1e30"}}}',
    b"[" * 100_000,
)


@pytest.mark.parametrize("line", GARBAGE, ids=lambda line: repr(line[:30]))
def test_a_line_that_is_no_note_is_told_apart(tmp_path, line):
    spoiled(tmp_path / "A1.jsonl", line)

    waiting = Spool(tmp_path / "A1.jsonl").read()

    assert waiting.notes == tuple(NOTES)
    assert waiting.unreadable == (line,)


def test_a_file_without_its_name_has_the_same_one_each_time(tmp_path):
    file = tmp_path / "A1.jsonl"
    first = Spool(file)
    first.append(NOTES)
    first.close()
    file.write_bytes(file.read_bytes().rstrip(b"\0").split(b"\n", 1)[1])

    second = Spool(file)

    assert second.read().notes == tuple(NOTES)
    assert second.read().name == second.read().name


def test_what_is_set_aside_is_kept_beside_for_its_owner(tmp_path):
    spool = Spool(tmp_path / "A1.jsonl")

    beside = spool.set_aside([b"garbage", b"\xff"])

    assert beside.read_bytes() == b"garbage\n\xff\n"
    assert beside.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "spool").write_text("no folder")

    with pytest.raises(ServiceUnavailable, match="where notes wait"):
        Spool(tmp_path / "spool" / "A1.jsonl")
