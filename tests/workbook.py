"""Excel workbooks as Excel writes them, for tests: shared words, day styles, hidden numbers behind dates."""

import csv
import io
import re
import zipfile
from collections.abc import Mapping
from datetime import date
from xml.sax.saxutils import escape, quoteattr

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_DAY_STYLE = 1  #: place of the format of days in the styles below
_STYLES = (
    f'<styleSheet xmlns="{_MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="dd\\-mmm\\-yyyy"/></numFmts>'
    '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="164" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


def workbook(sheets: Mapping[str, str]) -> bytes:
    """A workbook with a sheet for each CSV text; ISO days become Excel's days, numbers numbers."""
    words: list[str] = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        listed, related = "", ""
        for number, (name, text) in enumerate(sheets.items(), start=1):
            archive.writestr(f"xl/worksheets/sheet{number}.xml", _sheet(text, words))
            listed += f'<sheet name={quoteattr(name)} sheetId="{number}" r:id="rId{number}"/>'
            related += f'<Relationship Id="rId{number}" Target="worksheets/sheet{number}.xml"/>'
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>'
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{related}</Relationships>")
        shared = "".join(f"<si><t>{escape(word)}</t></si>" for word in words)
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{_MAIN}">{shared}</sst>')
        archive.writestr("xl/styles.xml", _STYLES)
    return buffer.getvalue()


def _sheet(text: str, words: list[str]) -> str:
    rows = ""
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        cells = "".join(_cell(f"{_letters(place)}{number}", cell, words) for place, cell in enumerate(row) if cell)
        rows += f'<row r="{number}">{cells}</row>' if cells else ""
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{rows}</sheetData></worksheet>'


def _cell(place: str, text: str, words: list[str]) -> str:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return f'<c r="{place}" s="{_DAY_STYLE}"><v>{(date.fromisoformat(text) - date(1899, 12, 30)).days}</v></c>'
    if re.fullmatch(r"-?\d+(\.\d+)?", text):
        return f'<c r="{place}"><v>{text}</v></c>'
    if text not in words:
        words.append(text)
    return f'<c r="{place}" t="s"><v>{words.index(text)}</v></c>'


def _letters(place: int) -> str:
    return chr(65 + place) if place < 26 else chr(64 + place // 26) + chr(65 + place % 26)
