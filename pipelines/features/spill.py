"""Numbers that wait on disk between two passes over the instruments, so that memory does not grow with their number."""

import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np


class Spill:
    """Rows of float64 by symbol, in a file without a name that goes with the object.

    Parameters
    ----------
    width : numbers in a row
    folder : where the file lies; None: where the system keeps what is temporary
    """

    def __init__(self, width: int, folder: Path | None = None):
        self.width = width
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as this object
        self._places: dict[str, tuple[int, int]] = {}  # first row and number of rows
        self._end = 0

    def __enter__(self) -> "Spill":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def rows_of(self, symbol: str) -> int:
        return self._places[symbol][1]

    def append(self, symbol: str, rows: np.ndarray) -> None:
        """Keep all rows of a symbol, of shape (n, width)."""
        self._places[symbol] = (self._end, len(rows))
        self._end += len(rows)
        self.write(symbol, 0, rows)

    def write(self, symbol: str, first: int, rows: np.ndarray) -> None:
        """Put rows over those from `first` on."""
        start, _ = self._places[symbol]
        self._file.seek((start + first) * self.width * 8)
        self._file.write(np.ascontiguousarray(rows, dtype=np.float64).tobytes())

    def read(self, symbol: str, first: int = 0, last: int | None = None) -> np.ndarray:
        """Rows `first` to `last` of a symbol, the last one left out; shape (n, width)."""
        start, count = self._places[symbol]
        last = count if last is None else min(last, count)
        self._file.seek((start + first) * self.width * 8)
        found = self._file.read(max(last - first, 0) * self.width * 8)
        return np.frombuffer(found).reshape(-1, self.width)
