import pandas as pd
import pytest

from pipelines.domain.errors import BadInput, NotFound
from pipelines.tables import fresh_folder, read_json, read_table, replacing, write_json, write_table


def test_the_same_table_gives_the_same_bytes(tmp_path):
    frame = pd.DataFrame({"symbol": ["RELIANCE", "TCS"], "close": [2500.05, 3600.0]})

    write_table(frame, tmp_path / "one.parquet")
    write_table(frame.copy(), tmp_path / "two.parquet")

    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


def test_times_keep_their_zone(tmp_path):
    times = pd.to_datetime(["2026-10-30 09:20"]).tz_localize("Asia/Kolkata").as_unit("us")
    write_table(pd.DataFrame({"close_time": times}), tmp_path / "t.parquet")

    back = read_table(tmp_path / "t.parquet")

    assert str(back["close_time"].dtype) == "datetime64[us, Asia/Kolkata]"
    assert back["close_time"][0] == times[0]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "t.json"
    write_json({"a": 1}, path)

    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError

    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["t.json"]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path):
    with fresh_folder(tmp_path / "bars") as folder:
        (folder / "TCS.parquet").write_bytes(b"old")

    with pytest.raises(RuntimeError), fresh_folder(tmp_path / "bars") as folder:
        (folder / "INFY.parquet").write_bytes(b"new")
        raise RuntimeError

    assert [p.name for p in tmp_path.iterdir()] == ["bars"]
    assert [p.name for p in (tmp_path / "bars").iterdir()] == ["TCS.parquet"]


def test_a_new_folder_takes_the_place_of_the_old_one_wholly(tmp_path):
    for name in ("TCS", "INFY"):
        with fresh_folder(tmp_path / "bars") as folder:
            (folder / f"{name}.parquet").write_bytes(b"x")

    assert [p.name for p in (tmp_path / "bars").iterdir()] == ["INFY.parquet"]


def test_a_missing_or_broken_table_says_what_to_do(tmp_path):
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")

    with pytest.raises(NotFound, match="run the stage"):
        read_table(tmp_path / "missing.parquet")
    with pytest.raises(BadInput, match=r"broken\.parquet"):
        read_table(tmp_path / "broken.parquet")


def test_json_refuses_what_json_cannot_say(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"sharpe": float("nan")}, tmp_path / "m.json")

    assert not (tmp_path / "m.json").exists()
