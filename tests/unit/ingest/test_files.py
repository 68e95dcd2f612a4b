"""Real folders are read wholly; counts are those of the collection's own description."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.ingest.files import read_files
from pipelines.ingest.kinds import RAW_BAR_COLUMNS
from pipelines.ingest.world import World
from pipelines.params import IngestParams
from tests.conftest import SHARED_DATA, params_content

HEADER = "date,open,high,low,close,volume\n"
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05")


def read(folder: Path, **overrides: object) -> World:
    content = params_content({"ingest.source": "files", "ingest.folder": str(folder)})["ingest"] | overrides
    return read_files(IngestParams.model_validate(content))


def real(folder: str, **overrides: object) -> World:
    if not (SHARED_DATA / folder).exists():
        pytest.skip("the shared data are not here")
    return read(SHARED_DATA / folder, **overrides)


def daily_file(folder: Path, name: str = "ABC.csv", days: tuple[str, ...] = DAYS, price: float = 100.0) -> None:
    rows = "".join(f"{day},{price},{price + 2},{price - 2},{price + 1},1000\n" for day in days)
    (folder / name).write_text(HEADER + rows, encoding="utf-8")


def minute_file(folder: Path, name: str, first: str, minutes: int, step: int = 1, zone: str = "") -> None:
    stamps = pd.date_range(first, periods=minutes, freq=f"{step}min")
    rows = "".join(
        f"{t:%Y-%m-%d %H:%M:%S}{zone},{100 + i},{101 + i},{99 + i},{100 + i},10\n" for i, t in enumerate(stamps)
    )
    (folder / name).write_text(HEADER + rows, encoding="utf-8")


def test_broker_adjusted_is_twenty_stocks_of_805_days():
    world = real("daily/broker_adjusted")

    assert world.interval is Interval.DAY
    assert {len(bars) for bars in world.bars.values()} == {805}
    assert len(world.bars) == 20
    assert "M&M" in world.bars
    assert tuple(world.bars["TCS"].columns) == RAW_BAR_COLUMNS
    assert world.instruments["has_volume"].all()
    assert (world.instruments["token"] % 256 == 1).all()


def test_files_of_a_company_before_and_after_it_was_renamed_are_one_series(tmp_path):
    daily_file(tmp_path, "INFOSYSTCH.csv", ("2011-06-27", "2011-06-28"))
    daily_file(tmp_path, "INFY.csv", ("2011-06-29", "2011-06-30"))

    for asked in ([], ["INFOSYSTCH"]):
        world = read(tmp_path, symbols=asked)

        assert list(world.bars) == ["INFY"]
        assert world.bars["INFY"]["open_time"].dt.day.tolist() == [27, 28, 29, 30]


def test_a_renamed_company_is_one_series_under_its_latest_symbol():
    world = real("daily/nse_unadjusted")

    assert len(world.bars) == 19
    assert len(world.bars["INFY"]) == 5306
    assert len(world.bars["BAJFINANCE"]) == 5235
    assert "INFOSYSTCH" not in world.bars


def test_of_many_files_of_a_stock_the_longest_sound_one_is_taken_and_the_others_are_named():
    world = real("daily")

    assert len(world.bars) == 23
    assert world.bars["RELIANCE"]["source"].unique().tolist() == ["yahoo_shape/RELIANCE.csv"]
    assert any("broker_adjusted/RELIANCE.csv" in note and "on another price level" in note for note in world.left_out)
    assert any("mixed_series_dirty/RELIANCE.csv (9955 bars" in note for note in world.left_out)
    assert len(world.bars["NIFTY BANK"]) == 5959


def test_daily_stamps_with_uneven_times_fall_on_their_day():
    bars = real("daily/index").bars["NIFTY BANK"]

    assert (bars["close_time"] > bars["open_time"]).all()
    assert bars["open_time"].dt.normalize().nunique() == 5_955  # four days stand twice, with different prices
    assert bars["open_time"].nunique() == 5_955


def test_one_minute_files_become_five_minute_bars_of_the_session():
    world = real("intraday/1min")

    assert world.interval is Interval.MIN_5
    assert len(world.bars["SBIN"]) == 40 * 75
    assert len(world.bars["TCS"]) == 39 * 75
    assert sum("stamps mark the end of bars" in note for note in world.left_out) == 3


def test_minute_bars_stamped_at_their_end_equal_the_five_minute_bars_of_another_source():
    joined = real("intraday/1min", symbols=["NIFTY 50"]).bars["NIFTY 50"].set_index("open_time")
    direct = real("intraday/5min", symbols=["NIFTY 50"]).bars["NIFTY 50"].set_index("open_time")

    both = joined.join(direct, rsuffix="_direct", how="inner")

    assert len(both) > 27_000
    assert ((both["close"] - both["close_direct"]).abs() < 2).mean() > 0.95


def test_five_minute_files_keep_their_rows_and_utc_becomes_ist():
    world = real("intraday/5min")

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {
        "NIFTY 50": 56_012,
        "NIFTY BANK": 56_003,
        "RELIANCE": 1_650,
    }
    assert world.bars["RELIANCE"]["open_time"].iloc[0] == pd.Timestamp("2026-05-20 09:15", tz="Asia/Kolkata")


def test_epoch_seconds_and_files_without_volume_are_read():
    world = real("intraday/15min")

    assert len(world.bars["NIFTY BANK"]) == 34_300
    assert len(world.bars["RELIANCE"]) == 61_351
    assert not world.instruments["has_volume"].any()


def test_the_whole_intraday_tree_is_joined_to_its_coarsest_interval():
    world = real("intraday")

    assert world.interval is Interval.MIN_15
    assert len(world.bars["SBIN"]) == 40 * 25
    assert len(world.bars) == 9


def test_indices_carry_kites_tokens_and_kind():
    instruments = real("daily/index").instruments.set_index("symbol")

    assert instruments.loc["NIFTY 50", "token"] == 256265
    assert set(instruments["kind"]) == {"index"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ABC.csv", "\ufeffDate ,Open ,High ,Low ,Close \n02-JAN-2024,10,11,9,10\n03-JAN-2024,10,11,9,10\n"),
        ("ABC.csv", '"Date","Open","High","Low","Close"\n"02 Jan 2024","1,000","1,001","999","1,000"\n'),
        ("ABC.csv", "timestamp;open;high;low;close\n2024-01-02T00:00:00+0530;10;11;9;10\n"),
        ("ABC_2024.csv", "02/01/2024,10,11,9,10,5\n".replace("02/01/2024", "20240102")),
        ("x.csv", "Symbol,Date,Open,High,Low,Close,Volume\n,2024-01-01,1,1,1,1,5\nABC,2024-01-02,1,1,1,1,5\n"),
        ("x.csv", "Price,Close,High,Low,Open\nTicker,ABC.NS,ABC.NS,ABC.NS,ABC.NS\nDate,,,,\n2024-01-02,10,11,9,10\n"),
    ],
)
def test_a_shape_is_understood(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")

    bars = read(tmp_path).bars

    assert list(bars) == ["ABC"]
    assert pd.Timestamp("2024-01-02 09:15", tz="Asia/Kolkata") in set(bars["ABC"]["open_time"])


def test_a_row_keeps_the_line_it_stood_on(tmp_path):
    (tmp_path / "ABC.csv").write_text(HEADER + "\n2024-01-01,1,1,1,1,5\n2024-01-02,1,1,1,1,5\n", encoding="utf-8")

    bars = read(tmp_path).bars["ABC"]

    assert bars["source_row"].tolist() == [3, 4]
    assert bars["source"].unique().tolist() == ["ABC.csv"]


def test_unreadable_rows_are_rejected_with_their_own_text(tmp_path):
    daily_file(tmp_path)
    with (tmp_path / "ABC.csv").open("a", encoding="utf-8") as file:
        file.write("someday,1,1,1,1,5\n2024-01-08,1,one,1,1,5\n")

    rejected = read(tmp_path).rejected

    assert rejected["rule"].tolist() == ["unreadable_time", "unreadable_number"]
    assert rejected["source_row"].tolist() == [7, 8]
    assert '"date": "someday"' in rejected["row"].iloc[0]
    assert rejected["reason"].iloc[1] == "high is no number: one"


def test_impossible_rows_survive_for_validation_to_judge(tmp_path):
    (tmp_path / "ABC.csv").write_text(
        HEADER + "2024-01-02,1,1,1,1,5\n2024-01-01,1,1,2,-1,5\n2024-01-01,1,1,2,-1,5\n2024-01-03,1,1,1,1,5\n",
        encoding="utf-8",
    )

    bars = read(tmp_path).bars["ABC"]

    assert bars["open_time"].dt.day.tolist() == [2, 1, 1, 3]
    assert bars["close"].tolist() == [1, -1, -1, 1]


def test_only_the_normal_series_is_kept_and_the_rest_counted(tmp_path):
    (tmp_path / "ABC.csv").write_text(
        "date,series,open,high,low,close\n2024-01-01,EQ,1,1,1,1\n2024-01-01,BL,9,9,9,9\n2024-01-02,EQ,1,1,1,1\n",
        encoding="utf-8",
    )

    world = read(tmp_path)

    assert len(world.bars["ABC"]) == 2
    assert "ABC.csv: 1 rows of other trading series (BL) are left out" in world.left_out


def test_one_file_of_many_instruments_is_split(tmp_path):
    rows = "".join(f"{day},{symbol},1,1,1,1,5\n" for day in DAYS for symbol in ("ABC", "XYZ"))
    (tmp_path / "all.csv").write_text("date,symbol,open,high,low,close,volume\n" + rows, encoding="utf-8")

    bars = read(tmp_path).bars

    assert {symbol: len(own) for symbol, own in bars.items()} == {"ABC": 5, "XYZ": 5}


def test_years_in_files_of_their_own_are_joined(tmp_path):
    daily_file(tmp_path, "ABC_2023.csv", ("2023-12-28", "2023-12-29"))
    daily_file(tmp_path, "ABC_2024.csv")

    bars = read(tmp_path).bars["ABC"]

    assert len(bars) == 7
    assert bars["open_time"].is_monotonic_increasing


def test_files_that_contradict_each_other_are_not_mixed(tmp_path):
    daily_file(tmp_path, "ABC_a.csv")
    daily_file(tmp_path, "ABC_b.csv", DAYS[:3], price=50.0)

    world = read(tmp_path)

    assert world.bars["ABC"]["source"].unique().tolist() == ["ABC_a.csv"]
    assert any("ABC_b.csv (3 bars, 0 defective) is left out" in note for note in world.left_out)


def test_files_without_prices_are_left_out_with_a_sentence(tmp_path):
    daily_file(tmp_path)
    (tmp_path / "holidays.csv").write_text("date,day\n2024-01-26,Friday\n", encoding="utf-8")

    world = read(tmp_path)

    assert world.left_out == ("holidays.csv holds no prices (columns: date, day): left out",)
    assert set(world.files) == {"ABC.csv"}


def test_joined_bars_close_at_the_end_of_their_interval_and_count_what_lies_outside(tmp_path):
    minute_file(tmp_path, "ABC.csv", "2024-01-02 09:08:00", 24)

    world = read(tmp_path)

    bars = world.bars["ABC"]
    assert bars["open_time"].dt.strftime("%H:%M").tolist() == ["09:15", "09:20", "09:25"]
    assert bars["close_time"].dt.strftime("%H:%M").tolist() == ["09:20", "09:25", "09:30"]
    assert bars["volume"].tolist() == [50, 50, 50]
    assert bars["open"].tolist() == [107, 112, 117]
    assert bars["high"].tolist() == [112, 117, 122]
    assert "rows outside the session, in no bar: ABC 7" in world.left_out
    assert "rows of a bar that was not over when the data ends, left out: ABC 2" in world.left_out


def test_a_bar_is_over_when_any_instrument_is_known_beyond_it(tmp_path):
    minute_file(tmp_path, "ABC.csv", "2024-01-02 09:15:00", 13)
    minute_file(tmp_path, "XYZ.csv", "2024-01-02 09:15:00", 15)

    world = read(tmp_path)

    assert world.bars["ABC"]["volume"].tolist() == [50, 50, 30]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("ABC.csv", b"", r"ABC\.csv is empty"),
        ("ABC.csv", b"date,open,high,low,close\n", r"ABC\.csv has a header and no rows"),
        (
            "ABC.csv",
            b"date,open,high,low\n2024-01-01,1,1,1\n",
            r"ABC\.csv: no column close; found: date, open, high, low",
        ),
        ("ABC.csv", b"day,name\n2024-01-01,x\n", r"holds no prices \(columns: day, name\)"),
        (
            "ABC.csv",
            b"date,open,high,low,close\nsoon,1,1,1,1\n",
            r"ABC\.csv: column date holds no readable time.*'soon'",
        ),
        (
            "ABC.csv",
            b"date,open,high,low,close\n2024-01-01,a,1,1,1\n",
            r"ABC\.csv: no row can be read.*open is no number",
        ),
        ("ABC.csv", b"date,open,high,low,close\n2024-01-01,1,1\xff,1,1\n", r"ABC\.csv is not UTF-8"),
        ("ABC.csv", b"date,open,high,low,close\n2024-01-01,1,1,1,1\n2024-01-02,1,1,1,1,7,7\n", r"ABC\.csv: .*line 3"),
        (
            "ABC.csv",
            b"date,open,high,low,close,Close\n2024-01-01,1,1,1,1,1\n",
            r"ABC\.csv has the column Close more than once",
        ),
        ("ABC.parquet", b"PAR1 and then nothing", r"ABC\.parquet is not readable as Parquet"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(BadInput, match=told) as caught:
        read(tmp_path)

    assert "\n" not in str(caught.value)


def test_mixed_zones_in_one_file_are_refused_with_both_rows(tmp_path):
    (tmp_path / "ABC.csv").write_text(
        HEADER + "2024-01-01 09:15:00+05:30,1,1,1,1,5\n2024-01-01 03:50:00+00:00,1,1,1,1,5\n", encoding="utf-8"
    )

    with pytest.raises(BadInput, match=r"ABC\.csv: mixed time zones: row 2 is .*05:30.*row 3 is .*00:00"):
        read(tmp_path)


def test_a_truncated_parquet_file_is_refused(tmp_path):
    frame = pd.DataFrame({"date": pd.to_datetime(DAYS), "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0})
    frame.to_parquet(tmp_path / "ABC.parquet")
    whole = (tmp_path / "ABC.parquet").read_bytes()
    (tmp_path / "ABC.parquet").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(BadInput, match=r"ABC\.parquet is not readable as Parquet"):
        read(tmp_path)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(BadInput, match="is not there; correct"):
        read(tmp_path / "nowhere")
    with pytest.raises(BadInput, match=r"holds no \.csv"):
        read(tmp_path)


def test_an_unknown_symbol_is_refused_with_those_that_are_there(tmp_path):
    daily_file(tmp_path)

    with pytest.raises(BadInput, match=r"XYZ not found.*it has ABC"):
        read(tmp_path, symbols=["XYZ"])


def test_files_coarser_than_asked_are_refused(tmp_path):
    minute_file(tmp_path, "ABC.csv", "2024-01-02 09:15:00", 20, step=15)

    with pytest.raises(BadInput, match=r"ABC\.csv holds bars of 15 min, which cannot become 5min"):
        read(tmp_path, interval="5min")


def moving_days(count: int = 150) -> list[str]:
    days = pd.bdate_range("2023-01-02", periods=count)
    closes = [1000 + 7 * (n % 11) - 3 * (n % 5) + n for n in range(count + 1)]
    return [
        f"{day:%Y-%m-%d},{closes[n]},{max(closes[n], closes[n + 1]) + 2},{min(closes[n], closes[n + 1]) - 2},"
        f"{closes[n + 1]},1000\n"
        for n, day in enumerate(days)
    ]


def test_a_file_whose_opens_and_closes_are_swapped_is_refused(tmp_path):
    rows = "".join(moving_days())
    (tmp_path / "ABC.csv").write_text(HEADER + rows, encoding="utf-8")
    assert len(read(tmp_path).bars["ABC"]) == 150

    (tmp_path / "ABC.csv").write_text("date,close,high,low,open,volume\n" + rows, encoding="utf-8")

    with pytest.raises(BadInput, match=r"ABC.csv: .* open and close look swapped"):
        read(tmp_path)


def test_days_moved_by_a_zone_so_that_mondays_stand_on_sundays_are_refused(tmp_path):
    rows = [row.replace(row[:10], f"{pd.Timestamp(row[:10]) - pd.Timedelta(days=1):%Y-%m-%d}") for row in moving_days()]
    (tmp_path / "ABC.csv").write_text(HEADER + "".join(rows), encoding="utf-8")

    with pytest.raises(BadInput, match=r"30 of its 150 days lie on weekends, e.g. 2023-01-01"):
        read(tmp_path)


def test_a_finer_file_of_which_no_bar_can_be_made_is_refused(tmp_path):
    minute_file(tmp_path, "ABC.csv", "2024-01-02 03:45:00", 300)

    with pytest.raises(BadInput, match=r"ABC.csv: no bar can be made of its rows \(shifted_stamps 300\)"):
        read(tmp_path)


def test_two_rows_of_one_minute_that_differ_are_in_no_joined_bar(tmp_path):
    minute_file(tmp_path, "ABC.csv", "2024-01-02 09:15:00", 10)
    with (tmp_path / "ABC.csv").open("a", encoding="utf-8") as file:
        file.write("2024-01-02 09:16:00,50,51,49,50,10\n2024-01-02 09:17:00,102,103,101,102,10\n")

    world = read(tmp_path)

    assert world.bars["ABC"]["volume"].tolist() == [40, 50]
    assert world.rejected["rule"].value_counts().to_dict() == {"conflicting_rows": 2, "duplicate": 1}
