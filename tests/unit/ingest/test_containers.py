"""What bars come packed in, and what else lies in a folder."""

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather

from pipelines.domain.errors import BadInput
from tests.unit.ingest.test_files import HEADER, daily_file, read
from tests.workbook import workbook

DAYS = pd.bdate_range("2023-01-02", periods=60)
ROWS = [(f"{day:%Y-%m-%d}", 100.0 + n, 103.25 + n, 98.5 + n, 101.05 + n, 10_000 + n) for n, day in enumerate(DAYS)]
COLUMNS = ["date", "open", "high", "low", "close", "volume"]
TEXT = HEADER + "".join(",".join(map(str, row)) + "\n" for row in ROWS)
TABLE = pd.DataFrame(ROWS, columns=COLUMNS)


def of_another(share: int) -> str:
    """Bars of another share: its own volumes."""
    return TABLE.assign(volume=TABLE["volume"] + 1_000 * share + TABLE.index % 7).to_csv(index=False)


def zipped(**files: str | bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def arrow(table: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    feather.write_feather(pa.Table.from_pandas(table), sink)
    return sink.getvalue().to_pybytes()


def parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    return buffer.getvalue()


KITE = [[f"{day:%Y-%m-%dT00:00:00+0530}", *row[1:]] for day, row in zip(DAYS, ROWS, strict=True)]
NSE = [{"CH_SYMBOL": "CIPLA", "CH_SERIES": "EQ", "CH_TIMESTAMP": row[0], "CH_OPENING_PRICE": row[1],
        "CH_TRADE_HIGH_PRICE": row[2], "CH_TRADE_LOW_PRICE": row[3], "CH_CLOSING_PRICE": row[4],
        "CH_TOT_TRADED_QTY": row[5]} for row in ROWS]  # fmt: skip
QUOTE = {name: [row[place] for row in ROWS] for place, name in enumerate(COLUMNS) if place}
STAMPS = [int(day.timestamp()) + 13_500 for day in DAYS]
YAHOO = {"chart": {"result": [{"meta": {"symbol": "CIPLA.NS"}, "timestamp": STAMPS, "indicators": {"quote": [QUOTE]}}]}}
INDEXED = TABLE.set_index(pd.DatetimeIndex(DAYS)).drop(columns="date")
PACKED: dict[str, bytes] = {
    "CIPLA.csv.gz": gzip.compress(TEXT.encode()),
    "CIPLA.csv.bz2": bz2.compress(TEXT.encode()),
    "CIPLA.csv.xz": lzma.compress(TEXT.encode()),
    "CIPLA.csv.zst": zstd(TEXT.encode()),
    "CIPLA.gz": gzip.compress(TEXT.encode()),
    "CIPLA.csv.zip": zipped(CIPLA__csv=TEXT),
    "prices.zip": zipped(CIPLA__csv=TEXT),
    "CIPLA.tsv": TEXT.replace(",", "\t").encode(),
    "CIPLA.psv": TEXT.replace(",", "|").encode(),
    "CIPLA.dat": TEXT.replace(",", ";").encode(),
    "CIPLA.feather": arrow(TABLE),
    "CIPLA.arrow": arrow(TABLE),
    "CIPLA.pq": parquet(TABLE),
    "symbol=CIPLA/part-0.snappy.parquet": parquet(TABLE),
    "CIPLA.parquet": parquet(INDEXED),
    "CIPLA.parquet.gz": gzip.compress(parquet(TABLE)),
    "CIPLA.xlsx": workbook({"Sheet1": TEXT}),
    "book.xlsx": workbook({"CIPLA": TEXT}),
    "book.xlsx ": b"",
    "CIPLA.csv": workbook({"Sheet1": TEXT}),
    "CIPLA (1).csv": TEXT.encode("utf-16"),
    "NSE_CIPLA, 1D.csv": ("sep=;\n" + TEXT.replace(",", ";")).encode(),
    "CIPLA_titles.csv": ("Historical prices of CIPLA\nfrom 2023, to 2024\n\n" + TEXT).encode(),
    "CIPLA_indexed.csv": INDEXED.to_csv().encode(),
    "CIPLA.json": json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in ROWS]).encode(),
    "CIPLA.jsonl": "\n".join(json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in ROWS).encode(),
    "CIPLA_split.json": json.dumps({"columns": COLUMNS, "index": list(range(60)), "data": ROWS}).encode(),
    "CIPLA_columns.json": TABLE.to_json().encode(),
    "CIPLA_rows.json": INDEXED.to_json(orient="index", date_format="iso").encode(),
    "CIPLA_times.json": INDEXED.to_json(orient="split", date_format="iso").encode(),
    "CIPLA_index.json": INDEXED.to_json(date_format="iso").encode(),
    "CIPLA_lists.json": json.dumps(TABLE.to_dict("list")).encode(),
    "CIPLA_kite.json": json.dumps({"status": "success", "data": {"candles": KITE}}).encode(),
    "x.json": json.dumps({"data": NSE}).encode(),
    "CIPLA.NS.json": json.dumps(YAHOO).encode(),
}  # fmt: skip
del PACKED["book.xlsx "]


@pytest.mark.parametrize("name", PACKED)
def test_a_container_holds_the_bars_that_were_put_in(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(PACKED[name])

    bars = read(tmp_path).bars

    assert list(bars) == ["CIPLA"]
    assert bars["CIPLA"]["open_time"].dt.strftime("%Y-%m-%d").tolist() == [row[0] for row in ROWS]
    for place, column in enumerate(COLUMNS[1:], start=1):
        assert bars["CIPLA"][column].tolist() == pytest.approx([row[place] for row in ROWS])


def test_each_file_of_an_archive_and_each_sheet_is_read(tmp_path):
    (tmp_path / "a.zip").write_bytes(zipped(CIPLA__csv=TEXT, INFY__csv=of_another(1), README__md="read me"))
    (tmp_path / "b.xlsx").write_bytes(workbook({"TCS": of_another(2), "Notes": "nothing here\n"}))

    world = read(tmp_path)

    assert sorted(world.bars) == ["CIPLA", "INFY", "TCS"]
    assert "a.zip/README.md is of a kind that is not read: left out" in world.left_out
    assert any(note.startswith("b.xlsx/Notes has no header") for note in world.left_out)


def test_what_is_no_bar_file_is_told_and_the_rest_is_read(tmp_path):
    daily_file(tmp_path, "CIPLA.csv")
    for name, content in {
        "README.txt": b"Prices, from NSE; see the site.\nOpen the files, one, two, three, four\n",
        "~$CIPLA.xlsx": b"\x05Owner",
        ".~lock.CIPLA.csv#": b",me,",
        "notes.md": b"# notes",
        "photo.jpg": b"\xff\xd8\xff",
        "old.xls": b"\xd0\xcf\x11\xe0" + bytes(100),
        "page.xls": b"<html><table></table></html>",
        "bars.pkl": b"\x80\x04",
        "orders.json": b'{"data": [{"order_id": 1}]}',
        "binary.dat": bytes(range(256)),
        "locked.zip": zipped(data__pdf=b"x"),
    }.items():
        (tmp_path / name).write_bytes(content)
    os.mkfifo(tmp_path / "INFY.csv")
    (tmp_path / "TCS.csv").symlink_to(tmp_path / "nowhere.csv")
    (tmp_path / "linked").symlink_to(tmp_path)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(tmp_path / "SBIN.csv"))
    door.close()

    world = read(tmp_path)

    told = "\n".join(world.left_out)
    assert list(world.bars) == ["CIPLA"]
    for word in ["README.txt", "~$CIPLA.xlsx", ".~lock.CIPLA.csv#", ".md 1", ".jpg 1", ".pkl 1", "old.xls", "page.xls",
                 "orders.json", "binary.dat", "locked.zip", "INFY.csv is no regular file", "TCS.csv cannot be reached",
                 "SBIN.csv is no regular file", "linked is a link to a folder"]:  # fmt: skip
        assert word in told, word


def test_a_name_that_is_no_utf8_is_told_in_plain_letters(tmp_path):
    daily_file(tmp_path, "CIPLA.csv")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/INFY\xff.csv")).write_text(TEXT)

    (note,) = read(tmp_path).left_out

    assert note == "INFY\\udcff.csv: its name is no UTF-8: left out; rename it"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_rights_is_refused_in_one_line(tmp_path):
    daily_file(tmp_path, "CIPLA.csv")
    (tmp_path / "CIPLA.csv").chmod(0)

    with pytest.raises(BadInput, match=r"CIPLA\.csv cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("CIPLA.csv.gz", gzip.compress(TEXT.encode(), mtime=0)[:200]),
        ("CIPLA.csv.gz", TEXT.encode()),
        ("CIPLA.csv.bz2", bz2.compress(TEXT.encode())[:100]),
        ("CIPLA.csv.xz", lzma.compress(TEXT.encode())[:100]),
        ("CIPLA.csv.zst", zstd(TEXT.encode())[:100]),
        ("CIPLA.zip", zipped(CIPLA__csv=TEXT)[:300]),
        ("CIPLA.xlsx", workbook({"Sheet1": TEXT})[:900]),
        ("CIPLA.xlsx", zipped(CIPLA__csv=TEXT)[:-30]),
        ("CIPLA.feather", arrow(TABLE)[:500]),
        ("CIPLA.json", b'[{"open": 1,'),
        ("CIPLA.json", b"[" * 100_000),
        ("CIPLA.csv.gz", gzip.compress(b"", mtime=0)),
    ],
)
def test_a_damaged_container_is_refused_in_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(BadInput, match=name) as told:
        read(tmp_path)
    assert len(str(told.value).splitlines()) == 1


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.ingest.containers.MOST_BYTES", 1_000)
    for name, content in {"CIPLA.csv.gz": gzip.compress(TEXT.encode()), "CIPLA.zip": zipped(CIPLA__csv=TEXT)}.items():
        (tmp_path / name).write_bytes(content)

        with pytest.raises(BadInput, match="unpacks to more than"):
            read(tmp_path)
        (tmp_path / name).unlink()


def test_a_member_of_an_archive_leads_nowhere(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../../etc/CIPLA.csv", TEXT)
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())

    bars = read(tmp_path).bars["CIPLA"]

    assert set(bars["source"]) == {"a.zip/etc/CIPLA.csv"}
