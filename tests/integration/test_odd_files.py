"""Hundreds of files of every shape with every flaw: read right, set aside with a reason, or refused in one line."""

from collections import Counter
from datetime import datetime

import numpy as np
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import TradeSageError
from pipelines.ingest.files import read_files
from pipelines.ingest.row_faults import impossible
from pipelines.ingest.world import World
from pipelines.params import IngestParams
from tests.conftest import params_content
from tests.integration.odd_files import SHAPES, bars, cases, content_of

FIELDS = ["open", "high", "low", "close", "volume"]
NOW = datetime(2026, 11, 2, 20, tzinfo=IST)  #: after all the rows that are cut, before those moved ahead


def read(folder, name: str, content: bytes) -> World:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    settings = params_content({"ingest.source": "files", "ingest.folder": str(folder)})["ingest"]
    return read_files(IngestParams.model_validate(settings), NOW)


def outcome(folder, shape: str, flaw: str) -> tuple[str, str]:
    """How the file ended (right, told, aside, refused, silent, broken), and in words why."""
    try:
        world = read(folder, SHAPES[shape].name, content_of(shape, flaw))
    except TradeSageError as error:
        text = str(error)
        clear = len(text.splitlines()) == 1 and 20 < len(text) < 700
        return ("refused" if clear else "broken"), text
    except Exception as error:
        return "broken", f"{type(error).__name__}: {error}"
    if list(world.bars) != ["SBIN"]:
        return "silent", f"read as {list(world.bars)}"
    read_rows, true = world.bars["SBIN"], bars()
    days = read_rows["open_time"].dt.tz_localize(None).dt.normalize()
    held = read_rows.assign(day=days).merge(true, left_on="day", right_on="date", how="outer", suffixes=("", "_true"))
    faulty = impossible(read_rows) != ""
    same = np.isclose(held[FIELDS].astype(float), held[[f"{name}_true" for name in FIELDS]].astype(float)).all(axis=1)
    wrong = held[~same & held["day"].notna()]
    wrong = wrong[~wrong["day"].isin(days[faulty])]
    level = read_rows["close"].median()  # rows far from the others are set aside by validation: price_outlier
    far = (wrong["close"] > 1.8 * level) | (wrong["close"] < 0.4 * level)
    outliers = int(far.sum())
    wrong = wrong[~far] if outliers < len(read_rows) / 2 else wrong
    gone = int(held["day"].isna().sum())
    rejected = 0 if world.rejected is None else len(world.rejected)
    told = bool(world.left_out) or rejected > 0
    if not len(wrong) and gone <= rejected:
        return ("aside" if rejected or faulty.any() or outliers else "told" if world.left_out else "right"), ""
    if not len(wrong) and told:
        return "aside", ""
    if any("whole numbers: look whether they are in paise" in note for note in world.left_out):
        return "told", ""
    volumes_only = (
        len(wrong)
        and np.isclose(
            wrong[FIELDS[:4]].astype(float), wrong[[f"{name}_true" for name in FIELDS[:4]]].astype(float)
        ).all()
    )
    if volumes_only and any("volume" in note for note in world.left_out):
        return "told", ""
    return "silent", f"{len(wrong)} rows with other figures, {gone} gone, told: {world.left_out[:3]}"


def test_there_are_at_least_four_hundred_files():
    assert len(cases()) >= 400


@pytest.mark.parametrize(("shape", "flaw"), cases(), ids=lambda value: value)
def test_a_file_is_read_right_set_aside_or_refused(tmp_path, shape, flaw):
    ended, why = outcome(tmp_path, shape, flaw)

    assert ended in ("right", "told", "aside", "refused"), why


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sound_file_of_every_shape_is_read_to_the_share(tmp_path, shape):
    ended, why = outcome(tmp_path, shape, "nothing")

    assert ended in ("right", "told"), why


if __name__ == "__main__":  # the figures of docs/file_shapes.md
    import sys
    import tempfile
    from pathlib import Path

    counts: Counter[str] = Counter()
    for one, other in cases():
        with tempfile.TemporaryDirectory() as place:
            ended, why = outcome(Path(place), one, other)
        counts[ended] += 1
        if ended in ("silent", "broken") or "-v" in sys.argv:
            print(one, "|", other, "|", ended, "|", why[:230])
    print(len(cases()), dict(counts))
