"""Recorded ticks come with all their defects, and make the minute bars that they are known to make."""

from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.ingest.kinds import TICK_COLUMNS
from pipelines.ingest.names import canonical
from pipelines.ingest.sources.tick_files import TickFiles, minute_bars, read_tick_sheet
from tests.conftest import SHARED_DATA

TICKS = SHARED_DATA / "ticks"
UNTIL = date(2026, 11, 2)
recorded = pytest.mark.skipif(not TICKS.exists(), reason="the shared data are not here")


def write(folder: Path, *rows: str, name: str = "ABC_ticks.csv") -> Path:
    path = folder / name
    path.write_text("timestamp,ltp,volume\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_running_total_becomes_traded_shares_day_by_day(tmp_path):
    path = write(tmp_path, "2024-01-01 09:15:01,100.0,50", "2024-01-01 09:15:02,100.5,80",
                 "2024-01-02 09:15:01,101.0,20", "2024-01-02 09:15:03,101.5,25")  # fmt: skip

    ticks = read_tick_sheet(path, path.name).ticks

    assert tuple(ticks.columns) == TICK_COLUMNS
    assert ticks["quantity"].fillna(-1).tolist() == [-1, 30, -1, 5], "of a day's first tick nobody knows"
    assert ticks["time"].iloc[0] == pd.Timestamp("2024-01-01 09:15:01", tz=IST)
    assert set(ticks["symbol"]) == {"ABC"}


def test_defects_stay_in_for_validation_and_only_rows_without_a_time_or_a_total_are_set_aside(tmp_path):
    path = write(tmp_path, "2024-01-01 09:15:01,100.0,50", "2024-01-01 09:15:01,100.0,50", "2024-01-01 09:15:02,-1,40",
                 "2024-01-01 09:15:03,none,", "soon,100.0,60")  # fmt: skip

    sheet = read_tick_sheet(path, path.name)

    assert sheet.ticks["price"].tolist() == [100.0, 100.0, -1.0]
    assert sheet.ticks["quantity"].fillna(-99).tolist() == [-99, 0, -10]
    assert sheet.rejected[["symbol", "rule", "source_row", "rows_read"]].to_numpy().tolist() == [
        ["ABC", "unreadable_number", 5, 5],
        ["ABC", "unreadable_time", 6, 5],
    ]


def test_each_instrument_and_day_is_a_piece_and_an_unchanged_file_is_passed_over(tmp_path):
    write(tmp_path, "2024-01-02 09:15:01,101.0,20", "2024-01-01 09:15:01,100.0,50")
    (tmp_path / "bars.csv").write_text("date,open,high,low,close,volume\n2024-01-01,1,1,1,1,1\n", encoding="utf-8")

    class Known:
        def seen(self, kind, key, origin, digest):
            return origin == pieces[0].origin and digest == pieces[0].digest

    pieces = list(TickFiles(tmp_path).fetch(None, UNTIL))

    assert [(p.kind, p.key, p.origin, p.known_at) for p in pieces] == [
        ("ticks", "ABC", "ABC_ticks.csv ABC 2024-01-01", None),
        ("ticks", "ABC", "ABC_ticks.csv ABC 2024-01-02", None),
    ]
    assert next(iter(TickFiles(tmp_path, known=Known()).fetch(None, UNTIL))).origin == pieces[1].origin
    assert len(list(TickFiles(tmp_path).fetch(date(2024, 1, 2), UNTIL))) == 1
    assert list(TickFiles(tmp_path, symbols=["XYZ"]).fetch(None, UNTIL)) == []


def test_a_folder_without_ticks_is_refused(tmp_path):
    with pytest.raises(BadInput, match="holds no ticks; wanted are columns timestamp, ltp, volume"):
        list(TickFiles(tmp_path).fetch(None, UNTIL))
    with pytest.raises(BadInput, match="is no folder"):
        list(TickFiles(tmp_path / "gone").fetch(None, UNTIL))


def test_a_minute_holds_its_own_ticks_and_the_shares_of_the_time_since_the_bar_before(tmp_path):
    path = write(tmp_path, "2024-01-01 09:08:00,99.0,5", "2024-01-01 09:15:01,100.0,50", "2024-01-01 09:15:59,99.5,60",
                 "2024-01-01 09:18:00,101.0,100", "2024-01-01 09:18:00,101.0,100", "2024-01-01 15:30:00,102.0,100",
                 "2024-01-06 10:00:00,99.0,5")  # fmt: skip

    bars = minute_bars(read_tick_sheet(path, path.name).ticks)

    assert bars["open_time"].dt.strftime("%H:%M").tolist() == ["09:15", "09:18"]
    assert bars[["open", "high", "low", "close", "volume"]].to_numpy().tolist() == [
        [100.0, 100.0, 99.5, 99.5, 60],
        [101.0, 101.0, 101.0, 101.0, 40],
    ]


@recorded
def test_recorded_ticks_make_the_derived_bars_to_the_paisa_and_share():
    path = TICKS / "ticks_2021-05-17_to_21.parquet"
    derived = pd.read_parquet(TICKS / "bars_1min_from_ticks_2021.parquet")

    bars = minute_bars(read_tick_sheet(path, path.name).ticks)

    derived["symbol"] = derived["symbol"].map(canonical)
    week = derived["timestamp"].between(pd.Timestamp("2021-05-17", tz=IST), pd.Timestamp("2021-05-22", tz=IST))
    expected = derived[week & derived["symbol"].isin(bars["symbol"].unique())]
    expected = expected.rename(columns={"timestamp": "open_time"}).sort_values(["symbol", "open_time"])
    columns = ["symbol", "open_time", "open", "high", "low", "close", "volume"]
    assert len(bars) == 6_419
    pd.testing.assert_frame_equal(bars[columns], expected[columns].reset_index(drop=True), check_dtype=False)


@recorded
def test_the_original_recording_keeps_its_known_defects():
    path = TICKS / "INFY_16_April.csv"

    ticks = read_tick_sheet(path, path.name).ticks

    assert len(ticks) == 26_120
    assert (ticks["time"].dt.date != date(2021, 4, 16)).sum() == 3_695
    assert (ticks["volume"] == 0).sum() == 2
    assert int(ticks.duplicated(["time", "price", "volume"]).sum()) == 4_715
    assert read_tick_sheet(TICKS / "bars_1min_from_ticks_2021.parquet", "bars") is None, "bars are no ticks"
