"""The exchange's daily files in all shapes, from a folder and from an archive that answers as archives do."""

import zipfile
from datetime import date, datetime
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, NotFound, ServiceUnavailable
from pipelines.domain.nse_archive import archive_path
from pipelines.ingest.source import Fetched
from pipelines.ingest.sources.bhavcopy import read_bhavcopy
from pipelines.ingest.sources.bhavcopy_archive import BhavcopyArchive
from pipelines.ingest.sources.downloads import Downloads
from tests.conftest import SHARED_DATA
from tests.unit.ingest.sources.server import Answer, serving

FRIDAY, MONDAY, TUESDAY = date(2024, 7, 5), date(2024, 7, 8), date(2024, 7, 9)  # the last old file, two of UDiFF
REPORTS = SHARED_DATA / "nse_daily_reports" / "2025-12-16"
recorded = pytest.mark.skipif(not REPORTS.exists(), reason="the shared data are not here")

OLD = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN,\n"
UDIFF = (
    "TradDt,BizDt,Sgmt,Src,FinInstrmTp,FinInstrmId,ISIN,TckrSymb,SctySrs,XpryDt,FininstrmActlXpryDt,StrkPric,OptnTp,"
    "FinInstrmNm,OpnPric,HghPric,LwPric,ClsPric,LastPric,PrvsClsgPric,UndrlygPric,SttlmPric,OpnIntrst,ChngInOpnIntrst,"
    "TtlTradgVol,TtlTrfVal,TtlNbOfTxsExctd,SsnId,NewBrdLotQty,Rmks,Rsvd1,Rsvd2,Rsvd3,Rsvd4\n"
)
ROWS = [("INFY", "EQ", 1630.0, 1650.5, 1625.0, 1647.45, 4_500_000), ("INFY", "BL", 1600.0, 1600.0, 1600.0, 1600.0, 9),
        ("ABAN", "BE", 55.0, 56.0, 54.0, 55.5, 12_000), ("NOTRADE", "EQ", "-", "-", "-", "-", "-")]  # fmt: skip


def old_file(day: date, rows=ROWS) -> bytes:
    stamp = f"{day:%d-%b-%Y}".upper()
    lines = [f"{s},{k},{o},{h},{lo},{c},{c},{c},{v},1.0,{stamp},10,INE000000000,\n" for s, k, o, h, lo, c, v in rows]
    return (OLD + "".join(lines)).encode()


def udiff_file(day: date, rows=ROWS) -> bytes:
    first = f"{day},{day},CM,NSE,STK,1594,INE009A01021"
    lines = [
        f"{first},{s},{k},,,,,{s} LTD,{o},{h},{lo},{c},{c},{c},,{c},,,{v},1.0,10,F1,1,,,,,\n"
        for s, k, o, h, lo, c, v in rows
    ]
    return (UDIFF + "".join(lines)).encode()


def packed(name: str, content: bytes) -> bytes:
    held = BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return held.getvalue()


def bundle(day: date, purpose: str = "BONUS 1:1") -> bytes:
    header = "SERIES,SYMBOL,SECURITY,RECORD_DT,BC_STRT_DT,BC_END_DT,EX_DT,ND_STRT_DT,ND_END_DT,PURPOSE\n"
    return packed(f"Bc{day:%d%m%y}.csv", f"{header}EQ,INFY,Infosys,,,,2024-07-12,,,{purpose}\n".encode())


@pytest.fixture
def archive():
    with serving() as served:
        for day, content in ((FRIDAY, old_file(FRIDAY)), (MONDAY, udiff_file(MONDAY)), (TUESDAY, udiff_file(TUESDAY))):
            path = archive_path("prices", day)
            served.give(path, packed(path.rpartition("/")[2].removesuffix(".zip"), content))
            served.give(archive_path("bundle", day), bundle(day))
        yield served


def source(place, **given) -> BhavcopyArchive:
    now = given.pop("now", datetime(2024, 7, 10, 8, tzinfo=IST))
    downloads = Downloads(attempts=3, sleep=lambda seconds: None)
    given = {"now": lambda: now, "sleep": lambda seconds: None, "downloads": downloads} | given
    return BhavcopyArchive(FRIDAY, place, **given)


def days_of(pieces: list[Fetched], kind: str = "bars") -> list[date]:
    return [piece.table["open_time"].iloc[0].date() for piece in pieces if piece.kind == kind]


@pytest.mark.parametrize("content", [old_file(FRIDAY), udiff_file(FRIDAY)], ids=["old", "UDiFF"])
def test_both_shapes_say_the_same(content):
    read = read_bhavcopy(content, "file.csv", FRIDAY)

    assert read.bars[["symbol", "open", "high", "low", "close", "volume", "source_row"]].to_numpy().tolist() == [
        ["ABAN", 55.0, 56.0, 54.0, 55.5, 12_000, 4],
        ["INFY", 1630.0, 1650.5, 1625.0, 1647.45, 4_500_000, 2],
    ]
    assert (read.bars["open_time"] == pd.Timestamp("2024-07-05 09:15", tz=IST)).all()
    assert (read.bars["close_time"] == pd.Timestamp("2024-07-05 15:30", tz=IST)).all()
    assert read.rejected[["symbol", "rule", "source_row"]].to_numpy().tolist() == [["NOTRADE", "unreadable_number", 5]]
    assert read.notes == ("file.csv: 1 rows of other series are left out",)


@recorded
def test_the_recorded_reports_of_one_day_agree_to_the_paisa():
    day = date(2025, 12, 16)
    full, bundled = (
        read_bhavcopy((REPORTS / name).read_bytes(), name, day).bars.set_index("symbol")
        for name in ("sec_bhavdata_full_16122025.csv", "pd16122025.csv")
    )

    assert (len(full), len(bundled)) == (2514, 2638)
    both = full.index.intersection(bundled.index)
    assert len(both) == 2505
    values = ["open", "high", "low", "close", "volume"]
    pd.testing.assert_frame_equal(full.loc[both, values], bundled.loc[both, values])
    assert bundled.loc["NIFTY 50", "close"] == 25860.10
    assert bundled.loc["INDIA VIX", "close"] == 10.0625


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "none of the known shapes|no rows"),
        (OLD.encode(), "it holds no rows"),
        (b"day,price\n2024-07-05,1\n", "none of the known shapes"),
        (old_file(MONDAY), "should be of 2024-07-05 and holds rows of 2024-07-08"),
        (old_file(FRIDAY).replace(b"05-JUL-2024", b"soon"), "'soon' is no day"),
        (old_file(FRIDAY)[:-30], "line 5 is cut off"),
        (old_file(FRIDAY, ROWS[1:2]), "no row of the series EQ, BE, BZ"),
        (old_file(FRIDAY, ROWS[3:]), "no row of the series EQ, BE, BZ with prices"),
        ("SYMBOL,é\n".encode("latin-1"), "not UTF-8"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_ends_in_one_line(content, words):
    with pytest.raises(BadInput, match=words) as told:
        read_bhavcopy(content, "file.csv", FRIDAY)
    assert "\n" not in str(told.value)


def test_each_session_is_fetched_in_the_shape_of_its_time_and_days_without_one_are_not_asked_for(archive):
    pieces = list(source(archive.url).fetch(None, TUESDAY))

    assert days_of(pieces) == [FRIDAY, MONDAY, TUESDAY]
    assert {piece.key for piece in pieces if piece.kind == "bars"} == {"NSE@day"}
    assert len(archive.asked) == 6, "no weekend"
    assert next(p.known_at for p in pieces if p.kind == "bars") == datetime(2024, 7, 5, 20, tzinfo=IST)
    actions = [piece.table for piece in pieces if piece.kind == "actions"]
    assert actions[0][["symbol", "kind", "ratio"]].to_numpy().tolist() == [["INFY", "bonus", 2.0]]
    assert actions[0]["known_at"].item() == pd.Timestamp("2024-07-05 20:00", tz=IST)


def test_a_file_fetched_before_the_evening_is_known_from_then_on(archive):
    early = datetime(2024, 7, 9, 17, 30, tzinfo=IST)

    pieces = list(source(archive.url, now=early).fetch(TUESDAY, TUESDAY))

    assert [piece.known_at for piece in pieces] == [None, None]
    assert pieces[0].table["known_at"].item() == early


def test_days_that_are_known_are_not_asked_for_again(archive):
    class Known:
        def holds(self, kind, key, day):
            return (kind, key, day) == ("bars", "NSE@day", MONDAY)

    pieces = list(source(archive.url, known=Known()).fetch(None, TUESDAY))

    assert days_of(pieces) == [FRIDAY, TUESDAY]
    assert not any("08JUL2024" in path or "20240708" in path for path in archive.asked)


def test_a_session_without_a_file_is_told_with_the_next_one(archive):
    archive.give(archive_path("prices", MONDAY), Answer(status=404))

    pieces = list(source(archive.url).fetch(None, TUESDAY))

    assert days_of(pieces) == [FRIDAY, TUESDAY]
    assert "no file of 2024-07-08 (prices), though the calendar has sessions then" in pieces[-1].notes


def test_the_last_session_without_a_file_is_told_at_the_end_but_not_before_the_evening(archive):
    archive.give(archive_path("prices", TUESDAY), Answer(status=404))
    pieces = []

    with pytest.raises(NotFound, match=r"no file of 2024-07-09 \(prices\) .* collect again later"):
        for piece in source(archive.url).fetch(None, TUESDAY):
            pieces.append(piece)

    assert days_of(pieces) == [FRIDAY, MONDAY]
    afternoon = datetime(2024, 7, 9, 16, tzinfo=IST)
    assert days_of(list(source(archive.url, now=afternoon).fetch(None, TUESDAY))) == [FRIDAY, MONDAY]


def test_what_goes_wrong_in_between_is_tried_again_and_else_told_with_what_was_had_kept(archive):
    path = archive_path("prices", MONDAY)
    whole = archive.next(f"/{path}").content
    archive.give(path, Answer(status=503), Answer(whole, cut=True), whole)
    assert days_of(list(source(archive.url).fetch(None, TUESDAY))) == [FRIDAY, MONDAY, TUESDAY]
    archive.give(path, Answer(status=503))
    pieces = []

    with pytest.raises(ServiceUnavailable, match="HTTP 503"):
        for piece in source(archive.url).fetch(None, TUESDAY):
            pieces.append(piece)

    assert days_of(pieces) == [FRIDAY]


def test_a_page_in_place_of_a_file_is_refused(archive):
    archive.give(archive_path("prices", MONDAY), b"<html>Resource not found</html>")

    with pytest.raises(BadInput, match="no readable zip"):
        list(source(archive.url).fetch(MONDAY, MONDAY))


def test_a_folder_of_files_serves_as_well_as_the_archive(archive, tmp_path: Path):
    for day in (FRIDAY, MONDAY):
        path = archive_path("prices", day)
        (tmp_path / path.rpartition("/")[2]).write_bytes(archive.next(f"/{path}").content)
    (tmp_path / "BhavCopy_NSE_CM_0_0_0_20240709_F_0000.csv").write_bytes(udiff_file(TUESDAY))

    pieces = list(source(tmp_path, actions=False, symbols=["INFY", "GONE"]).fetch(None, TUESDAY))

    online = list(source(archive.url, actions=False, symbols=["INFY", "GONE"]).fetch(None, TUESDAY))
    assert [(p.origin, p.digest) for p in pieces] == [(p.origin, p.digest) for p in online]
    assert [piece.table["symbol"].tolist() for piece in pieces] == [["INFY"]] * 3
    assert pieces[0].notes == ("cm05JUL2024bhav.csv: no row of GONE",)


def test_a_share_is_found_under_the_symbol_that_it_bore_that_day(tmp_path):
    (tmp_path / "cm05JUL2024bhav.csv").write_bytes(old_file(FRIDAY, [("ZOMATO", "EQ", 200, 210, 190, 205, 5000)]))

    (piece,) = source(tmp_path, actions=False, symbols=["ETERNAL"]).fetch(FRIDAY, FRIDAY)

    assert piece.table["symbol"].tolist() == ["ZOMATO"]
    assert piece.notes == ()
