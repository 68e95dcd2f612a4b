"""Bar files of any shape, read by the columns that a person names."""

from pathlib import Path

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, BadParams
from pipelines.ingest.world import World
from pipelines.params import load_params
from tests.conftest import workspace_at
from tests.unit.ingest.test_files import daily_file, read

NAMES = {"date": "Tag", "open": "Auf", "high": "Hoch", "low": "Tief", "close": "Zu", "volume": "Stück"}


def own_file(folder: Path, stamps: list[str], head: str = "Tag;Auf;Hoch;Tief;Zu;Stück;Date") -> None:
    rows = "".join(
        f"{stamp};{100 + n};{103 + n};{99 + n};{101 + n};{10 * n};1999-01-01\n" for n, stamp in enumerate(stamps)
    )
    (folder / "ABC.csv").write_text(f"{head}\n{rows}", encoding="utf-8")


def mapped(folder: Path, names: dict[str, str] = NAMES, **others: str) -> World:
    return read(folder, columns={"names": names, "zone": "", "date_format": "", "stamp": "auto"} | others)


def test_columns_are_read_by_the_names_given_before_those_that_are_known(tmp_path):
    own_file(tmp_path, ["2024-01-01", "2024-01-02"])

    bars = mapped(tmp_path).bars["ABC"]

    assert bars[["open", "high", "low", "close", "volume"]].to_numpy().tolist() == [
        [100, 103, 99, 101, 0],
        [101, 104, 100, 102, 10],
    ]
    assert bars["open_time"].iloc[0] == pd.Timestamp("2024-01-01 09:15", tz=IST)


def test_a_date_format_settles_whether_the_month_comes_first(tmp_path):
    own_file(tmp_path, ["01/02/2024", "01/03/2024"])

    american = mapped(tmp_path, date_format="%m/%d/%Y").bars["ABC"]["open_time"]

    assert american.dt.strftime("%Y-%m-%d").tolist() == ["2024-01-02", "2024-01-03"]


def test_times_of_another_zone_become_those_of_the_market(tmp_path):
    own_file(tmp_path, ["2024-01-01 03:45", "2024-01-01 03:50", "2024-01-01 03:55"])

    bars = mapped(tmp_path, zone="UTC").bars["ABC"]

    assert bars["open_time"].iloc[0] == pd.Timestamp("2024-01-01 09:15", tz=IST)


@pytest.mark.parametrize(("stamp", "opened"), [("start", "09:20"), ("end", "09:15"), ("auto", "09:20")])
def test_a_person_may_say_which_end_of_the_bar_a_time_marks(tmp_path, stamp, opened):
    own_file(tmp_path, ["2024-01-01 09:20", "2024-01-01 09:25", "2024-01-01 09:30"])

    bars = mapped(tmp_path, stamp=stamp).bars["ABC"]

    assert bars["open_time"].iloc[0].strftime("%H:%M") == opened


def test_files_without_any_of_the_named_columns_are_read_as_usual(tmp_path):
    own_file(tmp_path, ["2024-01-01", "2024-01-02"])
    daily_file(tmp_path, "XYZ.csv")

    assert sorted(mapped(tmp_path).bars) == ["ABC", "XYZ"]


def test_a_named_column_that_is_missing_is_told_by_file_and_name(tmp_path):
    own_file(tmp_path, ["2024-01-01"], head="Tag;Auf;Hoch;Tief;Ende;Stück;Date")

    with pytest.raises(BadInput, match=r"ABC.csv has no column Zu, named in ingest.columns; found: Tag, Auf"):
        mapped(tmp_path)


def test_times_that_are_not_written_as_told_are_refused(tmp_path):
    own_file(tmp_path, ["2024-01-01", "2024-01-02"])

    with pytest.raises(BadInput, match=r"Tag holds no time written as %d.%m.%y, e.g. row 2: '2024-01-01'"):
        mapped(tmp_path, date_format="%d.%m.%y")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ingest.columns.zone", "Mars/Olympus", "is no time zone"),
        ("ingest.columns.names", {"opened": "Auf"}, "names"),
        ("ingest.columns.names", {"open": "Auf", "high": "Auf"}, "names one column twice"),
        ("ingest.columns.stamp", "middle", "stamp"),
    ],
)
def test_an_impossible_map_is_refused_with_the_parameters(tmp_path, key, value, words):
    with pytest.raises(BadParams, match=words):
        workspace_at(tmp_path, {key: value})
    assert load_params(Path("params.yaml")).ingest.columns.names == {}
