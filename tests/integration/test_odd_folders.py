"""Folders as people keep them: what is read of each, what is told, what is refused; no bar under a wrong name."""

from pathlib import Path

import pytest

from pipelines.domain.errors import TradeSageError
from pipelines.domain.symbols import is_symbol
from pipelines.ingest.files import read_files
from pipelines.ingest.world import World
from pipelines.params import IngestParams
from tests.conftest import params_content
from tests.integration.odd_folders import FOLDERS, Folder


def put(folder: Path, given: Folder) -> None:
    for name, content in given.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name, target in given.links.items():
        (folder / name).symlink_to(target)


def read(folder: Path) -> World:
    settings = params_content({"ingest.source": "files", "ingest.folder": str(folder)})["ingest"]
    return read_files(IngestParams.model_validate(settings))


def test_there_are_at_least_sixty_folders():
    assert len(FOLDERS) >= 60


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_read_told_or_refused(tmp_path, name):
    given = FOLDERS[name]
    put(tmp_path, given)

    if given.refused:
        with pytest.raises(TradeSageError) as error:
            read(tmp_path)
        assert given.refused in str(error.value)
        assert len(str(error.value).splitlines()) == 1
        return
    world = read(tmp_path)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == given.bars
    assert all(map(is_symbol, world.bars))
    for words in given.told:
        assert any(words in note for note in world.left_out), world.left_out
    assert all(note.isprintable() for note in world.left_out)
