"""Tables and JSON on disk: a half-written file is never seen, and the same content gives the same bytes."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.domain.errors import BadInput, NotFound


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it becomes `path`, on failure it is gone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Have the names in a folder on disk: a file that was renamed into it survives a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame without its index; no writer version or time goes into the bytes but pyarrow's own."""
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    with replacing(path) as temporary:
        write_parquet(table, temporary)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write as all tables here are written; `path` is written over.

    Words are kept in a dictionary, numbers and times are not: they hardly repeat, and a dictionary of them takes twice
    the time to write, five times to read, and more room.
    """
    words = [field.name for field in table.schema if _holds_words(field.type)]
    pq.write_table(table, path, compression="zstd", use_dictionary=words)


def _holds_words(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    if not path.exists():
        raise NotFound(f"{path} is not there; run the stage that writes it first (dvc repro)")
    try:
        return pd.read_parquet(path, columns=columns)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} is not readable as Parquet ({error}); delete it and run its stage again") from None


def write_json(content: Any, path: Path) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    write_text(text + "\n", path)


def read_json(path: Path) -> Any:
    if not path.exists():
        raise NotFound(f"{path} is not there; run the stage that writes it first (dvc repro)")
    return json.loads(path.read_text(encoding="utf-8"))


def write_text(text: str, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def fresh_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder that takes the place of `path` once all is written; a failure leaves `path` as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            retired = path.with_name(f".{path.name}.retired")
            shutil.rmtree(retired, ignore_errors=True)
            os.replace(path, retired)
            os.replace(temporary, path)
            shutil.rmtree(retired)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
