"""Real files made corrupt in hundreds of ways: each ends in one clear line, in quarantine or in a note, never silently.

What is accepted is held against the clean file's result: every row that a mutation did not touch must be there,
unchanged or set aside by name; a touched row must be set aside, told, or as it was.
"""

import io
import random
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest

from pipelines.ingest.lake import Lake
from pipelines.ingest.source import Fetched
from pipelines.ingest.sources.bhavcopy import read_bhavcopy
from pipelines.ingest.sources.downloads import member
from tests.conftest import SHARED_DATA
from tests.integration.corruption import (
    CUTS,
    PARQUET,
    WHOLE_FILES,
    WRONG_FIELDS,
    Mutation,
    cut_of,
    interval_of,
    wrong_fields,
)
from tests.integration.judging import Ended, judge_all, params, read, silent, unclear

pytestmark = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
VALUES = ["open", "high", "low", "close", "volume"]


def cases() -> Iterator[tuple[str, str, int]]:
    """File, mutation and seed; the seed differs from case to case and never changes."""
    for place, name in enumerate(CUTS):
        if name.endswith(".parquet"):
            yield from ((name, kind, 1_000 * place + i) for i, kind in enumerate(PARQUET))
        else:
            kinds = (*WHOLE_FILES, *list(WRONG_FIELDS)[place % 2 :: 2])  # each kind on one file or two
            yield from ((name, kind, 1_000 * place + i) for i, kind in enumerate(kinds))


def mutated(name: str, kind: str, seed: int) -> Mutation:
    if name.endswith(".parquet"):
        return PARQUET[kind](name, seed)
    return WHOLE_FILES[kind](name, seed) if kind in WHOLE_FILES else wrong_fields(name, kind, seed)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> tuple[dict[tuple[str, str], Ended], dict[str, Ended]]:
    """Every case read by itself and validated; and the clean cuts. Keys of instruments are X0000 ... and C0 ..."""
    folder = tmp_path_factory.mktemp("corrupt")
    all_cases, clean = {}, {}
    readable: dict[str, Ended] = {}
    for place, name in enumerate(CUTS):
        content = cut_of(name)
        world = read(folder / f"c{place}", name, content, interval_of(name))
        clean[name] = Ended(Mutation(content, frozenset()), world=world)
        readable[f"C{place}"] = clean[name]
    for place, (name, kind, seed) in enumerate(cases()):
        ended = Ended(mutated(name, kind, seed))
        try:
            ended.world = read(folder / f"x{place}", name, ended.mutation.content, interval_of(name))
        except Exception as error:  # judged by its case's test
            ended.error = error
        else:
            readable[f"X{place:04}"] = ended
        all_cases[name, kind] = ended
    judge_all(readable, params(folder))
    return all_cases, clean


def test_there_are_at_least_three_hundred_ways():
    assert len(list(cases())) >= 300


@pytest.mark.parametrize(
    ("name", "kind", "seed"), list(cases()), ids=lambda value: str(value).encode("ascii", "backslashreplace").decode()
)
def test_a_corrupt_file_is_refused_set_aside_or_told(everything, name, kind, seed):
    ended, clean = everything[0][name, kind], everything[1][name]

    problem = silent(ended, clean)

    assert problem is None, problem


# NSE's daily file, and the lake ---------------------------------------------------------------------------------------

BHAVCOPY, BHAVCOPY_DAY = "sec_bhavdata_full_16122025.csv", date(2025, 12, 16)


def archive_bytes() -> bytes:
    (path,) = SHARED_DATA.rglob(BHAVCOPY)
    return b"".join(path.read_bytes().splitlines(keepends=True)[:60])


def corrupt_archives() -> list[tuple[str, bytes]]:
    content, made = archive_bytes(), []
    for seed in range(20):
        chance, broken = random.Random(seed), bytearray(content)
        for _ in range(4):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        made.append((f"bits flipped {seed}", bytes(broken)))
    made += [(f"cut after {keep}", content[:keep]) for keep in (1, 80, 300, 1_000, 3_001)]
    made += [
        ("another day", content.replace(b"16-Dec-2025", b"15-Dec-2025")),
        ("no day", content.replace(b"16-Dec-2025", b"garbage")),
        ("UTF-16", content.decode().encode("utf-16")),
        ("tabs", content.replace(b",", b"\t")),
        ("without a column", content.replace(b" HIGH_PRICE", b" HIGHEST")),
        ("HTML", b"<html>403 Forbidden</html>\n" * 9),
        ("empty", b""),
    ]
    return made


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def piece_of(content: bytes) -> Fetched:
    found = read_bhavcopy(content, BHAVCOPY, BHAVCOPY_DAY)
    return Fetched("bars", "NSE@day", found.bars, None, BHAVCOPY, sha256(content).hexdigest(), rejected=found.rejected)


def test_a_corrupt_daily_file_changes_nothing_that_the_lake_holds(tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.store("bhavcopy", piece_of(archive_bytes()))
    before, refused = tree(lake.folder), 0

    for what, content in corrupt_archives():
        held = tree(lake.folder)
        error = error_of(lambda content=content: lake.store("bhavcopy", piece_of(content)))
        if error is not None:
            refused += 1
            assert unclear(error) is None, what
            assert tree(lake.folder) == held, what

    after = tree(lake.folder)
    assert refused >= 12
    assert {name: after[name] for name in before if name.endswith(".parquet")} == {
        name: digest for name, digest in before.items() if name.endswith(".parquet")
    }


def zipped(content: bytes, name: str = "day.csv", **options: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def flipped_zips() -> list[tuple[str, bytes]]:
    content, made = zipped(archive_bytes()), []
    for seed in range(30):
        chance, broken = random.Random(seed), bytearray(content)
        for _ in range(3):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        made.append((f"bits flipped {seed}", bytes(broken)))
    made += [(f"cut after {keep}", content[:keep]) for keep in (0, 1, 30, len(content) // 2, len(content) - 1)]
    return [
        *made,
        ("a bomb", zipped(b"0" * 50_000_000, compresslevel=9)),
        ("a way out", zipped(b"x", name="../../day.csv")),
        ("no zip", b"PK" + bytes(100)),
        ("another file", zipped(b"x", name="day.exe")),
    ]


def test_a_corrupt_archive_is_refused_in_one_line_or_holds_what_it_held():
    for what, content in flipped_zips():
        held: list[bytes] = []
        error = error_of(lambda content=content, held=held: held.append(unpacked(content)))
        if error is not None:
            assert unclear(error) is None, what
        else:
            assert held == [archive_bytes()], what


def unpacked(content: bytes) -> bytes:
    return member(content, lambda name: name.endswith(".csv"), 1_000_000, "day.zip")[1]


def error_of(act: Callable[[], object]) -> BaseException | None:
    """What the act raises, whatever it is; None if it ends well."""
    try:
        act()
    except Exception as error:
        return error
    return None
