"""Volumes that are no shares of their bar, and bars of days that have not come."""

from datetime import datetime

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.ingest.files import read_files
from pipelines.params import IngestParams
from tests.conftest import params_content
from tests.unit.ingest.test_files import read


def rows(stamps, volumes, written="%Y-%m-%d"):
    lines = [f"{stamp:{written}},100,{101 + n % 7},99,{100 + n % 2},{volume}\n" for n, (stamp, volume) in
             enumerate(zip(stamps, volumes, strict=True))]  # fmt: skip
    return "date,open,high,low,close,volume\n" + "".join(lines)


def days(count):
    return pd.bdate_range("2023-01-02", periods=count)


def minutes(day_count):
    return [day + pd.Timedelta(hours=9, minutes=15 + 5 * n) for day in days(day_count) for n in range(70)]


def test_a_volume_that_is_zero_throughout_is_told(tmp_path):
    (tmp_path / "CIPLA.csv").write_text(rows(days(40), [0] * 40))

    world = read(tmp_path)

    assert "CIPLA.csv: volume is 0 in all rows: read as without volume" in world.left_out
    assert not world.instruments["has_volume"].any()


def test_a_running_total_of_the_day_becomes_shares_of_the_bar(tmp_path):
    totals = [1_000 * (n % 70 + 1) for n in range(70 * 5)]
    (tmp_path / "CIPLA.csv").write_text(rows(minutes(5), totals, "%Y-%m-%d %H:%M"))

    world = read(tmp_path)

    assert set(world.bars["CIPLA"]["volume"]) == {1_000}
    assert any("volume is the day's running total" in note for note in world.left_out)


def test_a_running_total_over_days_is_refused(tmp_path):
    (tmp_path / "CIPLA.csv").write_text(rows(days(40), [1_000_000 * (n + 1) for n in range(40)]))

    with pytest.raises(BadInput, match="a running total; give the shares of each day"):
        read(tmp_path)


def test_fractions_of_lakhs_are_refused(tmp_path):
    (tmp_path / "CIPLA.csv").write_text(rows(days(40), [12.34 + n % 5 for n in range(40)]))

    with pytest.raises(BadInput, match=r"volumes are fractions such as 12.34.* in lakhs or thousands"):
        read(tmp_path)


@pytest.mark.parametrize("symbol", ["RELIANCE", "UNHEARD"])
def test_a_volume_of_too_few_shares_is_told(tmp_path, symbol):
    (tmp_path / f"{symbol}.csv").write_text(rows(days(40), [120 + n % 5 for n in range(40)]))

    assert any("volume looks too small" in note for note in read(tmp_path).left_out)


@pytest.mark.parametrize(
    ("now", "kept", "ahead"), [("2023-02-01 12:00", 22, 18), ("2023-02-01 20:00", 23, 17), ("2024-01-01 00:00", 40, 0)]
)
def test_bars_that_have_not_closed_are_set_aside(tmp_path, now, kept, ahead):
    (tmp_path / "CIPLA.csv").write_text(rows(days(40), [10_000] * 40))
    content = params_content({"ingest.source": "files", "ingest.folder": str(tmp_path)})["ingest"]

    world = read_files(IngestParams.model_validate(content), datetime.fromisoformat(now).replace(tzinfo=IST))

    assert len(world.bars["CIPLA"]) == kept
    assert (0 if world.rejected is None else (world.rejected["rule"] == "from_the_future").sum()) == ahead


def test_a_file_of_the_future_is_refused(tmp_path):
    (tmp_path / "CIPLA.csv").write_text(rows(days(40), [10_000] * 40))
    content = params_content({"ingest.source": "files", "ingest.folder": str(tmp_path)})["ingest"]

    with pytest.raises(BadInput, match="all its bars close after now"):
        read_files(IngestParams.model_validate(content), datetime(2022, 1, 3, tzinfo=IST))
