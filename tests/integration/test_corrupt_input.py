"""Real files made corrupt in hundreds of ways: each ends in one clear line, in quarantine or in a note, never silently.

What is accepted is held against the clean file's result: every row that a mutation did not touch must be there,
unchanged or set aside by name; a touched row must be set aside, told, or as it was.
"""

import io
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import TradeSageError
from pipelines.ingest.files import read_files
from pipelines.ingest.lake import Lake
from pipelines.ingest.source import Fetched
from pipelines.ingest.sources.bhavcopy import read_bhavcopy
from pipelines.ingest.sources.downloads import member
from pipelines.ingest.world import World
from pipelines.params import Params
from pipelines.validate.bars import Raw, Validated, validated
from tests.conftest import SHARED_DATA, params_content
from tests.integration.corruption import (
    CUTS,
    PARQUET,
    WHOLE_FILES,
    WRONG_FIELDS,
    Mutation,
    cut_of,
    wrong_fields,
)

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


@dataclass
class Ended:
    """How one corrupt file ended."""

    mutation: Mutation
    error: BaseException | None = None
    world: World | None = None
    table: pd.DataFrame | None = None  #: what passed, by open time
    aside: frozenset[int] = frozenset()  #: source rows in quarantine
    told: tuple[str, ...] = ()


def params(folder: Path) -> Params:
    return Params.model_validate(
        params_content(
            {
                "ingest.source": "files",
                "ingest.folder": str(folder),
                "validate.min_bars": 20,
                "validate.max_quarantined": 1.0,
                "validate.min_completeness": 0.01,
            }
        )
    )


def read(folder: Path, name: str, content: bytes) -> World:
    folder.mkdir()
    (folder / name).write_bytes(content)
    return read_files(params(folder).ingest)


def judge(ended: dict[str, Ended], settings: Params) -> None:
    """Validate many files at once, each as an instrument of its own; files that stop a run are judged alone."""
    if not ended:
        return
    try:
        found = _validated(ended, settings)
    except TradeSageError as error:
        if len(ended) == 1:
            next(iter(ended.values())).error = error
            return
        keys = list(ended)
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            judge({key: ended[key] for key in half}, settings)
        return
    for key, one in ended.items():
        if key in found.bars:
            one.table = found.bars[key].set_index("open_time")[VALUES]
        aside = found.quarantine[found.quarantine["symbol"] == key]
        one.aside = frozenset(int(row) for row in aside["source_row"])
        one.told = (*(one.world.left_out if one.world else ()), *(note for note in found.notes if key in note))
        if key in found.completeness and found.completeness[key].missing_sessions:
            one.told += (f"{found.completeness[key].missing_sessions} sessions are missing",)  # in completeness.json


def _validated(ended: dict[str, Ended], settings: Params) -> Validated:
    bars, instruments, rejected = [], [], []
    for key, one in ended.items():
        assert one.world is not None
        (frame,) = one.world.bars.values()
        bars.append(frame.assign(symbol=key))
        instruments.append(one.world.instruments.assign(symbol=key))
        if one.world.rejected is not None:
            rejected.append(one.world.rejected.assign(symbol=key))
    raw = Raw(
        bars=pd.concat(bars, ignore_index=True),
        instruments=pd.concat(instruments, ignore_index=True),
        rejected=pd.concat(rejected, ignore_index=True) if rejected else None,
    )
    return validated(raw, Interval.DAY, settings.validate_)


@pytest.fixture(scope="module")
def everything(tmp_path_factory) -> tuple[dict[tuple[str, str], Ended], dict[str, Ended]]:
    """Every case read by itself and validated; and the clean cuts. Keys of instruments are X0000 ... and C0 ..."""
    folder = tmp_path_factory.mktemp("corrupt")
    all_cases, clean = {}, {}
    readable: dict[str, Ended] = {}
    for place, name in enumerate(CUTS):
        clean[name] = Ended(Mutation(cut_of(name), frozenset()), world=read(folder / f"c{place}", name, cut_of(name)))
        readable[f"C{place}"] = clean[name]
    for place, (name, kind, seed) in enumerate(cases()):
        ended = Ended(mutated(name, kind, seed))
        try:
            ended.world = read(folder / f"x{place}", name, ended.mutation.content)
        except Exception as error:  # judged by its case's test
            ended.error = error
        else:
            readable[f"X{place:04}"] = ended
        all_cases[name, kind] = ended
    daily = {key: one for key, one in readable.items() if one.world and one.world.interval is Interval.DAY}
    judge(daily, params(folder))
    for key, one in readable.items():
        if key not in daily:
            one.told = (f"taken for bars of {one.world.interval}",)
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


def silent(ended: Ended, clean: Ended) -> str | None:
    """What went wrong silently or loudly, None if all is well."""
    if ended.error is not None:
        return unclear(ended.error)
    if ended.table is None:
        return None if ended.told or ended.aside else "nothing passed and nothing was told"
    assert clean.table is not None
    rows = source_rows(clean)
    touched = _touched_times(ended.mutation, rows)
    both = clean.table.index.intersection(ended.table.index)
    same = (clean.table.loc[both].to_numpy() == ended.table.loc[both].to_numpy()).all(axis=1)
    changed, gone = both[~same], clean.table.index.difference(ended.table.index)
    new = ended.table.index.difference(clean.table.index)
    aside = _aside_times(ended)
    if ended.mutation.subtle:
        return _unsound(ended.table.loc[changed.union(new)])
    wrong = [time for time in changed if touched is None or time in touched or time not in aside]
    if wrong:
        return f"{len(wrong)} rows passed with other figures: {wrong[:3]}"
    if len(new):
        return f"{len(new)} rows passed that never were: {list(new[:3])}"
    lost = [time for time in gone if time not in aside and (touched is not None and time not in touched)]
    if lost:
        return f"{len(lost)} untouched rows are gone and not in quarantine: {lost[:3]}"
    if len(gone) and not ended.aside and not ended.told:
        return f"{len(gone)} rows are gone and nothing is told"
    return None


def unclear(error: BaseException) -> str | None:
    if not isinstance(error, TradeSageError):
        return f"{type(error).__name__}: {error}"
    text = str(error)
    if "\n" in text or len(text) < 20 or len(text) > 600:
        return f"no clear line: {text!r}"
    return None


def source_rows(one: Ended) -> pd.Series:
    """Open time of each row of a body, from 0."""
    assert one.world is not None
    (frame,) = one.world.bars.values()
    ordered = frame.sort_values("source_row")
    return pd.Series(ordered["open_time"].to_numpy(), index=(ordered["source_row"] - ordered["source_row"].min()))


def _touched_times(mutation: Mutation, rows: pd.Series) -> set[pd.Timestamp] | None:
    if mutation.touched is None:
        return None
    return {pd.Timestamp(rows[row]) for row in mutation.touched if row in rows.index}


def _aside_times(ended: Ended) -> set[pd.Timestamp]:
    assert ended.world is not None
    (frame,) = ended.world.bars.values()
    return set(frame.loc[frame["source_row"].isin(ended.aside), "open_time"])


def _unsound(rows: pd.DataFrame) -> str | None:
    prices = rows[["open", "high", "low", "close"]].to_numpy()
    o, h, low, c = prices.T
    sound = np.isfinite(prices).all(axis=1) & (low > 0) & (h >= np.maximum(o, c)) & (low <= np.minimum(o, c))
    return None if sound.all() and (rows["volume"] >= 0).all() else f"impossible rows passed: {rows[~sound].head(2)}"


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
