"""The file in which notes wait for PostgreSQL: one process has it, and what it was told is there after a death."""

import pytest

from pipelines.domain.errors import AlreadyRunning
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

    assert Spool(tmp_path / "A1.jsonl").read()[1] == NOTES


def test_a_torn_last_line_is_left_out_and_written_over(tmp_path):
    file = tmp_path / "A1.jsonl"
    first = Spool(file)
    first.append(NOTES)
    first.close()
    written = file.read_bytes().rstrip(b"\0")
    file.write_bytes(written[:-20])

    second = Spool(file)

    assert second.read()[1] == NOTES[:1]
    second.append(NOTES[1:])
    assert second.read()[1] == NOTES


def test_a_file_that_another_process_has_is_refused(tmp_path):
    first = Spool(tmp_path / "A1.jsonl")

    with pytest.raises(AlreadyRunning, match="A1"):
        Spool(tmp_path / "A1.jsonl")

    first.close()
    Spool(tmp_path / "A1.jsonl").close()
    assert list(tmp_path.iterdir()) == []
