"""What files of bars come packed in, and which files of a folder are looked at.

| container | read as |
|---|---|
| `.gz`, `.bz2`, `.xz`, `.zst` | the file inside |
| `.zip` | each file inside; of archives in archives nothing |
| `.xlsx`, `.xlsm` | each sheet |
| `.parquet`, `.feather`, `.arrow`, `.json`, `.jsonl`, `.csv`, `.tsv`, `.txt` | one table |

A file is known by how it begins rather than by its name, so an Excel workbook called `.csv` is read as a workbook.
"""

import bz2
import gzip
import io
import lzma
import os
import re
import stat
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import pyarrow as pa

from pipelines.domain.errors import BadInput

Form = Literal["text", "parquet", "feather", "json", "workbook"]
#: How readable files are called; the first three are what most people have
SUFFIXES = (".csv", ".txt", ".parquet", ".tsv", ".tab", ".psv", ".dat", ".json", ".jsonl", ".ndjson", ".pq", ".parq",
            ".feather", ".arrow", ".ipc", ".xlsx", ".xlsm", ".xls", ".gz", ".bz2", ".xz", ".zst", ".zip")  # fmt: skip
_FORMS: dict[str, Form] = {
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet", ".feather": "feather", ".arrow": "feather",
    ".ipc": "feather", ".json": "json", ".jsonl": "json", ".ndjson": "json", ".xlsx": "workbook", ".xlsm": "workbook",
}  # fmt: skip
_PACKED = (".gz", ".bz2", ".xz", ".zst")
MOST_BYTES = 1 << 30  #: that one file may unpack to; a minute's bars of twenty years are a tenth of it
_STARTS = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zst", b"PK\x03\x04": "zip",
           b"PK\x05\x06": "zip"}  # fmt: skip
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
_OURS = (".gitignore", ".gitkeep", ".ds_store")  #: hidden files that nobody needs to be told of
_LOCKS = ("~$", ".~lock")  #: what Excel and LibreOffice leave while a file is open
_BROKEN = (OSError, EOFError, ValueError, KeyError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError,
           zipfile.BadZipFile, pa.ArrowException)  # fmt: skip


@dataclass(frozen=True)
class Content:
    """One table's bytes."""

    file: str  #: name relative to the folder read; of a member of an archive `<archive>/<member>`
    form: Form
    data: bytes


@dataclass(frozen=True)
class NoBars:
    """A readable file without prices, e.g. a calendar or ticks."""

    file: str
    reason: str


def files_in(folder: Path) -> tuple[list[Path], list[str]]:
    """The files that may hold bars, in the order of their names, and in sentences what else lies there."""
    paths: list[Path] = []
    notes: list[str] = []
    kinds: Counter[str] = Counter()
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in [name for name in folders if name.startswith(".") or name == "__MACOSX"]:
            folders.remove(name)
        for name in folders:
            if Path(place, name).is_symlink():
                notes.append(f"{shown(Path(place, name).relative_to(folder))} is a link to a folder: not followed")
        for name in sorted(names):
            path = Path(place, name)
            told = _why_not(path, shown(path.relative_to(folder)))
            if told is None and path.suffix.lower() in SUFFIXES:
                paths.append(path)
            elif told is None:
                kinds[path.suffix.lower() or "without a suffix"] += 1
            elif told:
                notes.append(told)
    if kinds:
        of_kinds = ", ".join(f"{ascii(kind)[1:-1]} {count}" for kind, count in sorted(kinds.items()))
        notes.append(f"files of kinds that are not read are left out: {of_kinds}")
    return sorted(paths), notes


def shown(file: Path | str) -> str:
    """A name as it can be printed, whatever bytes it is made of."""
    text = file if isinstance(file, str) else file.as_posix()
    return text if text.isprintable() and _is_text(text) else ascii(text)[1:-1]


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _why_not(path: Path, name: str) -> str | None:
    """Why a file is not looked at, empty if nobody needs to know; None if it is."""
    if path.name.startswith(_LOCKS):
        return f"{name} is the lock of an open file: left out"
    if path.name.startswith("."):
        return "" if path.name.lower() in _OURS else f"{name} is hidden: left out"
    if not _is_text(path.name):
        return f"{name}: its name is no UTF-8: left out; rename it"
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"{name} cannot be reached ({error.strerror}): left out"
    return None if stat.S_ISREG(mode) else f"{name} is no regular file: left out"


def contents_of(path: Path, file: str) -> list[Content | NoBars]:
    """The tables of a file.

    Raises
    ------
    BadInput : if it cannot be read, is empty or damaged, or unpacks to more than MOST_BYTES.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}); correct its rights or take it away") from None
    if not data:
        raise BadInput(f"{file} is empty; delete it or export it again")
    try:
        return _unpacked(data, file, path.name)
    except _BROKEN as error:
        what = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise BadInput(f"{file} is damaged ({what}); copy or export it again") from None


def _unpacked(data: bytes, file: str, name: str) -> list[Content | NoBars]:
    suffix = PurePosixPath(name).suffix.lower()
    packed = _packing(data)
    if packed is None and suffix in (*_PACKED, ".zip", ".xlsx", ".xlsm"):
        raise BadInput(f"{file} is no {suffix} file, whatever its name says; copy or export it again")
    if packed == "zip":
        return _of_zip(data, file)
    if packed is not None:
        inner = name[: -len(suffix)] if suffix in _PACKED else name
        return _unpacked(_capped(packed, data, file), file, inner)
    if data.startswith(_OLD_EXCEL):
        return [NoBars(file, "is an old Excel workbook: save it as .xlsx or CSV")]
    if data.startswith(b"%PDF") or re.match(rb"\s*(<!doctype html|<html|<table|<\?xml)", data[:200].lower()):
        return [NoBars(file, "is a page or a document, no table of bars")]
    if suffix and suffix not in SUFFIXES:
        return [NoBars(file, f"is of a kind that is not read ({ascii(suffix)[1:-1]})")]
    form: Form = "parquet" if data.startswith(b"PAR1") else "feather" if data[:4] in (b"ARRO", b"FEA1") else "text"
    return [Content(file, form if form != "text" else _FORMS.get(suffix, "text"), data)]


def _packing(data: bytes) -> str | None:
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), None)


def _capped(kind: str, data: bytes, file: str) -> bytes:
    source = io.BytesIO(data)
    if kind == "zst":
        out = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read(MOST_BYTES + 1)
    else:
        opened = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[kind]
        with opened(source) as stream:  # type: ignore[operator]
            out = stream.read(MOST_BYTES + 1)
    if not out:
        raise BadInput(f"{file} is empty; delete it or export it again")
    return _within(out, file)


def _within(out: bytes, file: str) -> bytes:
    if len(out) > MOST_BYTES:
        raise BadInput(f"{file} unpacks to more than {MOST_BYTES >> 20} MiB; unpack it yourself, or split it")
    return out


def _of_zip(data: bytes, file: str) -> list[Content | NoBars]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = set(archive.namelist())
        if "xl/workbook.xml" in names:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise BadInput(f"{file} unpacks to more than {MOST_BYTES >> 20} MiB; split it")
            return [Content(file, "workbook", data)]
        found: list[Content | NoBars] = []
        for member in sorted(archive.infolist(), key=lambda one: one.filename):
            path = PurePosixPath(member.filename.replace("\\", "/"))
            parts = [shown(part) for part in path.parts if part not in ("..", "/", ".")]
            if member.is_dir() or not parts or parts[-1].startswith((".", "~$")) or "__MACOSX" in parts:
                continue
            inside = f"{file}/{'/'.join(parts)}"
            if member.flag_bits & 1:
                found.append(NoBars(inside, "is locked by a password: unpack it yourself"))
            elif path.suffix.lower() == ".zip":
                found.append(NoBars(inside, "is an archive in an archive: unpack it yourself"))
            elif path.suffix.lower() not in SUFFIXES:
                found.append(NoBars(inside, "is of a kind that is not read"))
            elif member.file_size == 0:
                found.append(NoBars(inside, "is empty"))
            else:
                with archive.open(member) as stream:
                    found += _unpacked(_within(stream.read(MOST_BYTES + 1), inside), inside, path.name)
    return found or [NoBars(file, "is an archive without files")]
