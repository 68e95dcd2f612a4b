"""Logs stay small while they are written to, and are read by their owner only."""

import pytest

from serving import log_files
from serving.log_files import KEPT, cut, open_log


def test_a_log_that_grows_is_set_aside_and_its_writer_goes_on(tmp_path):
    path = tmp_path / "logs" / "up.log"
    with open_log(path) as log:
        log.write(b"old\n" * 100)

        was_cut = cut(path, largest=300)
        log.write(b"new\n")

    assert was_cut
    assert path.read_bytes() == b"new\n"
    assert path.with_name("up.log.1").read_bytes() == b"old\n" * 100
    assert not cut(path, largest=300)


def test_a_year_of_logs_takes_no_more_than_its_bound(tmp_path):
    path = tmp_path / "up.log"
    for day in range(20):
        path.write_text(f"{day}\n" * 100)
        cut(path, largest=100)

    kept = sorted(tmp_path.iterdir())

    assert [file.name for file in kept] == ["up.log", *(f"up.log.{number}" for number in range(1, KEPT + 1))]
    assert kept[1].read_text().startswith("19\n")
    assert kept[-1].read_text().startswith(f"{20 - KEPT}\n")


def test_a_full_disk_empties_the_log_all_the_same(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "up.log"
    path.write_text("line\n" * 100)
    monkeypatch.setattr(log_files.shutil, "copyfile", full)

    assert cut(path, largest=100)
    assert path.stat().st_size == 0


@pytest.mark.parametrize("mode", [0o644, 0o666])
def test_a_log_that_others_could_read_is_closed_to_them(tmp_path, mode):
    path = tmp_path / "up.log"
    path.touch(mode)
    path.chmod(mode)
    tmp_path.chmod(0o755)

    open_log(path).close()

    assert path.stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_log_too_large_at_the_start_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(log_files, "LARGEST", 10)
    path = tmp_path / "up.log"
    path.write_text("x" * 11)

    open_log(path).close()

    assert path.stat().st_size == 0
    assert path.with_name("up.log.1").exists()
