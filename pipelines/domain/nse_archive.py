"""Where NSE keeps the files of a day, from dated rows in `facts/nse_archive.csv`."""

import csv
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

_FACTS = Path(__file__).with_name("facts") / "nse_archive.csv"
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

ArchiveFile = Literal["prices", "bundle"]  #: the day's bhavcopy; the zip of all reports, with corporate actions


@dataclass(frozen=True, slots=True)
class _Place:
    effective_from: date
    file: str
    path: str


def archive_path(file: ArchiveFile, day: date) -> str | None:
    """The file's path below the archive's address; None for days before NSE kept it."""
    places = [place for place in _rows() if place.file == file and place.effective_from <= day]
    if not places:
        return None
    return places[-1].path.format(
        yyyy=f"{day:%Y}", yy=f"{day:%y}", mm=f"{day:%m}", dd=f"{day:%d}", MON=_MONTHS[day.month - 1]
    )


@cache
def _rows() -> tuple[_Place, ...]:
    with _FACTS.open(encoding="utf-8", newline="") as file:
        rows = [
            _Place(date.fromisoformat(row["effective_from"]), row["file"], row["path"]) for row in csv.DictReader(file)
        ]
    return tuple(sorted(rows, key=lambda place: place.effective_from))
