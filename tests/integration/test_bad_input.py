"""Bad input through the commands themselves: one clear line, an exit code, and nothing half-written."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.domain.market_calendar import sessions_between
from pipelines.params import Params
from pipelines.paths import Paths
from tests.conftest import ROOT, SHARED_DATA, workspace_at

HEADER = "date,open,high,low,close,volume\n"


@dataclass(frozen=True)
class Ended:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def command(monkeypatch, capsys):
    """`python -m pipelines <stage>` in a workspace, without the seconds a new process takes to import."""

    def run(stage: str, paths: Paths) -> Ended:
        monkeypatch.chdir(paths.root)
        capsys.readouterr()
        code = main([stage])
        told = capsys.readouterr()
        return Ended(code, told.out, told.err)

    return run


def process(stage: str, paths: Paths) -> Ended:
    result = subprocess.run(
        [sys.executable, "-m", "pipelines", stage],
        cwd=paths.root,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(paths.root)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    return Ended(result.returncode, result.stdout, result.stderr)


def workspace(tmp_path: Path, folder: Path, **overrides: object) -> tuple[Paths, Params]:
    files = {"ingest.source": "files", "ingest.folder": str(folder), "ingest.session_days": 1}
    return workspace_at(tmp_path / "work", files | overrides)


def daily_rows(count: int = 330, faulty: int = 0, fault: str = "{day},100,101,-99,100,1000\n") -> str:
    days = [session.day for session in sessions_between(date(2022, 1, 3), date(2023, 12, 29))][:count]
    sound = "{day},100,101,99,100,1000\n"
    return HEADER + "".join((fault if place < faulty else sound).format(day=day) for place, day in enumerate(days))


def assert_refused(result: Ended, *words: str) -> None:
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 1
    assert len(lines) == 1, result.stderr
    assert all(word in lines[0] for word in words), lines[0]


def leftovers(paths: Paths) -> list[str]:
    return sorted(p.relative_to(paths.root).as_posix() for p in paths.root.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ABC.csv", "", ("BadInput", "ABC.csv is empty")),
        ("ABC.csv", "day,price\n2024-01-01,1\n", ("holds no prices", "day, price", "wanted: date")),
        ("ABC.csv", "date,open,high,low\n2024-01-01,1,1,1\n", ("ABC.csv: no column close", "date, open, high, low")),
        ("ABC.csv", HEADER + "soon,1,1,1,1,1\n", ("ABC.csv: column date holds no readable time", "row 2", "soon")),
        (
            "ABC.csv",
            HEADER + "2024-01-01 09:15:00+05:30,1,1,1,1,1\n2024-01-01 03:50:00Z,1,1,1,1,1\n",
            ("ABC.csv: mixed time zones", "row 2", "row 3"),
        ),
        ("ABC.parquet", "PAR1 cut short", ("ABC.parquet is not readable as Parquet",)),
    ],
)
def test_ingest_refuses_a_file_and_writes_nothing(tmp_path, name, content, words, command):
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / name).write_text(content, encoding="utf-8")
    paths, _ = workspace(tmp_path, folder)

    result = command("ingest", paths)

    assert_refused(result, *words)
    assert leftovers(paths) == ["params.yaml"]


def test_ingest_refuses_a_missing_and_an_empty_folder(tmp_path, command):
    paths, _ = workspace(tmp_path, tmp_path / "nowhere")
    assert_refused(command("ingest", paths), "nowhere is not there", "ingest.folder")

    (tmp_path / "nowhere").mkdir()
    assert_refused(command("ingest", paths), "holds no .csv, .txt, .parquet file")


def test_ingest_refuses_an_unknown_symbol(tmp_path, command):
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "ABC.csv").write_text(daily_rows(), encoding="utf-8")
    paths, _ = workspace(tmp_path, folder, **{"ingest.symbols": ["XYZ"]})

    assert_refused(command("ingest", paths), "ingest.symbols: XYZ not found", "it has ABC")


def test_a_refused_ingest_leaves_the_last_good_one_in_place(tmp_path, command):
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "ABC.csv").write_text(daily_rows(), encoding="utf-8")
    paths, _ = workspace(tmp_path, folder)
    assert command("ingest", paths).returncode == 0
    before = leftovers(paths)

    (folder / "ABC.csv").write_text("", encoding="utf-8")

    assert_refused(command("ingest", paths), "ABC.csv is empty")
    assert leftovers(paths) == before


def test_validate_sets_a_few_bad_rows_aside_and_refuses_many(tmp_path):
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "ABC.csv").write_text(daily_rows(faulty=5), encoding="utf-8")
    paths, _ = workspace(tmp_path, folder)
    assert process("ingest", paths).returncode == 0

    few = process("validate", paths)

    assert few.returncode == 0, few.stderr
    assert "quarantined 5 rows: not_positive 5" in few.stdout
    before = leftovers(paths)

    (folder / "ABC.csv").write_text(daily_rows(faulty=60), encoding="utf-8")
    assert process("ingest", paths).returncode == 0
    many = process("validate", paths)

    assert_refused(many, "DataRejected: ABC: 18", "not_positive 60", "ABC.csv row 2: low -99 is not above zero")
    assert leftovers(paths) == before


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("{day},100,98,99,100,1000\n", "high_below_low 60; first: ABC.csv row 2"),
        ("{day},100,101,99,100,1000\n" * 2, "duplicate 60; first: ABC.csv row 3"),
        ("{day}x,100,101,99,100,1000\n", "unreadable_time 60; first: ABC.csv row 2"),
    ],
)
def test_validate_names_the_rule_of_many_bad_rows(tmp_path, fault, rule, command):
    folder = tmp_path / "bars"
    folder.mkdir()
    (folder / "ABC.csv").write_text(daily_rows(faulty=60, fault=fault), encoding="utf-8")
    paths, _ = workspace(tmp_path, folder)
    ingested = command("ingest", paths)
    assert ingested.returncode == 0, ingested.stderr

    assert_refused(command("validate", paths), "DataRejected", rule)


def test_validate_before_ingest_says_what_to_run(tmp_path, command):
    paths, _ = workspace(tmp_path, tmp_path)

    assert_refused(command("validate", paths), "NotFound", "snapshot.json is not there; run the stage")


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
def test_the_dirty_files_end_in_a_clear_refusal(tmp_path, command):
    paths, _ = workspace(tmp_path, SHARED_DATA / "daily" / "mixed_series_dirty")
    assert command("ingest", paths).returncode == 0

    assert_refused(command("validate", paths), "DataRejected: RELIANCE", "conflicting_rows", "RELIANCE.csv row")


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
def test_a_folder_of_indices_is_refused_since_nothing_in_it_is_traded(tmp_path, command):
    paths, _ = workspace(tmp_path, SHARED_DATA / "daily" / "index")
    assert command("ingest", paths).returncode == 0

    assert_refused(command("validate", paths), "only indices found", "give a folder with at least one stock")
