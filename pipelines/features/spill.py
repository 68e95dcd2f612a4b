"""Numbers that wait on disk between two passes over the instruments, so that memory does not grow with their number."""

import os
import tempfile
import threading
from pathlib import Path
from types import TracebackType

import numpy as np


class Spill:
    """Rows of float64 by symbol, in a file without a name that goes with the object.

    Threads may append, read and write side by side.

    Parameters
    ----------
    width : numbers in a row
    folder : where the file lies; None: where the system keeps what is temporary
    """

    def __init__(self, width: int, folder: Path | None = None):
        self.width = width
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - lives as long as this object
        self._places: dict[str, tuple[int, int]] = {}  # first row and number of rows
        self._end = 0
        self._appending = threading.Lock()

    def __enter__(self) -> "Spill":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def append(self, symbol: str, rows: np.ndarray) -> None:
        """Keep all rows of a symbol, of shape (n, width)."""
        with self._appending:
            self._places[symbol] = (self._end, len(rows))
            self._end += len(rows)
        self.write(symbol, 0, rows)

    def write(self, symbol: str, first: int, rows: np.ndarray) -> None:
        """Put rows over those from `first` on."""
        start, _ = self._places[symbol]
        place, left = (start + first) * self.width * 8, _bytes_of(np.ascontiguousarray(rows, dtype=np.float64))
        while left:
            written = os.pwrite(self._file.fileno(), left, place)
            place, left = place + written, left[written:]

    def read(self, symbol: str, first: int = 0, last: int | None = None) -> np.ndarray:
        """Rows `first` to `last` of a symbol, the last one left out; shape (n, width)."""
        start, count = self._places[symbol]
        last = count if last is None else min(last, count)
        found = np.empty((max(last - first, 0), self.width))
        place, left = (start + first) * self.width * 8, _bytes_of(found)
        while left:
            got = os.preadv(self._file.fileno(), [left], place)
            if not got:
                raise OSError(f"the file of what waits is shorter than it was written: no byte at {place:,}")
            place, left = place + got, left[got:]
        return found


def _bytes_of(rows: np.ndarray) -> memoryview:
    return rows.reshape(-1).view(np.uint8).data
