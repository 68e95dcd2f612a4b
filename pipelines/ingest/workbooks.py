"""Sheets of an Excel workbook (`.xlsx`) as text: cells as Excel means them, days and times written out.

Only values are read: no formulas are computed, nothing outside the workbook is opened.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from xml.etree import ElementTree

from pipelines.domain.errors import BadInput

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
#: Excel's own formats of days and times; the others are in the workbook's styles
_DAY_FORMATS = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_QUOTED = re.compile(r'"[^"]*"|\\.|\[[^\]]*\]')  #: parts of a format that are no letters of a day
_DAYS_FROM_1904 = 1462  #: by which workbooks of old Macs count later
_MOST_COLUMNS = 512


def sheets_of(data: bytes, file: str) -> list[tuple[str, str]]:
    """Name and content of each sheet, as CSV.

    Raises
    ------
    BadInput : if the workbook is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            book = _tree(archive, "xl/workbook.xml")
            targets = {one.get("Id"): str(one.get("Target")) for one in _tree(archive, "xl/_rels/workbook.xml.rels")}
            words, days = _shared_words(archive), _day_styles(archive)
            later = _DAYS_FROM_1904 if book.find(f"{_MAIN}workbookPr[@date1904='1']") is not None else 0
            found = []
            for sheet in book.iter(f"{_MAIN}sheet"):
                place = targets[sheet.get(_RELATION)].removeprefix("/xl/")
                found.append((str(sheet.get("name")), _as_csv(_rows(archive, f"xl/{place}", words, days, later))))
            return found
    except (
        KeyError,
        ValueError,
        IndexError,
        OverflowError,
        ElementTree.ParseError,
        zipfile.BadZipFile,
        OSError,
    ) as error:
        what = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadInput(f"{file} is no readable workbook ({what}); save it again, or as CSV") from None


def _tree(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    content = archive.read(name)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError(f"{name} declares entities")
    return ElementTree.fromstring(content)  # noqa: S314  what expands is refused above


def _shared_words(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    items = _tree(archive, "xl/sharedStrings.xml").iter(f"{_MAIN}si")
    return ["".join(text.text or "" for text in item.iter(f"{_MAIN}t")) for item in items]


def _day_styles(archive: zipfile.ZipFile) -> frozenset[int]:
    """Numbers of the styles whose cells are days or times."""
    if "xl/styles.xml" not in archive.namelist():
        return frozenset()
    styles = _tree(archive, "xl/styles.xml")
    own = {
        int(one.get("numFmtId", 0))
        for one in styles.iter(f"{_MAIN}numFmt")
        if re.search(r"[dyhs]|m(?!$)", _QUOTED.sub("", one.get("formatCode", "").lower()).replace("general", ""))
    }
    cells = styles.find(f"{_MAIN}cellXfs")
    formats = [int(one.get("numFmtId", 0)) for one in cells] if cells is not None else []
    return frozenset(place for place, kind in enumerate(formats) if kind in _DAY_FORMATS or kind in own)


def _rows(
    archive: zipfile.ZipFile, name: str, words: list[str], days: frozenset[int], later: int
) -> Iterator[list[str]]:
    """Rows of a sheet, empty ones too, so that their numbers are the sheet's."""
    number = 0
    for row in _tree(archive, name).iter(f"{_MAIN}row"):
        cells: list[str] = []
        for cell in row.iter(f"{_MAIN}c"):
            column = _column(cell.get("r", ""), len(cells))
            cells += [""] * (column - len(cells))
            cells.append(_value(cell, words, days, later))
        told = int(row.get("r", number + 1))
        yield from ([] for _ in range(min(told - number - 1, 100_000)))
        number = told
        yield cells


def _column(place: str, next_one: int) -> int:
    letters = re.match(r"[A-Z]{1,3}", place)
    if not letters:
        return next_one
    column = 0
    for letter in letters[0]:
        column = column * 26 + ord(letter) - 64
    if column > _MOST_COLUMNS:
        raise ValueError(f"a cell in column {column}")
    return column - 1


def _value(cell: ElementTree.Element, words: list[str], days: frozenset[int], later: int) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return "".join(text.text or "" for text in cell.iter(f"{_MAIN}t"))
    text = cell.findtext(f"{_MAIN}v") or ""
    if kind == "s":
        return words[int(text)]
    if kind != "n" or not text:
        return text
    number = float(text)
    if int(cell.get("s", 0)) in days:
        return _moment(number, later)
    return f"{number:.15g}"  # Excel keeps fifteen digits; the rest is noise


def _moment(days: float, later: int) -> str:
    moment = datetime(1899, 12, 30) + timedelta(seconds=round((days + later) * 86_400))  # noqa: DTZ001  a sheet has no zone
    if days < 1:
        return f"{moment:%H:%M:%S}"
    return f"{moment:%Y-%m-%d}" if moment.time() == datetime.min.time() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _as_csv(rows: Iterator[list[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        if any(row):
            writer.writerow([cell.replace("\n", " ").replace("\r", " ") for cell in row])
        else:
            out.write("\n")
    return out.getvalue()
