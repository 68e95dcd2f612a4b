"""Halt and flatten stop first and complain later, whatever fails: by the commands that a person types."""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from pipelines.domain.bars import IST
from pipelines.domain.halts import Cause, HaltEvent, Mode, Word
from pipelines.journal import embedded, journal_at
from pipelines.journal.memory import MemoryJournal
from pipelines.journal.postgres import database_url, stop_embedded
from serving.executor.door import Door, _address, say_at_door
from serving.executor.trading_state import Trading, halt_file, read_halt_file
from serving.executor.whereabouts import note_whereabouts

ACCOUNT = "A1"
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=IST)
DEAD = {"TRADESAGE_DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:9/postgres"}


@pytest.fixture(scope="module")
def state() -> Iterator[Path]:
    """A state folder with a journal that knows one account, which an executor traded last."""
    folder = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRADESAGE_STATE", str(folder))
        patch.delenv("TRADESAGE_DATABASE_URL", raising=False)
        journal = journal_at(database_url("journal"))
        journal.open_account(ACCOUNT, Decimal(100_000), NOON)
        note_whereabouts(ACCOUNT, "http://127.0.0.1:9", paper=True, workspace=folder, port=9)
        yield folder
        journal.close()
        stop_embedded()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_file(state):
    yield
    halt_file().unlink(missing_ok=True)


@pytest.fixture
def trading(state) -> Iterator[Trading]:
    """The trading state of an executor that is not halted and listens at its door."""
    door = Door()
    trading = Trading(ACCOUNT, MemoryJournal(), halt_file(), door.asked)
    trading.poll(NOON)
    yield trading
    door.close()


def tradesage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    code = "from serving.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, timeout=90, env=os.environ | environment, check=False,
    )  # fmt: skip


def noted() -> list[HaltEvent]:
    journal = journal_at(database_url("journal"))
    events = [event for _, event in journal.halt_events(ACCOUNT)]
    journal.close()
    return events


def assert_one_line_each(answer: subprocess.CompletedProcess) -> None:
    assert "Traceback" not in answer.stdout + answer.stderr
    assert all(len(line) < 500 for line in answer.stdout.splitlines())


@pytest.mark.parametrize("command", ["halt", "flatten"])
@pytest.mark.parametrize("reason", [("--reason", ""), ("--reason", " \n\t"), ()], ids=["empty", "blank", "none"])
def test_a_word_without_a_reason_stops_and_says_so(state, trading, command, reason):
    before = len(noted())

    answer = tradesage(command, *reason, "--by", "")
    trading.poll(NOON)

    assert trading.mode is {"halt": Mode.HALTED, "flatten": Mode.FLATTENING}[command]
    assert [event.reason for event in noted()[before:]] == ["no reason given"]
    assert "no reason was given" in answer.stdout
    assert answer.returncode == {"halt": 3, "flatten": 1}[command], "flatten cannot prove that it is flat"
    assert_one_line_each(answer)


@pytest.mark.parametrize("reason", ["bell \x07 and escape \x1b[2J", "x" * 50_000, "not \udcff text", "naïve – ₹"])
def test_any_text_is_a_reason(state, trading, reason):
    answer = tradesage("halt", "--reason", reason)
    trading.poll(NOON)

    assert trading.mode is Mode.HALTED
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert noted()[-1].reason


@pytest.mark.parametrize(
    "typed",
    [("--account", "NOBODY"), ("now",), ("--raeson", "x"), ("--by",), ("--account",), ("--reason", "x", "--by")],
)
def test_a_slip_of_the_pen_stops_all_the_same(state, trading, typed):
    before = len(noted())

    answer = tradesage("halt", "--reason", "news", *typed)
    trading.poll(NOON)

    assert trading.mode is Mode.HALTED or noted()[before:]
    assert answer.returncode == 3
    assert typed[-1] in answer.stdout
    assert_one_line_each(answer)


def test_a_word_noted_while_nothing_runs_stops_a_paper_run_of_another_account(state):
    answer = tradesage("halt", "--reason", "odd prices", "--by", "asha@desk")
    new_run = Trading("STOPPED-2", MemoryJournal(), halt_file())
    new_run.poll(NOON)

    again = tradesage("resume", "--reason", "looked at")

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert new_run.mode is Mode.HALTED
    assert "odd prices" in new_run.state.reason
    assert again.returncode == 0, again.stdout + again.stderr
    assert not halt_file().exists()


def test_where_no_executor_was_ever_started_resume_takes_back_the_halt(tmp_path):
    elsewhere = {"TRADESAGE_STATE": str(tmp_path / "s"), **DEAD}
    tradesage("halt", "--reason", "news", **elsewhere)
    left = (tmp_path / "s" / "halt").exists()

    answer = tradesage("resume", "--reason", "a drill", **elsewhere)

    assert left
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert not (tmp_path / "s" / "halt").exists()


@pytest.mark.parametrize("command", ["status", "ladder", "halt", "resume", "down"])
def test_a_state_folder_that_cannot_be_one_is_told_in_a_line(command):
    answer = tradesage(
        command, *(("--reason", "x") if command in ("halt", "resume") else ()), TRADESAGE_STATE="/dev/null/x"
    )

    assert_one_line_each(answer)
    assert len(answer.stderr.splitlines()) <= 1


@pytest.mark.parametrize("command", ["HALT", "Halt"])
def test_a_word_in_capitals_stops_too(state, trading, command):
    tradesage(command, "--reason", "news")
    trading.poll(NOON)

    assert trading.mode is Mode.HALTED


@pytest.mark.parametrize("wait", ["soon", "nan", "-1", "1e400", ""])
def test_a_time_to_wait_that_is_none_stops_all_the_same(state, trading, wait):
    before = len(noted())

    answer = tradesage("flatten", "--reason", "news", "--wait", wait)
    trading.poll(NOON)

    assert [event.reason for event in noted()[before:]] == ["news"]
    assert "not understood" in answer.stdout
    assert_one_line_each(answer)


def test_a_journal_that_is_away_stops_at_the_door_and_in_the_file(state, trading):
    answer = tradesage("halt", "--reason", "no journal", **DEAD)
    trading.poll(NOON)

    assert trading.mode is Mode.HALTED
    assert answer.returncode == 0, answer.stdout
    assert read_halt_file(halt_file(), NOON).reason == "no journal"
    assert_one_line_each(answer)


def test_a_journal_that_hangs_holds_nothing_up(state, trading):
    database_url("journal")
    server = embedded._postmaster()
    server.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    command = subprocess.Popen(
        [sys.executable, "-c", "from serving.commands import main; main()", "flatten", "--reason", "hangs"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        while trading.mode is not Mode.FLATTENING and time.monotonic() - began < 60:
            trading.poll(NOON)
            time.sleep(0.05)
        heard = time.monotonic() - began
        said, _ = command.communicate(timeout=60)
        took = time.monotonic() - began
    finally:
        server.send_signal(signal.SIGCONT)

    assert trading.mode is Mode.FLATTENING
    assert heard < took - 2, "it is heard long before the journal is given up"
    assert took < 40
    assert read_halt_file(halt_file(), NOON).word is Word.FLATTEN
    assert "is stopped by a signal" in said, said
    assert "Traceback" not in said


def test_a_journal_of_another_release_is_no_obstacle(state, trading):
    engine = create_engine(database_url("journal"))
    with engine.begin() as connection:
        before = connection.execute(text("select version_num from alembic_version")).scalar_one()
        connection.execute(text("update alembic_version set version_num = '9999'"))
    try:
        answer = tradesage("halt", "--reason", "another release")
        refused = tradesage("resume", "--reason", "back")
        trading.poll(NOON)
    finally:
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = :before"), {"before": before})
        engine.dispose()

    assert trading.mode is Mode.HALTED
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "another release" in {event.reason for event in noted()}
    for each in (answer, refused):
        assert_one_line_each(each)


def test_unreadable_parameters_hold_nothing_up(state, trading, tmp_path):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "params.yaml").write_text(": not [ yaml")
    note_whereabouts(ACCOUNT, "http://127.0.0.1:9", paper=True, workspace=checkout, port=9)

    halted = tradesage("halt", "--reason", "params")
    answer = tradesage("flatten", "--reason", "params")
    trading.poll(NOON)

    assert halted.returncode == 0, halted.stdout
    assert trading.mode is Mode.FLATTENING
    assert "NOT flat" in answer.stdout
    assert_one_line_each(answer)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_holds_nothing_up(tmp_path, monkeypatch):
    small = Path(tempfile.mkdtemp(prefix="ts-", dir="/tmp"))
    mounted = subprocess.run(("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)), capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    monkeypatch.setenv("TRADESAGE_STATE", str(small))
    note_whereabouts(ACCOUNT, "http://127.0.0.1:9", paper=True, workspace=tmp_path, port=9)
    filling = os.open(small / "filling", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space left"):
        while True:
            os.write(filling, b"x" * 4096)
    os.close(filling)
    door = Door()
    trading = Trading(ACCOUNT, MemoryJournal(), halt_file(), door.asked)
    try:
        answer = tradesage("halt", "--reason", "full", **DEAD)
        trading.poll(NOON)
        door.close()
        later = Trading(ACCOUNT, MemoryJournal(), halt_file())
        later.poll(NOON)
    finally:
        subprocess.run(("umount", str(small)), check=True)
        small.rmdir()

    assert trading.mode is Mode.HALTED
    assert later.mode is Mode.HALTED, "an executor that is started later is stopped by the empty file"
    assert_one_line_each(answer)


def test_nothing_written_down_is_told_by_the_exit_code(state, trading, monkeypatch):
    monkeypatch.setattr("serving.stopping.halt_file", lambda: Path("/proc/no/such/folder/halt"))
    monkeypatch.setenv("TRADESAGE_DATABASE_URL", DEAD["TRADESAGE_DATABASE_URL"])
    from serving.halting import halt

    code = halt(None, "nowhere", "asha@desk")
    trading.poll(NOON)

    assert trading.mode is Mode.HALTED, "the door still works"
    assert code == 3


def test_a_resume_needs_a_reason(state, trading):
    tradesage("halt", "--reason", "news")

    answer = tradesage("resume", "--reason", "")
    trading.poll(NOON)

    assert answer.returncode == 1
    assert "it needs a reason" in answer.stdout
    assert trading.mode is Mode.HALTED


def test_a_word_at_the_door_is_noted_once_whoever_writes_first(state):
    journal = journal_at(database_url("journal"))
    door = Door()
    trading = Trading(ACCOUNT, journal, None, door.asked)
    event = HaltEvent(Word.HALT, Cause.BY_HAND, "twice", "asha@desk", datetime.now(IST))

    heard = say_at_door(event)
    journal.record_halt(ACCOUNT, event)
    trading.poll(NOON)
    door.close()

    assert heard
    assert noted().count(event) == 1
    journal.close()


def test_the_door_of_another_user_is_not_spoken_to(state, monkeypatch):
    door = Door()
    event = HaltEvent(Word.HALT, Cause.BY_HAND, "no", "asha@desk", NOON)
    monkeypatch.setattr("serving.executor.door._trusted", lambda peer: False)

    heard = say_at_door(event)
    time.sleep(0.2)

    assert not heard
    assert door.asked() == []
    door.close()


@pytest.mark.parametrize("sent", [b"", b"{", b"[]\n", b'{"word": "resume"}\n', b"x" * 20_000, b'{"word":"halt"}\n'])
def test_nonsense_at_the_door_neither_stops_nor_breaks_it(state, sent):
    door = Door()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.connect(_address())
        visitor.sendall(sent)
    time.sleep(0.2)
    nothing = door.asked()
    event = HaltEvent(Word.HALT, Cause.BY_HAND, "after it", "asha@desk", NOON)

    heard = say_at_door(event)

    assert nothing == []
    assert heard
    assert door.asked() == [event]
    door.close()


def test_what_is_left_by_a_halt_is_read_by_its_owner_only(state):
    tradesage("halt", "--reason", "private", **DEAD)

    assert stat.S_IMODE(halt_file().stat().st_mode) == 0o600
