"""Log files that what we start writes to: readable by their owner only, and kept small while they are written."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

LARGEST = 10 * 2**20  #: bytes of one file
KEPT = 4  #: older ones beside it: `<name>.1` is the newest


def open_log(path: Path) -> BinaryIO:
    """Open a log to append to it: mode 600, in a folder of mode 700; one that is too large is set aside first."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(handle, 0o600)  # one that is there from before
    cut(path)
    return os.fdopen(handle, "ab", buffering=0)


def cut(path: Path, largest: int | None = None) -> bool:
    """Set a log's content aside and begin anew if it has more than `largest` bytes (`LARGEST`); whether it was.

    Those who write to it keep it open and append, so that it is emptied in its place. A line that comes between copy
    and cut is lost. Where there is no room for a copy, the content is: a bound that a full disk lifts is none.
    """
    with suppress(OSError):
        if path.stat().st_size <= (LARGEST if largest is None else largest):
            return False
        with suppress(OSError):
            for number in range(KEPT, 1, -1):
                with suppress(FileNotFoundError):
                    _older(path, number - 1).replace(_older(path, number))
            shutil.copyfile(path, _older(path, 1))
            _older(path, 1).chmod(0o600)
        os.truncate(path, 0)
        return True
    return False


def _older(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
