"""Damage of single values that once broke the reader or slipped through it."""

import pandas as pd
import pytest

from pipelines.domain.errors import BadInput
from pipelines.ingest import shapes
from pipelines.ingest.series import series_of
from pipelines.ingest.shapes import read_sheet

DAYS = [f"2024-01-{day:02d}" for day in range(1, 29)]


def a_series(tmp_path, **cells):
    """The series of a CSV in which one row, the tenth, has other cells."""
    rows = [{"date": day, "open": 100, "high": 101, "low": 99, "close": 100, "volume": 1000} for day in DAYS]
    rows[9] |= cells
    path = tmp_path / "ABC.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    (found,) = series_of(read_sheet(path, path.name))
    return found


@pytest.mark.parametrize("stamp", ["-1", "1968-07-31", "", "-"])
def test_a_row_with_an_impossible_day_is_rejected_and_the_others_are_read(tmp_path, stamp):
    found = a_series(tmp_path, date=stamp)

    assert found.rejected["source_row"].tolist() == [11]
    assert len(found.frame) == len(DAYS) - 1


def test_a_fraction_of_a_share_among_whole_volumes_is_rejected(tmp_path):
    found = a_series(tmp_path, volume=12.5)

    assert found.rejected["source_row"].tolist() == [11]
    assert "12.5" in found.rejected["reason"].iloc[0]


def test_volumes_that_a_source_adjusted_may_be_fractions(tmp_path):
    path = tmp_path / "ABC.csv"
    rows = [{"date": day, "open": 100, "high": 101, "low": 99, "close": 100, "volume": 1000.4} for day in DAYS]
    pd.DataFrame(rows).to_csv(path, index=False)

    (found,) = series_of(read_sheet(path, path.name))

    assert not len(found.rejected)
    assert found.frame["volume"].eq(1000).all()


def test_damaged_metadata_of_parquet_are_refused_in_one_line(tmp_path, monkeypatch):
    path = tmp_path / "ABC.parquet"
    pd.DataFrame({"date": DAYS, "open": 1.0}).to_parquet(path)

    def broken(_):
        raise ValueError("Expecting ':' delimiter: line 1 column 944 (char 943)")

    monkeypatch.setattr(shapes.pq, "read_table", broken)

    with pytest.raises(BadInput, match=r"ABC\.parquet is not readable as Parquet"):
        read_sheet(path, path.name)
